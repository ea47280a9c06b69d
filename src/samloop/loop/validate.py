"""Validate: the rules of today over the examples of before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import orjson

from samloop.curate.engine import Curator
from samloop.curate.preference import OPPOSITE
from samloop.example import Example
from samloop.loop.context import Context
from samloop.loop.items import evaluation_items
from samloop.loop.withdraw import WITHDRAWN
from samloop.protocols import SHALL_LOOK

JUDGED: Final = ("state", "reason", "flags", "quality_score", "quality_tier", "domain", "complexity")
"""What the rules say of an example; everything else is its content and its origin."""

DECIDED_OTHERWISE: Final = ("duplicate of ", "near-duplicate of ", "replaced by ", OPPOSITE, SHALL_LOOK, WITHDRAWN)
"""Reasons of a state that no rule gave and no rule takes back."""

UNREDACTED: Final = "today's redaction would change it"


def validate(context: Context, *, on_progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Judge every stored example again and keep what changed.

    Examples that a person reviewed, duplicates and replaced ones stay as they are. Content is not touched: a text
    that today's redaction would change is counted under "unredacted" and sent to review.

    Returns:
        {"checked", "changed", "kept", "unredacted", "moves": [{"was", "is", "examples"}]}.
    """
    store, size = context.store, context.recipe.collect.batch_examples
    curator = Curator(context.recipe.curate, items=evaluation_items(context))
    counts: Counter[str] = Counter()
    moves: Counter[tuple[str, str]] = Counter()
    total = store.count()
    for batch in _batches(store.select(), size):
        judged = [example for example in batch if not _decided(example)]
        counts["kept"] += len(batch) - len(judged)
        changes = {}
        for example, row in zip(judged, curator.curate(judged).rows, strict=True):
            new = _judgement(example, row)
            counts["unredacted"] += row["id"] != example.id
            if new:
                changes[example.id] = new
                if new.get("state", example.state) != example.state:
                    moves[example.state, new["state"]] += 1
        store.update_examples(changes)
        counts["checked"] += len(batch)
        counts["changed"] += len(changes)
        if on_progress:
            on_progress({"done": counts["checked"], "total": total})
    found = [{"was": was, "is": now, "examples": number} for (was, now), number in sorted(moves.items())]
    return {name: counts[name] for name in ("checked", "changed", "kept", "unredacted")} | {"moves": found}


def _decided(example: Example) -> bool:
    by_person = bool(example.metadata.get("human_reviewed"))
    return by_person or (example.reason or "").startswith(DECIDED_OTHERWISE)


def _judgement(example: Example, row: Mapping[str, Any]) -> dict[str, Any]:
    """The judged fields that differ from what is stored."""
    before = example.to_dict()
    after = {**row, "flags": orjson.loads(row["flags"]) if isinstance(row["flags"], str) else row["flags"]}
    new = {name: after[name] for name in JUDGED if after[name] != before[name]}
    if row["id"] != example.id and row["state"] == "accepted":
        new |= {"state": "review", "reason": UNREDACTED}
    return new


def _batches(examples: Iterator[Example], size: int) -> Iterator[Sequence[Example]]:
    while batch := list(islice(examples, size)):
        yield batch
