"""How many files a second an inventory takes, the first time and again, and whether memory grows with a file.

    python benchmarks/inventory.py [--files 20000] [PATH …]

Makes a drive: of twenty files one holds training data (a hundred records as JSON Lines, an array, CSV or gzip), four
are JSON, databases or archives of other things, which have to be opened to know, and fifteen need no look. Then one
large file of lines and one large array. Each run is a process of its own, with a new home for the first look. Further
PATHs are walked as well. The baseline is `find` with the size and time of every file, which opens none. The aim is
1,000 files/s.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from common import machine, median, publish, table

ROUNDS = 3
LARGE_BYTES = 200_000_000


def records(seed: int, count: int = 100) -> list[dict[str, str]]:
    """Records of about 240 bytes."""
    texts = [f"{seed}-{n}" for n in range(count)]
    return [
        {"instruction": f"What does part {t} do?", "output": f"Part {t} {'turns the wheel. ' * 11}"} for t in texts
    ]


def data_file(folder: Path, number: int) -> None:
    """Training data in one of four containers."""
    found, kind = records(number), number % 4
    lines = "".join(json.dumps(record) + "\n" for record in found)
    if kind == 0:
        (folder / f"{number}.jsonl").write_text(lines)
    elif kind == 1:
        (folder / f"{number}.json").write_text(json.dumps(found))
    elif kind == 2:
        rows = "".join(f"{one['instruction']},{one['output']}\n" for one in found)
        (folder / f"{number}.csv").write_text("instruction,output\n" + rows)
    else:
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 1))


def make_drive(folder: Path, files: int) -> None:
    """Folders of a hundred files each."""
    with closing(sqlite3.connect(folder / "first.db")) as database, database:
        database.execute("CREATE TABLE contacts (name)")
    contacts = (folder / "first.db").read_bytes()
    for number in range(files):
        below = folder / f"{number // 100}"
        below.mkdir(exist_ok=True)
        part = number % 20
        if part == 0:
            data_file(below, number)
        elif part in (1, 2):
            settings = {f"key{n}": {"value": n, "name": "lamp"} for n in range(60)}
            (below / f"{number}.json").write_text(json.dumps(settings, indent=2))
        elif part == 3:
            (below / f"{number}.txt.gz").write_bytes(gzip.compress(b"A manual page. " * 400, 1))
        elif part == 4:
            (below / f"{number}.db").write_bytes(contacts)
        else:
            (below / f"{number}.{('py', 'png', 'txt')[part % 3]}").write_bytes(b"x" * 2000)


def make_large(folder: Path) -> None:
    """One file of lines, one array."""
    portion = [json.dumps(record) for record in records(0, 10_000)]
    times = LARGE_BYTES // sum(map(len, portion))
    with (folder / "lines.jsonl").open("w") as lines, (folder / "array.json").open("w") as array:
        for time_ in range(times):
            lines.write("\n".join(portion) + "\n")
            array.write(("," if time_ else "[") + ",".join(portion))
        array.write("]")


def measure(home: str, place: str) -> dict[str, float]:
    """One inventory, in this process."""
    from samloop.home import Home
    from samloop.loop.context import open_context
    from samloop.loop.inventory import inventory

    with open_context(Home(Path(home))) as context:
        started, used = time.perf_counter(), time.process_time()
        totals = inventory(context, [Path(place)])["totals"]
        return {
            "files": totals["files"],
            "with data": totals["with_data"],
            "bytes": totals["bytes"],
            "seconds": time.perf_counter() - started,
            "processor": time.process_time() - used,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def one(home: Path, place: Path) -> dict[str, float]:
    """The figures of one inventory, made in a process of its own."""
    command = [sys.executable, __file__, "--one", str(home), str(place)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def find_seconds(place: Path) -> float:
    """The baseline: every file's size and time."""
    started = time.perf_counter()
    subprocess.run(["find", place, "-type", "f", "-printf", "%s %T@\\n"], check=False, capture_output=True)
    return time.perf_counter() - started


def rows_of(label: str, place: Path, folder: Path) -> list[tuple[object, ...]]:
    """First and second look, and find, in turn."""
    first, again, find = [], [], []
    for turn in range(ROUNDS):
        home = folder / f"home-{label}-{turn}".replace("/", "_")
        first.append(one(home, place))
        again.append(one(home, place))
        find.append(find_seconds(place))
        shutil.rmtree(home)
    rows: list[tuple[object, ...]] = []
    for name, runs in (("first look", first), ("again", again)):
        middle = {key: median([run[key] for run in runs]) for key in runs[0]}
        rows.append(
            (
                f"{label}, {name}",
                f"{middle['files']:,.0f}",
                f"{middle['with data']:,.0f}",
                f"{middle['bytes'] / 1e6:,.0f}",
                f"{middle['seconds']:.2f}",
                f"{middle['processor']:.2f}",
                f"{middle['files'] / middle['seconds']:,.0f}",
                f"{middle['bytes'] / 1e6 / middle['seconds']:,.0f}",
                f"{middle['peak_mb']:.0f}",
            )
        )
    seconds = median(find)
    rows.append(
        (f"{label}, find", rows[0][1], "", "", f"{seconds:.2f}", "", f"{first[0]['files'] / seconds:,.0f}", "", "")
    )
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:4])))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("places", nargs="*", type=Path)
    given = parser.parse_args()
    head = ("drive", "files", "with data", "MB of it", "s", "processor s", "files/s", "MB/s", "peak MB")
    rows: list[tuple[object, ...]] = [head]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for made in ("drive", "large"):
            (folder / made).mkdir()
        make_drive(folder / "drive", given.files)
        make_large(folder / "large")
        rows += rows_of("made", folder / "drive", folder)
        rows += rows_of("two large files", folder / "large", folder)
        for place in given.places:
            rows += rows_of(str(place), place, folder)
    text = (
        f"{machine()}\nmedians of {ROUNDS} runs, each in a process of its own, what it reads in the system's cache\n"
        f"load average at the end {os.getloadavg()[0]:.1f}\n\n{table(rows)}"
    )
    publish("inventory", text)


if __name__ == "__main__":
    main()
