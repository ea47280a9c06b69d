"""Preference training beside TRL's DPOTrainer: pairs/s, peak memory, margin.

    python benchmarks/training/dpo.py [--size 68m] [--pairs 48] [--seeds 3] [--keep FOLDER] [--only NAME …]

One epoch over pairs of a real question, its answer, and the answer to another question; same base, LoRA, beta, peak
rate and pairs per step, the rest as each does when nothing is said. What the base thinks of the pairs is worked out
within the time on both sides. See `sft` for the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import material
from contestants import ALPHA, BATCH, RANK, TARGETS, Spent, now, since
from sft import RESULTS, answer, installed, peak_memory, surroundings

from common import machine, median, publish, table

BETA, RATE = 0.1, 5e-5
NAMES = {"samloop": "samloop, torch", "trl": "TRL DPOTrainer, defaults"}


def samloop(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What samloop takes, its look at the base included."""
    from samloop.train import driver
    from samloop.train.job import TrainJob

    started: list[Spent] = []
    ask = driver.Reference.of

    def timed(*arguments: Any) -> Any:
        started.append(now())
        return ask(*arguments)

    driver.Reference.of = timed  # type: ignore[method-assign, assignment]
    job = TrainJob(
        run_id="benchmark",
        dataset=str(folder),
        base=str(folder / "base"),
        base_name="random",
        backend="torch",
        method="dpo",
        rank=RANK,
        alpha=ALPHA,
        targets=TARGETS,
        batch_examples=2 * BATCH,
        accumulation_steps=1,
        max_seq_tokens=max_tokens,
        beta=BETA,
        preference_epochs=1.0,
        preference_learning_rate=RATE,
        seed=seed,
    )
    driver.run(job, out, lambda _: None, lambda: False)
    return since(started[0])


def trl(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What TRL's DPOTrainer takes, with the base as the reference, adapters off."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    rows = [
        {"prompt": one["messages"][:-1], "chosen": one["messages"][-1:], "rejected": [_assistant(one["rejected"])]}
        for one in lines
    ]
    config = DPOConfig(
        output_dir=str(out),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        max_length=max_tokens,
        beta=BETA,
        learning_rate=RATE,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=seed,
    )
    trainer = DPOTrainer(
        model=str(folder / "base"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), task_type="CAUSAL_LM"),
    )
    started = now()
    trainer.train()
    return since(started)


def _assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def build(folder: Path, options: argparse.Namespace) -> None:
    """The base, and pairs in place of examples."""
    room = options.max_tokens // 2  # a question and the answer to another one fit as well
    source = material.build(folder, options.size, train=options.pairs, valid=8, max_tokens=room)
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    others = [*lines[1:], lines[0]]
    for line, other in zip(lines, others, strict=True):
        line["rejected"] = other["messages"][-1]["content"]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "valid.jsonl").unlink()
    (folder / "source.txt").write_text(source)


def report(options: argparse.Namespace, found: dict[str, dict[str, Any]], source: str) -> str:
    """The table of all that is there."""
    whole = {name: [run for run in runs.values() if isinstance(run, dict)] for name, runs in found.items()}
    base = median([run["seconds"] for run in whole["trl"]]) if whole.get("trl") else None
    rows: list[list[object]] = [["contestant", "pairs/s", "of TRL", "pairs/CPU-s", "peak MB"]]
    for name, runs in whole.items():
        if not runs:
            rows.append([NAMES[name], next(iter(found[name].values()), "not run"), "", "", ""])
            continue
        seconds, used = (median([run[key] for run in runs]) for key in ("seconds", "cpu_seconds"))
        ratio = f"{base / seconds:.2f}×" if base else ""
        megabytes = f"{median([run['memory'] for run in runs]) / 1e6:,.0f}"
        rows.append([NAMES[name], f"{options.pairs / seconds:.2f}", ratio, f"{options.pairs / used:.2f}", megabytes])
    setting = (
        f"base {options.size}; {options.pairs} pairs of {source}, at most {options.max_tokens} tokens a side; LoRA "
        f"rank {RANK}, {BATCH} pairs per step, beta {BETA}; {options.threads} threads; medians over up to "
        f"{options.seeds} seeds"
    )
    packages = [p for p in ("torch", "transformers", "peft", "trl") if installed(p)]
    return f"{machine(*packages)}\n{setting}\n\n{table(rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=tuple(material.SIZES), default="68m")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", choices=tuple(NAMES))
    parser.add_argument("--keep", type=Path, help="folder for base, data and what each process found")
    parser.add_argument("--one", choices=tuple(NAMES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        train = {"samloop": samloop, "trl": trl}[options.one]
        with tempfile.TemporaryDirectory() as out:
            seconds, used = train(options.folder, Path(out), options.seed, options.max_tokens)
        print(json.dumps({"seconds": seconds, "cpu_seconds": used, "memory": peak_memory()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)) / f"dpo-{options.size}-{options.pairs}-{options.max_tokens}"
        if not (folder / "source.txt").is_file():
            build(folder, options)
        path = folder / "found.json"
        found = json.loads(path.read_text()) if path.is_file() else {name: {} for name in NAMES}
        for seed in range(options.seeds):
            for name in options.only if options.only is not None else NAMES:
                if isinstance(found[name].get(str(seed)), dict):
                    continue
                command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--seed", str(seed)]
                command += ["--max-tokens", str(options.max_tokens)]
                found[name][str(seed)] = answer(command, surroundings(name, "torch", options.threads))
                path.write_text(json.dumps(found))
        text = report(options, found, (folder / "source.txt").read_text())
    publish(f"dpo_{options.size}", text, RESULTS)


if __name__ == "__main__":
    main()
