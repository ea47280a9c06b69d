"""Held-out items and adapters whose truth is known, many worlds at once, for the simulations of the gate.

The figures come from two adapters of the bundled model, trained alike but for the seed and graded on the items of
`make demo`: 387 held-out answers in 92 groups, of 5 to 731 bytes, between which bits differ by a standard error of
0.39 % of the whole, with a kurtosis of 7.6 over groups; 400 routing tasks in 281 groups, 85.5 % right, of which 5.5 %
came out differently. All arrays are float64[worlds, items].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from samloop.protocols import Comparison, Interval, Score

Floats = npt.NDArray[np.float64]
Kind = Literal["size", "plain", "share"]


@dataclass(frozen=True)
class Measure:
    """One measure, and how much retraining alone moves it.

    Attributes:
        kind: "size": a ratio of sums that is lower where better (bits over bytes, nats over tokens); "plain": a mean;
            "share": right or wrong.
        layout: how many groups there are of 1, 2, 3 … items.
        noise: size: the standard error of a difference, as a part of the whole; plain: the standard deviation of an
            item's difference; share: the part of the items that come out differently.
        together: how much of the noise the items of a group have in common.
        level: the share right, of "share".
        skew: whether few items lose much and most gain a little, where nothing differs in truth.
        largest: what an item of "size" divides by, at most: bytes, or the tokens of a sequence.
    """

    name: str
    suite: str
    unit: str
    kind: Kind
    layout: tuple[int, ...]
    noise: float
    together: float = 0.6
    level: float = 0.0
    skew: bool = False
    largest: int = 2000

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(1, len(self.layout) + 1), self.layout)

    @property
    def items(self) -> int:
        return int(self.sizes.sum())


BITS = Measure("bits_per_byte", "perplexity", "bits per byte", "size", (20, 9, 6, 1, 11, 43, 2), 0.0039)
ROUTING = Measure("routing_accuracy", "routing", "share", "share", (217, 22, 28, 6, 5, 2), 0.055, 0.95, 0.855)
RETENTION = Measure("retention_perplexity", "retention", "per token", "size", (200,), 0.003, largest=512)
MARGIN = Measure("corrections_margin", "corrections", "nats", "plain", (0, 0, 40), 1.0)
PRODUCED = Measure("corrections_produced", "corrections", "share", "share", (0, 0, 40), 0.1, 0.8, 0.3)
KEPT = Measure("corrections_kept", "corrections_kept", "share", "share", (60,), 0.05, 0.0, 0.95)


class World:
    """The items of one measure in many worlds, and what adapters make of them."""

    def __init__(self, measure: Measure, worlds: int, generator: np.random.Generator) -> None:
        self.measure, self.generator = measure, generator
        self.sizes = measure.sizes
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        shape = (worlds, measure.items)
        self.denominators = np.ones(shape)
        if measure.kind == "size":
            self.denominators = np.clip(generator.lognormal(3.0, 1.5, shape), 5, measure.largest).round()
            # An answer's bits per byte differ a lot between answers; the noise grows with the root of what there is.
            self.expected = self.denominators * generator.lognormal(0.4, 0.5, shape)
            root = np.sqrt(self.expected)
            spread = measure.together * (self.per_group(root) ** 2).sum(1) + (1 - measure.together) * (root**2).sum(1)
            wanted = measure.noise * self.expected.sum(1) / math.sqrt(2)
            self.scale = root * (wanted / np.sqrt(spread))[:, None]
        elif measure.kind == "plain":
            self.expected = generator.standard_t(4, shape)
            self.scale = np.full(shape, measure.noise / math.sqrt(2))
        else:
            self.threshold = NormalDist().inv_cdf(measure.level)
            self.churn = _churn(measure.noise, self.threshold)
            self.expected = self._noise(shape)

    def per_group(self, values: Floats) -> Floats:
        return np.add.reduceat(values, self.starts, axis=1)

    def adapter(self, effect: Floats | float = 0.0) -> Floats:
        """Numerators of one adapter in each world. `effect`, per world: size: relative; plain and share: added."""
        shape, kind = self.expected.shape, self.measure.kind
        effects = np.broadcast_to(np.asarray(effect, dtype=np.float64), (shape[0],))[:, None]
        if kind == "share":
            latent = math.sqrt(1 - self.churn) * self.expected + math.sqrt(self.churn) * self._noise(shape)
            level = np.clip(self.measure.level + effects, 0.001, 0.999)
            return (latent < np.vectorize(NormalDist().inv_cdf)(level)).astype(np.float64)
        noise = self.scale * self._noise(shape)
        return self.expected * (1 + effects) + noise if kind == "size" else self.expected + effects + noise

    def _noise(self, shape: tuple[int, int]) -> Floats:
        """Standard noise, shared in part within groups; heavy-tailed where it is not about a share."""
        draw, measure = self.generator, self.measure
        groups = (shape[0], len(self.sizes))
        if measure.kind == "share":
            common = draw.standard_normal(groups)
        elif measure.skew:
            common = (draw.lognormal(0, 1, groups) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)
        else:
            common = draw.standard_t(4, groups) / math.sqrt(2)
        own = draw.standard_normal(shape)
        return (
            math.sqrt(measure.together) * np.repeat(common, self.sizes, axis=1)
            + math.sqrt(1 - measure.together) * own
        )

    def gains(self, champion: Floats, challenger: Floats) -> tuple[Floats, Floats]:
        """The challenger's gain and its jackknife error over groups, per world: as `compare` finds them."""
        sign = 1.0 if self.measure.kind != "size" else -1.0
        below = self.per_group(self.denominators)
        one, other = self._left_out(champion, below), self._left_out(challenger, below)
        gain = sign * (self._value(challenger) - self._value(champion))
        left = sign * (other - one)
        count = left.shape[1]
        error = np.sqrt((count - 1) / count * ((left - left.mean(1, keepdims=True)) ** 2).sum(1))
        return gain, error

    def comparison(self, at: int, champion: Floats, challenger: Floats, gain: float, error: float, worse: float):
        """The comparison of world `at` without a bootstrap: the gate reads no interval."""
        one, other = (float(self._value(numbers[at : at + 1])[0]) for numbers in (champion, challenger))
        measure = self.measure
        return Comparison(
            suite=measure.suite,
            name=measure.name,
            unit=measure.unit,
            better="lower" if measure.kind == "size" else "higher",
            items=measure.items,
            groups=len(self.sizes),
            champion=Interval(mean=one, low=one, high=one),
            challenger=Interval(mean=other, low=other, high=other),
            gain=Interval(mean=gain, low=gain, high=gain),
            worse_chance=worse,
            error=error,
        )

    def score(self, at: int, numbers: Floats) -> Score:
        """The score of world `at`, item by item, for the real `compare`."""
        measure = self.measure
        return Score(
            suite=measure.suite,
            name=measure.name,
            unit=measure.unit,
            better="lower" if measure.kind == "size" else "higher",
            ids=tuple(map(str, range(measure.items))),
            numerators=tuple(numbers[at].tolist()),
            denominators=tuple(self.denominators[at].tolist()),
            groups=tuple(np.repeat(np.arange(len(self.sizes)), self.sizes).astype(str).tolist()),
            exponential=measure.name == "retention_perplexity",
        )

    def _value(self, numbers: Floats) -> Floats:
        ratio = numbers.sum(1) / self.denominators[: len(numbers)].sum(1)
        return np.exp(ratio) if self.measure.name == "retention_perplexity" else ratio

    def _left_out(self, numbers: Floats, below: Floats) -> Floats:
        above = self.per_group(numbers)
        ratio = (above.sum(1, keepdims=True) - above) / (below.sum(1, keepdims=True) - below)
        return np.exp(ratio) if self.measure.name == "retention_perplexity" else ratio


def skewed(measure: Measure) -> Measure:
    """The same measure with noise that is good for most items and bad for a few."""
    return replace(measure, skew=True)


def _churn(moved: float, threshold: float) -> float:
    """How much of a latent normal two adapters must not share for a part `moved` to come out differently."""
    grid = np.linspace(-6, 6, 4001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 1.0
    normal = NormalDist()
    for _ in range(40):
        churn = (low + high) / 2
        chances = np.array([normal.cdf((threshold - math.sqrt(1 - churn) * g) / math.sqrt(churn)) for g in grid])
        differ = float((2 * chances * (1 - chances) * density).sum() * (grid[1] - grid[0]))
        low, high = (churn, high) if differ < moved else (low, churn)
    return (low + high) / 2
