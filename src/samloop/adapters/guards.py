"""Guards: measures that must not suffer, whatever the primary measure gains.

A guard can err in two ways: refuse a challenger for bad luck (noise), and let a true loss pass (harm). Which
measured loss is allowed follows from both, see `allowed_loss`; a guard with enough items keeps both promises, one
with too few keeps the first and says so, or refuses where `gate.strict_guards` asks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from samloop import student
from samloop.adapters.figures import readable, relative
from samloop.protocols import Comparison
from samloop.settings import Gate

NOISE_CHANCE: Final = 0.05
"""How often the guards together may refuse a challenger that lost nothing; each has its part of it."""

ONE_ITEM: Final = 1.5
"""One correction that is lost is never a breach of `corrections_kept`: it may have been known by luck."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A measure that must not suffer.

    Attributes:
        margin: the setting with the loss that is allowed.
        relative: whether that loss is a part of the champion's value.
        whole: the items are all there is, and not a sample of anything: the loss itself counts, without any doubt.
    """

    name: str
    margin: str
    relative: bool = False
    whole: bool = False


GUARDS: Final = (
    Guard("bits_per_byte", "not_worse_margin", relative=True),
    Guard("routing_accuracy", "routing_margin"),
    Guard("retention_perplexity", "retention_margin", relative=True),
    Guard("repetition_rate", "repetition_margin"),
    Guard("corrections_kept", "kept_margin", whole=True),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a guard says: it holds, is breached, or has too few items to tell; and in what words."""

    outcome: Literal["holds", "breached", "too few"]
    said: str = ""
    missing_items: int = 0


def judge(guard: Guard, found: Comparison, policy: Gate, noise_chance: float, harm_chance: float) -> Judgement:
    """Whether `found` keeps to the guard.

    Args:
        noise_chance: how often it may refuse a challenger that lost nothing.
        harm_chance: how often a true loss of `gate.harm_margins` margins may pass at this look.
    """
    margin = float(getattr(policy, guard.margin))
    gain = relative(found.gain.mean, found) if guard.relative else found.gain.mean
    loss = -gain
    if guard.whole:
        lost = loss > margin and loss * found.items > ONE_ITEM
        return Judgement("breached", _breach(guard, found, loss, margin)) if lost else Judgement("holds")
    error = gain_error(found, as_part=guard.relative)
    allowed, enough = allowed_loss(
        margin, policy.harm_margins * margin, error, found.groups, noise_chance, harm_chance
    )
    if loss > allowed:
        return Judgement("breached", _breach(guard, found, loss, allowed))
    limit = policy.harm_margins * margin
    ruled_out = loss + student.quantile(harm_chance, found.groups - 1) * error <= limit
    if enough or ruled_out:
        return Judgement("holds")
    missing = _missing(found, limit, error, noise_chance, harm_chance)
    said = (
        f"{readable(found.name).capitalize()} on {found.items} items cannot rule out a loss of "
        f"{_amount(guard, found, limit)}: about {missing} more items would."
    )
    return Judgement("too few", said, missing)


def allowed_loss(
    margin: float, limit: float, error: float, groups: int, noise_chance: float, harm_chance: float
) -> tuple[float, bool]:
    """The estimated loss that a guard allows, and whether its items are enough for both promises.

    Noise: who lost nothing is refused in at most `noise_chance`, so at least that quantile of the error is allowed,
    however small the margin. Harm: a true loss of `limit` passes in at most `harm_chance`, so at least that quantile
    below the limit is demanded. Both are kept where they do not cross, that is with items enough. Between them the
    margin decides.

    Args:
        error: the standard error of the loss.
        groups: what is independent among the items: gives the degrees of freedom.
    """
    noise = student.quantile(noise_chance, groups - 1) * error
    harm = student.quantile(harm_chance, groups - 1) * error
    enough = noise + harm <= limit
    allowed = max(margin, noise)
    return (min(allowed, limit - harm) if enough else allowed), enough


def gain_error(found: Comparison, *, as_part: bool) -> float:
    """The standard error of the gain; infinite where it is not known.

    A share of which nothing differed has an error all the same: that of one group.
    """
    error = found.error if math.isfinite(found.error) else math.inf
    if found.unit == "share":
        error = max(error, 1 / max(1, found.groups))
    return relative(error, found) if as_part else error


def _missing(found: Comparison, limit: float, error: float, noise_chance: float, harm_chance: float) -> int:
    """About how many more items would be enough: the error falls with the root of their number."""
    needed = student.quantile(noise_chance, 1e6) + student.quantile(harm_chance, 1e6)
    if not math.isfinite(error):
        return 1
    return max(1, math.ceil(found.items * (error * needed / limit) ** 2) - found.items)


def _breach(guard: Guard, found: Comparison, loss: float, allowed: float) -> str:
    return (
        f"A guard is breached: {readable(found.name)} is {_amount(guard, found, loss)} worse, "
        f"allowed are {_amount(guard, found, allowed)}."
    )


def _amount(guard: Guard, found: Comparison, loss: float) -> str:
    share = found.unit == "share"
    unit = "%" if guard.relative else " points" if share else f" {found.unit}"
    return f"{loss * (100 if guard.relative or share else 1):.1f}{unit}"
