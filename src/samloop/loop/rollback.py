"""Take the champion out of service: one link, whatever state the store and the recipe are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from samloop.adapters.service import Service
from samloop.errors import SamloopError, StoreBusyError
from samloop.home import Home

HURRY_SECONDS: Final = 0.3
"""How long a rollback waits for the store: what counts, the link, is done by then."""


def rollback(home: Home, config: Path | None, *, slot: str, reason: str) -> dict[str, Any]:
    """Put the champion before into service again: the link first, the store when it can be told.

    It works where the store is locked, damaged or away, the recipe is broken, and the newest adapter is gone.

    Returns:
        {slot, champion, taken_out, passed_over: [{adapter, problem}], store}: `champion` None for the bare base,
        `store` "told", or why it will be told later.

    Raises:
        GateError: the bare base is in service already.
        StoreBusyError: a promotion is under way.
        StoreError: the link cannot be written.
    """
    service = Service(home)
    if not service.known(slot):  # a home of before: who served stands in the store alone
        _tell(home, config)
    done = service.rollback(slot, reason)
    return {
        "slot": slot,
        "champion": done.now,
        "taken_out": done.left,
        "passed_over": [{"adapter": name, "problem": problem} for name, problem in done.passed],
        "store": _tell(home, config) or "told",
    }


def _tell(home: Home, config: Path | None) -> str:
    """Bring the store's rows to what the links say; why that has to wait, or nothing."""
    # Loaded when the link is swapped: the database alone takes longer to load than all before it.
    from samloop.adapters.registry import Registry
    from samloop.loop.context import load_recipe
    from samloop.store import Store

    try:
        settings = load_recipe(home, config)[0].store.model_copy(update={"busy_timeout_seconds": HURRY_SECONDS})
        with Store.open(home, settings) as store:
            return "" if Registry(home, store).agrees() else "the store is busy"
    except StoreBusyError:
        return "the store is busy"
    except SamloopError as error:
        return str(error)
