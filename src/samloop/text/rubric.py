"""Rubrics: how a quality score comes about, as data. A score is a sum of named terms over measured features.

Three are built in, with the figures of the contract. `score` works on columns (numpy arrays, one entry per example)
and `terms_of` names the terms of a single one, from the same data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from samloop.errors import RecipeError

Features = Mapping[str, np.ndarray]

DIGITS: Final = 6
"""Scores are rounded to this many decimals, so that 0.5 + 0.1 + 0.05 + 0.15 reaches 0.8 in binary floating point."""

TRUSTED: Final = frozenset({"manual", "claude_capture", "user_correction"})

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "in": lambda column, values: np.isin(column, sorted(values)),
}


@dataclass(frozen=True, slots=True)
class When:
    """One condition: a feature compared with a value; ``in`` takes a set."""

    feature: str
    compare: str
    value: Any

    def __call__(self, features: Features) -> np.ndarray:
        """Boolean column: where it holds."""
        column = features[self.feature]
        if self.feature.startswith("flag:") or not isinstance(self.value, str):
            return np.asarray(_COMPARE[self.compare](column, self.value), dtype=bool)
        return np.asarray(_COMPARE[self.compare](column, np.asarray(self.value, dtype=column.dtype)), dtype=bool)


@dataclass(frozen=True, slots=True)
class Term:
    """A named part of the score: `value` where all conditions hold, times the column `times` where that is given.

    With `ramp` (feature, from, to) it is times the place of the feature between both, which is 0 up to `from` and 1
    from `to` on; `to` may be the smaller one.
    """

    name: str
    value: float
    when: tuple[When, ...] = ()
    times: str | None = None
    ramp: tuple[str, float, float] | None = None

    def __call__(self, features: Features, n: int) -> np.ndarray:
        """Float column: what this term adds."""
        holds = np.ones(n, dtype=bool)
        for condition in self.when:
            holds &= condition(features)
        amount = features[self.times].astype(np.float64) if self.times else np.ones(n)
        if self.ramp:
            feature, begin, end = self.ramp
            amount = amount * np.clip((features[feature] - begin) / (end - begin), 0.0, 1.0)
        return np.where(holds, self.value * amount, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """How examples are scored.

    Attributes:
        terms: what is added to `base`.
        tiers: lowest score of gold, silver and bronze; below bronze is unverified.
        max_bonus, max_penalty: bounds of the summed positive and negative terms.
        rules: rules that run with this rubric only.
        options: options of rules that differ from their defaults.
        own: flags that the terms name, which do not count among `flags_without_own_term`.
        rejects: further conditions that reject, with the reason.
    """

    name: str
    terms: tuple[Term, ...]
    tiers: tuple[float, float, float]
    base: float = 0.5
    max_bonus: float = np.inf
    max_penalty: float = np.inf
    rules: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rejects: tuple[tuple[str, tuple[When, ...]], ...] = ()
    own: frozenset[str] = frozenset({"incomplete", "repetition over 40 %"})

    def score(self, features: Features, n: int) -> np.ndarray:
        """Float64 column of n scores in 0..1."""
        bonus, penalty = np.zeros(n), np.zeros(n)
        for term in self.terms:
            (bonus if term.value >= 0 else penalty).__iadd__(term(features, n))
        total = self.base + np.minimum(bonus, self.max_bonus) + np.maximum(penalty, -self.max_penalty)
        return np.round(np.clip(total, 0.0, 1.0), DIGITS)

    def tier(self, scores: np.ndarray) -> np.ndarray:
        """Column of tier names."""
        gold, silver, bronze = self.tiers
        return np.select(
            [scores >= gold, scores >= silver, scores >= bronze], ["gold", "silver", "bronze"], "unverified"
        )

    def rejected(self, features: Features, n: int) -> list[tuple[str, np.ndarray]]:
        """The rubric's own reject conditions: reason and boolean column of each."""
        found = []
        for reason, conditions in self.rejects:
            holds = np.ones(n, dtype=bool)
            for condition in conditions:
                holds &= condition(features)
            found.append((reason, holds))
        return found

    def terms_of(self, features: Features) -> list[tuple[str, float]]:
        """The terms of the single example in `features`, base first; they sum to its score."""
        amounts = [(term.name, float(term(features, 1)[0])) for term in self.terms]
        found = [("base", self.base), *((name, amount) for name, amount in amounts if amount)]
        bonus = sum(amount for _, amount in amounts if amount > 0)
        penalty = sum(amount for _, amount in amounts if amount < 0)
        if bonus > self.max_bonus:
            found.append((f"bonuses capped at +{self.max_bonus:g}", self.max_bonus - bonus))
        if penalty < -self.max_penalty:
            found.append((f"penalties capped at -{self.max_penalty:g}", -self.max_penalty - penalty))
        total, score = sum(amount for _, amount in found), float(self.score(features, 1)[0])
        if abs(total - score) > 10**-DIGITS:
            found.append(("clipped to 0..1", score - total))
        return [(name, round(amount, DIGITS)) for name, amount in found]


UNIFIED: Final = Rubric(
    name="unified",
    tiers=(0.8, 0.6, 0.4),
    terms=(
        Term("output over 200 characters", 0.1, (When("output_characters", ">", 200),)),
        Term("output over 500 characters", 0.05, (When("output_characters", ">", 500),)),
        Term("trusted source", 0.15, (When("source", "in", TRUSTED),)),
        Term("preference pair", 0.1, (When("format", "==", "dpo"),)),
        Term("code block in domain code", 0.1, (When("domain", "==", "code"), When("code_blocks", ">", 0))),
        Term("repetition over 40 %", -0.3, (When("repetition", ">", 0.4),)),
        Term("incomplete", -0.15, (When("flag:incomplete", "==", True),)),
        Term("flags", -0.1, times="flags_without_own_term"),
    ),
    options={"over_length": {"characters": 32_000}, "under_length": {"characters": 20}},
)
"""Length, origin and flags. A flag costs 0.1; repetition over 40 % and incomplete have penalties of their own."""

SOUND: Final = Rubric(
    name="sound",
    base=0.75,
    tiers=(0.8, 0.6, 0.4),
    terms=(
        Term("trusted source", 0.15, (When("source", "in", TRUSTED),)),
        Term("verified or human-reviewed", 0.15, (When("human_reviewed", "==", True),)),
        Term("answer may belong to another question", -0.25, ramp=("chance:misfit", 0.4, 1.0)),
        Term("answer may stop in the middle", -0.25, ramp=("chance:unfinished", 0.3, 1.0)),
        Term("incomplete", -0.2, (When("flag:incomplete", "==", True),)),
        Term("repetition", -0.3, ramp=("repetition", 0.1, 0.4)),
        Term("loop", -0.2, (When("flag:loop", "==", True),)),
        Term("another language", -0.25, (When("flag:wrong_language", "==", True),)),
        Term("a rule rejects it", -0.45, (When("valid_format", "==", False),)),
        Term("flags", -0.1, times="flags_without_own_term"),
    ),
    own=frozenset(
        {"misfit", "unfinished", "loosely_related", "unrelated", "incomplete", "repetition", "loop", "wrong_language"}
    ),
    options={"over_length": {"characters": 32_000}, "under_length": {"characters": 20}},
)
"""The default: what is wrong with an example, and whether a person stands behind it. Length, code and format count
for nothing, so that choosing by score keeps the mix of what was collected (benchmarks/curation/score_training.py)."""

PIPELINE: Final = Rubric(
    name="pipeline",
    tiers=(0.9, 0.7, 0.5),
    terms=(
        Term("valid format", 0.1, (When("valid_format", "==", True),)),
        Term("100 to 4,000 characters", 0.1, (When("characters", ">=", 100), When("characters", "<=", 4000))),
        Term("source distillation or manual", 0.2, (When("source", "in", frozenset({"distillation", "manual"})),)),
        Term("verified or human-reviewed", 0.2, (When("human_reviewed", "==", True),)),
    ),
    options={"over_length": {"characters": 50_000}, "under_length": {"characters": 20}},
)
"""For what other tools' pipelines wrote: shape and origin count, length only as a range."""

DISTILLATION: Final = Rubric(
    name="distillation",
    tiers=(0.8, 0.6, 0.4),
    max_bonus=0.4,
    max_penalty=0.5,
    terms=(
        Term("two or more reasoning steps", 0.1, (When("reasoning_steps", ">=", 2),)),
        Term("correction", 0.15, (When("correction", "==", True),)),
        Term("principle extracted", 0.1, (When("principle", "==", True),)),
        Term("complexity of 5 or more", 0.05, (When("complexity", ">=", 5),)),
        Term("under 100 characters", -0.2, (When("output_characters", "<", 100),)),
        Term("direct answer", -0.1, (When("direct", "==", True),)),
        Term("repetition", -0.3, (When("flag:repetition", "==", True),)),
        Term("incomplete", -0.2, (When("flag:incomplete", "==", True),)),
    ),
    rules=("no_reasoning", "too_short", "too_long", "code_only", "uncertain"),
    options={"over_length": {"characters": 50_000}, "under_length": {"characters": 20}},
    rejects=(
        ("output is under 50 characters", (When("output_characters", "<", 50),)),
        ("repetition over 40 %", (When("repetition", ">", 0.4),)),
        ("refusal", (When("flag:refusal", "==", True),)),
    ),
)
"""For a teacher's answers: reasoning, corrections and principles count."""

RUBRICS: Final[dict[str, Rubric]] = {rubric.name: rubric for rubric in (SOUND, UNIFIED, PIPELINE, DISTILLATION)}


def rubric_named(name: str) -> Rubric:
    """The rubric called `name`.

    Raises:
        RecipeError: there is none.
    """
    if name not in RUBRICS:
        raise RecipeError(f"expected curate.rubric to be one of {', '.join(RUBRICS)}, got '{name}'")
    return RUBRICS[name]
