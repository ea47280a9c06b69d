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
from samloop.store.database import chunks, current_revision, next_revision
from samloop.store.noun import Noun
from samloop.store.rows import check_row, from_example
from samloop.store.tables import (
    EXAMPLE_COLUMNS,
    redacted_identifiers,
    source_state,
    training_examples,
    validation_log,
)

ADD_AT_ONCE: Final = 1024
"""Examples per transaction of `add_examples`."""

_SET_HERE: Final = ("updated_at", "revision")
_GIVEN: Final = tuple(name for name in EXAMPLE_COLUMNS if name not in _SET_HERE)
_pick = itemgetter(*_GIVEN)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch.

    Attributes:
        inserted: one entry per row given, in order: True where it was added, False for a duplicate of a stored
            example or of an earlier row of the batch.
        new_ids: ids of the added rows, in order.
    """

    inserted: tuple[bool, ...]
    new_ids: tuple[str, ...]

    @property
    def added(self) -> int:
        """How many rows were added."""
        return len(self.new_ids)

    @property
    def duplicate(self) -> int:
        """How many rows were there already."""
        return len(self.inserted) - len(self.new_ids)


class Ingest(Noun):
    """Batches of examples, and how far each location has been read."""

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
                `flags` as JSON text. The first of several rows with one id counts.
            log: rows of validation_log (example_id, rule, outcome, measure, reason); those of duplicates are
                left out, so that reading a source again doubles nothing.
            identifiers: (example_id, digest) of each personal identifier that was redacted from a row; those of
                duplicates count, since the same redacted text may have been about somebody else.
            mark: (kind, location, value) of the source that has been read up to here.

        Raises:
            InputError: a row lacks a column or has an unknown one.
            StoreError: the store cannot be written; nothing of the batch was kept.
        """
        first: dict[str, int] = {}
        for position, row in enumerate(rows):
            first.setdefault(row["id"], position)
        if not first and mark is None:
            return Added((), ())
        now = time.time()
        with self._database.write() as connection:
            # The lock makes "look, then insert" safe on a server too; SQLite's write holds its own already.
            current_revision(connection, lock=True)
            for chunk in chunks(list(first)):
                known = select(training_examples.c.id).where(training_examples.c.id.in_(chunk))
                for stored in connection.execute(known).scalars():
                    del first[stored]
            if first:
                revision = next_revision(connection)
                _insert(connection, [rows[at] for at in first.values()], now, revision)
                _write_log(connection, [entry for entry in log if entry["example_id"] in first], now)
            _write_identifiers(connection, identifiers)
            if mark is not None:
                _set_watermark(connection, mark[0], mark[1], mark[2], now)
        inserted = [False] * len(rows)
        for position in first.values():
            inserted[position] = True
        return Added(tuple(inserted), tuple(first))

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
            for chunk in chunks(sorted(set(ids))):
                found.update(connection.execute(select(c.id).where(c.id.in_(chunk))).scalars())
        return found

    def redacted_from(self, digests: Iterable[str]) -> list[str]:
        """Ids of the stored examples that an identifier with one of these keyed hashes was redacted from, sorted.

        The hashes come from `samloop.text.identifiers`, with the key of this home.
        """
        c, found = redacted_identifiers.c, set[str]()
        with self._database.read() as connection:
            for chunk in chunks(sorted(set(digests))):
                ids = select(c.example_id).join(training_examples, training_examples.c.id == c.example_id)
                found.update(connection.execute(ids.where(c.digest.in_(chunk))).scalars())
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


def _insert(connection: Connection, rows: Sequence[Mapping[str, Any]], now: float, revision: int) -> None:
    # Core builds a dictionary of parameters per row, which took longer than SQLite needs to store it; so the
    # statement is Core's, and the tuples are made here. Drivers that bind by name keep the dictionaries.
    for row in rows:
        if len(row) != len(EXAMPLE_COLUMNS):
            check_row(row)
    statement = insert(training_examples).compile(dialect=connection.dialect, column_keys=[*_GIVEN, *_SET_HERE])
    values: list[Any]
    try:
        if statement.positional:
            values = [(*_pick(row), now, revision) for row in rows]
        else:
            values = [{**row, "updated_at": now, "revision": revision} for row in rows]
    except KeyError:
        for row in rows:
            check_row(row)
        raise
    connection.exec_driver_sql(str(statement), values)


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
    for chunk in chunks(sorted({example_id for example_id, _ in fresh})):
        for known in connection.execute(select(c.example_id, c.digest).where(c.example_id.in_(chunk))):
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
