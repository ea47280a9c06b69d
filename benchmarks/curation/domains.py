"""How often the keyword classes name the right domain: accuracy and macro-F1 per labelled set, and time per example.

    python benchmarks/curation/domains.py

MT-Bench's own categories and the T0 task families, each mapped to one of the seven domains as a person would sort
the task. Extraction and STEM questions are left out: they are several things at once. Needs ../shared/data (or
SAMLOOP_DATA).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from realsets import DATA

from common import machine, publish, table
from samloop.curate.batch import cleaned
from samloop.curate.domain import classified
from samloop.example import Example
from samloop.sources import datasets

MT_BENCH = {"writing": "creative", "roleplay": "creative", "reasoning": "reasoning", "math": "reasoning",
            "coding": "code", "humanities": "reasoning"}  # fmt: skip
T0 = {"cnn_dailymail": "creative", "common_gen": "creative", "duorc_P": "creative", "duorc_S": "creative",
      "kilt_tasks": "factual", "sciq": "factual", "wiki_bio": "factual", "quarel": "reasoning",
      "quartz": "reasoning", "ropes": "reasoning", "cosmos_qa": "reasoning", "wiqa": "reasoning"}  # fmt: skip


def mt_bench() -> list[tuple[str, str]]:
    """First question and domain."""
    lines = [orjson.loads(line) for line in (DATA / "evaluate" / "mt_bench_questions.jsonl").open("rb")]
    return [(line["turns"][0], MT_BENCH[line["category"]]) for line in lines if line["category"] in MT_BENCH]


def t0() -> list[tuple[str, str]]:
    """Prompt and domain of its family."""
    found = []
    for path in sorted((DATA / "instruct" / "t0").glob("*.jsonl.gz")):
        domain = next((value for prefix, value in T0.items() if path.name.startswith(prefix)), None)
        if domain:
            read = datasets.read(str(path), None)
            found += [(record.input_text, domain) for record in read if isinstance(record, Example)]
    return found


def code() -> list[tuple[str, str]]:
    """GPTeacher's code instructions, asked without their answers."""
    read = datasets.read(str(DATA / "instruct" / "gpteacher_codegen.json"), None)
    return [(record.input_text, "code") for record in read if isinstance(record, Example)]


def macro_f1(true: Sequence[str], told: Sequence[str]) -> float:
    """The mean over the domains that occur of 2 · right / (told + true)."""
    wanted, given = np.array(true), np.array(told)
    return float(np.mean([
        2 * np.sum((wanted == d) & (given == d)) / max(np.sum(wanted == d) + np.sum(given == d), 1)
        for d in sorted(set(true))
    ]))  # fmt: skip


def main() -> None:
    """Print the table."""
    rows: list[tuple[object, ...]] = [("set", "n", "accuracy", "macro-F1", "most frequent", "µs each")]
    for name, labelled in (("MT-Bench", mt_bench()), ("T0 families", t0()), ("GPTeacher, questions", code())):
        asked = [
            Example(source="dataset", format="instruction", input_text=text, output_text=".",
                    created_at=0.0, updated_at=0.0)
            for text, _ in labelled
        ]  # fmt: skip
        batch = cleaned(asked, lambda _: False).to_batch()
        started = time.process_time()
        told = classified(batch)[0].tolist()
        each = (time.process_time() - started) / len(asked) * 1e6
        true = [domain for _, domain in labelled]
        right = np.mean(np.array(true) == np.array(told))
        most = max(true.count(d) for d in set(true)) / len(true)
        rows.append((name, len(true), f"{right:.3f}", f"{macro_f1(true, told):.3f}", f"{most:.3f}", f"{each:.1f}"))
    about = "keyword classes on the question alone; 'most frequent': always naming the set's most frequent domain"
    publish(
        "domains",
        f"{machine('numpy', 'pyarrow')}\n{about}\n\n{table(rows)}",
        folder=Path(__file__).parent / "results",
    )


if __name__ == "__main__":
    main()
