"""The public sets beside the checkout (../shared/data), as examples."""

from __future__ import annotations

import os
from pathlib import Path

from samloop.example import Example
from samloop.sources import datasets

DATA = Path(os.environ.get("SAMLOOP_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
"""Set SAMLOOP_DATA where the data lies elsewhere."""

SETS = {
    "GPTeacher": ("instruct/gpteacher_codegen.json",),
    "self-instruct": ("instruct/self_instruct_seed_tasks.jsonl",),
    "Glaive": ("instruct/glaive_toolcall_sharegpt.json",),
    "OASST": ("conversations/oasst_trees.jsonl",),
    "LLMBar": tuple(f"preferences/{name}" for name in ("llmbar_*.json",)),
    "PandaLM": ("preferences/pandalm_testset.json",),
    "GSM8K": ("evaluate/gsm8k_test.jsonl",),
    "T0": ("instruct/t0/*.jsonl.gz",),
    "identity": ("instruct/identity.json", "conversations/sharegpt_identity.json"),
}


def examples(name: str) -> list[Example]:
    """The examples of a set, in the order of its files."""
    variables = {"name": "SAM", "author": "the owner"}
    found: list[Example] = []
    for pattern in SETS[name]:
        for path in sorted(DATA.glob(pattern)):
            options = {"variables": variables} if path.name == "identity.json" else {}
            found += [r for r in datasets.read(str(path), None, **options) if isinstance(r, Example)]
    return found
