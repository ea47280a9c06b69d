"""Duplicates among stored examples: found, and all but the best of each group rejected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import orjson
from sqlalchemy import Column, Connection, Row, bindparam, func, insert, select, update

from samloop.errors import UsageError
from samloop.store.database import among, next_revision
from samloop.store.noun import Noun
from samloop.store.tables import training_examples, validation_log

Strategy = Literal["content", "input", "near"]


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Examples that are the same for one strategy: `kept` stays, `rejected` go; ids."""

    kept: str
    rejected: tuple[str, ...]


class Duplicates(Noun):
    """Removal of duplicates.

    Attributes:
        find_near: rejects near-duplicates, or only finds them where it is told so; whoever opens a home with its
            recipe and its index puts it here.
    """

    find_near: Callable[[bool], list[DuplicateGroup]] | None = None

    def reject_duplicates(self, groups: Sequence[DuplicateGroup], why: str = "duplicate") -> None:
        """Reject all but the best of each group, in one transaction; the reason is "WHY of ID"."""
        if groups:
            with self._database.write() as connection:
                _reject(connection, groups, next_revision(connection), why)

    def deduplicate(self, strategy: Strategy = "content", dry_run: bool = False) -> list[DuplicateGroup]:
        """Reject all but the best of each group of duplicates among examples that are not rejected.

        "content": the same whole content. "input": the same question, in the same context and under the same
        system prompt; preference pairs are compared with preference pairs only, since a correction is meant to
        give both a pair and a plain answer. "near": almost the same is asked and answered; only for the store of an
        opened home. The best has the higher score, then was reviewed by a person, then is
        longer, then has the smaller id.

        Args:
            dry_run: change nothing, only say what would be done.

        Returns:
            the groups, by the id of what is kept.

        Raises:
            UsageError: the strategy is unknown, or needs a home that is open.
        """
        if strategy == "near":
            if self.find_near is None:
                raise UsageError("near-duplicates need the index of a home; open it with samloop.open_context")
            return self.find_near(dry_run)
        if strategy not in ("content", "input"):
            raise UsageError(f"expected the strategy content, input or near, got '{strategy}'")
        if dry_run:
            with self._database.read() as connection:
                return sorted(_groups(connection, strategy), key=lambda group: group.kept)
        with self._database.write() as connection:
            groups = sorted(_groups(connection, strategy), key=lambda group: group.kept)
            if groups:
                _reject(connection, groups, next_revision(connection))
        return groups


def _groups(connection: Connection, strategy: str) -> Iterator[DuplicateGroup]:
    c = training_examples.c
    column: Column[str] = c.content_hash if strategy == "content" else c.input_hash
    live = c.state != "rejected"
    repeated = select(column).where(live).group_by(column).having(func.count() > 1)
    hashes = list(connection.execute(repeated).scalars())
    length = func.length(c.input_text) + func.length(c.output_text)
    wanted = (c.id, column.label("hash"), c.format, c.system_prompt, c.context, c.quality_score, c.validated)
    for these in among(connection, column, hashes):
        statement = select(*wanted, c.metadata.label("about"), length.label("length")).where(live, these)
        rows = sorted(connection.execute(statement), key=lambda row: _sameness(row, strategy))
        for _, members in groupby(rows, key=lambda row: _sameness(row, strategy)):
            ranked = sorted(members, key=_rank)
            if len(ranked) > 1:
                yield DuplicateGroup(ranked[0].id, tuple(row.id for row in ranked[1:]))


def _sameness(row: Row[Any], strategy: str) -> tuple[Any, ...]:
    if strategy == "content":
        return (row.hash,)
    return (row.hash, row.format == "dpo", row.system_prompt or "", row.context or "")


def _rank(row: Row[Any]) -> tuple[Any, ...]:
    reviewed = row.validated or bool(orjson.loads(row.about).get("human_reviewed"))
    return (-row.quality_score, not reviewed, -row.length, row.id)


def _reject(connection: Connection, groups: Sequence[DuplicateGroup], revision: int, why: str = "duplicate") -> None:
    now = time.time()
    losers = [(id, f"{why} of {group.kept}") for group in groups for id in group.rejected]
    statement = (
        update(training_examples)
        .where(training_examples.c.id == bindparam("key"))
        .values(state="rejected", reason=bindparam("why"), revision=revision, updated_at=now)
    )
    connection.execute(statement, [{"key": id, "why": reason} for id, reason in losers])
    entry = {"rule": why.replace("-", "_"), "outcome": "reject", "measure": None, "created_at": now}
    connection.execute(insert(validation_log), [{**entry, "example_id": id, "reason": why} for id, why in losers])
