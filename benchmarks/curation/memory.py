"""How much memory `samloop curate` takes, and how long a gigabyte, at 1, 5 and 20 GB of generated input.

Memory is the sum over the program and its workers of the proportional set size (shared pages count once), sampled
twice a second; the highest sum is told. Other programs disturb the wall clock more than the processor's. The input is
generated beside the output and removed afterwards: it takes about four times its size on disk.

    python benchmarks/curation/memory.py [--sizes 1 5 20] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from generated import write_lines

from common import SAMLOOP, machine, publish, table

LIMIT_GB = 1.5
DISK_FACTOR = 4
"""Input, units beside the output and the output itself take about so many times the input's size."""
SAMPLE_SECONDS = 0.5


def watched(command: list[str]) -> tuple[str, int, float, float]:
    """Standard output of `command`, the peak of its memory and its children's in bytes, its seconds, and those of the
    processor."""
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 5, 20], help="gigabytes")
    parser.add_argument("--folder", type=Path, default=None, help="where input and output are made")
    options = parser.parse_args()
    rows: list[list[object]] = [
        ["input, GB", "examples", "peak memory, GB", "seconds", "seconds per GB", "processor s per GB"]
    ]
    for size in options.sizes:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        free = shutil.disk_usage(folder).free / 1e9
        if free < DISK_FACTOR * size:
            missing = f"not run: needs {DISK_FACTOR * size:.0f} GB of disk, {free:.0f} GB are free"
            rows.append([size, missing, *"    "])
            folder.rmdir()
            continue
        try:
            write_lines(folder / "in.jsonl", size * 1000)
            command = [*SAMLOOP, "--home", str(folder / "home"), "--json", "curate", str(folder / "in.jsonl")]
            output, peak, seconds, processor = watched([*command, "--out", str(folder / "out")])
            totals = json.loads(output)["data"]["totals"]
            assert totals["read"] == sum(totals[n] for n in ("added", "duplicate", "rejected", "review"))
            told = (f"{peak / 1e9:.2f}", f"{seconds:.0f}", f"{seconds / size:.0f}", f"{processor / size:.0f}")
            rows.append([size, f"{totals['read']:,}", *told])
            print(rows[-1], file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(folder)
    publish(
        "memory",
        f"{machine('pyarrow', 'orjson')}\n\n{table(rows)}\n\nreach: at most {LIMIT_GB} GB; seconds per GB flat",
        folder=Path(__file__).parent / "results",
    )


if __name__ == "__main__":
    main()
