"""Supervised fine-tuning beside its peers: trained tokens/s, share of the machine's peak, memory, loss.

    python benchmarks/training/sft.py [--size 68m] [--examples 128] [--seeds 3] [--keep FOLDER] [--only NAME …]

Every contestant runs in a process of its own, with the environment that its users have: samloop's worker sets
GOMP_SPINCOUNT; MLX gets OpenBLAS preloaded. Rounds alternate: each seed runs all contestants once. What a process
found is kept in FOLDER, so that the benchmark can be run piece by piece; the table holds all that is there.

Trained tokens are those of the examples, padding apart. The share of the peak counts the products that LoRA needs
(forward, and backward to the activations; the head on answers alone), and no recomputation, over the matrix products
that the same process does in the same precision before and after. The loss is that of held-out answers after one
epoch, by one judge for all; with --size pocket the base is a trained one, so that it says most.

Peers: pip install trl==1.16.0 mlx-lm==0.32.2. Their rows say so where they are absent.
"""

from __future__ import annotations

import argparse
import ctypes.util
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import material
import numpy as np
from contestants import ALPHA, BATCH, CONTESTANTS, LEARNING_RATE, RANK, TARGETS, encoded, judged, peak

from common import machine, median, publish, table

RESULTS = Path(__file__).parent / "results"
NEEDS = {"trl": "trl", "trl-packed": "trl", "mlx-lm": "mlx_lm", "samloop-mlx": "mlx_lm", "unsloth": "unsloth"}
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""Half a 95 % interval of a mean in standard errors, by how many it is the mean of."""
ON_CPU = ("samloop", "samloop-buckets", "trl", "trl-packed", "samloop-mlx", "mlx-lm")
ON_GPU = ("samloop", "trl", "trl-packed", "unsloth")


def run_one(name: str, folder: Path, seed: int, max_tokens: int) -> dict[str, Any]:
    """In the contestant's own process: train, and what was measured."""
    _, train, library = CONTESTANTS[name]
    half = _half() and library == "torch" and "pocket" not in (folder / "source.txt").read_text()
    before = peak(library, half)
    with tempfile.TemporaryDirectory() as out:
        seconds, used = train(folder, Path(out), seed, max_tokens)
        memory = peak_memory()
        highest = max(before, peak(library, half))
        loss = judged(folder, Path(out) / "adapter", max_tokens)
    return {"seconds": seconds, "cpu_seconds": used, "memory": memory, "peak": highest, "loss": loss}


def _half() -> bool:
    import torch

    return torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())


def peak_memory() -> float:
    """Bytes: of the GPU where there is one, else resident."""
    if importlib.util.find_spec("torch") and "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def work(folder: Path, max_tokens: int) -> tuple[int, float]:
    """Tokens of an epoch, and the floating-point operations that LoRA needs for them."""
    config = json.loads((folder / "base" / "config.json").read_text())
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    width = hidden // config["num_attention_heads"]
    attention = 2 * hidden * hidden + 2 * hidden * width * config["num_key_value_heads"]
    matrices = layers * (attention + 3 * hidden * config["intermediate_size"])
    examples = encoded(folder, max_tokens)
    lengths, predictions = examples.lengths - 1, int((examples.weights > 0).sum())
    # Forward and backward two operations per weight and token each; causal attention half of 4 · length² · hidden
    # forward, twice that backward.
    products = 4.0 * matrices * float(lengths.sum()) + 4.0 * hidden * config["vocab_size"] * predictions
    return int(examples.lengths.sum()), products + 6.0 * hidden * layers * float(
        (lengths.astype(np.float64) ** 2).sum()
    )


def child(name: str, folder: Path, seed: int, options: argparse.Namespace) -> dict[str, Any] | str:
    """One contestant in a process and an environment of its own, or why it does not run."""
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        return f"not run: {NEEDS[name]} is not installed"
    environment = surroundings(name, CONTESTANTS[name][2], options.threads)
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--seed", str(seed)]
    return answer([*command, "--max-tokens", str(options.max_tokens)], environment)


def surroundings(name: str, library: str, threads: int) -> dict[str, str]:
    """The environment of a contestant."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", MLX_DISABLE_COMPILE="1")
    environment["OPENBLAS_NUM_THREADS"] = str(threads)
    if name.startswith("samloop"):
        from samloop.child import SPINS

        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    if library == "mlx" and (openblas := ctypes.util.find_library("openblas")):
        environment["LD_PRELOAD"] = openblas
    return environment


def answer(command: list[str], environment: dict[str, str]) -> dict[str, Any] | str:
    """What a process says in its last line, or its last words."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['killed'])[-1][:100]}"
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def row(name: str, runs: list[dict[str, Any]], tokens: int, operations: float, base: float | None) -> list[object]:
    """One line of the table."""
    rates = [tokens / run["seconds"] for run in runs]
    shares = [operations / run["seconds"] / run["peak"] for run in runs]
    losses = np.array([run["loss"] for run in runs])
    about = STUDENT.get(len(losses), 2.0) * losses.std(ddof=1) / len(losses) ** 0.5 if len(losses) > 1 else 0.0
    return [
        CONTESTANTS[name][0],
        f"{median(rates):,.0f}",
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{median(rates) / base:.2f}×" if base else "",
        f"{tokens / median([run['cpu_seconds'] for run in runs]):,.0f}",
        f"{median(shares):.0%}",
        f"{median([run['memory'] for run in runs]) / 1e6:,.0f}",
        f"{losses.mean():.4f} ± {about:.4f}" if len(losses) > 1 else f"{losses.mean():.4f}",
    ]


def report(options: argparse.Namespace, folder: Path, found: dict[str, dict[str, Any]]) -> str:
    """The table of all that is there."""
    tokens, operations = work(folder, options.max_tokens)
    lengths = encoded(folder, options.max_tokens).lengths
    whole = {name: [run for run in runs.values() if isinstance(run, dict)] for name, runs in found.items()}
    base = median([tokens / run["seconds"] for run in whole["trl"]]) if whole.get("trl") else None
    head = ["contestant", "tokens/s", "range", "of TRL", "tokens/CPU-s", "of peak", "peak MB", "held-out nats"]
    rows: list[list[object]] = [head]
    for name, runs in found.items():
        if whole[name]:
            rows.append(row(name, whole[name], tokens, operations, base))
        else:
            rows.append([CONTESTANTS[name][0], next(iter(runs.values())), *[""] * 6])
    source = (folder / "source.txt").read_text()
    setting = (
        f"base {options.size}; {len(lengths)} examples of {source}: {tokens:,} tokens, lengths "
        f"{', '.join(f'{p:.0f}' for p in np.percentile(lengths, [5, 50, 95, 100]))} (5 %, half, 95 %, longest)\n"
        f"LoRA rank {RANK}, alpha {ALPHA:g} on {', '.join(TARGETS)}; {BATCH} examples per step, peak rate "
        f"{LEARNING_RATE:g}; {options.threads} threads; medians over up to {options.seeds} seeds, ± 95 %"
    )
    packages = [p for p in ("torch", "transformers", "peft", "trl", "mlx-lm", "unsloth") if installed(p)]
    return f"{machine(*packages)}\n{setting}\n\n{table(rows)}"


def installed(package: str) -> bool:
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=(*material.SIZES, "pocket"), default="68m")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--joined", action="store_true", help="conversations of as many exchanges as fit")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", choices=tuple(CONTESTANTS), help="others keep what is there of them")
    parser.add_argument("--keep", type=Path, help="folder for base, data and what each process found")
    parser.add_argument("--name", help="of the file under results/")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(run_one(options.one, options.folder, options.seed, options.max_tokens)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)) / f"{options.size}-{options.examples}-{options.max_tokens}"
        if not (folder / "source.txt").is_file():
            counts = {"train": options.examples, "valid": 64, "max_tokens": options.max_tokens}
            source = material.build(folder, material.SIZES.get(options.size), joined=options.joined, **counts)
            (folder / "source.txt").write_text(f"{source}{' (pocket)' if options.size == 'pocket' else ''}")
        names = ON_GPU if _cuda() else ON_CPU
        path = folder / "found.json"
        found = json.loads(path.read_text()) if path.is_file() else {name: {} for name in names}
        for seed in range(options.seeds):
            for name in options.only if options.only is not None else names:
                if isinstance(found.setdefault(name, {}).get(str(seed)), dict):
                    continue
                found[name][str(seed)] = child(name, folder, seed, options)
                path.write_text(json.dumps(found))
        text = report(options, folder, {name: runs for name, runs in found.items() if runs})
    publish(options.name or f"sft_{options.size}", text, RESULTS)


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    main()
