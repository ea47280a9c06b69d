"""Intervals and paired comparisons of scores, by the bootstrap.

What is resampled are groups of items (a conversation, a wording), not single items, because items of one group
succeed and fail together; an interval over single items would be too narrow (cluster bootstrap: Davison and
Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). A score is a ratio of sums, so each resample
adds up numerators and denominators and divides once. For a comparison both models are resampled with the same draws
(paired bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; for language models: Koehn,
Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004).

Limits are BCa, bias-corrected and accelerated (Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987). Two
cases where a bootstrap would claim too much are mended: see `END_OF_SCALE` and `FEW_DIFFERENCES`. And 2,000 resamples
cannot tell one chance in ten thousand from one in a million, as the gate has to over many nights: `worse_chance` is
no surer than Student's t of the gain over its jackknife error (Efron and Tibshirani, 1993, chapter 11).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from samloop import student
from samloop.errors import InputError
from samloop.protocols import Comparison, Interval, Score

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95

FEW_DIFFERENCES: Final = 20
"""With fewer groups in which the two models differ, `worse_chance` is no surer than the mid-p of a sign test over
them. Three wins and no loss leave one resample in forty without any win, but are no more than three coins (mid-p of
McNemar's test: Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013)."""

END_OF_SCALE: Final = (0.0, 1.0)
"""A share that is at an end of its scale in every group has no bootstrap spread; its other limit is then the exact
binomial one over groups (Clopper and Pearson, Biometrika 26, 1934): 20 of 20 right is not 100 % for certain."""

_DRAWS_AT_ONCE: Final = 4_000_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Sums:
    """Numerators and denominators added up per group: float64[groups] each."""

    numerators: Floats
    denominators: Floats
    exponential: bool

    @property
    def groups(self) -> int:
        return len(self.numerators)

    def value(self, numerators: Floats, denominators: Floats) -> Floats:
        """The score for sums of any shape; NaN where a denominator is zero."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(denominators == 0, np.nan, numerators / denominators)
            return np.exp(np.minimum(ratio, 700.0)) if self.exponential else ratio

    def whole(self) -> float:
        return float(self.value(self.numerators.sum(), self.denominators.sum()))

    def without_each(self) -> Floats:
        """The score with each group left out in turn, for the jackknife."""
        return self.value(self.numerators.sum() - self.numerators, self.denominators.sum() - self.denominators)

    def resampled(self, draws: npt.NDArray[np.int64]) -> Floats:
        """The score of each resample; `draws` is int64[resamples, groups]."""
        return self.value(self.numerators[draws].sum(axis=1), self.denominators[draws].sum(axis=1))


def interval(score: Score, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """The score's value with its two-sided confidence interval.

    NaN throughout where there is no item or a figure is not finite. One group alone has no interval that means
    anything: its limits are the ends of the scale, minus and plus infinity unless the unit is "share".
    """
    sums = _sums(score)
    (drawn,) = _resample([sums], resamples, seed)
    return _interval(score, sums, drawn, confidence)


def compare(
    champion: Score,
    challenger: Score,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Both scores and the challenger's gain on the same items, positive where the challenger is better.

    Identical scores give a gain of exactly 0 and a `worse_chance` of 0.5.

    Raises:
        InputError: the scores measure different things, or not on the same items in the same order.
    """
    _check_pair(champion, challenger)
    one, other = _sums(champion), _sums(challenger)
    sign = 1.0 if champion.better == "higher" else -1.0
    gain = sign * (other.whole() - one.whole())
    drawn_one, drawn_other = _resample([one, other], resamples, seed)
    limits, worse, error = (math.nan, math.nan), 1.0, math.nan
    if math.isfinite(gain) and one.groups > 1:
        drawn = _finite(sign * (drawn_other - drawn_one))
        left_out = _finite(sign * (other.without_each() - one.without_each()))
        limits, error = _bca(gain, drawn, left_out, confidence), jackknife_error(left_out)
        worse = _worse_chance(drawn, one, other, sign)
        worse = least_sure(worse, student.tail(_apart(gain, error), len(left_out) - 1))
    elif math.isfinite(gain):
        limits, worse = (-math.inf, math.inf), 0.5
    return Comparison(
        suite=champion.suite,
        name=champion.name,
        unit=champion.unit,
        better=champion.better,
        items=len(champion.ids),
        groups=one.groups,
        champion=_interval(champion, one, drawn_one, confidence),
        challenger=_interval(challenger, other, drawn_other, confidence),
        gain=Interval(mean=gain, low=limits[0], high=limits[1]),
        worse_chance=worse,
        error=error,
    )


def jackknife_error(left_out: Floats) -> float:
    """The standard error of a value, from what it is with each group left out in turn; NaN for less than two."""
    count = len(left_out)
    if count < 2:
        return math.nan
    return math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))


def least_sure(*chances: float) -> float:
    """The chance that is nearest to even."""
    return max(chances, key=lambda chance: -abs(chance - 0.5))


def _apart(gain: float, error: float) -> float:
    """Student's t; a gain that is the same in every group, but for rounding, has no error to speak of."""
    return math.copysign(math.inf, gain) if gain and error <= 1e-12 * abs(gain) else gain / error if error else 0.0


def _interval(score: Score, sums: _Sums, drawn: Floats, confidence: float) -> Interval:
    mean = sums.whole()
    if not math.isfinite(mean):
        return Interval(mean=math.nan, low=math.nan, high=math.nan)
    share = score.unit == "share"
    if sums.groups == 1:
        return Interval(mean=mean, low=0.0 if share else -math.inf, high=1.0 if share else math.inf)
    low, high = _bca(mean, _finite(drawn), _finite(sums.without_each()), confidence)
    if share and mean in END_OF_SCALE:
        tail = ((1 - confidence) / 2) ** (1 / sums.groups)
        low, high = (tail, 1.0) if mean == 1.0 else (0.0, 1 - tail)
    return Interval(mean=mean, low=low, high=high)


def _sums(score: Score) -> _Sums:
    numerators = np.asarray(score.numerators, dtype=np.float64)
    denominators = np.asarray(score.denominators, dtype=np.float64)
    if score.groups:
        _, member = np.unique(np.asarray(score.groups), return_inverse=True)
        numerators, denominators = _per_group(numerators, member), _per_group(denominators, member)
    return _Sums(numerators, denominators, score.exponential)


def _per_group(values: Floats, member: npt.NDArray[np.intp]) -> Floats:
    return np.bincount(member, weights=values).astype(np.float64)


def _resample(scores: Sequence[_Sums], resamples: int, seed: int) -> list[Floats]:
    """Each score in each of `resamples` draws of groups with replacement, the same draws for all: float64 each.

    NaN where a draw has nothing to divide by.
    """
    generator, groups = np.random.default_rng(seed), scores[0].groups
    drawn = [np.full(resamples, np.nan) for _ in scores]
    at_once = max(1, _DRAWS_AT_ONCE // max(1, groups))
    for start in range(0, resamples if groups else 0, at_once):
        size = min(at_once, resamples - start)
        draws = generator.integers(0, groups, size=(size, groups))
        for sums, found in zip(scores, drawn, strict=True):
            found[start : start + size] = sums.resampled(draws)
    return drawn


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _bca(value: float, drawn: Floats, left_out: Floats, confidence: float) -> tuple[float, float]:
    """BCa limits; `left_out` is the jackknife. Equal to the percentile limits where bias and skew are nil."""
    if not len(drawn) or drawn.min() == drawn.max():
        return value, value
    normal = NormalDist()
    # Ties with the value count half: scores of few items take few values.
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    apart = left_out.mean() - left_out
    spread = float((apart**2).sum()) ** 1.5
    skew = float((apart**3).sum()) / (6 * spread) if spread else 0.0
    limits = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(tail)
        limits.append(normal.cdf(bias + shifted / (1 - skew * shifted)) if skew * shifted < 1 else round(tail))
    low, high = np.quantile(drawn, limits)
    return float(low), float(high)


def _worse_chance(drawn: Floats, one: _Sums, other: _Sums, sign: float) -> float:
    """The share of resamples below zero; with few differing groups not surer than a sign test over them."""
    share = float((drawn < 0).mean() + (drawn == 0).mean() / 2) if len(drawn) else 0.5
    differences = sign * (other.numerators * one.denominators - one.numerators * other.denominators)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    count = wins + losses
    if count >= FEW_DIFFERENCES:
        return share
    mass = [math.comb(count, k) / 2**count for k in range(count + 1)]
    coins: float = mass[wins] / 2 + sum(mass[wins + 1 :])
    return least_sure(share, coins)


def _check_pair(champion: Score, challenger: Score) -> None:
    measure = f"the scores {champion.suite}.{champion.name}"
    for name in ("suite", "name", "unit", "better", "exponential"):
        mine, theirs = getattr(champion, name), getattr(challenger, name)
        if mine != theirs:
            raise InputError(
                f"expected two scores of one measure, got {name} {mine!r} and {theirs!r}; compare like with like"
            )
    if len(champion.ids) != len(challenger.ids):
        raise InputError(
            f"{measure} are not on the same items: {len(champion.ids)} for the champion, {len(challenger.ids)} for "
            "the challenger; evaluate both again on one list of items"
        )
    for at, (mine, theirs) in enumerate(zip(champion.ids, challenger.ids, strict=True)):
        if mine != theirs:
            raise InputError(
                f"{measure} are not on the same items: number {at + 1} is '{mine}' for the champion and '{theirs}' "
                "for the challenger; evaluate both again on one list of items"
            )
    if champion.groups != challenger.groups:
        raise InputError(f"{measure} group their items differently; evaluate both again on one list of items")
