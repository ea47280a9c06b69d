"""What was captured live, for collection: which sources read it, and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from samloop.loop.context import Context
from samloop.loop.reading import given_to
from samloop.loop.teacher import asking
from samloop.protocols import Source
from samloop.settings import SourceSettings
from samloop.sources.drafts import PART

KINDS: Final = ("feedback", "captures")
"""The sources that are collected without being named, the one that knows better first."""


def unnamed(context: Context) -> list[SourceSettings]:
    """The live sources that the recipe does not name and that have something new."""
    named = {settings.kind for settings in context.recipe.collect.sources}
    if not context.recipe.collect.live:
        return []
    return [SourceSettings(kind=kind) for kind in KINDS if kind not in named and _has_new(context, kind)]


def _has_new(context: Context, kind: str) -> bool:
    mark = context.store.watermark(kind, "") or {}
    return context.store.last_row(kind) > int(mark.get("row", 0))


def handed(context: Context, read: Source, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the source, with these options, asked to be given.

    Raises:
        PluginError, MissingExtraError: it shall ask a teacher that cannot be loaded.
    """
    makers: dict[str, Callable[[], Any]] = {
        "rows": lambda: context.store.rows_of,
        "ask": lambda: asking(context) if options.get("ask_teacher") else None,
    }
    return {name: makers[name]() for name in given_to(read)}


def carried(context: Context, source_ids: Iterable[str | None], ids: Iterable[str]) -> list[tuple[str, str]]:
    """Whom the rows were about that examples are made of: (example id, digest) for each.

    Rows are redacted before they are stored, so that nothing is left for curation to take a hash of.
    """
    rows = [(id, source_id.partition(PART)[0]) for id, source_id in zip(ids, source_ids, strict=True) if source_id]
    digests = context.store.digests_of(row for _, row in rows)
    return [(id, digest) for id, row in rows for digest in digests.get(row, ())]
