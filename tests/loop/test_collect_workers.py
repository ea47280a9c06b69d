"""Collect with workers: the same result as without, and nothing lost whoever of them dies."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from samloop import plugins
from samloop.curate import conveyor
from samloop.curate.workers import Workers
from samloop.errors import PluginError, SamloopError
from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Store

NOUNS = "queue worker lease cache index journal broker shard replica cursor token bucket ledger".split()
VERBS = "waits for,gives up on,retries,locks,measures,copies,forgets,rebuilds,follows".split(",")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Workers from the first batch on, whatever the machine; the sizes of the batches they were given."""
    given: list[int] = []
    plain = Workers.curate

    def counted(self: Workers, examples: Any, *, review: bool) -> Any:
        given.append(len(examples))
        return plain(self, examples, review=review)

    monkeypatch.setattr(conveyor, "LARGE", 0)
    monkeypatch.setattr(conveyor, "_cores", lambda: 2)
    monkeypatch.setattr(Workers, "ready", True)
    monkeypatch.setattr(Workers, "curate", counted)
    return given


def mixed(path: Path, count: int) -> SourceSettings:
    """A file with examples of every fate: accepted, doubled, rejected, to be reviewed, redacted, broken."""
    chance = random.Random(count)

    def sentence() -> str:
        return (
            f"The {chance.choice(NOUNS)} {chance.choice(VERBS)} the {chance.choice(NOUNS)} {chance.randrange(999)}."
        )

    lines: list[str] = []
    for number in range(count):
        asked, answered = f"What of number {number}?", " ".join(sentence() for _ in range(chance.randint(1, 12)))
        fate = chance.random()
        if fate < 0.05:
            lines.append("{broken")
        elif fate < 0.15 and lines:
            lines.append(chance.choice(lines))
        elif fate < 0.2:
            lines.append(json.dumps({"instruction": "Ready?", "output": str(chance.randrange(10))}))
        else:
            if fate < 0.25:
                answered = "I'm sorry, but I can't help with that. " + answered
            elif fate < 0.3:
                answered = (answered + " ") * 4
            elif fate < 0.35:
                answered += f" Write to someone{number}@example{number % 3}.org."
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
            turns = turns if fate < 0.9 else [*turns, {"role": "user", "content": sentence()}, turns[1]]
            lines.append(json.dumps({"messages": turns, "n": number}))
    path.write_text("\n".join(lines) + "\n")
    return SourceSettings(kind="dataset", location=str(path))


def run(home: Path, settings: SourceSettings, workers: int, **options: Any) -> dict[str, Any]:
    """Collect into `home`; the report."""
    recipe = Recipe.parse({"collect": {"workers": workers, "batch_examples": 64}, **options.pop("recipe", {})})
    with Store.open(Home(home)) as store:
        return collect(Context(Home(home), recipe, store, home), [settings], **options).to_dict()


def content(home: Path) -> dict[str, list[Any]]:
    """All that a collection leaves in the store, but for the time of writing."""
    tables = {
        "training_examples": "SELECT * FROM training_examples ORDER BY revision, id",
        "validation_log": "SELECT * FROM validation_log ORDER BY number",
        "source_state": "SELECT * FROM source_state",
    }
    found: dict[str, list[Any]] = {}
    connection = sqlite3.connect(Home(home).database)
    connection.row_factory = sqlite3.Row
    for name, statement in tables.items():
        rows = [dict(row) for row in connection.execute(statement)]
        found[name] = [
            {k: v for k, v in row.items() if k != "updated_at" and (k, name) != ("created_at", "validation_log")}
            for row in rows
        ]
    connection.close()
    return found


def test_workers_leave_the_same_store_report_and_list_of_rejects(tmp_path: Path, at_once: list[int]) -> None:
    settings = mixed(tmp_path / "mixed.jsonl", 3_000)
    news: list[dict[str, Any]] = []
    reports, listed = [], []
    for name, workers in (("alone", 0), ("beside", 2)):
        path = tmp_path / f"{name}.rejects"
        report = run(tmp_path / name, settings, workers, rejects=path, on_progress=news.append)
        del report["totals"]["seconds"], report["sources"][0]["seconds"]
        reports.append(report)
        listed.append(sorted(path.read_text().splitlines()))
        assert bool(at_once) == bool(workers)
    assert sum(at_once) > 2_500
    assert reports[0] == reports[1]
    assert listed[0] == listed[1]
    assert content(tmp_path / "alone") == content(tmp_path / "beside")
    totals = reports[0]["totals"]
    assert min(totals[name] for name in ("added", "duplicate", "rejected", "review")) > 50
    assert totals["redacted"]["EMAIL"] > 50
    for moment in news:
        assert moment["read"] == moment["added"] + moment["duplicate"] + moment["rejected"] + moment["review"]


def test_a_small_source_starts_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "Workers", None)  # calling it would fail
    monkeypatch.setattr(conveyor, "_cores", lambda: 2)
    assert run(tmp_path / "home", mixed(tmp_path / "small.jsonl", 300), 2)["totals"]["read"] == 300


DYING = """
import json, os, signal, sys
from pathlib import Path
import psutil
sys.path.insert(0, {tests!r})
from samloop.curate import conveyor
from samloop.curate.workers import Workers
from samloop.settings import SourceSettings
from test_collect_workers import run
conveyor.LARGE, conveyor._cores, Workers.ready = 0, lambda: 2, True
batches = []
def die(news):
    batches.append(news)
    if len(batches) == {batches}:
        print(json.dumps([child.pid for child in psutil.Process().children()]), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
run(Path({home!r}), SourceSettings(kind="dataset", location={location!r}), 2, on_progress=die)
"""


@pytest.mark.parametrize("batches", [1, 13])
def test_kill_9_loses_and_doubles_nothing_and_leaves_no_worker(tmp_path: Path, batches: int) -> None:
    settings = mixed(tmp_path / "mixed.jsonl", 1_500)
    code = DYING.format(
        tests=str(Path(__file__).parent), batches=batches, home=str(tmp_path / "killed"), location=settings.location
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    workers = [psutil.Process(pid) for pid in json.loads(done.stdout) if psutil.pid_exists(pid)]
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert len(content(killed)["training_examples"]) > 0
    assert run(killed, settings, 2)["totals"]["read"] > 0
    run(whole, settings, 0)
    assert facts(killed) == facts(whole)


def facts(home: Path) -> Any:
    """What must be the same however often a collection was cut off: all but in which batch a row came."""
    found = content(home)
    for rows in found.values():
        for row in rows:
            row.pop("revision", None)
            row.pop("number", None)
    return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def test_a_worker_that_dies_is_one_clear_error_and_the_next_collection_goes_on(
    tmp_path: Path, at_once: list[int]
) -> None:
    settings, mine = mixed(tmp_path / "mixed.jsonl", 1_500), psutil.Process()
    before = {child.pid for child in mine.children()}

    def kill_the_workers(_: Any) -> None:
        for child in mine.children():
            if child.pid not in before:
                child.kill()

    with pytest.raises(SamloopError, match=r"ended before it answered.*collect\.workers = 0"):
        run(tmp_path / "home", settings, 2, on_progress=kill_the_workers)
    run(tmp_path / "home", settings, 0)
    run(tmp_path / "whole", settings, 0)
    assert facts(tmp_path / "home") == facts(tmp_path / "whole")


def test_an_interruption_ends_the_workers(tmp_path: Path, at_once: list[int]) -> None:
    settings, mine = mixed(tmp_path / "mixed.jsonl", 1_500), psutil.Process()
    before, during = {child.pid for child in mine.children()}, set()

    def interrupt(_: Any) -> None:
        during.update(child.pid for child in mine.children())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "home", settings, 2, on_progress=interrupt)
    assert len(during - before) == 2
    assert not [pid for pid in during - before if psutil.pid_exists(pid)]
    run(tmp_path / "home", settings, 0)
    run(tmp_path / "whole", settings, 0)
    assert facts(tmp_path / "home") == facts(tmp_path / "whole")


RULE = """
import numpy, os, pyarrow, pyarrow.compute
from samloop.protocols import Finding, rule

@rule("of-a-plug-in", outcome="flag", reason="speaks of a ledger")
def ledgers(batch, *, fails=False):
    print("a rule may print")
    if fails:
        raise KeyError(batch.column("output_text")[0].as_py())
    hit = pyarrow.compute.match_substring(batch.column("output_text"), "ledger")
    return Finding(hit, pyarrow.array(numpy.ones(batch.num_rows)))
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A rule of somebody else's, installed beside samloop."""
    site = tmp_path / "site"
    (site / "somebodys-1.0.dist-info").mkdir(parents=True)
    (site / "somebodys.py").write_text(RULE)
    (site / "somebodys-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n"
    )
    (site / "somebodys-1.0.dist-info" / "entry_points.txt").write_text(
        "[samloop.rules]\nof-a-plug-in = somebodys:ledgers\n"
    )
    monkeypatch.syspath_prepend(str(site))
    plugins._entries.cache_clear()
    yield
    plugins._entries.cache_clear()


@pytest.mark.usefixtures("plug_in")
def test_a_plug_ins_rule_works_in_a_worker(tmp_path: Path, at_once: list[int]) -> None:
    settings = mixed(tmp_path / "mixed.jsonl", 400)
    run(tmp_path / "alone", settings, 0)
    run(tmp_path / "beside", settings, 2)
    assert at_once
    assert content(tmp_path / "alone") == content(tmp_path / "beside")
    assert "of-a-plug-in" in {entry["rule"] for entry in content(tmp_path / "beside")["validation_log"]}


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_rule_that_fails_is_named_without_the_text_it_failed_on(
    tmp_path: Path, at_once: list[int], workers: int
) -> None:
    settings = mixed(tmp_path / "mixed.jsonl", 200)
    recipe = {"curate": {"rules": {"of-a-plug-in": {"fails": True}}}}
    with pytest.raises(PluginError, match="'of-a-plug-in' failed with KeyError on a batch of 64") as error:
        run(tmp_path / "home", settings, workers, recipe=recipe)
    assert "The " not in str(error.value)
    assert content(tmp_path / "home")["training_examples"] == []
