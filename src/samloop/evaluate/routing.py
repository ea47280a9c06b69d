"""The suite `routing`: does a model send a task to the right helper?

The model chooses among the item's labels by log-probability. A label's is that of the whole answer, its tokens and
the token that ends the turn, given the question: the probability that the model says this and nothing else. Since the
end is counted, no label is the beginning of another, the probabilities of all possible answers add up to one, and no
correction for length is needed or made (dividing by the number of tokens would favour long labels).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from samloop.evaluate.items import label_nats, score_of
from samloop.protocols import Model, Score, suite


@suite("routing")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The share of items whose right label is the likeliest, over all and by slice.

    Two labels that are equally likely share the point. All labels of all items are scored in one call.

    Args:
        items: ``{"id", "messages": [the question], "labels", "answer", "slice", "wording"}``.

    Returns:
        ``routing_accuracy``, and per slice ``routing_accuracy_<slice>s`` such as routing_accuracy_unseen_wordings.
    """
    nats = label_nats(model, [(item["messages"], item["labels"]) for item in items])
    points = [_point(by_label, item["answer"]) for item, by_label in zip(items, nats, strict=True)]
    slices = dict.fromkeys(str(item["slice"]) for item in items if item.get("slice"))
    everywhere = [_score("routing_accuracy", items, points)]
    return everywhere + [
        _score(
            f"routing_accuracy_{name.replace(' ', '_')}s",
            [item for item in items if item.get("slice") == name],
            [point for item, point in zip(items, points, strict=True) if item.get("slice") == name],
        )
        for name in sorted(slices)
    ]


def _point(nats: Mapping[str, float], answer: str) -> float:
    """1 where the answer alone has the fewest nats, a part where it ties, NaN where the model says nothing finite."""
    if not all(map(math.isfinite, nats.values())):
        return math.nan
    best = [label for label, value in nats.items() if value == min(nats.values())]
    return 1 / len(best) if answer in best else 0.0


def _score(name: str, items: Sequence[Mapping[str, Any]], points: Sequence[float]) -> Score:
    return score_of("routing", name, items, points)
