"""How much memory `samloop curate` takes, and how long a gigabyte, at 1, 5 and 20 GB of generated input.

Memory is the sum over the program and its workers of the proportional set size (shared pages count once), sampled
twice a second; the highest sum is told. Other programs disturb the wall clock more than the processor's. The input is
generated beside the output and removed afterwards: it takes about four times its size on disk.

    python benchmarks/curation/memory.py [--sizes 1 5 20] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from generated import write_lines

from common import SAMLOOP, machine, publish, table, watched

LIMIT_GB = 1.5
DISK_FACTOR = 4
"""Input, units beside the output and the output itself take about so many times the input's size."""


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
