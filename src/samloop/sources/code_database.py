"""Databases of de-duplicated code: any SQLite table with a path, a language and the content of each file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from samloop.errors import SourceError
from samloop.files import readable
from samloop.sources.code_files import MAX_FILE_BYTES
from samloop.sources.sqlite_files import quoted

WAIT_SECONDS: Final = 2.0

_PATH: Final = (
    "path",
    "file_path",
    "filepath",
    "filename",
    "file_name",
    "file",
    "relative_path",
    "max_stars_repo_path",
)
_LANGUAGE: Final = ("language", "lang", "programming_language")
_CONTENT: Final = ("content", "code", "source_code", "contents", "file_content", "text", "source", "body")
_LICENCE: Final = ("licence", "license", "spdx", "spdx_id", "license_id")
_REPOSITORY: Final = ("repository", "repo", "repo_name", "repository_name", "project", "max_stars_repo_name")


@dataclass(frozen=True, slots=True)
class Row:
    """One file in a database."""

    path: str
    language: str
    content: bytes | None
    licence: str | None
    repository: str | None


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    path: str
    language: str
    content: str
    licence: str | None
    repository: str | None


def rows(path: Path) -> Iterator[Row]:
    """The files that the database at `path` holds.

    Raises:
        SourceError: it is locked or damaged, or no table in it holds code. What came before damage was yielded.
    """
    shown = readable(path)
    try:
        with closing(_open(path)) as database:
            tables = _tables(database)
            if not tables:
                raise SourceError(
                    f"expected a table with path, language and content in {shown}, found none; "
                    "name a database of code, or a folder"
                )
            for table in tables:
                yield from _rows(database, table)
    except sqlite3.Error as error:
        if "locked" in str(error) or "busy" in str(error):
            raise SourceError(
                f"the database {shown} is locked by another program; close that program and run this again"
            ) from None
        raise SourceError(
            f"the database {shown} cannot be read ({error}); check it with: sqlite3 FILE 'PRAGMA integrity_check'"
        ) from None


def _open(path: Path) -> sqlite3.Connection:
    """A connection that can change nothing, in a folder that may not be written to either."""
    address = f"file:{quote(str(path))}"
    database = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=WAIT_SECONDS)
    try:
        database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        database.close()
        # In WAL mode a reader needs to write beside the file; where it may not, a file without a log is at rest.
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
        if Path(f"{path}-wal").exists():
            raise
        database = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
    database.execute("PRAGMA query_only = 1")
    database.execute("PRAGMA trusted_schema = 0")
    database.text_factory = bytes
    return database


def _tables(database: sqlite3.Connection) -> list[_Table]:
    found = []
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
        table = name.decode("utf-8", "replace")
        columns = {
            row[1].decode("utf-8", "replace").lower()
            for row in database.execute(f"PRAGMA table_info({quoted(table)})")
        }

        def one(names: tuple[str, ...], columns: set[str] = columns) -> str | None:
            return next((name for name in names if name in columns), None)

        path, language, content = one(_PATH), one(_LANGUAGE), one(_CONTENT)
        if path and language and content:
            found.append(_Table(table, path, language, content, one(_LICENCE), one(_REPOSITORY)))
    return found


def _rows(database: sqlite3.Connection, table: _Table) -> Iterator[Row]:
    # A column that is not there is asked for as NULL. Names come from the schema and are quoted.
    columns = [table.path, table.language, table.content, table.licence, table.repository]
    parts = [quoted(column) if column else "NULL" for column in columns]
    parts[2] = f"substr({parts[2]}, 1, {MAX_FILE_BYTES + 1})"
    for path, language, content, licence, repository in database.execute(
        f"SELECT {', '.join(parts)} FROM {quoted(table.name)}"  # noqa: S608
    ):
        yield Row(
            _text(path) or "",
            _text(language) or "",
            content if isinstance(content, bytes) else None,
            _text(licence),
            _text(repository),
        )


def _text(value: object) -> str | None:
    return value.decode("utf-8", "backslashreplace")[:500] if isinstance(value, bytes) and value else None
