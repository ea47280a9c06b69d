"""Memory of a training run as `samloop train --dry-run` estimates it, beside the peak that is then measured.

Each run is a worker of its own, as samloop starts it, on a dataset whose every example has (nearly) as many tokens as
the bound allows; measured is the peak of its resident memory. Bases: the pocket one, and a random Qwen2 of 33 million
weights with a vocabulary of 16,384.

    python benchmarks/training/memory_estimate.py [--only torch]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import machine, publish, table
from samloop import pocket
from samloop.child import run_job
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer
from samloop.train.estimate import estimate
from samloop.train.job import TrainJob

MLP = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

ROWS: list[tuple[str, str, int, int, dict[str, Any]]] = [
    ("pocket", "torch", 1, 128, {}),
    ("pocket", "torch", 8, 128, {}),
    ("pocket", "torch", 4, 512, {"targets": MLP, "rank": 16}),
    ("pocket", "torch", 4, 512, {"dropout": 0.1}),
    ("33 M", "torch", 1, 128, {}),
    ("33 M", "torch", 4, 256, {}),
    ("33 M", "torch", 4, 256, {"layers": 2}),
    ("33 M", "torch", 4, 256, {"targets": MLP, "rank": 16}),
    ("33 M", "torch", 4, 256, {"dropout": 0.1}),
    ("33 M", "torch", 1, 2048, {}),
    ("33 M", "torch", 1, 2048, {"gradient_checkpointing": True}),
    ("33 M", "torch", 4, 256, {"quantise": "nf4"}),
    ("pocket", "mlx", 1, 128, {}),
    ("pocket", "mlx", 4, 128, {}),
    ("33 M", "mlx", 2, 128, {}),
    ("33 M", "mlx", 2, 128, {"layers": 2}),
    ("33 M", "mlx", 1, 512, {}),
    ("33 M", "mlx", 1, 512, {"gradient_checkpointing": True}),
    ("33 M", "mlx", 2, 128, {"quantise": "affine4"}),
]


def build(folder: Path) -> Path:
    """A random base of 33 million weights with the pocket base's tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=16_384,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((pocket.path() / name).read_bytes())
    return folder


def dataset(folder: Path, base: Path, tokens: int, examples: int) -> Path:
    """Conversations of nearly `tokens` tokens each."""
    folder.mkdir()
    tokenizer = Tokenizer.load(base)

    def conversation(words: int) -> list[dict[str, str]]:
        answer = " ".join(f"and {i % 7}" for i in range(words))
        return [{"role": "user", "content": "Count."}, {"role": "assistant", "content": answer}]

    words = 1
    while len(encode_chat(tokenizer, conversation(words + 1)).ids) <= tokens:
        words += 1
    line = json.dumps({"messages": conversation(words)}) + "\n"
    (folder / "train.jsonl").write_text(line * examples)
    (folder / "valid.jsonl").write_text(line * 2)
    return folder


def measure(base: Path, backend: str, batch: int, tokens: int, changes: dict[str, Any]) -> tuple[Any, int]:
    """The estimate, and the peak of a worker that takes three steps."""
    with tempfile.TemporaryDirectory() as name:
        job = TrainJob(
            run_id="run",
            dataset=str(dataset(Path(name) / "data", base, tokens, 6 * batch)),
            base=str(base),
            base_name="base",
            backend=backend,
            batch_examples=batch,
            accumulation_steps=2,
            max_seq_tokens=tokens,
            max_steps=3,
            **changes,
        )
        expected = estimate(json.loads((base / "config.json").read_bytes()), job)
        result = run_job(Path(name) / "run", {**job.to_dict(), "kind": "train"}, lambda _line: None)
        return expected, int(result["peak_memory_bytes"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["torch", "mlx"], help="one backend")
    only = parser.parse_args().only
    fields = {field.name for field in dataclasses.fields(TrainJob)}
    lines: list[list[object]] = [["base", "backend", "batch × tokens", "", "estimated MiB", "measured", "off by"]]
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        bases = {"pocket": pocket.path(), "33 M": build(Path(name) / "base")}
        for base, backend, batch, tokens, changes in ROWS:
            if (only and backend != only) or not changes.keys() <= fields:
                continue
            expected, measured = measure(bases[base], backend, batch, tokens, changes)
            off = expected.peak / measured - 1
            worst = max(worst, abs(off))
            told = ", ".join(f"{k} {len(v) if isinstance(v, tuple) else v}" for k, v in changes.items())
            shown = [f"{expected.peak / 2**20:,.0f}", f"{measured / 2**20:,.0f}", f"{off:+.1%}"]
            lines.append([base, backend, f"{batch} × {tokens}", told, *shown])
            print(*lines[-1], file=sys.stderr, flush=True)
    packages = ["torch", "mlx"] if only is None else [only]
    text = f"{machine(*packages)}\n\n{table(lines)}\n\nfurthest off: {worst:.1%} (goal: 15 %)"
    publish("memory_estimate", text, folder=Path(__file__).parent / "results")


if __name__ == "__main__":
    main()
