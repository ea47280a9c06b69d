"""Taking in a batch: new examples, what the rules said about them, and the watermark, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from samloop.example import Example, to_json
from samloop.home import Home
from samloop.rows import Rows
from samloop.store.database import among, current_revision, next_revision
from samloop.store.noun import Noun
from samloop.store.rows import check_row, from_example
from samloop.store.tables import (
    EXAMPLE_COLUMNS,
    redacted_identifiers,
    source_state,
    training_examples,
    validation_log,
)
from samloop.store.tombstones import any_stone, turned_away

ADD_AT_ONCE: Final = 1024
"""Examples per transaction of `add_examples`."""

_SET_HERE: Final = ("updated_at", "revision")
_GIVEN: Final = tuple(name for name in EXAMPLE_COLUMNS if name not in _SET_HERE)
_NAMES: Final = frozenset(_GIVEN)
_pick = itemgetter(*_GIVEN)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch.

    Attributes:
        inserted: one entry per row given, in order: True where it was added, False for a duplicate of a stored
            example or of an earlier row of the batch.
        new_ids: ids of the added rows, in order.
        erased: places of the rows that were erased once and are not let in again.
    """

    inserted: tuple[bool, ...]
    new_ids: tuple[str, ...]
    erased: tuple[int, ...] = ()

    @property
    def added(self) -> int:
        """How many rows were added."""
        return len(self.new_ids)

    @property
    def duplicate(self) -> int:
        """How many rows were there already."""
        return len(self.inserted) - len(self.new_ids) - len(self.erased)


class Ingest(Noun):
    """Batches of examples, and how far each location has been read."""

    home: Home

    def add_batch(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        log: Sequence[Mapping[str, Any]] = (),
        identifiers: Sequence[tuple[str, str]] = (),
        mark: tuple[str, str, Mapping[str, Any]] | None = None,
    ) -> Added:
        """Add the rows whose id is not stored yet, their log and the watermark: all of it or nothing.

        Args:
            rows: every column of training_examples but the revision; `conversation_history`, `metadata` and
                `flags` as JSON text. `Rows` go in at half the cost of dictionaries. The first of several rows with
                one id counts.
            log: rows of validation_log (example_id, rule, outcome, measure, reason); those of duplicates are
                left out, so that reading a source again doubles nothing.
            identifiers: (example_id, digest) of each personal identifier that was redacted from a row; those of
                duplicates count, since the same redacted text may have been about somebody else.
            mark: (kind, location, value) of the source that has been read up to here.

        Raises:
            InputError: a row lacks a column or has an unknown one.
            StoreError: the store cannot be written; nothing of the batch was kept.
        """
        ids = rows.columns.get("id", []) if isinstance(rows, Rows) else [row["id"] for row in rows]
        first: dict[str, int] = {}
        for position, id in enumerate(ids):
            first.setdefault(id, position)
        if not first and mark is None:
            return Added((), ())
        now = time.time()
        with self._database.write() as connection:
            # The lock makes "look, then insert" safe on a server too; SQLite's write holds its own already.
            current_revision(connection, lock=True)
            for known in among(connection, training_examples.c.id, first):
                for stored in connection.execute(select(training_examples.c.id).where(known)).scalars().all():
                    del first[stored]
            barred = self._turned_away(connection, rows, first, identifiers)
            first = {id: position for id, position in first.items() if id not in barred}
            if barred:
                identifiers = [one for one in identifiers if one[0] not in barred]
            if first:
                revision = next_revision(connection)
                _insert(connection, rows, list(first.values()), now, revision)
                _write_log(connection, [entry for entry in log if entry["example_id"] in first], now)
            _write_identifiers(connection, identifiers)
            if mark is not None:
                _set_watermark(connection, mark[0], mark[1], mark[2], now)
        inserted = [False] * len(rows)
        for position in first.values():
            inserted[position] = True
        erased = tuple(place for place, id in enumerate(ids) if id in barred) if barred else ()
        return Added(tuple(inserted), tuple(first), erased)

    def _turned_away(
        self,
        connection: Connection,
        rows: Sequence[Mapping[str, Any]],
        first: Mapping[str, int],
        identifiers: Sequence[tuple[str, str]],
    ) -> set[str]:
        """Ids of those of the new rows that were erased once, or are about somebody who was."""
        if not first or not any_stone(connection):
            return set()
        if isinstance(rows, Rows):
            columns = [rows.columns[name] for name in ("source", "source_id", "group_key")]
            names = [(id, *(values[at] for values in columns)) for id, at in first.items()]
        else:
            names = [
                (id, *(rows[at].get(n) for n in ("source", "source_id", "group_key"))) for id, at in first.items()
            ]
        return {names[at][0] for at in turned_away(connection, self.home, names, identifiers)}

    def add_example(self, example: Example) -> bool:
        """Add one example; True when it is new.

        It is sealed first where it is not. Its state stays what it says, by default "review": nothing gets into a
        dataset around the rules.
        """
        return self.add_examples((example,)).added == 1

    def add_examples(self, examples: Iterable[Example]) -> Added:
        """Add many examples, in transactions of a thousand; see `add_example`."""
        inserted: list[bool] = []
        new_ids: list[str] = []
        portion: list[dict[str, Any]] = []

        def flush() -> None:
            added = self.add_batch(portion)
            inserted.extend(added.inserted)
            new_ids.extend(added.new_ids)
            portion.clear()

        for example in examples:
            portion.append(from_example(example if example.id else example.sealed()))
            if len(portion) == ADD_AT_ONCE:
                flush()
        flush()
        return Added(tuple(inserted), tuple(new_ids))

    def stored(self, ids: Iterable[str]) -> set[str]:
        """Which of these ids are stored, in whatever state."""
        c, found = training_examples.c, set[str]()
        with self._database.read() as connection:
            for these in among(connection, c.id, sorted(set(ids))):
                found.update(connection.execute(select(c.id).where(these)).scalars())
        return found

    def redacted_from(self, digests: Iterable[str]) -> list[str]:
        """Ids of the stored examples that an identifier with one of these keyed hashes was redacted from, sorted.

        The hashes come from `samloop.text.identifiers`, with the key of this home.
        """
        c, found = redacted_identifiers.c, set[str]()
        with self._database.read() as connection:
            for known in among(connection, c.digest, sorted(set(digests))):
                ids = select(c.example_id).join(training_examples, training_examples.c.id == c.example_id)
                found.update(connection.execute(ids.where(known)).scalars())
        return sorted(found)

    def watermark(self, kind: str, location: str) -> dict[str, Any] | None:
        """How far `location` has been read as a source of that kind; None: never."""
        c = source_state.c
        with self._database.read() as connection:
            value = connection.execute(select(c.value).where(c.kind == kind, c.location == location)).scalar()
        return None if value is None else dict(orjson.loads(value))

    def set_watermark(self, kind: str, location: str, value: Mapping[str, Any]) -> None:
        """Record how far `location` has been read; `add_batch` does it together with the examples."""
        with self._database.write() as connection:
            _set_watermark(connection, kind, location, value, time.time())

    def forget_watermark(self, kind: str, location: str) -> bool:
        """Read `location` from its beginning next time; True when it had been read before."""
        c = source_state.c
        with self._database.write() as connection:
            gone = connection.execute(delete(source_state).where(c.kind == kind, c.location == location))
        return gone.rowcount > 0


def _insert(
    connection: Connection, rows: Sequence[Mapping[str, Any]], places: list[int], now: float, revision: int
) -> None:
    """Insert the rows at `places`."""
    # Core builds a dictionary of parameters per row, which took longer than SQLite needs to store it; so the
    # statement is Core's, and the tuples are made here. Drivers that bind by name keep the dictionaries.
    names = [*_GIVEN, *_SET_HERE]
    statement = insert(training_examples).compile(dialect=connection.dialect, column_keys=names)
    values: list[Any] = [(*row, now, revision) for row in _tuples(rows, places)]
    if not statement.positional:
        values = [dict(zip(names, row, strict=True)) for row in values]
    connection.exec_driver_sql(str(statement), values)


def _tuples(rows: Sequence[Mapping[str, Any]], places: list[int]) -> Iterable[tuple[Any, ...]]:
    """What is given of each row, in the order of `_GIVEN`."""
    if isinstance(rows, Rows):
        check_row(rows.columns)
        given = [rows.columns[name] for name in _GIVEN]
        if len(places) < len(rows):
            given = [[values[at] for at in places] for values in given]
        return zip(*given, strict=True)
    for at in places:
        if len(rows[at]) != len(EXAMPLE_COLUMNS) or not rows[at].keys() >= _NAMES:
            check_row(rows[at])
    return [_pick(rows[at]) for at in places]


def _write_log(connection: Connection, log: Sequence[Mapping[str, Any]], now: float) -> None:
    if log:
        entries = [
            {
                "example_id": entry["example_id"],
                "rule": entry["rule"],
                "outcome": entry["outcome"],
                "measure": entry.get("measure"),
                "reason": entry.get("reason"),
                "created_at": now,
            }
            for entry in log
        ]
        connection.execute(insert(validation_log), entries)


def _write_identifiers(connection: Connection, identifiers: Sequence[tuple[str, str]]) -> None:
    c, fresh = redacted_identifiers.c, dict.fromkeys(identifiers)
    for these in among(connection, c.example_id, sorted({example_id for example_id, _ in fresh})):
        for known in connection.execute(select(c.example_id, c.digest).where(these)):
            fresh.pop((known.example_id, known.digest), None)
    if fresh:
        rows = [{"example_id": example_id, "digest": digest} for example_id, digest in fresh]
        connection.execute(insert(redacted_identifiers), rows)


def _set_watermark(connection: Connection, kind: str, location: str, value: Mapping[str, Any], now: float) -> None:
    c = source_state.c
    values = {"value": to_json(value), "updated_at": now}
    changed = connection.execute(
        update(source_state).where(c.kind == kind, c.location == location).values(**values)
    ).rowcount
    if not changed:
        connection.execute(insert(source_state).values(kind=kind, location=location, **values))
