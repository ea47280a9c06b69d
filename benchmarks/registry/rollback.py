"""How long a promotion and a rollback take: idle, and while another process holds the store. Goal: under 1 s.

Three adapters of 17 MiB, as rank 8 on all layers of a base of 1.5 billion parameters makes. Both take their time for
reading the weights once (a promotion for hashes and NaN, a rollback for the hashes of who comes back) and for
flushing the link to disk. Calls are within one process; commands are whole processes, Python's start included.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from common import SAMLOOP, machine, median, publish, table
from samloop.adapters.registry import Registry
from samloop.home import Home
from samloop.store import Store

CALLS, COMMANDS = 15, 3
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


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds, of this process and of those it started."""
    before, started = os.times(), time.perf_counter()
    do()
    wall, after = time.perf_counter() - started, os.times()
    return wall, sum(after[:4]) - sum(before[:4])


def run(home: Home, *arguments: str) -> None:
    """One command, a whole process."""
    subprocess.run([*SAMLOOP, "--home", str(home.path), "adapters", *arguments], check=True, stdout=-3, stderr=-3)


def until_the_link(home: Home, left: str) -> None:
    """A rollback, until the moment when the link is swapped; the rest of it is waited for as well."""
    link = home.adapters / "main" / "current"
    command = [*SAMLOOP, "--home", str(home.path), "adapters", "rollback"]
    process = subprocess.Popen(command, stdout=-3, stderr=-3)
    while link.readlink().name == left:
        time.sleep(0.001)
    swapped.append(time.perf_counter())
    process.wait()


swapped: list[float] = []


def rounds(home: Home, names: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Forth and back, in one process and as commands."""
    found: dict[str, list[tuple[float, float]]] = {}
    with Store.open(home) as store:
        registry = Registry(home, store)
        for _ in range(CALLS):
            found.setdefault("rollback, the call", []).append(timed(lambda: registry.rollback("main")))
            found.setdefault("promote, the call", []).append(timed(lambda: registry.promote("main", names[2])))
    for _ in range(COMMANDS):
        began = time.perf_counter()
        whole = timed(lambda: until_the_link(home, names[2]))
        first = "rollback, the command, until the link is swapped"
        found.setdefault(first, []).append((swapped[-1] - began, float("nan")))
        found.setdefault("rollback, the command", []).append(whole)
        found.setdefault("promote, the command", []).append(timed(lambda: run(home, "promote", names[2])))
    return found


with tempfile.TemporaryDirectory() as folder:
    home = Home(Path(folder) / "home").create()
    names = prepare(home)
    measured = {"idle": rounds(home, names)}
    holder = sqlite3.connect(home.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    measured["held"] = rounds(home, names)
    holder.execute("ROLLBACK")
    holder.close()


def shown(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


lines = [["", "store", "median s", "max s", "processor s"]]
for state, found in measured.items():
    for name, times in found.items():
        wall, processor = ([one[at] for one in times] for at in (0, 1))
        lines.append([name, state, shown(median(wall)), shown(max(wall)), shown(median(processor))])
load = os.getloadavg()[0]
publish(
    "rollback",
    f"{machine('sqlalchemy', 'numpy')}, load {load:.1f}\n3 adapters of 17 MiB; {CALLS} calls, {COMMANDS} commands; "
    "held: another connection has SQLite's write lock all the time\ngoal: under 1 s; where others load the machine, "
    f"the processor's time is what counts\n\n{table(lines)}",
    Path(__file__).parent / "results",
)
