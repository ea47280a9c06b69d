"""Erasure in the store: what is chosen to go, what is gone, and what must not come back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, delete, insert, select, update

from samloop.errors import NotFoundError, StoreError
from samloop.example import to_json
from samloop.home import Home
from samloop.store.database import among, next_revision
from samloop.store.noun import find_key, to_plain
from samloop.store.purge_finds import BY_EXAMPLE, TEXTS, Finds
from samloop.store.tables import (
    adapters,
    champions,
    decisions,
    evaluations,
    export_history,
    job_runs,
    jobs,
    near_pairs,
    purges,
    redacted_identifiers,
    stats_cache,
    tombstones,
    training_examples,
    training_runs,
    trials,
)
from samloop.store.tombstones import any_stone, erased_among
from samloop.text.tombstones import RECORD, tombstone

QUOTING: Final = (
    *((evaluations, name) for name in ("scores", "comparisons")),
    *((training_runs, name) for name in ("metrics", "result", "error")),
    *((adapters, name) for name in ("scores", "lineage")),
    (decisions, "decision"),
    (export_history, "filters"),
    (job_runs, "result"),
    (jobs, "last_result"),
    (champions, "reason"),
    *((trials, name) for name in ("reason", "standing")),
)
"""Columns that are nobody's text, but may quote some."""

_OVERWRITE: Final = "PRAGMA secure_delete = ON"


class Purges(Finds):
    """Purges, their receipts, and tombstones."""

    home: Home

    # --- the deed ------------------------------------------------------------------------------------------------

    def begin_purge(
        self,
        purge_id: str,
        *,
        journal: Mapping[str, Any],
        receipt: Mapping[str, Any],
        stones: Iterable[tuple[str, str]],
    ) -> None:
        """Record what is to go, and see from now on that nothing of it comes in again: both or neither.

        Args:
            stones: digest and kind of each tombstone.
        """
        now = time.time()
        rows = [{"digest": d, "kind": kind, "purge_id": purge_id} for d, kind in sorted(set(stones))]
        with self._database.write() as connection:
            connection.execute(
                insert(purges).values(
                    purge_id=purge_id,
                    state="begun",
                    journal=to_json(journal),
                    receipt=to_json(receipt),
                    created_at=now,
                    updated_at=now,
                )
            )
            if rows:
                connection.execute(insert(tombstones), rows)

    def erase(
        self,
        purge_id: str,
        ids: Collection[str],
        rows: Mapping[str, Collection[Any]],
        *,
        receipt: Callable[[Mapping[str, int]], Mapping[str, Any]],
    ) -> dict[str, int]:
        """Delete examples, rows and all that hangs on them, in one transaction; counts by table.

        Args:
            rows: keys of further rows, by name of the table.
            receipt: makes the receipt of the counts; it is stored in the same transaction, and the journal emptied.
        """
        gone: dict[str, int] = {}
        chosen = sorted(ids)
        with self._database.write() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(_OVERWRITE)
            next_revision(connection)
            gone["examples"] = _delete(connection, training_examples.c.id, chosen)
            for table, name in BY_EXAMPLE:
                gone[name] = _delete(connection, table.c.example_id, chosen)
            pairs = (near_pairs.c.example_id, near_pairs.c.match_id)
            gone["near_pairs"] = sum(_delete(connection, column, chosen) for column in pairs)
            for name, keys in rows.items():
                table, key, _ = TEXTS[name]
                gone[name] = gone.get(name, 0) + _delete(connection, table.c[key], list(keys))
            about = [*chosen, *rows.get("captures", ()), *rows.get("feedback", ())]
            gone["redacted_identifiers"] = _delete(connection, redacted_identifiers.c.example_id, about)
            connection.execute(delete(stats_cache))
            values = {"state": "erased", "journal": "{}", "receipt": to_json(receipt(gone))}
            connection.execute(
                update(purges).where(purges.c.purge_id == purge_id).values(updated_at=time.time(), **values)
            )
        return gone

    def take_out(self, scrub: Callable[[str], str]) -> int:
        """Take quotes out of figures and reasons that stay; how many values were changed.

        Args:
            scrub: gives the text, or JSON text, without them; the very same where there is none.
        """
        with self._database.write() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(_OVERWRITE)
            return _scrub(connection, scrub)

    def compact(self) -> bool:
        """Let no byte of what was deleted stay in the files of the database; False where only its server can.

        Free pages are overwritten by writing the database anew, and the write-ahead log is emptied.

        Raises:
            StoreError: another process reads or writes the store, or the disk has no room for it.
        """
        if self._database.path is None:
            return False
        with self._database.translated():
            connection = self._database.engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(_OVERWRITE)
                cursor.execute("VACUUM")
                busy = 1
                deadline = time.monotonic() + self._database.busy_timeout_seconds
                while busy:
                    busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                    if busy and time.monotonic() > deadline:
                        raise StoreError(
                            f"another process reads the store {self._database.place}, so that its log still holds "
                            "what was deleted; end that process, and finish with 'samloop purge --resume latest'"
                        )
                    if busy:
                        time.sleep(0.05)
            except sqlite3.OperationalError as error:
                if "SQL statements in progress" in str(error):
                    raise StoreError("the store is being read in this process; close that first") from error
                raise
            finally:
                connection.close()
        return True

    def update_purge(self, purge_id: str, *, state: str, receipt: Mapping[str, Any]) -> None:
        """Say how far a purge has come."""
        with self._database.write() as connection:
            values = {"state": state, "receipt": to_json(receipt), "updated_at": time.time()}
            connection.execute(update(purges).where(purges.c.purge_id == purge_id).values(**values))

    # --- afterwards ----------------------------------------------------------------------------------------------

    def get_purge(self, purge_id: str) -> dict[str, Any]:
        """A purge by its id, a beginning that no other shares, or "latest".

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        if purge_id == "latest":
            found = self.list_purges()
            if not found:
                raise NotFoundError("nothing was ever purged from this home")
            return found[0]
        with self._database.read() as connection:
            whole = find_key(connection, purges.c.purge_id, purge_id, "purge")
            return to_plain(connection.execute(select(purges).where(purges.c.purge_id == whole)).one())

    def list_purges(self) -> list[dict[str, Any]]:
        """Purges, newest first: purge_id, state, journal, receipt and times."""
        with self._database.read() as connection:
            rows = connection.execute(select(purges).order_by(purges.c.created_at.desc(), purges.c.purge_id))
            return [to_plain(row) for row in rows]

    def lift(self, purge_id: str) -> int:
        """Let what a purge erased come in again; how many tombstones are gone."""
        with self._database.write() as connection:
            chosen = delete(tombstones).where(tombstones.c.purge_id == purge_id)
            return connection.execute(chosen).rowcount

    # --- coming in -----------------------------------------------------------------------------------------------

    def tombstoned(self, ids: Iterable[str]) -> set[str]:
        """Which of these ids of examples were erased and must not be trained on."""
        with self._database.read() as connection:
            if not any_stone(connection):
                return set()
            key = self.home.identifier_key()
            by_digest = {tombstone(key, RECORD, id): id for id in ids}
            return {by_digest[digest] for digest in erased_among(connection, by_digest)}


def _delete(connection: Connection, column: Column[Any], keys: Sequence[Any]) -> int:
    return sum(
        connection.execute(delete(column.table).where(these)).rowcount for these in among(connection, column, keys)
    )


def _scrub(connection: Connection, scrub: Callable[[str], str]) -> int:
    """Take quotes out of figures and reasons; how many values were changed."""
    changed = 0
    for table, name in QUOTING:
        keys = list(table.primary_key.columns)
        for row in connection.execute(select(*keys, table.c[name]).where(table.c[name].is_not(None))).all():
            *values, before = row
            after = scrub(before)
            if after != before:
                mine = [key == value for key, value in zip(keys, values, strict=True)]
                connection.execute(update(table).where(*mine).values({name: after}))
                changed += 1
    return changed
