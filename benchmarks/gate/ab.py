"""How often does an A/B trial err that is looked at after every single feedback? Through the real weigh().

    python benchmarks/gate/ab.py [--trials 1000] [--conversations 1000]

Conversations come one by one; each meets the challenger with the chance `share`, and its feedback is good with the
rate of its arm. Rated: a number from -1 to 1, as people give who are asked for one. Each share stands with its exact
95 % binomial bounds (Clopper and Pearson, 1934). The last lines look after every feedback as well, with the usual
test of two shares at 5 %, which was made for one look.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
from simulate import share as bounded

from samloop.adapters.traffic import Outcome, weigh
from samloop.settings import Trial


@dataclass(frozen=True)
class Truth:
    name: str
    champion: float
    challenger: float
    share: float = 0.5
    rated: bool = False
    drift: float = 0.0


TRUTHS = [
    Truth("equal, 70 % good", 0.7, 0.7),
    Truth("equal, 70 % good, a fifth on trial", 0.7, 0.7, 0.2),
    Truth("equal, 95 % good, a fifth on trial", 0.95, 0.95, 0.2),
    Truth("equal, rated", 0.7, 0.7, rated=True),
    Truth("equal, people grow content: 50 to 90 %", 0.5, 0.5, drift=0.4),
    Truth("70 % good, challenger 80 %", 0.7, 0.8),
    Truth("70 % good, challenger 85 %", 0.7, 0.85),
    Truth("70 % good, challenger 85 %, a fifth on trial", 0.7, 0.85, 0.2),
    Truth("70 % good, challenger 60 %", 0.7, 0.6),
    Truth("70 % good, challenger 50 %", 0.7, 0.5),
    Truth("70 % good, challenger 50 %, a fifth on trial", 0.7, 0.5, 0.2),
]


def trial(truth: Truth, conversations: int, generator: np.random.Generator) -> list[Outcome]:
    """The outcomes of one trial, in order."""
    met = generator.random(conversations) < truth.share
    rates = np.where(met, truth.challenger, truth.champion) + truth.drift * np.linspace(0, 1, conversations)
    values = generator.beta(4 * rates, 4 * (1 - rates)) if truth.rated else generator.random(conversations) < rates
    return [
        Outcome("challenger" if new else "champion", float(value)) for new, value in zip(met, values, strict=True)
    ]


def ends(truth: Truth, trials: int, conversations: int, seed: int) -> tuple[int, int, list[int]]:
    """How many trials end in a promotion, how many in a rollback, and after how many conversations each ended."""
    policy = Trial(max_conversations=conversations)
    generator = np.random.default_rng(seed)
    verdicts, lengths = [], []
    for _ in range(trials):
        standing = weigh(trial(truth, conversations, generator), truth.share, policy)
        verdicts.append(standing.verdict)
        lengths.append(standing.champion.conversations + standing.challenger.conversations)
    return verdicts.count("promote"), verdicts.count("roll back"), lengths


def naive(truth: Truth, trials: int, conversations: int, seed: int) -> int:
    """How many trials a test of two shares would end as a promotion, looking at each feedback from the 20th on."""
    generator, wrong = np.random.default_rng(seed), 0
    for _ in range(trials):
        met = generator.random(conversations) < truth.share
        good = generator.random(conversations) < np.where(met, truth.challenger, truth.champion)
        new, old = np.cumsum(met), np.cumsum(~met)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.cumsum(good & met) / new - np.cumsum(good & ~met) / old
            pooled = np.cumsum(good) / (new + old)
            z = apart / np.sqrt(pooled * (1 - pooled) * (1 / new + 1 / old))
        wrong += bool(np.nanmax(z[20:]) > 1.645)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    print(f"{options.trials} trials of at most {options.conversations} conversations with feedback, {Trial()}\n")
    print(f"{'truth':<46}{'promoted':<25}{'rolled back':<25}{'conversations until it ended: median, mean, 9 of 10'}")
    for truth in TRUTHS:
        up, down, lengths = ends(truth, options.trials, options.conversations, options.seed)
        ninth = sorted(lengths)[math.ceil(0.9 * len(lengths)) - 1]
        print(
            f"{truth.name:<46}{bounded(up, options.trials):<25}{bounded(down, options.trials):<25}"
            f"{statistics.median(lengths):>7.0f}{statistics.mean(lengths):>7.0f}{ninth:>7}",
            flush=True,
        )
    for truth in TRUTHS[:2]:
        wrong = naive(truth, options.trials, options.conversations, options.seed)
        print(f"{'usual test: ' + truth.name:<46}{bounded(wrong, options.trials)}")
    print(f"\n{time.perf_counter() - started:.0f} s; numpy {np.__version__}")


if __name__ == "__main__":
    main()
