"""What every benchmark prints beside its figures: machine, versions, medians of alternating runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SAMLOOP = [sys.executable, "-m", "samloop.cli.main"]
SAMPLE_SECONDS = 0.5


def machine(*packages: str) -> str:
    """One line: cores, processor, Python and the versions of `packages`."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    return f"{cores} cores, {platform.machine()} {platform.system()}, Python {python}" + (
        f", {versions}" if versions else ""
    )


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as aligned text; the first is the head."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) if not at else c.rjust(w) for at, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    )


def alternate(candidates: dict[str, Callable[[], float]], rounds: int = 5) -> dict[str, list[float]]:
    """Run the candidates in turn, A B A B …; what each returned, per round."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            found[name].append(run())
    return found


def seconds(command: Sequence[str], **options: object) -> float:
    """Wall-clock seconds of one run of `command`, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    return time.perf_counter() - started


def watched(command: list[str]) -> tuple[str, int, float, float]:
    """Standard output of `command`, the peak of its memory and its children's in bytes, its seconds, and those of the
    processor. Memory is the sum of the proportional set sizes (shared pages count once), sampled twice a second."""
    started, used, peak = time.perf_counter(), _processor(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    whole = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for one in [whole, *_children(whole)]:
            try:
                total += one.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        peak = max(peak, total)
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"samloop failed with {process.returncode}")
    output = process.stdout.read() if process.stdout else ""
    return output, peak, time.perf_counter() - started, _processor() - used


def _processor() -> float:
    """Seconds of the processor that all processes took which this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def median(values: Sequence[float]) -> float:
    """The median; kept here so that scripts read alike."""
    return statistics.median(values)


def publish(name: str, text: str, folder: Path | None = None) -> None:
    """Print `text` and keep it in NAME.txt in `folder`, benchmarks/results by default."""
    print(text)
    folder = folder or ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
