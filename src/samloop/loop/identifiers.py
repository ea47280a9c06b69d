"""Finding the examples that something about a person was redacted from."""

from __future__ import annotations

from samloop.loop.context import Context
from samloop.text.identifiers import identifier_digests


def identifier_key(context: Context) -> bytes | None:
    """The key that redacted identifiers are hashed with; None where the recipe redacts nothing."""
    return context.home.identifier_key() if context.recipe.curate.redact.enabled else None


def examples_about(context: Context, identifier: str) -> list[str]:
    """Ids of the stored examples from which `identifier` was redacted: an address, a number, a name, in any spelling
    that redaction takes for the same. Nothing is said of examples that were stored before this home had a key."""
    return context.store.redacted_from(identifier_digests(context.home.identifier_key(), identifier))
