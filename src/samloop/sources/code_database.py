"""Databases of de-duplicated code: any SQLite table with a path, a language and the content of each file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from samloop.errors import SourceError
from samloop.files import readable
from samloop.sources.code_files import MAX_FILE_BYTES
from samloop.sources.sqlite_files import Table, Unreadable, opened, quoted, tables_of

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
class Columns:
    """The columns of a table that hold the files, by name; None where it has none for that."""

    path: str
    language: str
    content: str
    licence: str | None
    repository: str | None


def code_in(table: Table) -> Columns | None:
    """Which columns of a table hold code, or None where it has no path, language and content."""
    names = {name.lower() for name in table.columns}

    def one(known: tuple[str, ...]) -> str | None:
        return next((name for name in known if name in names), None)

    path, language, content = one(_PATH), one(_LANGUAGE), one(_CONTENT)
    if path and language and content:
        return Columns(path, language, content, one(_LICENCE), one(_REPOSITORY))
    return None


def rows(path: Path) -> Iterator[Row]:
    """The files that the database at `path` holds.

    Raises:
        SourceError: it is locked or damaged, or no table in it holds code. What came before damage was yielded.
    """
    shown = readable(path)
    try:
        with opened(path) as database:
            tables = [(table, columns) for table in tables_of(database) if (columns := code_in(table))]
            if not tables:
                raise SourceError(
                    f"expected a table with path, language and content in {shown}, found none; "
                    "name a database of code, or a folder"
                )
            database.text_factory = bytes  # content as it is: what is no UTF-8 is turned away and not changed
            for table, columns in tables:
                yield from _rows(database, table, columns)
    except Unreadable as problem:
        raise SourceError(f"the database {shown} cannot be read: {problem.reason} ({problem.detail})") from None


def _rows(database: sqlite3.Connection, table: Table, columns: Columns) -> Iterator[Row]:
    # A column that is not there is asked for as NULL. Names come from the schema and are quoted.
    asked = [columns.path, columns.language, columns.content, columns.licence, columns.repository]
    parts = [quoted(column) if column else "NULL" for column in asked]
    parts[2] = f"substr({parts[2]}, 1, {MAX_FILE_BYTES + 1})"
    for path, language, content, licence, repository in database.execute(table.select(", ".join(parts))):
        yield Row(
            _text(path) or "",
            _text(language) or "",
            content if isinstance(content, bytes) else None,
            _text(licence),
            _text(repository),
        )


def _text(value: object) -> str | None:
    return value.decode("utf-8", "backslashreplace")[:500] if isinstance(value, bytes) and value else None
