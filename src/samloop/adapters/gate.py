"""The gate: may the challenger take the champion's place?

A pure function of comparisons, policy, and how often this champion was challenged before. The primary measure is the
first of `PRIMARIES` with enough items. The challenger is promoted when it is better there beyond doubt, or when it is
shown to be not worse there and better beyond doubt on a secondary measure, and no guard is breached. What doubt is
allowed falls from look to look: see `levels`. Why each rule is as it is, with simulated error rates, is told in
docs/explanation/gate.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from samloop import student
from samloop.adapters import figures
from samloop.adapters.guards import GUARDS, NOISE_CHANCE, Guard, gain_error, judge
from samloop.adapters.levels import left_after, part_of_look
from samloop.errors import UsageError
from samloop.protocols import Comparison
from samloop.settings import Gate

Verdict = Literal["promote", "refuse", "undecided"]


@dataclass(frozen=True, slots=True)
class Primary:
    """Measures that can carry a promotion together, and the setting that says how many items they take.

    Attributes:
        measures: the first has to be measured; the others join it where they were.
        relative: whether "not worse" is a part of the champion's value, or absolute.
    """

    measures: tuple[str, ...]
    min_items: str
    relative: bool = False


PRIMARIES: Final = (
    Primary(("corrections_margin", "corrections_produced"), "min_corrections"),
    Primary(("bits_per_byte",), "min_items", relative=True),
)
SECONDARIES: Final = ("bits_per_byte", "routing_accuracy")


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
        look: which look at this champion it was, from 1 on; 0 where too few items were there to look at.
        allowed_chance: the doubt that this look could spend, over all its measures.
        left: the part of the champion's allowance of doubt that is left for later looks, 0 to 1.
    """

    verdict: Verdict
    slot: str
    challenger: str
    champion: str
    reasons: tuple[str, ...]
    missing_items: int
    comparisons: tuple[Comparison, ...]
    summary: str
    look: int = 0
    allowed_chance: float = 0.0
    left: float = 1.0

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
            "look": self.look,
            "allowed_chance": self.allowed_chance,
            "left": self.left,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decision:
        """The inverse of `to_dict`."""
        comparisons = tuple(Comparison.from_dict(one) for one in plain["comparisons"])
        return cls(**{**plain, "reasons": tuple(plain["reasons"]), "comparisons": comparisons})


@dataclass(frozen=True, slots=True)
class _Primary:
    """The primary that was chosen: what of it was measured, and its rules."""

    rule: Primary
    found: tuple[Comparison, ...]


def gate(
    comparisons: Sequence[Comparison],
    policy: Gate,
    *,
    slot: str,
    challenger: str,
    champion: str,
    look: int = 1,
    primaries: Sequence[Primary] = PRIMARIES,
) -> Decision:
    """Weigh a challenger against the champion on what was measured.

    Args:
        comparisons: one per measure, both models on the same items; names are unique.
        policy: the margins and the doubt allowed.
        challenger, champion: adapter ids, or "base" for the champion.
        look: how often this champion was looked at with enough items, this time included.
        primaries: measures that can carry a promotion, the most telling first.

    Raises:
        UsageError: `look` is below 1.
    """
    if look < 1:
        raise UsageError(f"expected looks counted from 1 on, got look {look}; count this one too")
    # A suite that had nothing to ask measured nothing: no correction was learnt yet, say.
    measured = {comparison.name: comparison for comparison in comparisons if comparison.items}
    primary, missing, shortage = _choose(measured, policy, primaries)
    verdict: Verdict = "refuse"
    reasons = [shortage]
    if primary is not None:
        verdict, reasons = _weigh(primary, measured, policy, look)
        reasons.append(_allowance(policy, champion, look))
    spent = look if primary is not None else look - 1
    return Decision(
        verdict=verdict,
        slot=slot,
        challenger=challenger,
        champion=champion,
        reasons=tuple(reasons),
        missing_items=missing,
        comparisons=tuple(comparisons),
        summary=_summary(verdict, slot, challenger, champion, reasons[0]),
        look=look if primary is not None else 0,
        allowed_chance=policy.max_worse_chance * part_of_look(look) if primary is not None else 0.0,
        left=left_after(spent),
    )


def _choose(
    measured: Mapping[str, Comparison], policy: Gate, primaries: Sequence[Primary]
) -> tuple[_Primary | None, int, str]:
    """The primary; or None, the fewest items missing for one, and the sentence that says so."""
    lacking = []
    for primary in primaries:
        needed = int(getattr(policy, primary.min_items))
        first = measured.get(primary.measures[0])
        if first is not None and first.items >= needed:
            found = tuple(measured[name] for name in primary.measures if name in measured)
            return _Primary(primary, found), 0, ""
        # What was not measured at all is no advice, but for the last resort.
        if first is not None or primary is primaries[-1]:
            items = first.items if first else 0
            lacking.append((needed - items, needed, items, primary.measures[0]))
    missing, needed, items, name = min(lacking)
    return (
        None,
        missing,
        f"Too few held-out items: {figures.readable(name)} takes at least {needed}, there are {items}, so {missing} "
        f"are missing; collect more examples, or enlarge prepare.test_share.",
    )


def _weigh(
    primary: _Primary, measured: Mapping[str, Comparison], policy: Gate, look: int
) -> tuple[Verdict, list[str]]:
    mine = primary.found
    names = {one.name for one in mine}
    secondaries = [measured[name] for name in SECONDARIES if name in measured and name not in names]
    guards = [(guard, measured[guard.name]) for guard in GUARDS if guard.name in measured and guard.name not in names]
    weighed = {id(one): one for one in [*mine, *secondaries, *(found for _, found in guards)]}
    broken = [one for one in weighed.values() if not math.isfinite(one.gain.mean)]
    if broken:
        return "refuse", [figures.not_finite(one) for one in broken]
    # One doubt for the whole look, shared by the measures that can carry a promotion (Bonferroni).
    doubt = policy.max_worse_chance * part_of_look(look) / (len(mine) + len(secondaries))
    harm = policy.max_harm_chance * part_of_look(look)
    said = [figures.sentence(one) for one in weighed.values()]
    breached, unproven = _guarded(guards, policy, harm)
    if breached:
        return "refuse", breached + said
    sure = 1 - policy.max_worse_chance / len(mine)
    worse = [one for one in mine if one.worse_chance >= sure and one.gain.mean < 0]
    if worse:
        return "refuse", [f"The primary measure is worse beyond doubt: {figures.sentence(worse[0])}", *said[1:]]
    ahead = [one for one in mine if _better(one, doubt)]
    if ahead:
        others = [figures.sentence(one) for one in weighed.values() if one is not ahead[0]]
        first = f"The primary measure is better beyond doubt: {figures.sentence(ahead[0])}"
        return "promote", [first, *others, *unproven]
    ahead = [one for one in secondaries if _better(one, doubt)]
    if ahead and all(_not_worse(one, primary.rule, policy, harm) for one in mine):
        return "promote", [
            f"A secondary measure is better beyond doubt, and the primary measure is not worse by "
            f"{policy.not_worse_margin:.1%} or more: {figures.sentence(ahead[0])}",
            *said,
            *unproven,
        ]
    return "undecided", [f"No difference beyond doubt (allowed: {figures.chance(doubt)} per measure).", *said]


def _guarded(guards: Sequence[tuple[Guard, Comparison]], policy: Gate, harm: float) -> tuple[list[str], list[str]]:
    """What speaks against a promotion, and what guards with too few items have to say."""
    noise = NOISE_CHANCE / max(1, len(guards))
    judged = [judge(guard, found, policy, noise, harm) for guard, found in guards]
    against = [one.said for one in judged if one.outcome == "breached"]
    unproven = [one.said for one in judged if one.outcome == "too few"]
    return (against + unproven, []) if policy.strict_guards and unproven else (against, unproven)


def _better(comparison: Comparison, doubt: float) -> bool:
    return comparison.gain.mean > 0 and comparison.worse_chance <= doubt


def _not_worse(found: Comparison, rule: Primary, policy: Gate, harm: float) -> bool:
    """Whether a true loss of the margin is ruled out: a test of non-inferiority, no oftener wrong than `harm`."""
    gain = figures.relative(found.gain.mean, found) if rule.relative else found.gain.mean
    above = gain + policy.not_worse_margin
    error = gain_error(found, as_part=rule.relative)
    if error == 0:
        return above > 0
    return student.tail(above / error, found.groups - 1) <= harm


def _allowance(policy: Gate, champion: str, look: int) -> str:
    return (
        f"Look {look} at {champion}: {figures.chance(policy.max_worse_chance * part_of_look(look))} of doubt was "
        f"allowed, and {left_after(look):.0%} of its {policy.max_worse_chance:.0%} is left for later nights."
    )


def _summary(verdict: Verdict, slot: str, challenger: str, champion: str, reason: str) -> str:
    said = {
        "promote": f"{challenger} takes the place of {champion} in slot {slot}",
        "refuse": f"{challenger} is refused in slot {slot}, {champion} stays",
        "undecided": f"{challenger} is not shown to be better in slot {slot}, {champion} stays",
    }
    return f"{said[verdict]}. {reason[0].upper()}{reason[1:]}"
