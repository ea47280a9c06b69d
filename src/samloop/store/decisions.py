"""Evaluations, and the decisions of the gate: written once, never changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import insert, select

from samloop.errors import NotFoundError, UsageError
from samloop.example import to_json
from samloop.store.noun import Noun, find_key, to_plain, to_row
from samloop.store.tables import decisions, evaluations


class Decisions(Noun):
    """Evaluations and decisions."""

    def add_evaluation(
        self,
        evaluation_id: str,
        *,
        slot: str,
        run_id: str | None = None,
        champion_id: str | None = None,
        challenger_id: str | None = None,
        scores: Mapping[str, Any] | None = None,
        comparisons: Sequence[Mapping[str, Any]] = (),
        path: str | None = None,
    ) -> bool:
        """Record an evaluation; False when it is recorded already, which changes nothing.

        Args:
            champion_id: who was compared with; None: the bare base.
            path: the evaluation's folder.
        """
        row = to_row(
            evaluations,
            {
                "evaluation_id": evaluation_id,
                "slot": slot,
                "run_id": run_id,
                "champion_id": champion_id,
                "challenger_id": challenger_id,
                "scores": scores or {},
                "comparisons": list(comparisons),
                "path": path,
                "created_at": time.time(),
            },
        )
        with self._database.write() as connection:
            if connection.execute(select(evaluations).filter_by(evaluation_id=evaluation_id)).first() is not None:
                return False
            connection.execute(insert(evaluations).values(**row))
        return True

    def get_evaluation(self, evaluation_id: str) -> dict[str, Any]:
        """An evaluation by its id or a beginning that no other shares, as plain data.

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        c = evaluations.c
        with self._database.read() as connection:
            whole = find_key(connection, c.evaluation_id, evaluation_id, "evaluation")
            return to_plain(connection.execute(select(evaluations).where(c.evaluation_id == whole)).one())

    def list_evaluations(self, *, slot: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Evaluations, newest first."""
        c = evaluations.c
        statement = select(evaluations).order_by(c.created_at.desc(), c.evaluation_id).limit(limit)
        if slot is not None:
            statement = statement.where(c.slot == slot)
        with self._database.read() as connection:
            return [to_plain(row) for row in connection.execute(statement)]

    def add_decision(self, evaluation_id: str, *, decision: Mapping[str, Any], run_id: str | None = None) -> bool:
        """Append a decision; False when the last one on that evaluation says the same, which changes nothing.

        The same figures can be decided on again, by another policy of the gate.

        Args:
            decision: what the gate said, as plain data; kept whole. It must hold slot, verdict, challenger and
                champion.
            run_id: the run that made the challenger.

        Raises:
            UsageError: the decision lacks one of these.
        """
        row = {"evaluation_id": evaluation_id, "run_id": run_id, "decision": to_json(decision)}
        for name in ("slot", "verdict", "challenger", "champion"):
            if decision.get(name) is None:
                raise UsageError(f"expected a decision with '{name}', got one without it")
            row[name] = str(decision[name])
        with self._database.write() as connection:
            last = select(decisions.c.decision).where(decisions.c.evaluation_id == evaluation_id)
            if connection.execute(last.order_by(decisions.c.number.desc())).scalar() == row["decision"]:
                return False
            connection.execute(insert(decisions).values(**row, created_at=time.time()))
        return True

    def decisions(self, limit: int | None = None, *, slot: str | None = None) -> list[dict[str, Any]]:
        """Decisions, newest first: what the gate said, with number, evaluation_id, run_id and created_at."""
        c = decisions.c
        statement = select(decisions).order_by(c.number.desc()).limit(limit)
        if slot is not None:
            statement = statement.where(c.slot == slot)
        with self._database.read() as connection:
            rows = [to_plain(row) for row in connection.execute(statement)]
        return [{**row.pop("decision"), **row} for row in rows]

    def look_number(self, slot: str, champion: str, evaluation_id: str) -> int:
        """Which look at that champion an evaluation is, from 1 on; one that was decided on before keeps its number.

        Looks are the evaluations that a decision weighed, in the order of their first decision, whatever the clock
        said and whoever served in between. A decision that found too few items weighed nothing.

        Args:
            champion: an adapter's id, or "base".
        """
        c = decisions.c
        statement = select(c.evaluation_id, c.decision).where(c.slot == slot, c.champion == champion)
        seen: dict[str, None] = {}
        with self._database.read() as connection:
            for row in connection.execute(statement.order_by(c.number)):
                kept = orjson.loads(row.decision)
                # Decisions of before looks were counted have no number, but say whether items were missing.
                if kept.get("look", 0 if kept.get("missing_items") else 1):
                    seen[row.evaluation_id] = None
        return list(seen).index(evaluation_id) + 1 if evaluation_id in seen else len(seen) + 1

    def get_decision(self, number: int) -> dict[str, Any]:
        """One decision by its number, as `decisions` gives them.

        Raises:
            NotFoundError: there is none of that number.
        """
        with self._database.read() as connection:
            found = connection.execute(select(decisions).where(decisions.c.number == number)).first()
        if found is None:
            raise NotFoundError(f"there is no decision number {number}; 'samloop decisions list' shows them")
        row = to_plain(found)
        return {**row.pop("decision"), **row}

    def is_decided(self, run_id: str) -> bool:
        """Whether the gate has decided on the adapter of that run."""
        with self._database.read() as connection:
            return connection.execute(select(decisions).filter_by(run_id=run_id)).first() is not None
