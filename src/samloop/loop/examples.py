"""Examples by hand: one added, one edited; both pass the same rules as all others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from samloop.curate.engine import Curated, Curator
from samloop.errors import InputError, UsageError
from samloop.example import Example
from samloop.loop.context import Context
from samloop.loop.contradictions import settle
from samloop.loop.identifiers import identifier_key
from samloop.loop.items import evaluation_items

REPLACED: Final = "replaced by "
"""What the reason of an edited example begins with; the id of its successor follows."""

Outcome = Literal["Added", "Already there", "Replaced", "Changed"]

NAMES: Final = {
    "licence": re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:() _-]{0,119}"),
    "language": re.compile(r"[A-Za-z][A-Za-z0-9+#.-]{0,23}"),
}
EXAMPLES: Final = {"licence": "MIT or 'MIT OR Apache-2.0'", "language": "en or python"}

LOOSE: Final = ("domain", "licence", "language", "group_key", "weight", "preference_reason")
"""Fields outside the content: changing them leaves the example the same one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an example that was added or edited.

    Attributes:
        example: as it is stored now.
        outcome: "Changed": the same example, but for its domain, licence and the like.
        redacted: how many values of each type were taken out.
        replaced: the id of the example in whose place it stands now; None where it is no other one.
    """

    example: Example
    outcome: Outcome
    redacted: Mapping[str, int]
    replaced: str | None = None


def add(context: Context, example: Example, *, domain: str | None = None) -> Kept:
    """Judge `example` and store it; `domain` where a person knows better than the rules.

    Raises:
        UsageError: its licence or language is none.
    """
    curated = _judged(context, example)
    if domain:
        curated.rows.put(0, {"domain": domain})
    log = settle(context.store, curated.rows, curated.log)
    added = context.store.add_batch(curated.rows, log=log, identifiers=curated.identifiers)
    outcome: Outcome = "Added" if added.added else "Already there"
    return Kept(context.store.get_example(curated.rows[0]["id"]), outcome, curated.redacted)


def check_editable(example: Example) -> None:
    """Refuse an example that was replaced before.

    Raises:
        UsageError: it was; the message names its successor.
    """
    if (example.reason or "").startswith(REPLACED):
        later = (example.reason or "").removeprefix(REPLACED)
        raise UsageError(f"example {example.id} was replaced by {later}; edit that one")


def edit(context: Context, old: Example, new: Example) -> Kept:
    """Put `new`, the edited `old`, in its place.

    With other content it is another example: `parent_id` is the old one, which stays, rejected as "replaced by …",
    so that it is neither trained on nor collected again. Source, group and origin go over to the new one.

    Raises:
        UsageError: a licence or language is none, nothing was changed, the old one was replaced before, or the new
            content is stored already.
        InputError: the rules turn the new content away; nothing was changed.
    """
    check_editable(old)
    changes = {name: getattr(new, name) for name in LOOSE if getattr(new, name) != getattr(old, name)}
    draft = replace(new, source=old.source, parent_id=old.id, metadata=_edited(old))
    curated = _judged(context, draft)
    if "domain" in changes:
        curated.rows.put(0, {"domain": new.domain})
    row = curated.rows[0]
    if row["id"] == old.id:
        if not changes:
            raise UsageError(f"the edited text is that of example {old.id}; nothing was changed")
        context.store.update_example(old.id, **changes)
        return Kept(context.store.get_example(old.id), "Changed", {})
    if row["state"] == "rejected":
        raise InputError(f"the rules turn the edited example away ({row['reason']}); nothing was changed")
    swapped = (old.output_text, old.rejected_output) == (row["rejected_output"], row["output_text"])
    log = curated.log if swapped else settle(context.store, curated.rows, curated.log)
    row = curated.rows[0]
    plain = {name: orjson.loads(row[name]) for name in ("conversation_history", "metadata", "flags")}
    digests = [digest for _, digest in curated.identifiers]
    context.store.replace_example(old.id, Example(**{**row, **plain}), log=log, identifiers=digests)
    return Kept(context.store.get_example(row["id"]), "Replaced", curated.redacted, old.id)


def _judged(context: Context, example: Example) -> Curated:
    for name, pattern in NAMES.items():
        value = getattr(example, name)
        if value is not None and not pattern.fullmatch(value):
            raise UsageError(f"expected a {name} such as {EXAMPLES[name]}, got {value!r:.60}")
    curator = Curator(context.recipe.curate, items=evaluation_items(context), identifier_key=identifier_key(context))
    return curator.curate([example])


def _edited(old: Example) -> dict[str, Any]:
    """The metadata of an edited example: that of the old one, but for what was said about its old text."""
    about_the_text = ("human_reviewed", "validated", "length_delta", "margin")
    return {key: value for key, value in old.metadata.items() if key not in about_the_text} | {"edited": True}
