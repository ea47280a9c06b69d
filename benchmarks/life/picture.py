"""The picture of ten days: what was corrected and learnt, how good each night's adapter was, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLOURS = {"promote": "#2a7f3f", "refuse": "#b3261e", "undecided": "#8a8a8a"}


def draw(days: Sequence[Any], path: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    numbers = [day.number for day in days]
    figure, (top, middle, bottom) = plt.subplots(
        3, 1, figsize=(9, 8), sharex=True, height_ratios=(3, 3, 2), layout="constrained"
    )
    top.step(numbers, [day.given for day in days], where="mid", color="#555555", label="corrections given")
    top.bar(numbers, [day.learnt for day in days], color="#3b6fb6", label="learnt by the night's adapter")
    top.set_ylabel("corrections")
    top.legend(loc="upper left", frameon=False)
    middle.plot(numbers, [day.bits_per_byte for day in days], color="#bbbbbb", zorder=1)
    for verdict, colour in COLOURS.items():
        of = [day for day in days if day.verdict == verdict]
        middle.scatter(
            [day.number for day in of], [day.bits_per_byte for day in of], color=colour, label=verdict, zorder=2
        )
    middle.set_ylabel("bits per byte, held out")
    middle.legend(loc="upper right", frameon=False)
    names = list(dict.fromkeys(day.champion for day in days))
    bottom.step(numbers, [names.index(day.champion) for day in days], where="mid", color="#555555")
    bottom.set_yticks(range(len(names)), [name[:9] for name in names])
    bottom.set_ylabel("serves after the day")
    bottom.set_xlabel("day")
    bottom.set_xticks(numbers)
    for day in days:
        said = [event for event in day.events if "corrections" not in event and "ratings" not in event]
        if said:
            bottom.annotate(
                "\n".join(said), (day.number, names.index(day.champion)), fontsize=7, rotation=20,
                textcoords="offset points", xytext=(0, 8),
            )  # fmt: skip
    for axes in (top, middle, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
