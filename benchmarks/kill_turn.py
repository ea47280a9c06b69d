"""kill -9 at random moments of a turn, then `samloop turn` again: the same final state as an undisturbed turn?

Each trial has a home of its own. The fingerprint holds every example with its state, the dataset's digest, the
adapter's weights, the decision and what is in service.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, SAMLOOP, machine, publish, table
from samloop.home import Home
from samloop.recipe import Recipe
from samloop.store import Filters, Store

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
RECIPE = f"""
[[collect.sources]]
kind = "docs"
location = "{ROOT / "docs"}"

[[collect.sources]]
kind = "routing"
examples = 400

[prepare]
test_share = 0.2

[train]
model = "pocket"
epochs = 1
checkpoint_steps = 5

[evaluate]
max_items = 60

[gate]
min_items = 20
"""


def fingerprint(home: Home) -> dict[str, str]:
    """What must be equal after any number of kills."""
    with Store.open(home, Recipe().store) as store:
        examples = sorted((e.id, e.state, e.used_in_training) for e in store.select(Filters()))
        runs = [(run["run_id"], run["state"], run["dataset_digest"]) for run in store.list_runs()]
        decisions = [(d["verdict"], d["challenger"], d["summary"]) for d in store.decisions(limit=10)]
    current = home.adapters / "main" / "current"
    weights = sorted(current.resolve().glob("*.safetensors")) if current.exists() else []
    return {
        "examples": digest(repr(examples).encode()),
        "runs": repr(runs),
        "decisions": repr(decisions),
        "in service": current.resolve().name if current.exists() else "nothing",
        "weights": digest(b"".join(path.read_bytes() for path in weights)),
    }


def digest(data: bytes) -> str:
    """Short SHA-256."""
    return hashlib.sha256(data).hexdigest()[:12]


def turn(home: Home, recipe: Path) -> subprocess.Popen[bytes]:
    """Start one turn."""
    command = [*SAMLOOP, "--home", str(home.path), "--config", str(recipe), "-q", "turn"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def main() -> int:
    chance = random.Random(int(os.environ.get("SEED", "7")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = folder / "recipe.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        started = time.monotonic()
        if turn(Home(folder / "calm"), recipe).wait():
            raise SystemExit("the undisturbed turn failed")
        length = time.monotonic() - started
        calm = fingerprint(Home(folder / "calm"))
        rows, broken = [["killed after s", "stage reached", "same final state"]], 0
        for trial in range(KILLS):
            home = Home(folder / f"trial{trial}")
            moment = chance.uniform(0.2, length)
            process = turn(home, recipe)
            time.sleep(moment)
            stage = reached(home)
            process.send_signal(signal.SIGKILL)
            process.wait()
            again = turn(home, recipe)
            _, errors = again.communicate()
            found = fingerprint(home) if again.returncode == 0 else {"failed": errors.decode()[-300:]}
            same = found == calm
            broken += not same
            differs = {k: (v, calm.get(k)) for k, v in found.items() if calm.get(k) != v}
            rows.append([f"{moment:.1f}", stage, "yes" if same else f"NO: {differs}"])
        head = f"{machine()}\nundisturbed turn: {length:.1f} s; {KILLS} kills, each in a home of its own"
        publish("kill_turn", f"{head}\n\n{table(rows)}\n\n{KILLS - broken} of {KILLS} as if nothing had happened")
    return 1 if broken else 0


def reached(home: Home) -> str:
    """How far the turn had come, seen from the files."""
    marks = {
        "decided": home.reports.glob("*.md"),
        "evaluating": home.evaluations.glob("*"),
        "training": home.runs.glob("*"),
        "preparing": home.datasets.glob("*"),
        "collecting": home.path.glob("samloop.db"),
    }
    return next((stage for stage, found in marks.items() if any(found)), "starting")


if __name__ == "__main__":
    sys.exit(main())
