"""A/B trials: one row each, at most one running per slot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from samloop.errors import GateError, NotFoundError
from samloop.store.database import current_revision
from samloop.store.noun import Noun, to_plain, to_row
from samloop.store.tables import trials


class Trials(Noun):
    """A/B trials, running and ended."""

    def start_trial(
        self, test_id: str, *, slot: str, champion: str, challenger: str, share: float, after_row: int
    ) -> None:
        """Record a trial as running.

        Args:
            champion, challenger: adapter ids, or "base" for the champion.
            after_row: the number of the newest row of feedback; what came before does not count.

        Raises:
            GateError: a trial is running in that slot.
        """
        now = time.time()
        row = {
            "test_id": test_id,
            "slot": slot,
            "champion": champion,
            "challenger": challenger,
            "share": share,
            "after_row": after_row,
            "state": "running",
            "created_at": now,
            "updated_at": now,
        }
        with self._database.write() as connection:
            # On a server, too, two that start at once come one after the other.
            current_revision(connection, lock=True)
            found = connection.execute(select(trials).filter_by(slot=slot, state="running")).first()
            if found is not None:
                raise GateError(
                    f"{found.challenger} is on trial in slot '{slot}'; end that first with 'samloop adapters ab stop'"
                )
            connection.execute(insert(trials).values(**to_row(trials, row)))

    def update_trial(self, test_id: str, *, standing: Mapping[str, Any], state: str, reason: str | None) -> bool:
        """Keep how a running trial stands, or that it ended; False where it is not running any more.

        Args:
            state: "running", or how it ended.
        """
        values = to_row(trials, {"standing": standing, "state": state, "reason": reason, "updated_at": time.time()})
        with self._database.write() as connection:
            c = trials.c
            found = connection.execute(
                update(trials).where(c.test_id == test_id, c.state == "running").values(**values)
            )
            return bool(found.rowcount)

    def running_trial(self, slot: str) -> dict[str, Any] | None:
        """The trial that runs in `slot`."""
        with self._database.read() as connection:
            found = connection.execute(select(trials).filter_by(slot=slot, state="running")).first()
        return to_plain(found) if found else None

    def list_trials(self, *, slot: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """Trials, newest first."""
        chosen = {name: value for name, value in {"slot": slot, "state": state}.items() if value is not None}
        statement = select(trials).filter_by(**chosen).order_by(trials.c.number.desc())
        with self._database.read() as connection:
            return [to_plain(row) for row in connection.execute(statement)]

    def get_trial(self, test_id: str) -> dict[str, Any]:
        """One trial.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self._database.read() as connection:
            found = connection.execute(select(trials).filter_by(test_id=test_id)).first()
        if found is None:
            raise NotFoundError(f"there is no trial '{test_id}'; 'samloop adapters ab status' lists them")
        return to_plain(found)
