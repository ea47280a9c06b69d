"""How fast the store takes in batches of examples, beside the bare sqlite3 module with the same table and settings.

    python benchmarks/store_ingest.py [EXAMPLES] [--folder DIR]

Texts of 1,200 characters, batches of 1,024 with a watermark each and a log row for every tenth example. The peer is a
plain executemany of INSERT OR IGNORE into the same table with the same indexes, without knowing what was new. The
rate per CPU second does not suffer from what else the machine is doing.
"""

from __future__ import annotations

import argparse
import platform
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy

from samloop.example import Example
from samloop.home import Home
from samloop.store import Filters, Store
from samloop.store.rows import from_example
from samloop.store.tables import training_examples

BATCH = 1024
WORDS = [
    f"{a}{b}" for a in ("ab", "con", "de", "ex", "in", "re", "sub", "trans") for b in ("act", "form", "port", "it")
]

Batches = list[list[dict[str, Any]]]


def rows(count: int) -> Batches:
    """Rows of examples with 1,200 characters of text, in batches."""
    draw = random.Random(7)
    made: Batches = []
    for number in range(count):
        text = f"{number} " + " ".join(draw.choices(WORDS, k=250))
        example = Example(
            source="git_commits",
            format="instruction",
            input_text=text[:400],
            output_text=text[400:1200],
            metadata={"repository": "benchmark", "files": number % 7},
            group_key=f"benchmark:file-{number % 5000}",
            quality_score=0.05 * draw.randrange(21),
            quality_tier=draw.choice(("gold", "silver", "bronze")),
            state=draw.choice(("accepted", "accepted", "review")),
            created_at=1.7e9 + number,
        )
        if number % BATCH == 0:
            made.append([])
        made[-1].append(from_example(example.sealed()))
    return made


def into_store(folder: Path, batches: Batches) -> float:
    """Seconds for all batches through `Store.add_batch`."""
    with Store.open(Home(folder / "store")) as store:
        start = time.perf_counter()
        feed(store, batches)
        return time.perf_counter() - start


def feed(store: Store, batches: Batches) -> int:
    added = 0
    for number, batch in enumerate(batches):
        log = [
            {"example_id": row["id"], "rule": "repetition", "outcome": "flag", "measure": 0.31, "reason": "repeats"}
            for row in batch[::10]
        ]
        added += store.add_batch(batch, log=log, mark=("dataset", "benchmark", {"batch": number})).added
    return added


def into_sqlite(folder: Path, batches: Batches) -> float:
    """Seconds for all batches through the bare sqlite3 module."""
    with Store.open(Home(folder / "bare")):
        path = Home(folder / "bare").database
    columns = list(training_examples.c.keys())
    statement = (
        f"INSERT OR IGNORE INTO training_examples ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})"
    )
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA wal_autocheckpoint = 16384")
    start = time.perf_counter()
    for batch in batches:
        values = [(*row.values(), 1) for row in batch]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, values)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


def again(folder: Path, batches: Batches) -> float:
    """Seconds for the same batches once more: all duplicates."""
    with Store.open(Home(folder / "store")) as store:
        start = time.perf_counter()
        assert feed(store, batches) == 0
        return time.perf_counter() - start


def read_all(folder: Path, count: int) -> float:
    """Seconds to stream every example out."""
    with Store.open(Home(folder / "store")) as store:
        start = time.perf_counter()
        assert sum(1 for _ in store.select(Filters())) == count
        return time.perf_counter() - start


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("examples", type=int, nargs="?", default=100_000)
    arguments.add_argument("--folder", help="where the databases are made, to choose the disk")
    given = arguments.parse_args()
    batches = rows(given.examples)
    print(f"# {platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
          f"SQLite {sqlite3.sqlite_version}, SQLAlchemy {sqlalchemy.__version__}")  # fmt: skip
    print(f"# {given.examples:,} examples of 1,200 characters, batches of {BATCH:,}\n")
    print(f"{'what':<42}{'seconds':>9}{'examples/s':>12}{'per CPU s':>12}")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        steps: list[tuple[str, Callable[[], float]]] = [
            ("sqlite3, INSERT OR IGNORE, same indexes", lambda: into_sqlite(folder, batches)),
            ("Store.add_batch, all new", lambda: into_store(folder, batches)),
            ("Store.add_batch, all duplicates", lambda: again(folder, batches)),
            ("Store.select, all", lambda: read_all(folder, given.examples)),
        ]
        for label, step in steps:
            begun = time.process_time()
            seconds = step()
            spent = time.process_time() - begun
            rates = (given.examples / seconds, given.examples / spent)
            print(f"{label:<42}{seconds:>9.2f}{rates[0]:>12,.0f}{rates[1]:>12,.0f}", flush=True)
        with Store.open(Home(folder / "store")) as store:
            size = store.statistics()["overall"]["storage_bytes"]
    print(f"\nbytes on disk per example: {size / given.examples:,.0f}")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
