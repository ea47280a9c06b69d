"""A turn with nothing new, after one that trained: goal under 3 s, and no run, decision or adapter more."""

import os
import resource
import sys
import tempfile
from pathlib import Path

from common import ROOT, SAMLOOP, machine, median, publish, seconds, table
from samloop.home import Home
from samloop.recipe import Recipe
from samloop.store import Store


def runs(home: Path) -> int:
    """How many runs the store knows."""
    with Store.open(Home(home), Recipe().store) as store:
        return len(list(store.list_runs()))


def processor_seconds(command: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one run; the latter say what it takes where nothing else is at work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = seconds(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


with tempfile.TemporaryDirectory() as name:
    home = Path(name) / "home"
    command = [*SAMLOOP, "--home", str(home), "--config", str(ROOT / "examples/recipes/demo.toml"), "-q", "turn"]
    first = processor_seconds(command)
    before = runs(home)
    again = [processor_seconds(command) for _ in range(5)]
    count = runs(home)

walls, processors = zip(*again, strict=True)
rows = [["turn", "wall s", "processor s", "slowest, wall s"]]
rows.append(["first, trains", f"{first[0]:.1f}", f"{first[1]:.1f}", ""])
rows.append(["again, median of 5", f"{median(walls):.2f}", f"{median(processors):.2f}", f"{max(walls):.2f}"])
load = f"load average {os.getloadavg()[0]:.1f} at the end"
publish(
    "idle_turn", f"{machine()}, {load}\n\n{table(rows)}\n\nruns in the store before and afterwards: {before}, {count}"
)
sys.exit(count != before or median(walls) > 3)
