"""How long a promotion and a rollback take: idle, and while another process holds the store. Goal: under 1 s.

Three adapters of 17 MiB, as rank 8 on all layers of a base of 1.5 billion parameters makes. Both take their time for
reading the weights once (a promotion for hashes and NaN, a rollback for the hashes of who comes back) and for
flushing the link to disk. Calls are within one process; commands are whole processes, Python's start included.
"""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from common import SAMLOOP, machine, median, publish, seconds, table
from samloop.adapters.registry import Registry
from samloop.adapters.service import Service
from samloop.home import Home
from samloop.store import Store

ROUNDS = 7
NUMBERS = 17 * 2**20 // 4


def prepare(home: Home) -> list[str]:
    """Three adapters, each promoted after the other."""
    names = []
    with Store.open(home) as store:
        registry = Registry(home, store)
        for number in range(3):
            run = f"run-{number}"
            store.add_run(run, dataset_digest="d", backend="torch", base="pocket", revision=1)
            folder = home.runs / run / "adapter"
            folder.mkdir(parents=True)
            data = np.random.default_rng(number).standard_normal(NUMBERS).astype("<f4").tobytes()
            header = json.dumps({"a": {"dtype": "F32", "shape": [NUMBERS], "data_offsets": [0, len(data)]}}).encode()
            header += b" " * (-len(header) % 8)
            weights = len(header).to_bytes(8, "little") + header + data
            (folder / "adapter_model.safetensors").write_bytes(weights)
            (folder / "adapter_config.json").write_text("{}")
            names.append(registry.register(run, "main"))
            registry.promote("main", names[-1])
    return names


def timed(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def rounds(home: Home, names: list[str]) -> dict[str, list[float]]:
    """Forth and back, in one process and as commands."""
    command = [*SAMLOOP, "--home", str(home.path), "adapters"]
    found: dict[str, list[float]] = {}
    with Store.open(home) as store:
        registry = Registry(home, store)
        for _ in range(ROUNDS):
            found.setdefault("rollback, the call", []).append(timed(lambda: registry.rollback("main")))
            found.setdefault("promote, the call", []).append(timed(lambda: registry.promote("main", names[2])))
    for _ in range(ROUNDS):
        found.setdefault("rollback, the command", []).append(seconds([*command, "rollback"]))
        found.setdefault("promote, the command", []).append(seconds([*command, "promote", names[2]]))
    return found


def until_the_link(home: Home, names: list[str]) -> list[float]:
    """From the start of the command to the moment when the link is swapped."""
    import subprocess

    found, link = [], home.adapters / "main" / "current"
    for _ in range(ROUNDS):
        started = time.perf_counter()
        process = subprocess.Popen([*SAMLOOP, "--home", str(home.path), "adapters", "rollback"], stdout=-3, stderr=-3)
        while link.readlink().name == names[2]:
            time.sleep(0.001)
        found.append(time.perf_counter() - started)
        process.wait()
        with Service(home).locked("main"):
            Service(home).serve("main", names[2], "again")
    return found


with tempfile.TemporaryDirectory() as folder:
    home = Home(Path(folder) / "home").create()
    names = prepare(home)
    measured = {"idle": rounds(home, names)}
    measured["idle"]["rollback, the command, until the link is swapped"] = until_the_link(home, names)
    holder = sqlite3.connect(home.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    measured["store held"] = rounds(home, names)
    measured["store held"]["rollback, the command, until the link is swapped"] = until_the_link(home, names)
    holder.execute("ROLLBACK")
    holder.close()

lines = [["", "the store is", "median s", "max s"]]
lines += [
    [name, state, f"{median(v):.3f}", f"{max(v):.3f}"]
    for state, found in measured.items()
    for name, v in found.items()
]
publish(
    "rollback",
    f"{machine('sqlalchemy', 'numpy')}\n3 adapters of 17 MiB, {ROUNDS} rounds; held: another connection has SQLite's "
    f"write lock all the time\ngoal: under 1 s\n\n{table(lines)}",
    Path(__file__).parent / "results",
)
