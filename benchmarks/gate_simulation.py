"""How often does the gate err? Simulated evaluations with a known truth, through the real compare() and gate().

    python benchmarks/gate_simulation.py [--trials 1000] [--seed 0]

One evaluation: bits per byte of 300 held-out answers in 150 groups, and routing of 400 tasks in 130 wordings, which
are learnt or missed together. `noise` is how much a retrained model differs in an answer's bits where nothing
differs in truth (standard deviation, relative), `moved` the share of tasks it answers anew. Each share has its exact
95 % binomial bounds (Clopper and Pearson, 1934). The last column judges the guard by its interval's lower limit
instead of by its estimate: the rule not taken.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from samloop.adapters.gate import GUARDS, gate
from samloop.evaluate.compare import compare
from samloop.protocols import Comparison, Score
from samloop.settings import Gate

POLICY = Gate()
ANSWERS, ANSWER_GROUPS, TASKS, WORDINGS = 300, 150, 400, 130


@dataclass(frozen=True)
class Truth:
    """What is true of a challenger: its effect on bits per byte (relative; negative is better) and on routing."""

    name: str
    wanted: str
    bits: float = 0.0
    routing: float = 0.0
    noise: float = 0.05
    accuracy: float = 0.90
    moved: float = 0.06
    measured_routing: bool = True


SCENARIOS = [
    Truth("no true difference", "<= 5 %"),
    Truth("no true difference, noisy items", "<= 5 %", noise=0.2, moved=0.15),
    Truth("no true difference, routing not measured", "<= 5 %", measured_routing=False),
    Truth("no true difference, routing at 99 %", "<= 5 %", accuracy=0.99, moved=0.01),
    Truth("bits 2 % better", ">= 90 %", bits=-0.02),
    Truth("bits 2 % better, routing answered anew often", "", bits=-0.02, moved=0.3),
    Truth("bits 10 % better, noisy items", ">= 90 %", bits=-0.10, noise=0.2),
    Truth("bits 1 % better, routing 8 points better", ">= 90 %", bits=-0.01, routing=0.08),
    Truth("equal bits, routing 8 points better", "", routing=0.08),
    Truth("bits 2 % worse, routing 8 points better", "<= 5 %", bits=0.02, routing=0.08),
    Truth("bits 2 % better, routing 2 points worse", "", bits=-0.02, routing=-0.02),
    Truth("bits 2 % better, routing 5 points worse", "<= 5 %", bits=-0.02, routing=-0.05),
    Truth("bits 5 % worse", "<= 1 %", bits=0.05),
]


def evaluation(truth: Truth, generator: np.random.Generator) -> list[Comparison]:
    """The comparisons of one simulated evaluation."""
    pairs = [answers(truth, generator)]
    if truth.measured_routing:
        pairs.append(tasks(truth, generator))
    return [compare(one, other, resamples=500, seed=int(generator.integers(1 << 31))) for one, other in pairs]


def answers(truth: Truth, generator: np.random.Generator) -> tuple[Score, Score]:
    groups = generator.integers(0, ANSWER_GROUPS, ANSWERS)
    size = np.maximum(20, generator.lognormal(5.5, 1.0, ANSWERS)).round()
    champion = size * generator.gamma(10, 0.2, ANSWERS)
    shared = generator.normal(0, truth.noise / math.sqrt(2), ANSWER_GROUPS)[groups]
    own = generator.normal(0, truth.noise / math.sqrt(2), ANSWERS)
    # A mean-one factor, so that the true relative effect is `truth.bits` and nothing else.
    challenger = champion * (1 + truth.bits) * np.exp(shared + own - truth.noise**2 / 2)
    ids = tuple(map(str, range(ANSWERS)))
    fixed = {"suite": "perplexity", "name": "bits_per_byte", "unit": "bits per byte", "better": "lower", "ids": ids}
    fixed |= {"denominators": tuple(size), "groups": tuple(map(str, groups))}
    return Score(numerators=tuple(champion), **fixed), Score(numerators=tuple(challenger), **fixed)


def tasks(truth: Truth, generator: np.random.Generator) -> tuple[Score, Score]:
    wordings = np.arange(TASKS) % WORDINGS
    # A wording is mostly known or mostly not; `moved` of the items are answered anew by the challenger.
    champion = generator.random(TASKS) < wording_chance(truth.accuracy, generator)[wordings]
    wanted = truth.accuracy + truth.routing
    again = (wanted - truth.accuracy * (1 - truth.moved)) / truth.moved if truth.routing else truth.accuracy
    moved = truth.moved
    if not 0 <= again <= 1:
        again = float(again > 0)
        moved = (wanted - truth.accuracy) / (again - truth.accuracy)
    anew = generator.random(TASKS) < moved
    challenger = np.where(anew, generator.random(TASKS) < again, champion)
    fixed = {"suite": "routing", "name": "routing_accuracy", "unit": "share", "better": "higher"}
    fixed |= {"ids": tuple(map(str, range(TASKS))), "denominators": (1.0,) * TASKS}
    fixed |= {"groups": tuple(map(str, wordings))}
    return (
        Score(numerators=tuple(champion.astype(float)), **fixed),
        Score(numerators=tuple(challenger.astype(float)), **fixed),
    )


def wording_chance(accuracy: float, generator: np.random.Generator) -> np.ndarray:
    return generator.beta(accuracy * 2, (1 - accuracy) * 2, WORDINGS)


def held_by_interval(comparisons: list[Comparison]) -> bool:
    """Whether every guard's lower limit lies within its margin: the stricter rule."""
    found = {one.name: one for one in comparisons}
    return all(
        found[guard.name].gain.low >= -getattr(POLICY, guard.margin) for guard in GUARDS if guard.name in found
    )


def bounds(hits: int, trials: int) -> str:
    low = beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0
    return f"{hits / trials:6.1%} [{low:6.1%}, {high:6.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    print(f"gate: {POLICY.model_dump()}")
    print(f"{options.trials} evaluations per row, seed {options.seed}\n")
    print(f"{'truth':45} {'wanted':9} {'promoted':24} {'refused':24} {'promoted if guard by interval'}")
    for at, truth in enumerate(SCENARIOS):
        generator = np.random.default_rng([options.seed, at])
        promoted = refused = strict = 0
        for _ in range(options.trials):
            comparisons = evaluation(truth, generator)
            verdict = gate(comparisons, POLICY, slot="main", challenger="new", champion="old").verdict
            promoted += verdict == "promote"
            refused += verdict == "refuse"
            strict += verdict == "promote" and held_by_interval(comparisons)
        cells = [bounds(hits, options.trials) for hits in (promoted, refused, strict)]
        print(f"{truth.name:45} {truth.wanted:9} {cells[0]:24} {cells[1]:24} {cells[2]}", flush=True)
    seconds = time.perf_counter() - started
    print(f"\n{seconds:.0f} s; {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
