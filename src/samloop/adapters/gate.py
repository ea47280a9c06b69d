"""The gate: may the challenger take the champion's place?

A pure function of comparisons and policy. The primary measure is the first of `PRIMARIES` with enough items. The
challenger is promoted when it is better there beyond doubt, or when it is not worse there and better beyond doubt on
a secondary measure, and no guard is breached. Why each rule is as it is, with simulated error rates, is told in
docs/explanation/gate.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from samloop.protocols import Comparison
from samloop.settings import Gate

Verdict = Literal["promote", "refuse", "undecided"]


@dataclass(frozen=True, slots=True)
class Primary:
    """A measure that can carry a promotion, and the setting that says how many items it takes."""

    name: str
    min_items: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A measure that must not suffer: the setting with its margin, relative to the champion's value or absolute."""

    name: str
    margin: str
    relative: bool


PRIMARIES: Final = (Primary("bits_per_byte", "min_items"),)
SECONDARIES: Final = ("routing_accuracy",)
GUARDS: Final = (
    Guard("routing_accuracy", "routing_margin", relative=False),
    Guard("retention_perplexity", "retention_margin", relative=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the gate decided, and why.

    Attributes:
        verdict: ``promote``; ``refuse`` (worse, a guard breached, not measurable, or too few items); ``undecided``
            (no difference shown: the champion stays).
        slot: where the place is.
        challenger, champion: adapter ids, or "base".
        reasons: whole sentences with figures.
        missing_items: held-out items that the primary measure lacks; 0 where it has enough.
        comparisons: what was weighed.
        summary: what it means, in a sentence or two.
    """

    verdict: Verdict
    slot: str
    challenger: str
    champion: str
    reasons: tuple[str, ...]
    missing_items: int
    comparisons: tuple[Comparison, ...]
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data, the inverse of `from_dict`."""
        return {
            "verdict": self.verdict,
            "slot": self.slot,
            "challenger": self.challenger,
            "champion": self.champion,
            "reasons": list(self.reasons),
            "missing_items": self.missing_items,
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "summary": self.summary,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """The inverse of `to_dict`."""
        comparisons = tuple(Comparison.from_dict(one) for one in plain["comparisons"])
        return cls(**{**plain, "reasons": tuple(plain["reasons"]), "comparisons": comparisons})


def gate(
    comparisons: Sequence[Comparison],
    policy: Gate,
    *,
    slot: str,
    challenger: str,
    champion: str,
    primaries: Sequence[Primary] = PRIMARIES,
) -> Decision:
    """Weigh a challenger against the champion on what was measured.

    Args:
        comparisons: one per measure, both models on the same items; names are unique.
        policy: the margins and the doubt allowed.
        challenger, champion: adapter ids, or "base" for the champion.
        primaries: measures that can carry a promotion, the most telling first.
    """
    measured = {comparison.name: comparison for comparison in comparisons}
    primary, missing, shortage = _choose(measured, policy, primaries)
    verdict: Verdict = "refuse"
    reasons = [shortage]
    if primary is not None:
        verdict, reasons = _weigh(primary, measured, policy)
    return Decision(
        verdict=verdict,
        slot=slot,
        challenger=challenger,
        champion=champion,
        reasons=tuple(reasons),
        missing_items=missing,
        comparisons=tuple(comparisons),
        summary=_summary(verdict, slot, challenger, champion, reasons[0]),
    )


def _choose(
    measured: Mapping[str, Comparison], policy: Gate, primaries: Sequence[Primary]
) -> tuple[Comparison | None, int, str]:
    """The primary comparison; or None, the fewest items missing for one, and the sentence that says so."""
    lacking = []
    for primary in primaries:
        needed = int(getattr(policy, primary.min_items))
        found = measured.get(primary.name)
        if found is not None and found.items >= needed:
            return found, 0, ""
        items = found.items if found else 0
        lacking.append((needed - items, needed, items, primary.name))
    missing, needed, items, name = min(lacking)
    return (
        None,
        missing,
        f"Too few held-out items: {_readable(name)} takes at least {needed}, there are {items}, so {missing} are "
        f"missing; collect more examples, or enlarge prepare.test_share.",
    )


def _weigh(primary: Comparison, measured: Mapping[str, Comparison], policy: Gate) -> tuple[Verdict, list[str]]:
    secondaries = [measured[name] for name in SECONDARIES if name in measured and name != primary.name]
    guards = [(guard, measured[guard.name]) for guard in GUARDS if guard.name in measured]
    weighed = {id(one): one for one in [primary, *secondaries, *(found for _, found in guards)]}
    broken = [one for one in weighed.values() if not math.isfinite(one.gain.mean)]
    if broken:
        return "refuse", [_not_finite(one) for one in broken]
    # One doubt for the whole decision, shared by the measures that can carry a promotion (Bonferroni); also where a
    # secondary was not measured, because the bootstrap alone errs a little more often than it says.
    doubt = policy.max_worse_chance / (1 + len(SECONDARIES))
    figures = [_figures(one) for one in weighed.values()]
    breaches = [sentence for guard, found in guards if (sentence := _breach(guard, found, policy))]
    if breaches:
        return "refuse", breaches + figures
    if _better(primary, doubt):
        return "promote", [f"The primary measure is better beyond doubt: {_figures(primary)}", *figures[1:]]
    if primary.worse_chance >= 1 - doubt and primary.gain.mean < 0:
        return "refuse", [f"The primary measure is worse beyond doubt: {_figures(primary)}", *figures[1:]]
    ahead = [one for one in secondaries if _better(one, doubt)]
    if ahead and _relative(primary.gain.low, primary) >= -policy.not_worse_margin:
        return "promote", [
            f"{_figures(ahead[0])[:-1]}, and the primary measure is not worse by more than "
            f"{policy.not_worse_margin:.1%}.",
            *figures,
        ]
    return "undecided", [f"No difference beyond doubt (allowed: {doubt:.2%} per measure).", *figures]


def _better(comparison: Comparison, doubt: float) -> bool:
    return comparison.gain.mean > 0 and comparison.worse_chance <= doubt


def _breach(guard: Guard, comparison: Comparison, policy: Gate) -> str | None:
    """The sentence about a guard that suffered more than its margin; None where it holds.

    Judged by the estimate and not by its interval: see "Guards" in docs/explanation/gate.md.
    """
    margin = float(getattr(policy, guard.margin))
    loss = -_relative(comparison.gain.mean, comparison) if guard.relative else -comparison.gain.mean
    if loss <= margin:
        return None
    unit = "%" if guard.relative else " points" if comparison.unit == "share" else f" {comparison.unit}"
    factor = 100 if guard.relative or comparison.unit == "share" else 1
    return (
        f"A guard is breached: {_readable(comparison.name)} is {loss * factor:.1f}{unit} worse, "
        f"allowed are {margin * factor:.1f}{unit}."
    )


def _relative(gain: float, comparison: Comparison) -> float:
    """A gain as a part of the champion's value."""
    base = abs(comparison.champion.mean)
    if base == 0:
        return 0.0 if gain == 0 else math.copysign(math.inf, gain)
    return gain / base


def _figures(one: Comparison) -> str:
    share = one.unit == "share"

    def shown(value: float) -> str:
        return f"{value:.1%}" if share else f"{value:.4g}"

    def apart(value: float) -> str:
        return f"{value * 100:+.1f} points" if share else f"{value:+.4g}"

    chance = "below 0.1%" if one.worse_chance < 0.001 else f"{one.worse_chance:.1%}"
    return (
        f"{_readable(one.name)} on {one.items} items: champion {shown(one.champion.mean)}, challenger "
        f"{shown(one.challenger.mean)}, gain {apart(one.gain.mean)} (interval {apart(one.gain.low)} to "
        f"{apart(one.gain.high)}), chance of being worse {chance}."
    )


def _not_finite(one: Comparison) -> str:
    who = "challenger" if not math.isfinite(one.challenger.mean) else "champion"
    return (
        f"The {who}'s {_readable(one.name)} is not a finite number, so nothing can be compared; its weights may be "
        f"damaged: check it with 'samloop adapters verify'."
    )


def _summary(verdict: Verdict, slot: str, challenger: str, champion: str, reason: str) -> str:
    said = {
        "promote": f"{challenger} takes the place of {champion} in slot {slot}",
        "refuse": f"{challenger} is refused in slot {slot}, {champion} stays",
        "undecided": f"{challenger} is not shown to be better in slot {slot}, {champion} stays",
    }
    return f"{said[verdict]}. {reason[0].upper()}{reason[1:]}"


def _readable(name: str) -> str:
    return name.replace("_", " ")
