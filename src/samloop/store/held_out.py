"""Questions that are held out for good, and which corrections each adapter has learnt."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from samloop.store.database import among
from samloop.store.noun import Noun, to_row
from samloop.store.tables import champions, held_out_questions, learnt_corrections


class HeldOut(Noun):
    """Each question tests one preference pair, a correction's or a user's; both fall together when it is erased."""

    def add_held_out(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Keep questions that are not known yet; how many those are.

        Args:
            rows: each with question_id, example_id, text, origin and, where it must never be one, why in retired.
        """
        c, now = held_out_questions.c, time.time()
        new = {
            str(row["question_id"]): {"retired": None, **to_row(held_out_questions, row), "created_at": now}
            for row in rows
        }
        with self._database.write() as connection:
            for these in among(connection, c.question_id, sorted(new)):
                for known in connection.execute(select(c.question_id).where(these)).scalars().all():
                    del new[known]
            if new:
                connection.execute(insert(held_out_questions), list(new.values()))
        return len(new)

    def held_out(self) -> list[dict[str, Any]]:
        """All questions, those that are retired too, oldest first."""
        c = held_out_questions.c
        statement = select(held_out_questions).order_by(c.created_at, c.question_id)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def retire_held_out(self, reasons: Mapping[str, str]) -> None:
        """Make questions (by id) no tests any more, for good; a reason that was given before stays."""
        c = held_out_questions.c
        with self._database.write() as connection:
            for id, reason in reasons.items():
                retire = update(held_out_questions).where(c.question_id == id, c.retired.is_(None))
                connection.execute(retire.values(retired=reason))

    def forget_tests_of(self, example_ids: Iterable[str]) -> int:
        """Remove the questions that test these examples, and what adapters learnt of them; how many rows."""
        ids, gone = sorted(set(example_ids)), 0
        with self._database.write() as connection:
            for table in (held_out_questions, learnt_corrections):
                for these in among(connection, table.c.example_id, ids):
                    gone += connection.execute(delete(table).where(these)).rowcount
        return gone

    def record_learnt(self, adapter_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep what became of each correction in an adapter; replaces what was kept of that adapter.

        Args:
            rows: each with example_id, outcome and, where there are any, reason, margin_nats, base_margin_nats and
                said_share.
        """
        c, now = learnt_corrections.c, time.time()
        empty = {column.name: None for column in c}
        new = [
            {**empty, **to_row(learnt_corrections, row), "adapter_id": adapter_id, "created_at": now} for row in rows
        ]
        with self._database.write() as connection:
            connection.execute(delete(learnt_corrections).where(c.adapter_id == adapter_id))
            if new:
                connection.execute(insert(learnt_corrections), new)

    def learnt_of(self, adapter_id: str) -> list[dict[str, Any]]:
        """What became of each correction in an adapter, by the ids of their pairs."""
        statement = select(learnt_corrections).filter_by(adapter_id=adapter_id)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(learnt_corrections.c.example_id))
            return [dict(row._mapping) for row in found]

    def learnt_by_champions(self, slot: str) -> set[str]:
        """The ids of the pairs that an adapter which serves, or has served, in `slot` preferred the right way."""
        c = learnt_corrections.c
        served = select(champions.c.adapter_id).where(champions.c.slot == slot, champions.c.adapter_id.is_not(None))
        statement = (
            select(c.example_id).where(c.adapter_id.in_(served), c.outcome.in_(("learnt", "known before"))).distinct()
        )
        with self._database.read() as connection:
            return set(connection.execute(statement).scalars())
