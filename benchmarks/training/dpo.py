"""Learning from preferences beside TRL's DPOTrainer: pairs/s and peak memory.

    python benchmarks/training/dpo.py [--size 30m] [--pairs 96] [--rounds 3] [--epochs 1 3]

Same random Qwen2 base, same pairs of real answers (the rejected one belongs to another question and is about as
long), same LoRA, same pairs per optimiser step. samloop asks the base about all pairs first and that is timed with
the rest; TRL asks it in every step. Each contestant runs in a process of its own, in alternating rounds.

Peer: pip install trl==1.16.0. Its row says so where it is absent.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import material

from common import machine, median, publish, table

RESULTS = Path(__file__).parent / "results"
RANK, ALPHA, TARGETS = 8, 16.0, ("q_proj", "k_proj", "v_proj", "o_proj")
PAIRS_PER_STEP = 4
NAMES = {"samloop": "samloop, torch", "samloop-mlx": "samloop, MLX", "trl": "TRL DPOTrainer, defaults"}


def pairs_of(folder: Path) -> None:
    """Turn the examples in train.jsonl into pairs: rejected is the answer that is next in length."""
    path = folder / "train.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    order = sorted(range(len(lines)), key=lambda i: len(lines[i]["messages"][-1]["content"]))
    for at, index in enumerate(order):
        other = order[at + 1] if at + 1 < len(order) else order[at - 1]
        lines[index]["rejected"] = lines[other]["messages"][-1]["content"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def ours(backend: str, folder: Path, epochs: float, out: Path) -> float:
    """Seconds of samloop's driver, the questions to the base among them."""
    from samloop.train.driver import run
    from samloop.train.job import TrainJob

    (out / "data").mkdir()
    (out / "data" / "train.jsonl").symlink_to(folder / "train.jsonl")
    job = TrainJob(
        run_id="dpo",
        dataset=str(out / "data"),
        base=str(folder / "base"),
        base_name="random",
        backend=backend,
        method="dpo",
        rank=RANK,
        alpha=ALPHA,
        targets=TARGETS,
        batch_examples=2 * PAIRS_PER_STEP,
        accumulation_steps=1,
        max_seq_tokens=1024,
        preference_epochs=epochs,
    )
    loaded: list[float] = []
    run(job, out, lambda _: None, lambda: bool(loaded.append(time.perf_counter())) or False)
    # Asked for the first time after the first batch of questions to the base: that one is not timed.
    return time.perf_counter() - loaded[0]


def trl(folder: Path, epochs: float, out: Path) -> float:
    """Seconds of DPOTrainer; only device, reporting and saving are not its defaults."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [
        {
            "prompt": line["messages"][:-1],
            "chosen": line["messages"][-1:],
            "rejected": [{"role": "assistant", "content": line["rejected"]}],
        }
        for line in lines
    ]
    config = DPOConfig(
        output_dir=str(out),
        per_device_train_batch_size=PAIRS_PER_STEP,
        num_train_epochs=epochs,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=str(folder / "base"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), task_type="CAUSAL_LM"),
    )
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


def run_one(name: str, folder: Path, epochs: float) -> dict[str, float]:
    """In the contestant's own process."""
    with tempfile.TemporaryDirectory() as out:
        used = time.process_time()
        if name == "trl":
            seconds = trl(folder, epochs, Path(out))
        else:
            seconds = ours("mlx" if name.endswith("mlx") else "torch", folder, epochs, Path(out))
        used = time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "cpu_seconds": used, "memory": float(peak)}


def child(name: str, folder: Path, epochs: float, threads: int) -> dict[str, float] | str:
    """One contestant in a process and an environment of its own, or why it does not run."""
    needed = {"trl": "trl", "samloop-mlx": "mlx_lm"}.get(name, "torch")
    if importlib.util.find_spec(needed) is None:
        return f"not run: {needed} is not installed"
    from samloop.child import OPENBLAS, SPINS

    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", MLX_DISABLE_COMPILE="1")
    if name != "trl":
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    if name == "samloop-mlx" and Path(OPENBLAS).exists():
        environment["LD_PRELOAD"] = OPENBLAS
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--epochs", str(epochs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['killed'])[-1][:100]}"
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def build(folder: Path, size: str, pairs: int) -> None:
    """Base and pairs."""
    material.build(folder, material.SIZES[size], train=pairs, valid=1, max_tokens=512)
    pairs_of(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=tuple(material.SIZES), default="30m")
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--one", choices=tuple(NAMES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(options.one, options.folder, options.epochs[0])))
        return
    rows: list[list[object]] = [
        ["contestant", "epochs", "pairs/s", "range", "of TRL", "pairs/CPU-s", "peak MB", "of TRL"]
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "material"
        build(folder, options.size, options.pairs)
        for epochs in options.epochs:
            found: dict[str, list[Any]] = {contestant: [] for contestant in NAMES}
            for _ in range(options.rounds):
                for contestant in NAMES:
                    found[contestant].append(child(contestant, folder, epochs, options.threads))
            rows += report(found, epochs, options.pairs)
    setting = (
        f"base {options.size}; {options.pairs} pairs, {PAIRS_PER_STEP} per step; LoRA rank {RANK} on "
        f"{', '.join(TARGETS)}; {options.threads} threads, {options.rounds} alternating rounds, medians"
    )
    publish("dpo", f"{machine('torch', 'transformers', 'peft', 'trl')}\n{setting}\n\n{table(rows)}", folder=RESULTS)


def report(found: dict[str, list[Any]], epochs: float, pairs: int) -> list[list[object]]:
    """The rows of one number of epochs."""
    whole = {name: [one for one in runs if isinstance(one, dict)] for name, runs in found.items()}
    speed = {name: [pairs * epochs / one["seconds"] for one in runs] for name, runs in whole.items()}
    memory = {name: median([one["memory"] for one in runs]) for name, runs in whole.items() if runs}
    rows: list[list[object]] = []
    for name, label in NAMES.items():
        if not whole[name]:
            rows.append([label, f"{epochs:g}", found[name][0], *[""] * 5])
            continue
        peer = bool(whole["trl"])
        rows.append(
            [
                label,
                f"{epochs:g}",
                f"{median(speed[name]):.2f}",
                f"{min(speed[name]):.2f}-{max(speed[name]):.2f}",
                f"{median(speed[name]) / median(speed['trl']):.2f}×" if peer else "",
                f"{pairs * epochs / median([one['cpu_seconds'] for one in whole[name]]):.2f}",
                f"{memory[name] / 1e6:,.0f}",
                f"{memory[name] / memory['trl']:.2f}×" if peer else "",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
