"""A turn with nothing new, after one that trained: goal under 3 s, and no run, decision or adapter more."""

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


with tempfile.TemporaryDirectory() as name:
    home = Path(name) / "home"
    command = [*SAMLOOP, "--home", str(home), "--config", str(ROOT / "examples/recipes/demo.toml"), "-q", "turn"]
    first = seconds(command)
    again = [seconds(command) for _ in range(5)]
    count = runs(home)

rows = [["turn", "s"], ["first, trains", f"{first:.1f}"], ["again, median of 5", f"{median(again):.2f}"]]
publish("idle_turn", f"{machine()}\n\n{table(rows)}\n\nruns in the store afterwards: {count}")
sys.exit(count != 1 or median(again) > 3)
