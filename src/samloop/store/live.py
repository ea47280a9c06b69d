"""What was captured live: exchanges, escalations and feedback, one row each, in the order they came."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Table, func, insert, or_, select

from samloop.errors import UsageError
from samloop.home import Home
from samloop.store.database import among, current_revision
from samloop.store.noun import Noun, to_row
from samloop.store.tables import captures, feedback, redacted_identifiers, training_examples
from samloop.store.tombstones import turned_away
from samloop.text.captured import IDS, Captured

TABLES: Final[dict[str, Table]] = {"captures": captures, "feedback": feedback}

READ_AT_ONCE: Final = 256
"""Rows fetched at a time by `rows_of`: what it holds in memory."""


class Live(Noun):
    """Rows of `captures` and `feedback`: written once, never changed; those that were erased are not let in again."""

    home: Home

    def add_captured(self, table: str, rows: Sequence[Captured]) -> list[bool]:
        """Add those of `rows` that are not stored yet, in one transaction; when it returns they are on disk.

        Returns:
            one entry per row, in order: False where a row of that id was there, or earlier among `rows`.

        Raises:
            UsageError: a row has an unknown column.
            StoreError: the store cannot be written; none of the rows was kept.
        """
        columns, key = TABLES[table], TABLES[table].c[IDS[table]]
        first: dict[str, int] = {}
        for place, row in enumerate(rows):
            first.setdefault(row.id, place)
        with self._database.write() as connection:
            # Row numbers are watermarks: on a server, too, a smaller one must never become visible after a larger.
            current_revision(connection, lock=True)
            for these in among(connection, key, first):
                for id in connection.execute(select(key).where(these)).scalars().all():
                    del first[id]
            for id in self._erased(connection, [rows[place] for place in first.values()]):
                del first[id]
            if first:
                names = [column.name for column in columns.c if column.name != "number"]
                new = [to_row(columns, rows[place].row) for place in first.values()]
                new_rows = [{name: row.get(name) for name in names} for row in new]
                connection.execute(insert(columns), new_rows)
            # Under the row's id: who asks to be forgotten is found in rows as in the examples made of them.
            about = {(digest, rows[place].id) for place in first.values() for digest in rows[place].digests}
            if about:
                connection.execute(
                    insert(redacted_identifiers), [{"digest": d, "example_id": id} for d, id in sorted(about)]
                )
        fresh = set(first.values())
        return [place in fresh for place in range(len(rows))]

    def _erased(self, connection: Connection, rows: Sequence[Captured]) -> set[str]:
        """Ids of those rows that were erased once, or are of a conversation or about somebody that was."""
        about = [(row.id, digest) for row in rows for digest in row.digests]
        groups = [row.row.get("conversation_id") for row in rows]
        names = [
            (row.id, "", row.id, f"conversation:{group}" if group else None)
            for row, group in zip(rows, groups, strict=True)
        ]
        return {rows[at].id for at in turned_away(connection, self.home, names, about)}

    def rows_of(self, table: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Rows with a number above `after`, in order, as plain data; rows that come meanwhile are among them.

        Memory does not grow with their number.

        Raises:
            UsageError: there is no such table of live rows.
        """
        columns = _table(table)
        while True:
            with self._database.read() as connection:
                statement = select(columns).where(columns.c.number > after).order_by(columns.c.number)
                found = [_plain(row._mapping) for row in connection.execute(statement.limit(READ_AT_ONCE))]
            yield from found
            if len(found) < READ_AT_ONCE:
                return
            after = found[-1]["number"]

    def newest_rows(
        self, table: str, kinds: Collection[str] = (), limit: int = 20
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many rows of these kinds there are (all kinds, if empty), and the newest of them."""
        columns = _table(table)
        chosen = [columns.c.kind.in_(list(kinds))] if kinds else []
        with self._database.read() as connection:
            total = connection.execute(select(func.count()).select_from(columns).where(*chosen)).scalar_one()
            newest = select(columns).where(*chosen).order_by(columns.c.number.desc()).limit(limit)
            return total, [_plain(row._mapping) for row in connection.execute(newest)]

    def last_row(self, table: str) -> int:
        """The number of the newest row; 0 where there is none."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.max(_table(table).c.number))).scalar() or 0)

    def answers_given(self, input_hash: str, group_key: str | None = None) -> list[dict[str, Any]]:
        """The answers that stored examples give to that question, or in that group.

        Each has id, input_text, output_text, metadata, parent_id and group_key. Preferences and rejected examples are
        not among them.
        """
        c = training_examples.c
        asked = c.input_hash == input_hash
        chosen = or_(asked, c.group_key == group_key) if group_key else asked
        wanted = (c.id, c.input_text, c.output_text, c.metadata, c.parent_id, c.group_key)
        statement = select(*wanted).where(chosen, c.state != "rejected", c.format != "dpo")
        with self._database.read() as connection:
            return [_plain(row._mapping) for row in connection.execute(statement)]

    def digests_of(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """The keyed hashes of whom these rows are about, by the id of each row that is about somebody."""
        c, found = redacted_identifiers.c, dict[str, list[str]]()
        with self._database.read() as connection:
            for these in among(connection, c.example_id, sorted(set(ids))):
                for row in connection.execute(select(c.example_id, c.digest).where(these).order_by(c.digest)):
                    found.setdefault(row.example_id, []).append(row.digest)
        return found


def _table(name: str) -> Table:
    if name not in TABLES:
        raise UsageError(f"expected one of the tables {', '.join(TABLES)}, got '{name}'")
    return TABLES[name]


def _plain(row: Any) -> dict[str, Any]:
    return {name: orjson.loads(value) if name in ("messages", "metadata") else value for name, value in row.items()}
