"""What is in the store to be erased: found by what it is called, says, is about, hangs on or was made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, func, select

from samloop.store.database import among
from samloop.store.noun import Noun
from samloop.store.tables import (
    captures,
    corrections,
    feedback,
    held_out_questions,
    learnt_corrections,
    near_pairs,
    principles,
    reasoning_patterns,
    redacted_identifiers,
    review_queue,
    reviews,
    source_state,
    training_examples,
    validation_log,
)
from samloop.text.tombstones import origin_of

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
    "held_out_questions": (held_out_questions, "question_id", ("text",)),
    "reasoning_patterns": (reasoning_patterns, "pattern_id", ("steps", "metadata")),
}
"""The tables that hold texts of people, their keys and the columns to look through."""

BY_EXAMPLE: Final = (
    (validation_log, "validation_log"),
    (reviews, "reviews"),
    (review_queue, "review_queue"),
    (reasoning_patterns, "reasoning_patterns"),
    (corrections, "corrections"),
    (held_out_questions, "held_out_questions"),
    (learnt_corrections, "learnt_corrections"),
)
"""What hangs on an example by its id."""

LIVE_SOURCES: Final = (
    *("user_correction", "user_preference", "feedback", "claude_capture", "conversation_capture", "routing"),
)
"""Names of examples that are made of live rows, whose ids stand in their source_id."""


class Finds(Noun):
    """Looking for what shall go. Nothing is changed."""

    def path(self) -> Path | None:
        """The file of the database; None for a server."""
        return self._database.path

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
