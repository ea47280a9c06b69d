"""A/B in service: which conversation meets whom, and when what people said is enough to end the trial.

Who answers a conversation follows from a hash of its id, so that it stays with one adapter. What counts is the first
feedback of each conversation, as a number from 0 (bad) to 1 (good).

The test may be looked at after every feedback. Outcomes are taken in blocks of n_a conversations with the champion
and n_b with the challenger, as the share has them arrive, and each block multiplies a capital by

    ∏_a (1 + (y - m)(p_a - m) / (m(1 - m))) · ∏_b (1 + (y - m)(p_b - m) / (m(1 - m)))

where p_a < p_b are guesses made from earlier blocks and m = (n_a p_a + n_b p_b) / (n_a + n_b) is their mean. For
outcomes of 0 and 1 this is the E-variable of R. Turner, A. Ly and P. Grünwald, Generic E-variables for exact
sequential k-sample tests that allow for optional stopping, Journal of Statistical Planning and Inference 230, 2024.
Whatever the two true rates, as long as the challenger's is not above the champion's, a block's expected factor is at
most one: with k = (p_b - m) n_b / (m(1 - m)) it is (1 - k (a - m) / n_a)^n_a · (1 + k (b - m) / n_b)^n_b, which the
inequality of means bounds by (1 + k (b - a) / (n_a + n_b))^(n_a + n_b), and b - a is not above 0. It needs nothing of
an outcome but that it lies between 0 and 1. So by Ville's inequality (1939) the capital ever reaches 1 / α with a
chance of at most α: betting that the challenger is better, and, with the guesses exchanged, that it is worse. The
capital is spread evenly over several guesses of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import xxhash

from samloop.errors import UsageError
from samloop.settings import MAIN, Slot, Trial

Arm = Literal["champion", "challenger"]

GUESSES: Final = (0.05, 0.1, 0.2, 0.35)
"""Differences in the mean outcome that are bet on: from what matters little to what anybody sees."""

EDGE: Final = 0.01
"""Guesses keep this far from 0 and 1, so that one surprise does not lose everything."""

LARGEST_BLOCK: Final = 10
"""At most so many conversations of the commoner arm for one of the rarer: more would say little more."""


def arm_for(conversation_id: str, test_id: str, share: float) -> Arm:
    """Who answers a conversation while a trial runs: always the same one for the same conversation.

    Args:
        test_id: another trial draws other conversations.
        share: of the conversations that meet the challenger, 0 to 1.
    """
    drawn = xxhash.xxh3_64_intdigest(f"{test_id}\0{conversation_id}".encode()) / 2**64
    return "challenger" if drawn < share else "champion"


def slot_for(complexity: int, slots: Iterable[Slot], serving: Container[str]) -> str:
    """The slot that answers a conversation: the one for the most complex that it is complex enough for.

    Args:
        complexity: of the conversation, 1 to 10.
        slots: the recipe's, besides main.
        serving: names of those that can answer now; main always can.
    """
    fitting = [slot for slot in slots if slot.name in serving and complexity >= slot.min_complexity]
    return max(fitting, key=lambda slot: slot.min_complexity).name if fitting else MAIN


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one conversation came to: who answered it, and how good it was, 0 to 1."""

    arm: Arm
    value: float


@dataclass(slots=True)
class Side:
    """One arm: conversations with feedback, and the sum of their outcomes."""

    conversations: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.conversations if self.conversations else None


@dataclass(slots=True)
class Standing:
    """How a trial stands.

    Attributes:
        better, worse: the capital of betting that the challenger is better, and worse: 1 at the start; 20 is what
            happens by chance in at most one trial of twenty.
        verdict: what to do: promote the challenger, roll it back, go on, or end a trial that has shown nothing.
    """

    champion: Side = field(default_factory=Side)
    challenger: Side = field(default_factory=Side)
    better: float = 1.0
    worse: float = 1.0
    verdict: Literal["go on", "promote", "roll back", "no difference"] = "go on"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        plain = asdict(self)
        for name in ("champion", "challenger"):
            plain[name]["mean"] = getattr(self, name).mean
        return plain


def weigh(outcomes: Iterable[Outcome], share: float, policy: Trial) -> Standing:
    """How the trial stands after these outcomes, in the order they came.

    The first boundary that is reached decides, and what comes after it changes nothing: so it does not matter how
    often anybody looked.

    Raises:
        UsageError: an outcome does not lie between 0 and 1, or the share leaves one of the two without conversations.
    """
    sizes = block_of(share)
    standing = Standing()
    waiting: dict[Arm, list[float]] = {"champion": [], "challenger": []}
    better, worse = _Capital(1, sizes), _Capital(-1, sizes)
    past = _Past()
    for outcome in outcomes:
        if not 0 <= outcome.value <= 1:
            raise UsageError(f"expected outcomes from 0 to 1, got {outcome.value:g}; scale them")
        side = standing.champion if outcome.arm == "champion" else standing.challenger
        side.conversations += 1
        side.total += outcome.value
        waiting[outcome.arm].append(outcome.value)
        if len(waiting["champion"]) >= sizes[0] and len(waiting["challenger"]) >= sizes[1]:
            block = [waiting["champion"][: sizes[0]], waiting["challenger"][: sizes[1]]]
            del waiting["champion"][: sizes[0]], waiting["challenger"][: sizes[1]]
            better.bet(past.mean, block)
            worse.bet(past.mean, block)
            past.add(block)
            standing.better, standing.worse = better.value, worse.value
            standing.verdict = _verdict(standing, policy)
            if standing.verdict != "go on":
                return standing
        if standing.champion.conversations + standing.challenger.conversations >= policy.max_conversations:
            standing.verdict = "no difference"
            return standing
    return standing


def block_of(share: float) -> tuple[int, int]:
    """How many conversations of champion and challenger make a block, about as they arrive.

    Raises:
        UsageError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UsageError(f"expected a share of conversations between 0 and 1, got {share:g}; 0.5 tells soonest")
    odds = (1 - share) / share
    if odds >= 1:
        return min(LARGEST_BLOCK, round(odds)), 1
    return 1, min(LARGEST_BLOCK, round(1 / odds))


def _verdict(standing: Standing, policy: Trial) -> Literal["go on", "promote", "roll back"]:
    if standing.better >= 1 / policy.promote_chance:
        return "promote"
    return "roll back" if standing.worse >= 1 / policy.rollback_chance else "go on"


class _Past:
    """The mean outcome of the blocks so far, both arms together, from one half on."""

    def __init__(self) -> None:
        self._count, self._total = 1, 0.5

    @property
    def mean(self) -> float:
        return self._total / self._count

    def add(self, block: list[list[float]]) -> None:
        self._count += sum(map(len, block))
        self._total += sum(map(sum, block))


class _Capital:
    """The capital of betting in one direction, 1 or -1, spread evenly over `GUESSES`."""

    def __init__(self, direction: int, sizes: tuple[int, int]) -> None:
        self._direction, self._sizes = direction, sizes
        self._logs = [0.0 for _ in GUESSES]

    def bet(self, mean: float, block: list[list[float]]) -> None:
        """Play one block with guesses around `mean`, which earlier blocks gave."""
        whole = sum(self._sizes)
        for place, difference in enumerate(GUESSES):
            apart = self._direction * difference
            guesses = [_inside(mean - apart * self._sizes[1] / whole), _inside(mean + apart * self._sizes[0] / whole)]
            middle = sum(size * guess for size, guess in zip(self._sizes, guesses, strict=True)) / whole
            for guess, values in zip(guesses, block, strict=True):
                slope = (guess - middle) / (middle * (1 - middle))
                self._logs[place] += sum(math.log1p((value - middle) * slope) for value in values)

    @property
    def value(self) -> float:
        top = max(self._logs)
        return math.exp(min(top, 700.0)) * sum(math.exp(log - top) for log in self._logs) / len(self._logs)


def _inside(guess: float) -> float:
    return min(max(guess, EDGE), 1 - EDGE)
