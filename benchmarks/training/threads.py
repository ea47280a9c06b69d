"""How long idle OpenMP threads should spin: trained tokens/s of samloop, alone and beside a busy program.

    python benchmarks/training/threads.py [--size 68m] [--examples 48] [--rounds 3]

The rows are what `samloop.child` sets (GOMP_SPINCOUNT), OpenMP's own default, and OMP_WAIT_POLICY=PASSIVE.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import material
from sft import RESULTS

from common import alternate, machine, median, publish, table
from samloop.child import SPINS

SETTINGS = {
    f"GOMP_SPINCOUNT={SPINS}, as samloop sets it": {"GOMP_SPINCOUNT": SPINS},
    "OpenMP's own default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = "while True: pass"


def seconds(folder: Path, setting: dict[str, str], *, beside: int) -> float:
    """Seconds of one epoch, with so many busy programs beside it."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | setting
    command = [sys.executable, str(Path(__file__).parent / "sft.py"), "--one", "samloop", "--folder", str(folder)]
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(beside)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=(*material.SIZES, "pocket"), default="68m")
    parser.add_argument("--examples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the busy program")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "material"
        source = material.build(
            folder, material.SIZES.get(options.size), train=options.examples, valid=8, max_tokens=512
        )
        (folder / "source.txt").write_text(source)
        tokens = json.loads(_count(folder))
        rows: list[list[object]] = [["setting", *("alone", "beside a busy program")[: 1 if options.alone else 2]]]
        columns = []
        for beside in (0,) if options.alone else (0, 1):
            runs = {
                name: lambda setting=setting, n=beside: tokens / seconds(folder, setting, beside=n)
                for name, setting in SETTINGS.items()
            }
            columns.append(alternate(runs, options.rounds))
        rows += [[name, *(f"{median(column[name]):,.0f}" for column in columns)] for name in SETTINGS]
    head = (
        f"{machine('torch')}\nbase {options.size}, {tokens:,} tokens, trained tokens/s, medians of {options.rounds}"
    )
    publish(f"threads_{options.size}", f"{head}\n\n{table(rows)}", RESULTS)


def _count(folder: Path) -> str:
    from contestants import encoded

    return str(int(encoded(folder, 512).lengths.sum()))


if __name__ == "__main__":
    main()
