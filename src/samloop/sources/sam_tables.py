"""The tables of an older database as records: told by their columns, read on from where they were left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Reject
from samloop.sources.drafts import Draft, Unfit
from samloop.sources.sam_rows import REFUSED, Shape, drafts_of, shape_of, waits
from samloop.sources.sqlite_files import Table, filled, opened, quoted, stamp, tables_of

VERSION: Final = 1
"""Raised when more of a database can be read than before, so that those read already are looked at again."""

ROWS_AT_ONCE: Final = 256

Row = tuple[int, tuple[Any, ...], str]
"""Its number, its values, and the digest of all rows up to it."""

Make = Callable[[Sequence[Draft], Mapping[str, Any], str, int, str | None, bool], list[Example]]
"""Drafts, their row, the table and number it came from, the parent they share, whether they wait for a person."""


@dataclass(slots=True)
class TableEnd:
    """The records before it are complete: what to remember of the database."""

    state: Mapping[str, Any]


@dataclass(slots=True)
class Database:
    """One database on its way in.

    Attributes:
        name: as examples name it.
        before: what was remembered of it; None where it is new.
        assistant: what the assistant calls itself.
        make: drafts to examples, with where they came from.
    """

    path: Path
    name: str
    before: Mapping[str, Any] | None
    assistant: str
    make: Make
    state: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    reviews: dict[Any, str] = field(default_factory=dict)

    @property
    def unchanged(self) -> bool:
        """Whether it was read whole, by this reader, and is as it was then."""
        known = {"version": VERSION, "done": True, **stamp(self.path)}
        return self.before is not None and known.items() <= self.before.items()

    def read(self) -> Iterator[Example | Reject | TableEnd]:
        """What is new in it.

        Raises:
            Unreadable: it cannot be read, or not to its end.
        """
        self.state = {"version": VERSION, "done": False, **stamp(self.path), "tables": {}}
        if self.before and self.before.get("version") == VERSION:
            self.state["tables"] = dict(self.before["tables"])
        with opened(self.path) as connection:
            tables = {table.name: table for table in tables_of(connection)}
            for table in tables.values():
                if shape := shape_of(table.name, table.columns):
                    self.shapes[table.name] = shape
            yield from self._unknown(connection, tables)
            self.reviews = self._reviews(connection, tables)
            for name in sorted(self.shapes, key=lambda name: (self.shapes[name].joins, name)):
                yield from self._table(connection, tables[name])
        self.state["done"] = True
        yield TableEnd(dict(self.state))

    def _where(self, table: str) -> str:
        return f"{readable(self.path)}:{table}"

    def _unknown(self, connection: sqlite3.Connection, tables: Mapping[str, Table]) -> Iterator[Reject]:
        """One reject for a database without training data, one per filled table that holds none."""
        if not self.shapes:
            names = ", ".join(sorted(tables)[:8]) or "none"
            if "" not in self.state["tables"]:
                yield Reject(readable(self.path), "no table with training data", f"its tables: {names}")
            self.state["tables"][""] = {"rows": 0, "digest": ""}
            return
        for table in tables.values():
            if table.name in self.shapes or table.name in self.state["tables"]:
                continue
            rows = connection.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]  # noqa: S608
            if rows:
                columns = ", ".join(table.columns[:8])
                detail = f"rows: {rows}; columns: {columns}"
                yield Reject(self._where(table.name), "table without training data", detail)
            self.state["tables"][table.name] = {"rows": 0, "digest": ""}

    def _reviews(self, connection: sqlite3.Connection, tables: Mapping[str, Table]) -> dict[Any, str]:
        """By id of an example, what a person said of it, or that it waits for one."""
        found: dict[Any, str] = {}
        for name, shape in self.shapes.items():
            if shape.name != "review":
                continue
            standing = next((c for c in tables[name].columns if c.lower() in ("status", "state", "decision")), None)
            what = f"{quoted('example_id')}, {quoted(standing) if standing else chr(39) + 'pending' + chr(39)}"
            for example_id, said in connection.execute(tables[name].select(what)):
                found[example_id] = str(said or "pending").strip().lower()
        return found

    def _table(self, connection: sqlite3.Connection, table: Table) -> Iterator[Example | Reject | TableEnd]:
        rows = numbered(connection, table, self.state["tables"].get(table.name))
        shape = self.shapes[table.name]
        for batch in _batches(rows):
            found = [(number, filled(table.columns, row)) for number, row, _ in batch]
            if shape.joins:
                yield from self._joined(connection, table, shape, found)
            else:
                patterns = self._patterns(connection, table, [row.get(_id_of(table)) for _, row in found])
                for number, row in found:
                    yield from self._row(table, shape, number, row, patterns)
            number, _, digest = batch[-1]
            self.state["tables"][table.name] = {"rows": number, "digest": digest}
            yield TableEnd({**self.state, "tables": dict(self.state["tables"])})

    def _row(
        self, table: Table, shape: Shape, number: int, row: Mapping[str, Any], patterns: Mapping[Any, list[Any]]
    ) -> Iterator[Example | Reject]:
        key = row.get(_id_of(table))
        said = self.reviews.get(key, "") if _holds_examples(table.name) else ""
        try:
            if said in REFUSED:
                raise Unfit("turned away by the older system", "a person had rejected it there")
            drafts, parent = drafts_of(shape, row, self.assistant)
        except Unfit as unfit:
            yield Reject(self._where(table.name), unfit.reason, unfit.detail, id=_told(key, number))
            return
        if key in patterns:
            for draft in drafts:
                draft.metadata = {**(draft.metadata or {}), "reasoning_patterns": patterns[key]}
        pending = said == "pending" or waits(row)
        yield from self._made(drafts, row, table.name, number, parent, pending)

    def _made(
        self, drafts: Sequence[Draft], row: Mapping[str, Any], table: str, number: int, parent: str | None, wait: bool
    ) -> Iterator[Example | Reject]:
        yield from self.make(drafts, row, f"{self.name}:{table}", number, parent, wait)

    def _joined(
        self,
        connection: sqlite3.Connection,
        table: Table,
        shape: Shape,
        rows: Sequence[tuple[int, Mapping[str, Any]]],
    ) -> Iterator[Example | Reject]:
        """Rows about examples: counted as kept with them; one whose example is gone may bring it itself."""
        ids = [row.get("example_id") for _, row in rows]
        known = {id for other in self._examples() for id in _present(connection, other, ids)}
        for number, row in rows:
            where, name = self._where(table.name), _told(row.get("example_id"), number)
            if row.get("example_id") in known:
                yield Reject(where, "kept with its example", f"the {shape.name} is told there", id=name)
                continue
            try:
                drafts, parent = drafts_of(shape, row, self.assistant)
                yield from self._made(drafts, row, table.name, number, parent, waits(row) or "status" not in row)
            except Unfit as unfit:
                yield Reject(where, unfit.reason, unfit.detail, id=name)

    def _examples(self) -> list[str]:
        return [name for name, shape in self.shapes.items() if not shape.joins and _holds_examples(name)]

    def _patterns(self, connection: sqlite3.Connection, table: Table, ids: Sequence[Any]) -> dict[Any, list[Any]]:
        """By id of an example, how its answer was reasoned out."""
        found: dict[Any, list[Any]] = {}
        if not _holds_examples(table.name):
            return found
        for name, shape in self.shapes.items():
            if shape.name != "reasoning pattern":
                continue
            columns = tuple(row[1] for row in connection.execute(f"PRAGMA table_info({quoted(name)})"))
            marks = ", ".join("?" * len(ids))
            query = f"SELECT * FROM {quoted(name)} WHERE example_id IN ({marks}) ORDER BY 1"  # noqa: S608
            for row in connection.execute(query, ids):
                told = dict(filled(columns, row))
                kept = {key: value for key, value in told.items() if key not in ("id", "pattern_id", "example_id")}
                found.setdefault(told["example_id"], []).append(kept)
        return found


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """`rows` some at a time; those before a defect as well."""
    batch: list[Row] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                yield batch
                batch = []
    except sqlite3.Error:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def numbered(connection: sqlite3.Connection, table: Table, before: Mapping[str, Any] | None) -> Iterator[Row]:
    """The rows after those read before, each with its number and the digest of all up to it.

    All of them, where those read before are not what they were.
    """
    skip = int(before["rows"]) if before else 0
    hasher = xxhash.xxh3_128()
    cursor = connection.execute(table.select())
    for row in islice(cursor, skip):
        hasher.update(repr(row).encode("utf-8", "backslashreplace"))
    if before and hasher.hexdigest() != before["digest"] and skip:
        skip, hasher, cursor = 0, xxhash.xxh3_128(), connection.execute(table.select())
    for number, row in enumerate(cursor, skip + 1):
        hasher.update(repr(row).encode("utf-8", "backslashreplace"))
        yield number, row, hasher.hexdigest()


def _holds_examples(table: str) -> bool:
    """Whether ``example_id`` elsewhere means a row of this table, not one of another kind with the same number."""
    return "example" in table.lower()


def _id_of(table: Table) -> str:
    lower = [column.lower() for column in table.columns]
    return next((name for name in ("id", "example_id", "uuid") if name in lower), "id")


def _present(connection: sqlite3.Connection, table: str, ids: Sequence[Any]) -> set[Any]:
    columns = [row[1].lower() for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
    key = next((name for name in ("id", "example_id") if name in columns), None)
    if key is None:
        return set()
    marks = ", ".join("?" * len(ids))
    query = f"SELECT {quoted(key)} FROM {quoted(table)} WHERE {quoted(key)} IN ({marks})"  # noqa: S608
    return {row[0] for row in connection.execute(query, ids)}


def _told(key: Any, number: int) -> str:
    return str(key)[:200] if isinstance(key, (str, int)) else f"row {number}"
