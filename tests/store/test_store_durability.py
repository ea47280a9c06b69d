"""Nothing acknowledged is lost and nothing doubled: by kill -9, and by two writers at once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from samloop.store import Filters, Store

WRITER = """
import sys
from pathlib import Path
from samloop.example import Example
from samloop.home import Home
from samloop.store import Store
from samloop.store.rows import from_example

home, name, size, batches = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Store.open(Home(Path(home))) as store:
    done = (store.watermark("dataset", name) or {"batch": 0})["batch"]
    print("open", flush=True)
    for batch in range(done, batches):
        texts = [f"{name} {batch} {n}" for n in range(size)]
        examples = [
            Example(source=name, format="instruction", input_text=text, output_text="x" * 1200).sealed()
            for text in texts
        ]
        log = [{"example_id": e.id, "rule": "r", "outcome": "flag"} for e in examples]
        mark = ("dataset", name, {"batch": batch + 1})
        added = store.add_batch([from_example(e) for e in examples], log=log, mark=mark)
        print(f"acknowledged {batch + 1} {added.added}", flush=True)
"""


def writer(home, name, size, batches):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home.path), name, str(size), str(batches)],
        stdout=subprocess.PIPE,
        text=True,
    )


def acknowledged(output):
    numbers = [int(line.split()[1]) for line in output.splitlines() if line.startswith("acknowledged")]
    return max(numbers, default=0)


def check(home, size, batches_at_least):
    """The number of whole batches in the store, after looking that nothing is torn."""
    with closing(sqlite3.connect(home.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        logged = connection.execute("SELECT count(*), count(DISTINCT example_id) FROM validation_log").fetchone()
    with Store.open(home) as store:
        done = (store.watermark("dataset", "killed") or {"batch": 0})["batch"]
        assert store.count() == done * size
        assert logged == (done * size, done * size)
        assert store.revision() == done
        assert done >= batches_at_least
    return done


def test_kill_9_at_any_moment_loses_nothing_acknowledged_and_doubles_nothing(home):
    size, rounds = 64, 10
    draw = random.Random(11)
    seen = done = 0
    for _ in range(rounds):
        child = writer(home, "killed", size, 100_000)
        assert child.stdout.readline() == "open\n"
        time.sleep(draw.uniform(0.0, 0.12))
        os.kill(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        seen = max(seen, acknowledged(output))
        done = check(home, size, seen)
    assert done > rounds, "the writer was killed too early for this test to mean anything"
    child = writer(home, "killed", size, done + 2)
    output, _ = child.communicate()
    assert child.returncode == 0
    assert check(home, size, done + 2) == done + 2


@pytest.mark.slow
def test_kill_9_while_the_store_is_made_leaves_one_that_opens(home, make):
    for delay in (0.0, 0.002, 0.01, 0.03):
        code = (
            "import sys, samloop.store.upgrade, alembic.command\n"
            "from pathlib import Path; from samloop.home import Home; from samloop.store import Store\n"
            f"print('go', flush=True); Store.open(Home(Path({str(home.path)!r}))); print('made', flush=True)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "go\n"
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        with Store.open(home) as store:
            assert store.add_example(make(1)) is True
        for file in home.path.iterdir():
            file.unlink()


def test_two_processes_that_write_and_make_the_store_at_once_lose_no_row(home):
    size, batches = 40, 15
    children = [writer(home, name, size, batches) for name in ("one", "two")]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert all(acknowledged(output) == batches for output in outputs)
    with Store.open(home) as store:
        assert store.count(Filters(sources=("one",))) == store.count(Filters(sources=("two",))) == size * batches
        assert store.revision() == 2 * batches
        assert store.watermark("dataset", "one") == store.watermark("dataset", "two") == {"batch": batches}


def test_two_processes_with_the_same_examples_add_each_once(home):
    children = [writer(home, "same", 40, 15) for _ in range(2)]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    added = sum(int(line.split()[2]) for out in outputs for line in out.splitlines() if line.startswith("ack"))
    with Store.open(home) as store:
        assert store.count() == added == 40 * 15
