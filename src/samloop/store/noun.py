"""What the files of this room share: access to the database, and rows as plain data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Column, Connection, Row, Table, select

from samloop.errors import NotFoundError, UsageError
from samloop.example import to_json
from samloop.store.database import Database

JSON_COLUMNS: Final = frozenset(
    {
        "before",
        "comparisons",
        "decision",
        "filters",
        "journal",
        "licences",
        "lineage",
        "metrics",
        "receipt",
        "recipe",
        "result",
        "scores",
        "standing",
    }
)
"""Columns of runs, adapters, evaluations and decisions that hold JSON text."""


class Noun:
    """Base of the parts that make up the `Store`: each part is one noun and one file."""

    _database: Database


def to_row(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as a row of `table`, JSON columns as text.

    Raises:
        UsageError: a key is no column of the table, with the nearest one.
    """
    for name in values:
        if name not in table.c:
            near = difflib.get_close_matches(name, table.c.keys(), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(table.c.keys())}"
            raise UsageError(f"{table.name} has no column '{name}'; {hint}")
    return {k: to_json(v) if k in JSON_COLUMNS and not isinstance(v, str) else v for k, v in values.items()}


def to_plain(row: Row[Any]) -> dict[str, Any]:
    """A row as plain data, JSON columns decoded."""
    # SQLAlchemy's names are a kind of text that orjson takes for none.
    return {
        str(name): orjson.loads(value) if name in JSON_COLUMNS and value is not None else value
        for name, value in row._mapping.items()
    }


def find_key(connection: Connection, key: Column[str], given: str, noun: str) -> str:
    """The value of `key` that is `given` or, alone, begins with it.

    Args:
        key: the primary key column of a table.
        given: an id or the beginning of one.
        noun: what the table holds, for the message.

    Raises:
        NotFoundError: there is none; the message names the nearest one.
        UsageError: several begin so; the message names some.
    """
    if connection.execute(select(key).where(key == given)).first() is not None:
        return given
    found = _beginning(connection, key, given, 4) if given else []
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise UsageError(f"'{given}' is the beginning of several ids ({shown}); give more of it")
    near = difflib.get_close_matches(given, _neighbours(connection, key, given), n=1, cutoff=0.5)
    hint = f"; the nearest one is {near[0]}" if near else ""
    raise NotFoundError(f"there is no {noun} '{given}' in the store{hint}")


def _beginning(connection: Connection, key: Column[str], given: str, limit: int) -> list[str]:
    # A range, not LIKE: it uses the index, and nothing in `given` is a wildcard.
    statement = select(key).where(key >= given, key < given + "\U0010ffff").order_by(key).limit(limit)
    return list(connection.execute(statement).scalars())


def _neighbours(connection: Connection, key: Column[str], given: str) -> Iterable[str]:
    """Ids that share the first characters with `given`, longest shared beginning first; a few dozen at most."""
    for length in range(len(given) - 1, 1, -1):
        if found := _beginning(connection, key, given[:length], 50):
            return found
    return list(connection.execute(select(key).order_by(key).limit(50)).scalars())
