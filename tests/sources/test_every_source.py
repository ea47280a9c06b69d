"""What every source keeps to, through a real collection into a real store: one case per source in cases/."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cases import Case, cases, entered, handed

from samloop import plugins
from samloop.example import Example
from samloop.home import Home
from samloop.loop.collect import COUNTS, SourceReport, collect
from samloop.loop.context import Context
from samloop.protocols import Mark, Record, Reject, Withdrawal
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Store

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = cases()
SHOWN = (
    "format",
    "system_prompt",
    "context",
    "conversation_history",
    "input_text",
    "output_text",
    "rejected_output",
    "preference_reason",
    "source_id",
    "group_key",
    "licence",
    "language",
)
"""Fields of an example in a golden file, in this order; state, reason and the names of its flags follow."""

IDENTITY = ("id", "source_id", "group_key")


@dataclass(frozen=True)
class Collected:
    """A case's input, collected once into a home of its own."""

    case: Case
    location: str
    home: Home
    report: SourceReport
    rows: list[dict[str, Any]]
    rejects: Path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a new store: made once, since making it runs the migrations."""
    made = Home(tmp_path_factory.mktemp("empty") / "home")
    Store.open(made).close()
    return made.database.read_bytes()


@pytest.fixture(scope="module", params=CASES)
def collected(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_store: bytes
) -> Collected:
    case, folder = CASES[request.param], tmp_path_factory.mktemp(request.param)
    location = made(case, folder)
    home = new_home(folder / "home", empty_store)
    report = run(home, case, location, rejects=folder / "rejects.jsonl")
    return Collected(case, location, home, report, rows_of(home), folder / "rejects.jsonl")


def made(case: Case, folder: Path) -> str:
    (folder / "input").mkdir(parents=True)
    return str(case.make(folder / "input"))


def new_home(path: Path, empty_store: bytes) -> Home:
    home = Home(path).create()
    home.database.write_bytes(empty_store)
    return home


def run(home: Home, case: Case, location: str, rejects: Path | None = None) -> SourceReport:
    """One collection as the command runs it; its report."""
    with Store.open(home) as store:
        settings = SourceSettings(kind=case.name, location=entered(case, store, location), **case.options)
        context = Context(home, Recipe.parse({}), store, Path.cwd())
        (report,) = collect(context, [settings], rejects=rejects).sources
    return report


def rows_of(home: Home, table: str = "training_examples") -> list[dict[str, Any]]:
    """The rows of a table in the order of writing, without what tells when and in which batch they were written."""
    with closing(sqlite3.connect(home.database)) as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid")]
    numbering = {"updated_at", "revision", "number"} | ({"created_at"} if table == "validation_log" else set())
    return [{name: value for name, value in row.items() if name not in numbering} for row in found]


def records_of(case: Case, location: str, since: Mapping[str, Any] | None = None) -> list[Record]:
    with TemporaryDirectory() as folder:
        place, given = handed(case, location, Path(folder, "home"))
        return list(plugins.load("sources", case.name)(place, since, **case.options, **given))


def test_every_source_of_samloops_own_has_a_case() -> None:
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["samloop.sources"]
    assert {case.name for case in CASES.values()} == set(own)


def test_every_record_read_is_counted_once(collected: Collected) -> None:
    report, rows = collected.report, collected.rows
    assert report.read == report.added + report.duplicate + report.rejected + report.review
    yielded = [r for r in records_of(collected.case, collected.location) if not isinstance(r, (Mark, Withdrawal))]
    turned_away = sum(isinstance(record, Reject) for record in yielded)
    assert report.read == len(yielded)
    states = [row["state"] for row in rows]
    assert report.added == states.count("accepted")
    assert report.review == states.count("review")
    assert report.rejected == states.count("rejected") + turned_away
    assert sum(report.reasons.values()) == report.rejected + report.review
    assert report.added + report.review >= 3, "the case is too small to show anything"


def test_every_example_says_where_it_came_from(collected: Collected) -> None:
    read = plugins.load("sources", collected.case.name)
    for row in collected.rows:
        assert row["source"] in (read.source_name, *read.yields)
        assert row["source_id"], row["input_text"]
        stands_alone = collected.case.alone and row["format"] in ("instruction", "completion")
        assert row["group_key"] or stands_alone, row["input_text"]


def test_nothing_secret_reaches_the_home(collected: Collected) -> None:
    if collected.case.enter is None:
        assert collected.report.redacted["EMAIL"] >= 1
        assert collected.report.redacted["API_KEY"] >= 1
    else:  # taken out before the source saw it
        texts = [row["input_text"] + row["output_text"] for row in collected.rows]
        assert any("[REDACTED_EMAIL]" in text for text in texts) and any(
            "[REDACTED_API_KEY]" in text for text in texts
        )
    written = [path for path in collected.home.path.rglob("*") if path.is_file()] + [collected.rejects]
    leaks = [(path.name, s) for path in written for s in collected.case.secrets if s.encode() in path.read_bytes()]
    assert not leaks


def test_what_comes_out_is_what_a_reviewer_has_read(collected: Collected, request: pytest.FixtureRequest) -> None:
    golden, text = collected.case.golden_path, golden_text(collected)
    if request.config.getoption("--update-golden", default=False):
        golden.write_text(text, encoding="utf-8")
    assert golden.exists(), "run with --update-golden, read the file, and commit it"
    assert text.splitlines() == golden.read_text(encoding="utf-8").splitlines()


def golden_text(collected: Collected) -> str:
    """The examples, then the records turned away, as JSON lines."""
    lines: list[dict[str, Any]] = []
    for row in collected.rows:
        line = {name: row[name] for name in SHOWN if row[name] not in (None, "[]")}
        if "conversation_history" in line:
            turns = json.loads(line["conversation_history"])
            line["conversation_history"] = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        flags = sorted(flag["rule"] for flag in json.loads(row["flags"]))
        line |= {"flags": flags} if flags else {}
        line |= {} if row["state"] == "accepted" else {"state": row["state"], "reason": row["reason"]}
        lines.append(line)
    for record in records_of(collected.case, collected.location):
        if isinstance(record, Reject):
            place = {"line": record.line, "id": record.id, "detail": record.detail}
            lines.append({"turned_away": record.reason} | {name: value for name, value in place.items() if value})
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return text.replace(str(Path(collected.location).parent), "…")


def test_a_second_run_reads_nothing_and_one_new_record_adds_one(
    tmp_path: Path, case: Case, empty_store: bytes
) -> None:
    home, location = new_home(tmp_path / "home", empty_store), case.make(folder_in(tmp_path))
    run(home, case, str(location))
    before = rows_of(home)
    again = run(home, case, str(location))
    assert {name: getattr(again, name) for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert rows_of(home) == before
    case.add_one(location)
    more = run(home, case, str(location))
    after = rows_of(home)
    assert after[: len(before)] == before
    new = after[len(before) :]
    assert len([row for row in new if row["state"] != "rejected"]) == case.adds
    assert more.added + more.review == case.adds
    assert more.read == more.added + more.duplicate + more.rejected + more.review


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def folder_in(folder: Path) -> Path:
    (folder / "input").mkdir()
    return folder / "input"


def test_the_same_input_gives_the_same_ids_in_every_home(
    collected: Collected, tmp_path: Path, empty_store: bytes
) -> None:
    home = new_home(tmp_path / "other", empty_store)
    run(home, collected.case, made(collected.case, tmp_path / "elsewhere"))
    assert identities(rows_of(home)) == identities(collected.rows)


def identities(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in IDENTITY) for row in rows]


def test_a_killed_collection_goes_on_without_loss_or_double(
    collected: Collected, tmp_path: Path, empty_store: bytes
) -> None:
    case, home = collected.case, new_home(tmp_path / "home", empty_store)
    half = (collected.report.added + collected.report.review) // 2
    with Store.open(home) as store:
        place = entered(case, store, collected.location)
    arguments = [home.path, case.name, place, json.dumps(dict(case.options)), str(half)]
    child = subprocess.Popen(
        [sys.executable, HERE / "collect_child.py", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None and child.stdout is not None
    with child:
        assert child.stdout.readline() == b"stored\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert 0 < len(rows_of(home)) < len(collected.rows)
    run(home, case, collected.location)
    for table in ("training_examples", "validation_log", "redacted_identifiers"):
        assert sorted_rows(home, table) == sorted_rows(collected.home, table), table
    assert run(home, case, collected.location).read == 0


def sorted_rows(home: Home, table: str) -> list[str]:
    keyed = {"digest"}  # under each home's own key
    rows = ({name: value for name, value in row.items() if name not in keyed} for row in rows_of(home, table))
    return sorted(json.dumps(row) for row in rows)


def test_reading_on_from_any_mark_gives_what_is_left(collected: Collected) -> None:
    case, location = collected.case, collected.location
    whole = records_of(case, location)
    marks = [at for at, record in enumerate(whole) if isinstance(record, Mark)]
    assert marks and marks[-1] == len(whole) - 1, "a source ends with a mark"
    for at in marks:
        mark = whole[at]
        assert isinstance(mark, Mark)
        since = json.loads(json.dumps(mark.value))
        assert told(records_of(case, location, since)) == told(whole[at:])


def told(records: list[Record]) -> list[Any]:
    examples = [record.sealed().id for record in records if isinstance(record, Example)]
    return examples + [(record.reason, record.line, record.id) for record in records if isinstance(record, Reject)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.grow])
def test_memory_does_not_grow_with_the_input(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert case.grow is not None
    locations = []
    for size in case.grown_bytes:
        (tmp_path / str(size)).mkdir()
        locations.append(str(case.grow(tmp_path / str(size), size)))
        if case.enter is not None:
            home = Home(tmp_path / str(size) / "home")
            with Store.open(home) as store:
                entered(case, store, locations.pop())
            locations.append(str(home.path))
    command = [sys.executable, HERE / "memory_child.py", case.name, json.dumps(dict(case.options)), *locations]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (few, before), (many, after) = (map(int, line.split()) for line in done.stdout.splitlines())
    small, large = case.grown_bytes
    assert many > 2 * few, "the larger input has to hold more records"
    # What is held would be held as text at least; half of the growth leaves room for the allocator's moods.
    assert after - before < (large - small) / 2
