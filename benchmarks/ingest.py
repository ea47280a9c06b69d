"""Ingest of JSONL end to end: parse → rules → SQLite, as `samloop collect dataset FILE` does it.

    python benchmarks/ingest.py [EXAMPLES]

Instruction data of 1,200 characters, all distinct: sentences of the standard library's docstrings, one example in
twenty with an e-mail address to redact, one in ten with a code block (the corpus of curate_speed.py). Each line goes
through the stage `collect` with the source "dataset", the default recipe and all default rules, into a new home.

The baseline in the same call is the ceiling: orjson and the bare sqlite3 module, which put the same lines unjudged
into the same table with the same indexes, in batches of the same size, as durably. The goal of 10,000 examples/s on
two cores is meant for the whole program, its start included. Processor seconds are those of all processes together;
they suffer less than the clock from what else the machine does.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import orjson
import xxhash

from common import SAMLOOP, alternate, machine, median, publish, table
from curate_speed import examples
from samloop.example import Example
from samloop.home import Home
from samloop.store import Store
from samloop.store.database import CACHE_KIB, WAL_PAGES
from samloop.store.rows import from_example
from samloop.store.tables import EXAMPLE_COLUMNS

EXAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
ROUNDS = 3
BATCH = 8192


def corpus(path: Path) -> float:
    """Write the file; the mean number of characters of an example."""
    characters, distinct = 0, set()
    with path.open("wb") as file:
        for example in examples(EXAMPLES):
            characters += len(example.input_text) + len(example.output_text)
            distinct.add((example.input_text, example.output_text))
            line = {"instruction": example.input_text, "input": "", "output": example.output_text}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    assert len(distinct) == EXAMPLES
    return characters / EXAMPLES


def bare(path: Path, home: Home) -> None:
    """What is left without curation: parse, hash and insert."""
    Store.open(home).close()
    blank = Example(source="dataset", format="instruction", input_text="", output_text="", created_at=0.0)
    row = from_example(blank.sealed()) | {"revision": 1}
    columns, marks = ",".join([*EXAMPLE_COLUMNS, "revision"]), ",".join("?" * len(row))
    connection = sqlite3.connect(home.database, isolation_level=None)
    for name, value in (("synchronous", "FULL"), ("cache_size", -CACHE_KIB), ("wal_autocheckpoint", WAL_PAGES)):
        connection.execute(f"PRAGMA {name} = {value}")
    with path.open("rb") as file:
        while lines := list(islice(file, BATCH)):
            rows = []
            for line in lines:
                record, whole = orjson.loads(line), xxhash.xxh3_128_hexdigest(line)
                question = xxhash.xxh3_128_hexdigest(record["instruction"].encode())
                texts = {"input_text": record["instruction"], "output_text": record["output"]}
                ids = {"id": whole[:24], "content_hash": whole, "input_hash": question}
                rows.append([*(row | texts | ids).values()])
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO training_examples ({columns}) VALUES ({marks})", rows)
            connection.execute("COMMIT")
    connection.close()


def samloop(path: Path, home: Home, workers: int) -> None:
    """The program in a process of its own; every example must come in."""
    done = subprocess.run(
        [*SAMLOOP, "--home", str(home.path), "--json", "-q", "collect", "dataset", str(path)],
        check=True,
        stdout=subprocess.PIPE,
        env=dict(os.environ, SAMLOOP_COLLECT__WORKERS=str(workers)),
    )
    totals = orjson.loads(done.stdout)["data"]["totals"]
    assert totals["read"] == totals["added"] + totals["review"] + totals["rejected"] == EXAMPLES, totals


def processor_seconds() -> float:
    """What this process and all that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        path, number = Path(name) / "corpus.jsonl", count()
        characters = corpus(path)

        def timed(title: str, work: Callable[[Path, Home], None]) -> Callable[[], float]:
            def run() -> float:
                home = Home(Path(name) / f"home{next(number)}")
                started, before = time.perf_counter(), processor_seconds()
                work(path, home)
                seconds = time.perf_counter() - started
                spent.setdefault(title, []).append(processor_seconds() - before)
                return seconds

            return run

        candidates: dict[str, Callable[[Path, Home], None]] = {
            "orjson + bare sqlite3, nothing judged": bare,
            "samloop collect, one process": lambda path, home: samloop(path, home, 0),
            "samloop collect": lambda path, home: samloop(path, home, 2),
        }
        found = alternate({title: timed(title, work) for title, work in candidates.items()}, ROUNDS)
    rows = [["whole run", "median s", "examples/s", "fastest", "processor s"]]
    for title, values in found.items():
        middle = median(values)
        rate, best = f"{EXAMPLES / middle:,.0f}", f"{EXAMPLES / min(values):,.0f}"
        rows.append([title, f"{middle:.2f}", rate, best, f"{median(spent[title]):.2f}"])
    about = f"{EXAMPLES:,} examples of {characters:,.0f} characters, {ROUNDS} alternating rounds, start included"
    load = f"load average at the end {os.getloadavg()[0]:.1f}"
    publish("ingest", f"{machine('pyarrow', 'sqlalchemy', 'orjson')}\n{about}; {load}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
