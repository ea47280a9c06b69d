"""Adapters, and which of them serves in each slot."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, insert, select, update

from samloop.errors import NotFoundError, UsageError
from samloop.store.noun import Noun, find_key, to_plain, to_row
from samloop.store.tables import adapters, champions

AdapterState = Literal["candidate", "champion", "retired", "rejected", "withdrawn"]
ADAPTER_STATES: Final[tuple[str, ...]] = get_args(AdapterState)

BARRED: Final = ("rejected", "withdrawn")
"""States of adapters that never serve: found wanting, or what they learnt from was erased."""


class Adapters(Noun):
    """Adapters and the history of champions."""

    def add_adapter(
        self,
        adapter_id: str,
        *,
        slot: str,
        base: str,
        backend: str,
        run_id: str | None = None,
        dataset_digest: str | None = None,
        base_digest: str | None = None,
        path: str | None = None,
        scores: Mapping[str, Any] | None = None,
        licences: Sequence[str] = (),
        lineage: Mapping[str, Any] | None = None,
    ) -> bool:
        """Record an adapter as a candidate; False when it is recorded already, which changes nothing.

        Args:
            run_id: the run that made it; None for an imported one.
            licences: SPDX ids of what it learnt from.
        """
        now = time.time()
        row = to_row(
            adapters,
            {
                "adapter_id": adapter_id,
                "slot": slot,
                "state": "candidate",
                "run_id": run_id,
                "dataset_digest": dataset_digest,
                "base": base,
                "base_digest": base_digest,
                "backend": backend,
                "path": path,
                "scores": scores or {},
                "licences": list(licences),
                "lineage": lineage or {},
                "created_at": now,
                "updated_at": now,
            },
        )
        with self._database.write() as connection:
            if _state(connection, adapter_id) is not None:
                return False
            connection.execute(insert(adapters).values(**row))
        return True

    def update_adapter(self, adapter_id: str, /, **changes: Any) -> None:
        """Change columns of an adapter, e.g. scores, or state to "rejected"; champions are made by `set_champion`.

        Raises:
            NotFoundError: there is no such adapter.
            UsageError: a column or state is unknown, or the state would make or unmake a champion.
        """
        state = changes.get("state")
        if state is not None and state not in ADAPTER_STATES:
            raise UsageError(f"expected the state of an adapter ({', '.join(ADAPTER_STATES)}), got '{state}'")
        values: dict[str, Any] = {**to_row(adapters, changes), "updated_at": time.time()}
        with self._database.write() as connection:
            before = _state(connection, adapter_id)
            if before is None:
                raise NotFoundError(f"there is no adapter '{adapter_id}' in the store")
            if state is not None and state != before and "champion" in (state, before):
                raise UsageError(f"adapter {adapter_id} is '{before}'; set_champion decides who serves")
            connection.execute(update(adapters).where(adapters.c.adapter_id == adapter_id).values(**values))

    def get_adapter(self, adapter_id: str) -> dict[str, Any]:
        """An adapter by its id or a beginning that no other shares, as plain data.

        Raises:
            NotFoundError: there is none.
            UsageError: several ids begin so.
        """
        with self._database.read() as connection:
            return _load(connection, find_key(connection, adapters.c.adapter_id, adapter_id, "adapter"))

    def list_adapters(
        self, *, slot: str | None = None, state: AdapterState | None = None, run_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Adapters, newest first."""
        chosen = {"slot": slot, "state": state, "run_id": run_id}
        statement = select(adapters).filter_by(**{k: v for k, v in chosen.items() if v is not None})
        statement = statement.order_by(adapters.c.created_at.desc(), adapters.c.adapter_id)
        with self._database.read() as connection:
            return [to_plain(row) for row in connection.execute(statement)]

    def champion(self, slot: str) -> dict[str, Any] | None:
        """The adapter that serves in `slot`; None: the bare base serves."""
        with self._database.read() as connection:
            serving = _line(connection, slot)[-1]
            return None if serving is None else _load(connection, serving)

    def set_champion(self, slot: str, adapter_id: str | None, reason: str) -> None:
        """Put an adapter, or with None the bare base, into service, and retire the one before: both or neither.

        Raises:
            NotFoundError: there is no such adapter.
            UsageError: it belongs to another slot, was rejected or withdrawn.
        """
        c, now = adapters.c, time.time()
        with self._database.write() as connection:
            if adapter_id is not None:
                if _state(connection, adapter_id) is None:
                    raise NotFoundError(f"there is no adapter '{adapter_id}' in the store")
                adapter = _load(connection, adapter_id)
                if adapter["slot"] != slot:
                    raise UsageError(f"adapter {adapter_id} was made for slot '{adapter['slot']}', not '{slot}'")
                if adapter["state"] in BARRED:
                    raise UsageError(f"adapter {adapter_id} was {adapter['state']} and cannot serve in slot '{slot}'")
            if _line(connection, slot)[-1] == adapter_id:
                return
            retire = update(adapters).where(c.slot == slot, c.state == "champion")
            connection.execute(retire.values(state="retired", updated_at=now))
            if adapter_id is not None:
                promote = update(adapters).where(c.adapter_id == adapter_id)
                connection.execute(promote.values(state="champion", updated_at=now))
            connection.execute(
                insert(champions).values(slot=slot, adapter_id=adapter_id, reason=reason, created_at=now)
            )

    def previous_champion(self, slot: str) -> dict[str, Any] | None:
        """The adapter that a rollback of `slot` goes back to; None: the bare base.

        It is the one that served before the present one was promoted. Who was rolled back is no predecessor, and
        rejected adapters are passed over.
        """
        with self._database.read() as connection:
            for adapter_id in reversed(_line(connection, slot)[:-1]):
                if adapter_id is None:
                    return None
                adapter = _load(connection, adapter_id)
                if adapter["state"] not in BARRED:
                    return adapter
        return None

    def champion_history(self, slot: str) -> list[dict[str, Any]]:
        """Who was put into service in `slot`, newest first: adapter_id (None: the base), reason, created_at."""
        c = champions.c
        statement = select(c.adapter_id, c.reason, c.created_at).where(c.slot == slot).order_by(c.number.desc())
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]


def _line(connection: Connection, slot: str) -> list[str | None]:
    """The line of succession in `slot`, from the base (None) to who serves now.

    Going back to an earlier champion cuts off those after it, so that a second rollback goes further back and not
    to the one just taken out of service.
    """
    c = champions.c
    line: list[str | None] = [None]
    for adapter_id in connection.execute(select(c.adapter_id).where(c.slot == slot).order_by(c.number)).scalars():
        if adapter_id in line:
            del line[line.index(adapter_id) + 1 :]
        else:
            line.append(adapter_id)
    return line


def _state(connection: Connection, adapter_id: str) -> str | None:
    c = adapters.c
    return connection.execute(select(c.state).where(c.adapter_id == adapter_id)).scalar()


def _load(connection: Connection, adapter_id: str) -> dict[str, Any]:
    return to_plain(connection.execute(select(adapters).where(adapters.c.adapter_id == adapter_id)).one())
