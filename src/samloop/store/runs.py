"""Training runs, and which examples went into them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, delete, func, insert, select, update

from samloop.errors import NotFoundError, UsageError
from samloop.store.database import among
from samloop.store.noun import Noun, find_key, to_plain, to_row
from samloop.store.tables import run_examples, training_examples, training_runs

RunState = Literal["pending", "training", "paused", "completed", "failed", "stopped"]
RUN_STATES: Final[tuple[str, ...]] = get_args(RunState)


class Runs(Noun):
    """Training runs."""

    def add_run(
        self,
        run_id: str,
        *,
        dataset_digest: str,
        base: str,
        backend: str,
        revision: int,
        recipe: Mapping[str, Any] | None = None,
        dataset_path: str | None = None,
        base_digest: str | None = None,
        code_version: str | None = None,
        quick: bool = False,
        slot: str = "main",
        path: str | None = None,
        state: RunState = "pending",
    ) -> bool:
        """Record a run; False when it is recorded already, which changes nothing.

        Args:
            revision: the store's revision that the dataset was drawn from.
            quick: a few steps only, to see that it works: it makes no other run less due.
            slot: the place in service that its adapter is for.
            path: the run's folder.
        """
        now = time.time()
        row = to_row(
            training_runs,
            {
                "run_id": run_id,
                "state": _known_state(state),
                "dataset_digest": dataset_digest,
                "dataset_path": dataset_path,
                "base": base,
                "base_digest": base_digest,
                "backend": backend,
                "code_version": code_version,
                "recipe": recipe or {},
                "metrics": {},
                "result": {},
                "revision": revision,
                "quick": quick,
                "slot": slot,
                "path": path,
                "created_at": now,
                "updated_at": now,
            },
        )
        with self._database.write() as connection:
            if connection.execute(select(training_runs.c.run_id).filter_by(run_id=run_id)).first() is not None:
                return False
            connection.execute(insert(training_runs).values(**row))
        return True

    def update_run(self, run_id: str, /, **changes: Any) -> None:
        """Change columns of a run. The times follow its state: the first "training" starts it, an end finishes it.

        Raises:
            NotFoundError: there is no such run.
            UsageError: a column or state is unknown.
        """
        with self._database.write() as connection:
            _update_run(connection, run_id, changes)

    def get_run(self, run_id: str) -> dict[str, Any]:
        """A run by its id or a beginning that no other shares, as plain data.

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        c = training_runs.c
        with self._database.read() as connection:
            whole = find_key(connection, c.run_id, run_id, "run")
            return to_plain(connection.execute(select(training_runs).where(c.run_id == whole)).one())

    def list_runs(
        self, *, state: RunState | None = None, slot: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Runs, newest first."""
        c = training_runs.c
        statement = select(training_runs).order_by(c.created_at.desc(), c.run_id).limit(limit)
        if state is not None:
            statement = statement.where(c.state == _known_state(state))
        if slot is not None:
            statement = statement.where(c.slot == slot)
        with self._database.read() as connection:
            return [to_plain(row) for row in connection.execute(statement)]

    def last_completed_run(self, slot: str = "main") -> dict[str, Any] | None:
        """The run that was completed last for `slot`, quick ones apart; None when there is none."""
        c = training_runs.c
        statement = select(training_runs).where(c.state == "completed", ~c.quick, c.slot == slot)
        with self._database.read() as connection:
            row = connection.execute(statement.order_by(c.finished_at.desc(), c.run_id).limit(1)).first()
        return None if row is None else to_plain(row)

    def record_run_examples(self, run_id: str, ids: Mapping[str, Iterable[str]]) -> None:
        """Record which examples went into a run, by split ("train", "valid", "test"); replaces what was recorded.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._database.write() as connection:
            if connection.execute(select(training_runs.c.run_id).filter_by(run_id=run_id)).first() is None:
                raise NotFoundError(f"there is no run '{run_id}' in the store")
            _record_examples(connection, run_id, ids)

    def run_example_ids(self, run_id: str, split: str | None = None) -> list[str]:
        """Ids of the examples that went into a run, sorted."""
        c = run_examples.c
        statement = select(c.example_id).where(c.run_id == run_id).order_by(c.example_id)
        if split is not None:
            statement = statement.where(c.split == split)
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def runs_of_example(self, example_id: str) -> list[dict[str, str]]:
        """Which runs saw an example: run_id and split, sorted; known after the example is erased too."""
        c = run_examples.c
        statement = select(c.run_id, c.split).where(c.example_id == example_id).order_by(c.run_id)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def complete_run(
        self, run_id: str, /, *, examples: Mapping[str, Iterable[str]] | None = None, **changes: Any
    ) -> int:
        """Close a run as completed and mark the examples of its train split as used, in one transaction.

        The examples keep their revision: having been trained on is nothing new to learn from. A quick run marks none.

        Args:
            examples: which examples went into it, by split; None: as `record_run_examples` recorded them.
            changes: further columns, e.g. result.

        Returns:
            how many examples were marked.

        Raises:
            NotFoundError: there is no such run.
        """
        c = run_examples.c
        with self._database.write() as connection:
            _update_run(connection, run_id, {**changes, "state": "completed"})
            if examples is not None:
                _record_examples(connection, run_id, examples)
            if connection.execute(select(training_runs.c.quick).filter_by(run_id=run_id)).scalar_one():
                return 0
            trained = select(c.example_id).where(c.run_id == run_id, c.split == "train")
            return mark_used(connection, list(connection.execute(trained).scalars()), run_id)


def mark_used(connection: Connection, ids: list[str], run_id: str | None) -> int:
    """Mark examples as used, by a run or (None) by an export; their revision stays. Returns how many there are."""
    c = training_examples.c
    values: dict[str, Any] = {"used_in_training": True}
    if run_id is not None:
        values["training_run_id"] = run_id
    return sum(
        connection.execute(update(training_examples).where(these).values(**values)).rowcount
        for these in among(connection, c.id, ids)
    )


def _update_run(connection: Connection, run_id: str, changes: Mapping[str, Any]) -> None:
    c = training_runs.c
    now = time.time()
    values: dict[Any, Any] = {**to_row(training_runs, changes), "updated_at": now}
    state = changes.get("state")
    if state is not None:
        _known_state(state)
    if state == "training":
        values.setdefault("started_at", func.coalesce(c.started_at, now))
    if state in ("completed", "failed", "stopped"):
        values.setdefault("finished_at", now)
    if not connection.execute(update(training_runs).where(c.run_id == run_id).values(values)).rowcount:
        raise NotFoundError(f"there is no run '{run_id}' in the store")


def _record_examples(connection: Connection, run_id: str, ids: Mapping[str, Iterable[str]]) -> None:
    connection.execute(delete(run_examples).where(run_examples.c.run_id == run_id))
    rows = [{"run_id": run_id, "example_id": id, "split": split} for split in ids for id in ids[split]]
    if rows:
        connection.execute(insert(run_examples), rows)


def _known_state(state: str) -> str:
    if state not in RUN_STATES:
        raise UsageError(f"expected the state of a run ({', '.join(RUN_STATES)}), got '{state}'")
    return state
