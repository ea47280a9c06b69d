"""Which items to look at: those a model did worst on, and those on which two models differ most."""

from __future__ import annotations

import math
from typing import Final

from samloop.protocols import Score

WORST: Final = 5
"""Items shown per measure."""


def worst(score: Score, count: int = WORST) -> list[int]:
    """The places of the items that `score` is worst on, the worst first.

    Items without a finite figure come first of all; those that could not be better, and those that count for
    nothing, are left out.
    """
    values = item_values(score)
    best = {"higher": 1.0, "lower": 0.0}[score.better] if score.unit == "share" else None
    shown = [at for at, value in enumerate(values) if value is not None and value != best]
    sign = -1.0 if score.better == "lower" else 1.0
    return sorted(shown, key=lambda at: _badness(values[at], sign))[:count]


def apart(champion: Score, challenger: Score, count: int = WORST) -> tuple[list[int], list[int]]:
    """The places of the items on which the challenger lost most, and on which it gained most, the largest first.

    Both scores are of the same items. Items without a finite figure on both sides are left out.
    """
    sign = 1.0 if champion.better == "higher" else -1.0
    gains = {
        at: sign * (theirs - mine)
        for at, (mine, theirs) in enumerate(zip(item_values(champion), item_values(challenger), strict=True))
        if mine is not None and theirs is not None and math.isfinite(mine) and math.isfinite(theirs)
    }
    lost = sorted((at for at in gains if gains[at] < 0), key=lambda at: gains[at])
    gained = sorted((at for at in gains if gains[at] > 0), key=lambda at: -gains[at])
    return lost[:count], gained[:count]


def item_values(score: Score) -> list[float | None]:
    """Each item's own ratio, its exponential where the score is one; None where an item counts for nothing."""
    values: list[float | None] = []
    for numerator, denominator in zip(score.numerators, score.denominators, strict=True):
        ratio = numerator / denominator if denominator else None
        values.append(math.exp(min(ratio, 700.0)) if ratio is not None and score.exponential else ratio)
    return values


def _badness(value: float | None, sign: float) -> tuple[bool, float]:
    """Sorts what is no number first, then the worst."""
    if value is None or not math.isfinite(value):
        return False, 0.0
    return True, sign * value
