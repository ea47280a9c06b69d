"""Ingest of JSONL end to end: parse → rules → SQLite, as `samloop collect dataset FILE` does it.

Baselines in the same call: reading the file with orjson and hashing each text (the floor of any such tool), and the
same rows put into SQLite with plain sqlite3. Goal: 10,000 examples/s on two cores for texts of 1,200 characters.
"""

import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import orjson
import xxhash

from common import SAMLOOP, alternate, machine, median, publish, seconds, table

EXAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
WORDS = Path(__file__).read_text(encoding="utf-8").split()


def corpus(path: Path) -> None:
    """Distinct instruction examples; question and answer together have 1,200 characters."""
    chance = random.Random(0)
    with path.open("wb") as file:
        for number in range(EXAMPLES):
            text = " ".join(chance.choices(WORDS, k=300))[:1_150].rsplit(" ", 1)[0]
            line = {"instruction": f"Question {number}: {text[:300]}?", "input": "", "output": text[300:] + "."}
            file.write(orjson.dumps(line) + b"\n")


def floor(path: Path) -> float:
    started = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            record = orjson.loads(line)
            xxhash.xxh3_128_hexdigest((record["instruction"] + record["output"]).encode())
    return time.perf_counter() - started


def plain_sqlite(path: Path, folder: Path) -> float:
    started = time.perf_counter()
    database = folder / f"plain-{started}.db"
    with sqlite3.connect(database) as connection, path.open("rb") as file:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table examples (id text primary key, question text, answer text)")
        for line in file:
            record = orjson.loads(line)
            key = xxhash.xxh3_128_hexdigest((record["instruction"] + record["output"]).encode())
            connection.execute(
                "insert into examples values (?, ?, ?)", (key, record["instruction"], record["output"])
            )
    database.unlink()
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "corpus.jsonl"
        corpus(path)
        homes = iter(range(1_000))
        found = alternate(
            {
                "orjson + xxhash": lambda: floor(path),
                "+ plain sqlite3": lambda: plain_sqlite(path, folder),
                "samloop collect dataset": lambda: seconds(
                    [*SAMLOOP, "--home", str(folder / f"home{next(homes)}"), "-q", "collect", "dataset", str(path)]
                ),
            },
            rounds=5,
        )
        size = path.stat().st_size
    rows = [["whole run", "median s", "examples/s", "MB/s"]]
    for title, values in found.items():
        middle = median(values)
        rows.append([title, f"{middle:.2f}", f"{EXAMPLES / middle:,.0f}", f"{size / middle / 1e6:.1f}"])
    head = f"{machine('pyarrow', 'sqlalchemy', 'orjson')}\n{EXAMPLES:,} examples, {size / EXAMPLES:,.0f} bytes a line"
    publish("ingest", f"{head}, 5 alternating runs, process start included\n\n{table(rows)}")


main()
