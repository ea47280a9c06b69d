"""Databases of code, made here with SQLite itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject
from samloop.sources import sqlite_files
from samloop.sources.code_patterns import read

LEVELS = '''\
def falling(levels):
    """Count how often the water was lower than on the day before."""
    pairs = zip(levels, levels[1:])
    return sum(after < before for before, after in pairs)
'''
FLOW = """\
/// Adds up what flowed through since the last visit.
fn flow(days: &[u64]) -> u64 {
    days.iter().rev().take(7).copied().sum()
}
"""


def database(path: Path, *rows: tuple[object, ...], columns: str = "path, language, content, license, repo") -> Path:
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute(f"CREATE TABLE IF NOT EXISTS files ({columns})")
        marks = ", ".join("?" * len(columns.split(",")))
        opened.executemany(f"INSERT INTO files VALUES ({marks})", rows)
    return path


def examples(records: list[Record]) -> list[Example]:
    return [record for record in records if isinstance(record, Example)]


def names(records: list[Record]) -> set[str]:
    return {str(example.metadata["name"]) for example in examples(records)}


def reasons(records: list[Record]) -> dict[str | None, str]:
    return {record.id: record.reason for record in records if isinstance(record, Reject)}


def test_every_row_of_a_known_language_is_read(tmp_path: Path) -> None:
    place = database(
        tmp_path / "code.db",
        ("a/days.py", "Python", LEVELS, "mit", "water"),
        ("flow", "rust", FLOW, None, None),
        ("b.c", "C", "int main() {}", None, None),
        ("c.py", "python", None, None, None),
        ("d.py", "python", b"\xff\xfe", None, None),
        ("node_modules/e.js", "javascript", "var a", None, None),
        ("tests/test_f.py", "python", LEVELS, None, None),
    )
    records = list(read(str(place), None))
    assert names(records) == {"falling", "flow"}
    assert {(e.licence, e.group_key, e.language) for e in examples(records)} == {
        ("MIT", "code:water:a/days.py", "python"),
        (None, "code:code:flow", "rust"),
    }
    assert reasons(records) == {
        "b.c": "language is not read",
        "c.py": "content is not text",
        "d.py": "file is not UTF-8",
        "node_modules/e.js": "file is generated or of others",
        "tests/test_f.py": "file holds tests, and none of code that is here",
    }


def test_tables_are_known_by_their_columns(tmp_path: Path) -> None:
    columns = '"Size", "File_Path" TEXT, "LANG" TEXT, "Code" TEXT'
    place = database(tmp_path / "odd.sqlite", (1, "days.py", "py", LEVELS), columns=columns)
    with closing(sqlite3.connect(place)) as opened, opened:
        opened.execute("CREATE TABLE 'a \"quoted\" name' (path, language, content) ")
        opened.execute("INSERT INTO 'a \"quoted\" name' VALUES ('flow.rs', 'rust', ?)", (FLOW,))
        opened.execute("CREATE TABLE unrelated (path, other)")
    assert names(list(read(str(place), None))) == {"falling", "flow"}


def test_a_database_is_read_again_where_it_changed_and_nowhere_else(tmp_path: Path) -> None:
    place = database(tmp_path / "code.db", ("a.py", "python", LEVELS, None, None))
    first = list(read(str(place), None))
    assert isinstance(first[-1], Mark)
    since = first[-1].value
    assert not list(read(str(place), since))
    database(place, ("b.rs", "rust", FLOW, None, None))
    second = list(read(str(place), since))
    assert names(second) == {"flow"}
    with closing(sqlite3.connect(place)) as opened, opened:
        opened.execute("UPDATE files SET content = replace(content, 'falling', 'sinking') WHERE path = 'a.py'")
    assert isinstance(second[-1], Mark)
    assert names(list(read(str(place), second[-1].value))) == {"sinking"}


def test_a_database_without_code_is_an_error(tmp_path: Path) -> None:
    place = database(tmp_path / "other.db", ("a", "b"), columns="question, answer")
    with pytest.raises(
        SourceError, match=r"expected a table with path, language and content in .*other\.db, found none"
    ):
        list(read(str(place), None))


def test_a_locked_database_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "LOCK_SECONDS", 0.05)
    place = database(tmp_path / "code.db", ("a.py", "python", LEVELS, None, None))
    with closing(sqlite3.connect(place)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceError, match=r"cannot be read: database is locked \(another program is writing"):
            list(read(str(place), None))


def test_a_damaged_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    place = tmp_path / "code.db"
    place.write_bytes(b"SQLite format 3\0" + b"nonsense" * 500)
    with pytest.raises(SourceError, match="cannot be read"):
        list(read(str(place), None))


def test_the_log_that_a_killed_program_left_is_read_too(tmp_path: Path) -> None:
    place = database(tmp_path / "code.db", ("a.py", "python", LEVELS, None, None))
    (tmp_path / "left").mkdir()
    with closing(sqlite3.connect(place)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("UPDATE files SET path = 'later.py'")
        for name in ("code.db", "code.db-wal"):  # as they lie there when it is killed now
            (tmp_path / "left" / name).write_bytes((tmp_path / name).read_bytes())
    before = {path.name: path.read_bytes() for path in (tmp_path / "left").iterdir()}
    found = [record for record in read(str(tmp_path / "left" / "code.db"), None) if isinstance(record, Example)]
    assert {example.metadata["path"] for example in found} == {"later.py"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "left").iterdir()} == before


def test_reading_changes_nothing_and_needs_no_right_to_write(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    place = public_folder / "in" / "code.db"
    place.parent.mkdir()
    database(place, ("a.py", "python", LEVELS, None, None))
    with closing(sqlite3.connect(place)) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
    place.chmod(0o444)
    place.parent.chmod(0o555)
    before = place.read_bytes()
    with unprivileged():
        assert names(list(read(str(place), None))) == {"falling"}
    assert place.read_bytes() == before
    assert [path.name for path in place.parent.iterdir()] == ["code.db"]
    place.parent.chmod(0o755)


def test_licences_can_be_asked_for(tmp_path: Path) -> None:
    place = database(
        tmp_path / "code.db",
        ("a.py", "python", LEVELS, "MIT", None),
        ("b.rs", "rust", FLOW, "gpl-3.0", None),
    )
    records = list(read(str(place), None, licences=["MIT"]))
    assert names(records) == {"falling"}
    assert reasons(records) == {"b.rs": "licence is not among those asked for"}
