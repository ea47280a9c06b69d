"""How the base is held when it answers: as it was when the adapter was trained, or as the recipe says."""

from __future__ import annotations

from pathlib import Path

from samloop.adapters.registry import Registry
from samloop.loop.context import Context
from samloop.loop.train import backend_name
from samloop.protocols import AdapterRef
from samloop.text.base import resolve_base
from samloop.train.layouts import read_metadata
from samloop.train.quantise import NONE, resolve


def base_form(context: Context) -> str:
    """How the recipe has the base held: ``none``, or the backend's form of four bits.

    Raises:
        ModelError: the base cannot be used, or not in that form.
        TrainingError: the backend does not have that form.
    """
    settings = context.recipe.train
    return resolve(settings.quantise, backend_name(settings.backend), resolve_base(settings.model))


def reference(context: Context, name: str, folder: Path) -> AdapterRef:
    """The adapter in `folder`, with how the base was held when it was trained; the recipe's way where nobody knows.

    Raises:
        ModelError: there is no adapter in `folder`, or a broken one.
    """
    metadata = read_metadata(folder)
    form = metadata.get("quantise") or (NONE if metadata.get("base_fingerprint") else base_form(context))
    return AdapterRef(name=name, path=folder, quantise=form)


def look_after_champions(context: Context) -> None:
    """Take champions out of service whose files are damaged, before anything is built on them."""
    registry = Registry(context.home, context.store)
    for slot in registry.service.slots():
        registry.serving(slot)
