"""Comparisons in words, for the reasons of a decision."""

from __future__ import annotations

import math

from samloop.protocols import Comparison


def readable(name: str) -> str:
    """A measure's name as a person reads it."""
    return name.replace("_", " ")


def chance(value: float) -> str:
    """A chance in per cent, with as many digits as it needs."""
    if value <= 0:
        return "0%"
    if value < 1e-6:
        return "below 0.0001%"
    return f"{value:.{max(1, 1 - math.floor(math.log10(value * 100)))}%}" if value < 0.01 else f"{value:.1%}"


def sentence(one: Comparison) -> str:
    """What was measured: both values, the gain with its interval, and the doubt."""
    share = one.unit == "share"

    def shown(value: float) -> str:
        return f"{value:.1%}" if share else f"{value:.4g}"

    def apart(value: float) -> str:
        return f"{value * 100:+.1f} points" if share else f"{value:+.4g}"

    return (
        f"{readable(one.name)} on {one.items} items: champion {shown(one.champion.mean)}, challenger "
        f"{shown(one.challenger.mean)}, gain {apart(one.gain.mean)} (interval {apart(one.gain.low)} to "
        f"{apart(one.gain.high)}), chance of being no better {chance(one.worse_chance)}."
    )


def not_finite(one: Comparison) -> str:
    """That one of the two answered with no number."""
    who = "challenger" if not math.isfinite(one.challenger.mean) else "champion"
    return (
        f"The {who}'s {readable(one.name)} is not a finite number, so nothing can be compared; its weights may be "
        f"damaged: check it with 'samloop adapters verify'."
    )


def relative(gain: float, one: Comparison) -> float:
    """A gain as a part of the champion's value."""
    base = abs(one.champion.mean)
    if base == 0:
        return 0.0 if gain == 0 else math.copysign(math.inf, gain)
    return gain / base
