"""What every benchmark prints beside its figures: machine, versions, medians of alternating runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMLOOP = [sys.executable, "-m", "samloop.cli.main"]


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


def median(values: Sequence[float]) -> float:
    """The median; kept here so that scripts read alike."""
    return statistics.median(values)


def publish(name: str, text: str, folder: Path | None = None) -> None:
    """Print `text` and keep it in NAME.txt in `folder`, benchmarks/results by default."""
    print(text)
    folder = folder or ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
