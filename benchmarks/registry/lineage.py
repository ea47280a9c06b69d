"""Which adapters saw this example? Asked of a store of 1,000,000 examples and 1,000 runs. Goal: under 100 ms.

The store is generated: 1,000 runs of EXAMPLES examples each, drawn at random; one example that every run saw; and
one that was derived from others twenty times over. Give a folder to keep the store in, and it is used again.
"""

import os
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import SAMLOOP, machine, median, publish, seconds, table
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.loop.lineage import of_adapter, of_example
from samloop.store.tables import EXAMPLE_COLUMNS

EXAMPLES, RUNS, PER_RUN = 1_000_000, 1_000, 2_000
POPULAR, LONELY = "0" * 24, "1" * 24
CHAIN = 20
ROUNDS = 50


def names() -> list[str]:
    draw = random.Random(0)
    return [POPULAR, LONELY, *(f"{draw.getrandbits(96):024x}" for _ in range(EXAMPLES - 2))]


def row(at: int, id: str, parent: str | None) -> tuple[object, ...]:
    known = {
        **dict.fromkeys(EXAMPLE_COLUMNS),
        **{"id": id, "source": "manual", "format": "instruction", "input_text": f"question {at} " * 8},
        **{"output_text": f"answer {at} " * 20, "conversation_history": "[]", "metadata": "{}", "flags": "[]"},
        **{"domain": "general", "complexity": 1, "quality_score": 0.5, "quality_tier": "bronze", "created_at": 1.0},
        **{"state": "accepted", "weight": 1.0, "validated": 0, "used_in_training": 0, "updated_at": 1.0},
        **{"content_hash": id, "input_hash": id[::-1], "group_key": f"g{at // 10}", "parent_id": parent},
    }
    return (*(known[name] for name in EXAMPLE_COLUMNS), 1)


def generate(home: Home) -> None:
    """Fill a new store with plain SQL: the indexes are put aside and built at the end, as a bulk load would."""
    with open_context(home):
        pass
    ids, draw = names(), random.Random(1)
    connection = sqlite3.connect(home.database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
        "AND tbl_name IN ('training_examples', 'run_examples')"
    ).fetchall()
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    columns = ", ".join((*EXAMPLE_COLUMNS, "revision"))
    marks = ", ".join("?" * (len(EXAMPLE_COLUMNS) + 1))
    # The last ones are a chain of edits of the lonely one.
    parents = dict(zip(ids[-CHAIN:], [LONELY, *ids[-CHAIN:-1]], strict=True))
    connection.executemany(
        f"INSERT INTO training_examples ({columns}) VALUES ({marks})",
        (row(at, id, parents.get(id)) for at, id in enumerate(ids)),
    )
    for number in range(RUNS):
        run = f"run-{number:012x}"
        connection.execute(
            "INSERT INTO training_runs (run_id, state, dataset_digest, base, backend, revision, quick, created_at, "
            "updated_at) VALUES (?, 'completed', 'd', 'pocket', 'torch', 1, 0, ?, ?)",
            (run, float(number), float(number)),
        )
        connection.execute(
            "INSERT INTO adapters (adapter_id, slot, state, run_id, base, backend, created_at, updated_at) "
            "VALUES (?, 'main', 'candidate', ?, 'pocket', 'torch', ?, ?)",
            (f"ad-{number:012x}", run, float(number), float(number)),
        )
        seen = sorted({POPULAR, *draw.sample(ids, PER_RUN - 1)})
        connection.executemany("INSERT INTO run_examples VALUES (?, ?, 'train')", ((run, id) for id in seen))
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


def milliseconds(ask: object) -> list[float]:
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ask()  # type: ignore[operator]
        found.append((time.perf_counter() - started) * 1000)
    return found


def main(folder: Path) -> None:
    home = Home(folder / "home")
    if not home.database.exists():
        started = time.perf_counter()
        generate(home)
        print(f"generated in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    connection = sqlite3.connect(home.database)
    (links,) = connection.execute("SELECT count(*) FROM run_examples").fetchone()
    sizes = dict(
        connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat WHERE name LIKE '%run_examples%' GROUP BY name"
        ).fetchall()
        if os.environ.get("SIZES")
        else ()
    )
    ordinary = connection.execute("SELECT example_id FROM run_examples LIMIT 1 OFFSET 500000").fetchone()[0]
    connection.close()
    with open_context(home) as context:
        store = context.store
        asked = {
            "an example that every one of the 1,000 runs saw": lambda: of_example(store, POPULAR),
            "an ordinary example": lambda: of_example(store, ordinary),
            "an example with 20 generations derived from it": lambda: of_example(store, LONELY),
            "by the beginning of its id": lambda: of_example(store, ordinary[:16]),
            f"back: the {PER_RUN:,} examples of an adapter": lambda: of_adapter(context, "ad-0000000001f4"),
        }
        assert len(of_example(store, POPULAR)["seen_by"]) == RUNS
        assert len(of_example(store, LONELY)["derived"]) == CHAIN
        found = {name: milliseconds(ask) for name, ask in asked.items()}
    command = [*SAMLOOP, "--home", str(home.path), "--json", "adapters", "lineage", POPULAR]
    found["the command 'adapters lineage', whole process"] = [seconds(command) * 1000 for _ in range(5)]
    rows = [["asked", "median ms", "max ms"]]
    rows += [[name, f"{median(v):.1f}", f"{max(v):.1f}"] for name, v in found.items()]
    size = f"the store takes {home.database.stat().st_size / 2**20:,.0f} MiB"
    if sizes:
        size += f", of which run_examples {sum(sizes.values()) / links:.0f} bytes a row with its indexes"
    publish(
        "lineage",
        f"{machine('sqlalchemy')}, SQLite {sqlite3.sqlite_version}\n{EXAMPLES:,} examples, {RUNS:,} runs, {links:,} "
        f"rows of which example went into which run; {size}\n{ROUNDS} times each, the first included; goal: under "
        f"100 ms for one example\n\n{table(rows)}",
        Path(__file__).parent / "results",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
