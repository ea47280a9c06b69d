"""Erasure in the store: what is chosen to go, what is gone, and what must not come back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, func, insert, select, update

from samloop.errors import NotFoundError, StoreError
from samloop.example import to_json
from samloop.home import Home
from samloop.store.database import among, next_revision
from samloop.store.noun import Noun, find_key, to_plain
from samloop.store.tables import (
    adapters,
    captures,
    corrections,
    decisions,
    evaluations,
    export_history,
    feedback,
    job_runs,
    jobs,
    near_pairs,
    principles,
    purges,
    reasoning_patterns,
    redacted_identifiers,
    review_queue,
    reviews,
    source_state,
    stats_cache,
    tombstones,
    training_examples,
    training_runs,
    validation_log,
)
from samloop.text.tombstones import ORIGIN, PLACE, RECORD, origin_of, places_of, tombstone

TEXTS: Final[dict[str, tuple[Table, str, tuple[str, ...]]]] = {
    "examples": (
        training_examples,
        "id",
        (
            *("input_text", "output_text", "system_prompt", "context", "rejected_output", "preference_reason"),
            *("conversation_history", "metadata", "reason", "group_key", "source_id"),
        ),
    ),
    "captures": (
        captures,
        "capture_id",
        ("messages", "local_answer", "teacher_answer", "teacher", "metadata", "conversation_id"),
    ),
    "feedback": (
        feedback,
        "feedback_id",
        ("input_text", "output_text", "better_text", "reason", "metadata", "conversation_id"),
    ),
    "reviews": (reviews, "number", ("reviewer", "reason", "before")),
    "corrections": (corrections, "correction_id", ("input_text", "incorrect", "why", "correct", "metadata")),
    "principles": (principles, "principle_id", ("text", "metadata")),
    "reasoning_patterns": (reasoning_patterns, "pattern_id", ("steps", "metadata")),
}
"""The tables that hold texts of people, their keys and the columns to look through."""

BY_EXAMPLE: Final = (
    (validation_log, "validation_log"),
    (reviews, "reviews"),
    (review_queue, "review_queue"),
    (reasoning_patterns, "reasoning_patterns"),
    (corrections, "corrections"),
)
"""What hangs on an example by its id."""

QUOTING: Final = (
    *((evaluations, name) for name in ("scores", "comparisons")),
    *((training_runs, name) for name in ("metrics", "result", "error")),
    *((adapters, name) for name in ("scores", "lineage")),
    (decisions, "decision"),
    (export_history, "filters"),
    (job_runs, "result"),
    (jobs, "last_result"),
)
"""Columns that are nobody's text, but may quote some."""

LIVE_SOURCES: Final = (
    *("user_correction", "user_preference", "feedback", "claude_capture", "conversation_capture", "routing"),
)
"""Names of examples that are made of live rows, whose ids stand in their source_id."""

_OVERWRITE: Final = "PRAGMA secure_delete = ON"


class Purges(Noun):
    """Purges, their receipts, and tombstones."""

    home: Home

    def path(self) -> Path | None:
        """The file of the database; None for a server."""
        return self._database.path

    # --- what is there -------------------------------------------------------------------------------------------

    def texts_of(self, table: str) -> Iterator[tuple[Any, str]]:
        """The key of each row of a table that holds texts of people, and all its texts as one.

        JSON stands in it as JSON text. Memory does not grow with the number of rows.
        """
        rows, key, names = TEXTS[table]
        statement = select(rows.c[key], *(rows.c[name] for name in names)).order_by(rows.c[key])
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=1024).execute(statement):
                yield row[0], "\x1f".join(map(str, filter(None, row[1:])))

    def outlines(self, ids: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """What examples are called: id, source, source_id, group_key, parent_id, metadata (JSON text), created_at."""
        c = training_examples.c
        wanted = (c.id, c.source, c.source_id, c.group_key, c.parent_id, c.metadata, c.created_at)
        with self._database.read() as connection:
            chosen = [None] if ids is None else among(connection, c.id, sorted(ids))
            for these in chosen:
                statement = select(*wanted) if these is None else select(*wanted).where(these)
                for row in connection.execution_options(yield_per=1024).execute(statement):
                    yield dict(row._mapping)

    def related(self, ids: Collection[str]) -> set[str]:
        """Examples that were derived from these or these from them, and those made of the same live row."""
        c, found = training_examples.c, set[str]()
        with self._database.read() as connection:
            own: set[str] = set()
            for these in among(connection, c.id, sorted(ids)):
                own |= {parent for (parent,) in connection.execute(select(c.parent_id).where(these)) if parent}
            # A parent is an example, or stands for a correction that several examples were made of.
            for column, values in ((c.parent_id, {*ids, *own}), (c.id, own)):
                for these in among(connection, column, sorted(values)):
                    found.update(connection.execute(select(c.id).where(these)).scalars())
        return found - set(ids)

    def made_of_rows(self, rows: Collection[str]) -> set[str]:
        """Examples that were made of these rows of captures or feedback."""
        c, found = training_examples.c, set[str]()
        with self._database.read() as connection:
            statement = select(c.id, c.source_id).where(c.source.in_(LIVE_SOURCES))
            for row in connection.execution_options(yield_per=1024).execute(statement):
                if (row.source_id or "").partition("#")[0] in rows:
                    found.add(row.id)
        return found

    def live_rows(self, ids: Iterable[str]) -> dict[str, set[str]]:
        """Those of these ids that are rows of captures and of feedback."""
        found: dict[str, set[str]] = {}
        wanted = sorted(set(ids))
        with self._database.read() as connection:
            for name in ("captures", "feedback"):
                table, key, _ = TEXTS[name]
                found[name] = set()
                for these in among(connection, table.c[key], wanted):
                    found[name].update(connection.execute(select(table.c[key]).where(these)).scalars())
        return found

    def about(self, digests: Iterable[str]) -> set[str]:
        """Ids of the examples and live rows that an identifier with one of these hashes was redacted from."""
        c, found = redacted_identifiers.c, set[str]()
        with self._database.read() as connection:
            for these in among(connection, c.digest, sorted(set(digests))):
                found.update(connection.execute(select(c.example_id).where(these)).scalars())
        return found

    def origins_of(self, ids: Collection[str]) -> set[str]:
        """The origins of these examples that no other example shares, as tombstones name them.

        An origin without a group is none: the lines of a file are numbered alike in every file of that name.
        """
        c, found, shared = training_examples.c, set[str](), set[str]()
        for one in self.outlines(ids):
            if one["source_id"] and one["group_key"]:
                found.add(origin_of(one["source"], one["source_id"], one["group_key"]))
        with self._database.read() as connection:
            statement = select(c.id, c.source, c.source_id, c.group_key).where(
                c.source_id.is_not(None), c.group_key.is_not(None)
            )
            for row in connection.execution_options(yield_per=1024).execute(statement):
                if row.id not in ids and (origin := origin_of(row.source, row.source_id, row.group_key)) in found:
                    shared.add(origin)
        return found - shared

    def locations(self) -> list[tuple[str, str]]:
        """Kind and location of each source that was read."""
        c = source_state.c
        with self._database.read() as connection:
            return [(row.kind, row.location) for row in connection.execute(select(c.kind, c.location))]

    def hanging_on(self, ids: Collection[str]) -> dict[str, int]:
        """How many rows hang on these examples, by table."""
        counts: dict[str, int] = {}
        with self._database.read() as connection:
            for table, name in BY_EXAMPLE:
                counts[name] = sum(
                    connection.execute(select(func.count()).select_from(table).where(these)).scalar_one()
                    for these in among(connection, table.c.example_id, sorted(ids))
                )
        return counts

    def look_alikes(self, ids: Collection[str]) -> set[str]:
        """Examples that are near-duplicates of these and not among them."""
        c, found = near_pairs.c, set[str]()
        with self._database.read() as connection:
            for mine, other in ((c.example_id, c.match_id), (c.match_id, c.example_id)):
                for these in among(connection, mine, sorted(ids)):
                    found.update(connection.execute(select(other).where(these)).scalars())
            found -= set(ids)
            kept: set[str] = set()
            for these in among(connection, training_examples.c.id, sorted(found)):
                kept.update(connection.execute(select(training_examples.c.id).where(these)).scalars())
        return kept

    def texts_in(self, ids: Collection[str], rows: Mapping[str, Collection[str]]) -> Iterator[dict[str, Any]]:
        """The texts of these examples and rows, by column, as they are stored; for what quotes them to be found."""
        chosen = {"examples": ids, **rows}
        with self._database.read() as connection:
            for name, keys in chosen.items():
                table, key, names = TEXTS[name]
                columns = [table.c[n] for n in names if n not in ("reviewer", "teacher", "group_key", "source_id")]
                for these in among(connection, table.c[key], sorted(keys)):
                    for row in connection.execute(select(*columns).where(these)):
                        yield dict(row._mapping)

    def system_prompts_besides(self, ids: Collection[str], prompts: Collection[str]) -> set[str]:
        """Those of these system prompts that other examples have as well."""
        c, found = training_examples.c, set[str]()
        with self._database.read() as connection:
            for these in among(connection, c.system_prompt, sorted(prompts)):
                for row in connection.execute(select(c.id, c.system_prompt).where(these)):
                    if row.id not in ids:
                        found.add(row.system_prompt)
                        if len(found) == len(prompts):
                            break
        return found

    def runs_that_saw(self, ids: Collection[str]) -> dict[str, set[str]]:
        """The splits of each run in which one of these examples was."""
        from samloop.store.tables import run_examples

        c, found = run_examples.c, dict[str, set[str]]()
        with self._database.read() as connection:
            for these in among(connection, c.example_id, sorted(ids)):
                for run_id, split in connection.execute(select(c.run_id, c.split).where(these).distinct()):
                    found.setdefault(run_id, set()).add(split)
        return found

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


def any_stone(connection: Connection) -> bool:
    """Whether anything was ever erased."""
    return connection.execute(select(tombstones.c.digest).limit(1)).first() is not None


def erased_among(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Those of these digests that are tombstones."""
    c, found = tombstones.c, set[str]()
    for these in among(connection, c.digest, sorted(set(digests))):
        found.update(connection.execute(select(c.digest).where(these)).scalars())
    return found


def turned_away(
    connection: Connection,
    home: Home,
    names: Sequence[tuple[str, str, str | None, str | None]],
    about: Iterable[tuple[str, str]],
) -> set[int]:
    """The places in `names` of records that were erased and come again.

    Args:
        names: id, source, source_id and group_key of each.
        about: id and digest of each identifier that was redacted from one of them.
    """
    if not names or not any_stone(connection):
        return set()
    key, persons = home.identifier_key(), dict[str, set[str]]()
    for id, digest in about:
        persons.setdefault(id, set()).add(digest)
    made: dict[tuple[str, str], str] = {}
    stones: list[list[str]] = []
    for id, source, source_id, group_key in names:
        said = [(RECORD, id), *((PLACE, place) for place in places_of(source_id, group_key))]
        if source_id and group_key:
            said.append((ORIGIN, origin_of(source, source_id, group_key)))
        for one in said:
            if one not in made:
                made[one] = tombstone(key, *one)
        stones.append([made[one] for one in said] + sorted(persons.get(id, ())))
    found = erased_among(connection, (digest for these in stones for digest in these))
    return {at for at, these in enumerate(stones) if not found.isdisjoint(these)}


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
