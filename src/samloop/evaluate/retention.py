"""The suite `retention`: does a model still say what its base could, in general and about nothing in particular?

Its items were written for samloop and are no one's examples: they are none of the exchanges that a run replays, and
curation keeps them out of datasets (`curate.decontaminate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from samloop.evaluate import perplexity
from samloop.evaluate.run import read_items
from samloop.protocols import Model, Score, suite

PACKAGED: Final = Path(__file__).with_name("retention.jsonl")


@suite("retention")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Perplexity per token of general answers, ``retention_perplexity``; lower is better.

    Args:
        items: ``{"id", "messages"}`` with the answer at the end.
    """
    per_token, _ = perplexity.grade(model, items)
    return [replace(per_token, suite="retention", name="retention_perplexity")]


def packaged() -> list[dict[str, Any]]:
    """The items of the package."""
    return read_items(PACKAGED)
