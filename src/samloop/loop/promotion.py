"""Put an adapter into service because a person asks for it, whatever the gate said."""

from __future__ import annotations

from samloop.adapters.registry import Registry
from samloop.errors import GateError, ModelError
from samloop.loop.context import Context
from samloop.settings import MAIN
from samloop.text.base import resolve_base
from samloop.train.base import Base
from samloop.train.layouts import read_metadata


def promote(context: Context, name: str, *, slot: str, reason: str) -> str:
    """Put an adapter into service in `slot`, whatever the gate said; its id.

    Raises:
        NotFoundError: there is no such adapter.
        GateError: it was trained on another base than the recipe's, or cannot serve; see `Registry.promote`.
        StoreBusyError: another promotion is under way.
        StoreError: it cannot be written.
    """
    registry = Registry(context.home, context.store)
    found = registry.find(name, slot)
    _see_that_the_base_is_its_own(context, registry, found)
    registry.promote(slot, found, reason)
    return found


def _see_that_the_base_is_its_own(context: Context, registry: Registry, name: str) -> None:
    """By the mark that training leaves in the weights; an adapter without one is left to the loading."""
    row = context.store.get_adapter(name)
    if row["slot"] in (MAIN, *(slot.name for slot in context.recipe.serve.slots)):
        context = context.for_slot(str(row["slot"]))
    model = context.recipe.train.model
    try:
        trained_on = read_metadata(registry.path(name)).get("base_fingerprint")
        base = Base.open(resolve_base(model)).fingerprint if trained_on else None
    except ModelError:  # damaged weights are told by the registry, a missing base by who loads it
        return
    if base and trained_on != base:
        raise GateError(
            f"adapter {name} was trained on another base ({row['base']}) than the one in use ({model}); set "
            "train.model to its own, or promote an adapter of this one"
        )
