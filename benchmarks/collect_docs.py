"""How fast trees of documents become questions and answers.

    python benchmarks/collect_docs.py FOLDER…

Each folder is read by the source alone (nothing is judged or stored), in a process of its own: once in that process
only, once with as many processes beside it as the machine has processors. Prints megabytes of Markdown and
reStructuredText per second of wall time and of processor time, all processes together, and the examples that came out
of it. Folders of the same text many times over are made for what is too small to measure (the number stands behind
the name). The aim is 10 MB/s of Markdown on two processors.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, median, publish, table

ROUNDS = 3
ENOUGH_BYTES = 16_000_000
MOST_FILES = 8_000


def measure(folder: str, workers: int) -> dict[str, float]:
    """One reading of a folder, in this process."""
    from samloop.example import Example
    from samloop.sources.knowledge import read

    examples = 0
    started = time.perf_counter()
    for record in read(folder, None, workers=workers):
        examples += isinstance(record, Example)
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "examples": examples,
        "seconds": seconds,
        "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for usage in used),
        "peak_mb": max(usage.ru_maxrss for usage in used) / 1024,
    }


def documents(folder: Path) -> list[Path]:
    from samloop.sources.tree import SUFFIXES

    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]


def enlarged(folder: Path, into: Path) -> tuple[Path, int, int, int]:
    """A copy of the documents of `folder`, as often as is enough to measure; with its bytes, files and times."""
    found = documents(folder)
    size = sum(path.stat().st_size for path in found)
    times = max(1, min(ENOUGH_BYTES // max(size, 1), MOST_FILES // max(len(found), 1)))
    for turn in range(times):
        for path in found:
            target = into / f"copy {turn}" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return into, size * times, len(found) * times, times


def one(folder: Path, workers: int) -> dict[str, float]:
    """The figures of one reading, made in a process of its own."""
    command = [sys.executable, __file__, "--one", str(folder), str(workers)]
    figures: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
        return
    if len(sys.argv) < 2:
        sys.exit("expected folders of documents to read, got none; name some")
    processors = len(os.sched_getaffinity(0))
    rows: list[tuple[object, ...]] = [
        (
            "documents",
            "files",
            "MB",
            "examples",
            "processes",
            "s",
            "processor s",
            "MB/s",
            "MB/s of one processor",
            "peak MB",
        )
    ]
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            folder, size, files, times = enlarged(Path(name), Path(place))
            for workers in (0, processors):
                runs = [one(folder, workers) for _ in range(ROUNDS)]
                middle = {key: median([run[key] for run in runs]) for key in runs[0]}
                megabytes = size / 1e6
                rows.append(
                    (
                        f"{Path(name).name} x{times}", f"{files:,}", f"{megabytes:.1f}", f"{middle['examples']:,.0f}",
                        "1" if not workers else f"1 + {workers}",
                        f"{middle['seconds']:.2f}", f"{middle['cpu_seconds']:.2f}",
                        f"{megabytes / middle['seconds']:.1f}", f"{megabytes / middle['cpu_seconds']:.1f}",
                        f"{middle['peak_mb']:.0f}",
                    )
                )  # fmt: skip
    publish(
        "collect_docs",
        f"{machine()}; medians of {ROUNDS} runs, each in a process of its own\n"
        f"the source alone: nothing is judged or stored; load average at the end {os.getloadavg()[0]:.1f}\n\n"
        f"{table(rows)}",
    )


if __name__ == "__main__":
    main()
