"""Draw docs/explanation/gate.svg: what the gate sees, and what nightly looks do to it.

    python benchmarks/gate/picture.py [--trials 400] [--years 300]

The doubt is that of Student's t alone here, for speed: `simulate.py` prints the figures with the bootstrap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from simulate import POLICY, USUAL, YEARS, Night, World, year

from samloop.adapters.gate import gate

mpl.use("svg")
from matplotlib import pyplot as plt

TARGET = Path(__file__).parents[2] / "docs" / "explanation" / "gate.svg"
LOOKS = {1: "#1b9e77", 30: "#7570b3", 365: "#d95f02"}
GAINS = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5)


def promoted(gain: float, looks: tuple[int, ...], trials: int, generator: np.random.Generator) -> list[float]:
    """The share of challengers with that gain, in per cent of the bits, that are promoted at each look."""
    nights = []
    for measure in USUAL:
        world = World(measure, trials, generator)
        effect = -gain / 100 if measure.name == "bits_per_byte" else 0.0
        nights.append(Night(world, world.adapter(), world.adapter(effect)))
    names = {"policy": POLICY, "slot": "main", "challenger": "new", "champion": "old"}
    found = [[night.comparison(at) for night in nights] for at in range(trials)]
    return [np.mean([gate(one, look=look, **names).verdict == "promote" for one in found]) for look in looks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--years", type=int, default=300)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "samloop"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")

    shares = np.array([promoted(gain, tuple(LOOKS), options.trials, generator) for gain in GAINS])
    for at, (look, colour) in enumerate(LOOKS.items()):
        left.plot(GAINS, 100 * shares[:, at], "o-", color=colour, markersize=3, label=f"look {look} at this champion")
    left.axhline(90, color="grey", linewidth=0.6, linestyle=":")
    left.set(xlabel="true gain: bits per byte saved, %", ylabel="promoted, %", title="How small a gain it sees")
    left.legend(frameon=False, loc="lower right")

    truth, nights = YEARS[0], np.arange(1, 366)
    for spend, colour, name in ((True, "#1b9e77", "the gate"), (False, "#d95f02", "5 % allowed anew every night")):
        found = year(truth, options.years, 365, np.random.default_rng(1), spend=spend, really=False)
        wrong = [(found.wrong > 0) & (found.wrong <= night) for night in nights]
        right.plot(nights, [100 * one.mean() for one in wrong], color=colour, label=name)
    right.axhline(5, color="grey", linewidth=0.6, linestyle=":")
    right.set(
        xlabel="nights",
        ylabel="years with a wrong promotion, %",
        title="365 looks, and never a true gain",
        ylim=(0, 100),
    )
    right.legend(frameon=False, loc="center right")
    figure.savefig(TARGET, metadata={"Date": None})
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
