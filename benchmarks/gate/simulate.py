"""How often does the gate err, on one night and over a year of nights? Through the real compare() and gate().

    python benchmarks/gate/simulate.py [--trials 2000] [--years 1000] [--nights 365] [--only single|year|picture]

`world.py` makes up held-out items and adapters whose truth is known, as noisy, heavy-tailed and grouped as real ones.
A year is 365 challengers for one slot, all graded on the same items, so that the luck of a champion lasts as long as
it serves; a promoted challenger is the next champion. Each share stands with its exact 95 % binomial bounds (Clopper
and Pearson, 1934).

Thousands of years are quick because a measure's doubt is the larger of two, that of Student's t and that of the
bootstrap: the first is computed for all worlds at once, and only where it lets a challenger pass is that one really
compared, with all resamples.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from world import BITS, KEPT, MARGIN, PRODUCED, RETENTION, ROUTING, Floats, Measure, World, skewed

from samloop.adapters.gate import Decision, gate
from samloop.adapters.levels import part_of_look
from samloop.evaluate.compare import compare
from samloop.settings import Gate

POLICY = Gate()
USUAL = (BITS, ROUTING, RETENTION)
TAUGHT = (MARGIN, PRODUCED, *USUAL)
CARRIERS = ("corrections_margin", "corrections_produced", "bits_per_byte", "routing_accuracy")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Truth:
    """What is true of every challenger: effects by measure; of sizes, relative and negative where better."""

    name: str
    wanted: str
    effects: dict[str, float] = field(default_factory=dict)
    measures: tuple[Measure, ...] = USUAL
    drift: float = 0.0
    steps: tuple[int, float] = (0, 0.0)
    fresh: bool = False
    policy: Gate = POLICY
    looks: tuple[int, ...] = (1, 365)


BITS_GAIN, BITS_LOSS = -0.035, POLICY.not_worse_margin
LOST = {
    "routing_accuracy": -POLICY.harm_margins * POLICY.routing_margin,
    # What raises perplexity by five margins, of 1.7 nats per token.
    "retention_perplexity": math.log1p(POLICY.harm_margins * POLICY.retention_margin) / 1.69,
}

SINGLE = [
    Truth("no true difference", "<= 5 %"),
    Truth("no true difference, few items lose much", "<= 5 %", measures=(skewed(BITS), ROUTING, RETENTION)),
    Truth("no true difference, corrections decide", "<= 5 %", measures=TAUGHT),
    Truth("bits 2 % better", ">= 90 % at look 1", {"bits_per_byte": -0.02}),
    Truth("bits 3.5 % better", ">= 90 %", {"bits_per_byte": BITS_GAIN}),
    Truth("corrections better by 1.2 of their noise", ">= 90 %", {"corrections_margin": 1.2}, TAUGHT),
    Truth("equal bits, routing 10 points better", ">= 90 % at look 1", {"routing_accuracy": 0.10}),
    Truth(
        "bits 2 % worse, routing 10 points better", "<= 1 %", {"bits_per_byte": BITS_LOSS, "routing_accuracy": 0.10}
    ),
    Truth("bits 2 % worse", "<= 1 %", {"bits_per_byte": BITS_LOSS}),
    Truth("bits 3.5 % better, routing 2 points worse", "", {"bits_per_byte": BITS_GAIN, "routing_accuracy": -0.02}),
    Truth(
        "bits 3.5 % better, routing 10 points worse",
        "<= 1 %",
        {"bits_per_byte": BITS_GAIN, "routing_accuracy": LOST["routing_accuracy"]},
    ),
    Truth(
        "bits 3.5 % better, retention 10 % worse",
        "<= 1 %",
        {"bits_per_byte": BITS_GAIN, "retention_perplexity": LOST["retention_perplexity"]},
    ),
    Truth("corrections better, as many kept as before", ">= 90 %", {"corrections_margin": 1.2}, (*TAUGHT, KEPT)),
    Truth(
        "corrections better, a quarter forgotten",
        "<= 1 %",
        {"corrections_margin": 1.2, "corrections_kept": -0.25},
        (*TAUGHT, KEPT),
    ),
]

YEARS = [
    Truth("no true difference, all year", "<= 5 %"),
    Truth("the same, fresh items every night", "<= 5 %", fresh=True),
    Truth("no true difference, few items lose much", "<= 5 %", measures=(skewed(BITS), ROUTING)),
    Truth("quality drifts at random, never above the base", "<= 5 %", drift=0.002),
    Truth("corrections decide, no true difference", "<= 5 %", measures=(MARGIN, PRODUCED, BITS, ROUTING)),
    Truth(
        "all 2 % worse in bits, 10 points better routing", "<= 1 %", {"bits_per_byte": 0.02, "routing_accuracy": 0.1}
    ),
    Truth(
        "all 3.5 % better in bits, 10 points worse routing",
        "<= 1 %",
        {"bits_per_byte": BITS_GAIN, "routing_accuracy": LOST["routing_accuracy"]},
    ),
    Truth("a true gain of 3.5 % every 30 nights", "false: few", steps=(30, BITS_GAIN)),
]


NAIVE = "no true difference, 5 % allowed anew every night"


def bounds(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial bounds of a share (Clopper and Pearson, 1934), by bisection on the binomial tail."""
    tail = (1 - confidence) / 2

    def at_most(count: int, chance: float) -> float:
        if chance <= 0 or chance >= 1:
            return float(chance <= 0 or count >= of)
        logs = [
            math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
            + k * math.log(chance) + (of - k) * math.log1p(-chance)
            for k in range(count + 1)
        ]  # fmt: skip
        return math.fsum(map(math.exp, logs))

    def solve(rises: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if rises(middle) else (low, middle)
        return low

    lower = 0.0 if hits == 0 else solve(lambda p: 1 - at_most(hits - 1, p) < tail)
    upper = 1.0 if hits == of else solve(lambda p: at_most(hits, p) > tail)
    return lower, upper


def share(hits: int, of: int) -> str:
    low, high = bounds(hits, of)
    return f"{hits / of:6.1%} [{low:6.1%}, {high:6.1%}]"


@dataclass
class Night:
    """One measure of all worlds on one night: both adapters, the gain, and its doubt by Student's t alone."""

    world: World
    champion: Floats
    challenger: Floats

    def __post_init__(self) -> None:
        self.gain, self.error = self.world.gains(self.champion, self.challenger)
        degrees = len(self.world.sizes) - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            self.t = np.where(self.error > 0, self.gain / self.error, 0.0)
        bend = (8 * degrees + 1) / (8 * degrees + 3)
        z = bend * np.sign(self.t) * np.sqrt(degrees * np.log1p(self.t**2 / degrees))
        self.doubt = np.vectorize(math.erfc)(z / math.sqrt(2)) / 2

    def comparison(self, at: int):
        return self.world.comparison(
            at, self.champion, self.challenger, float(self.gain[at]), float(self.error[at]), float(self.doubt[at])
        )

    def compared(self, at: int):
        return compare(self.world.score(at, self.champion), self.world.score(at, self.challenger), seed=at)


def decide(nights: list[Night], at: int, look: int, policy: Gate, *, really: bool = True) -> Decision:
    """The gate's word on world `at`: at once where Student's t does not let it pass, else of a real comparison."""
    names = {"policy": policy, "slot": "main", "challenger": "new", "champion": "old", "look": look}
    quick = gate([night.comparison(at) for night in nights], **names)
    if quick.verdict != "promote" or not really:
        return quick
    whole = [night.compared(at) if night.world.measure.name in CARRIERS else night.comparison(at) for night in nights]
    return gate(whole, **names)


def single(truth: Truth, look: int, trials: int, generator: np.random.Generator) -> tuple[int, int]:
    """How often challengers are promoted, and refused, at that look."""
    nights = []
    for measure in truth.measures:
        world = World(measure, trials, generator)
        nights.append(Night(world, world.adapter(), world.adapter(truth.effects.get(measure.name, 0.0))))
    verdicts = [decide(nights, at, look, truth.policy).verdict for at in range(trials)]
    return verdicts.count("promote"), verdicts.count("refuse")


@dataclass
class Year:
    """What came of a year in every world.

    Attributes:
        wrong: per world, the night of the first promotion of a challenger that was not better, or 0.
        false, promotions: all together.
        seen: true gains promoted, and how many there were.
    """

    wrong: Floats
    false: int = 0
    promotions: int = 0
    seen: tuple[int, int] = (0, 0)


def year(
    truth: Truth, years: int, nights: int, generator: np.random.Generator, *, spend: bool = True, really: bool = True
) -> Year:
    """Every night one challenger, in many worlds.

    Args:
        spend: whether looks share an allowance; without, each is allowed all of it, and guards are not asked.
        really: whether what Student's t lets pass is compared with the bootstrap too.
    """
    worlds = [World(measure, years, generator) for measure in truth.measures]
    champions = [world.adapter() for world in worlds]
    quality, best, served = np.zeros(years), np.zeros(years), np.zeros(years)
    looks = np.zeros(years, dtype=int)
    harmful = bool(truth.effects)
    out = Year(np.zeros(years))
    stepped = caught = 0
    for night in range(1, nights + 1):
        if truth.drift:
            quality = np.abs(quality + generator.normal(0, truth.drift, years))  # relative bits: above 0 is worse
        if truth.steps[0]:
            quality = np.full(years, truth.steps[1] * (night // truth.steps[0]))
        if truth.fresh:
            worlds = [World(measure, years, generator) for measure in truth.measures]
            champions = [world.adapter() for world in worlds]
        looks += 1
        tonight = []
        for world, champion in zip(worlds, champions, strict=True):
            name = world.measure.name
            effect = truth.effects.get(name, 0.0) + (quality if name == "bits_per_byte" else 0.0)
            tonight.append(Night(world, champion, world.adapter(effect)))
        carrying = [one for one in tonight if one.world.measure.name in CARRIERS]
        parts = np.vectorize(part_of_look)(looks) if spend else np.ones(years)
        allowed = truth.policy.max_worse_chance * parts / len(carrying)
        hopeful = np.flatnonzero(np.any([one.doubt <= allowed for one in carrying], axis=0))
        if truth.steps[0] and night % truth.steps[0] == 0:
            stepped += years
        for at in hopeful:
            if spend:
                promoted = decide(tonight, int(at), int(looks[at]), truth.policy, really=really).verdict == "promote"
            else:
                promoted = any(one.doubt[at] <= allowed[at] and one.gain[at] > 0 for one in carrying)
            if not promoted:
                continue
            out.promotions += 1
            better = quality[at] < served[at] and not harmful
            if not better:
                out.false += 1
                out.wrong[at] = out.wrong[at] or night
            elif quality[at] < best[at] and night % truth.steps[0] == 0:
                caught += 1
            best[at] = min(best[at], quality[at])
            served[at], looks[at] = quality[at], 0
            for champion, one in zip(champions, tonight, strict=True):
                champion[at] = one.challenger[at]
    out.seen = (caught, stepped)
    return out


def show_single(trials: int, seed: int, match: str) -> None:
    print(f"{'one night: truth':<50}{'wanted':<19}{'look':>4}  {'promoted':<24}refused")
    for truth in (one for one in SINGLE if match in one.name):
        for look in truth.looks:
            promoted, refused = single(truth, look, trials, np.random.default_rng([seed, look]))
            print(
                f"{truth.name:<50}{truth.wanted:<19}{look:>4}  {share(promoted, trials):<24}{share(refused, trials)}"
            )
    print(flush=True)


def show_years(years: int, nights: int, seed: int, match: str) -> None:
    print(f"{f'{nights} nights: truth of all challengers':<53}{'wanted':<12}{'years with a wrong one':<30}promotions")
    for truth in (one for one in YEARS if match in one.name):
        found = year(truth, years, nights, np.random.default_rng([seed, nights]))
        more = f"{found.promotions} in {years} years, {found.false} wrong"
        if found.seen[1]:
            more += f"; of {found.seen[1]} true gains, promoted the same night: {share(*found.seen)}"
        print(f"{truth.name:<53}{truth.wanted:<12}{share(int((found.wrong > 0).sum()), years):<30}{more}", flush=True)
    if match not in NAIVE:
        return
    naive = year(YEARS[0], years, nights, np.random.default_rng([seed, nights]), spend=False)
    wrong = share(int((naive.wrong > 0).sum()), years)
    print(f"{NAIVE:<53}{'':<12}{wrong:<30}{naive.promotions} promotions")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--years", type=int, default=1000)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("single", "year"), default="")
    parser.add_argument("--match", default="", help="only truths whose name has this in it")
    options = parser.parse_args()
    started = time.perf_counter()
    print(f"gate: {POLICY.model_dump()}\n")
    if options.only != "year":
        show_single(options.trials, options.seed, options.match)
    if options.only != "single":
        show_years(options.years, options.nights, options.seed, options.match)
    print(f"{time.perf_counter() - started:.0f} s; numpy {np.__version__}")


if __name__ == "__main__":
    main()
