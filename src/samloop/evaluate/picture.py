"""A paired comparison as a picture: the gain of each measure with its interval, better to the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from samloop.evaluate.compare import CONFIDENCE
from samloop.protocols import Comparison

BETTER_COLOUR: Final = "#0072b2"
WORSE_COLOUR: Final = "#d55e00"
UNSURE_COLOUR: Final = "#777777"
"""Blue, vermilion and grey: told apart with any kind of colour vision (Okabe-Ito)."""

ROW_INCHES: Final = 0.42
REACH: Final = 1.15
"""How far an axis goes beyond the longest interval; one without an end leaves the picture at its edge."""


def plot_comparison(
    comparisons: Sequence[Comparison], *, champion: str, challenger: str, confidence: float = CONFIDENCE
) -> bytes:
    """A PNG with one row per measure; what has no finite gain is left out.

    Shares are told in points, all else as a part of the champion's value.
    """
    shown = [one for one in comparisons if math.isfinite(one.gain.mean)]
    panels = [group for share in (True, False) if (group := [one for one in shown if (one.unit == "share") is share])]
    heights = [len(group) for group in panels] or [1]
    figure = Figure(
        figsize=(8.4, 1.5 + 0.75 * len(heights) + ROW_INCHES * sum(heights)), dpi=120, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, group in zip(axes, panels, strict=False):
        _rows(panel, group)
    if not panels:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "Nothing could be compared.", ha="center", va="center")
    axes[0].set_title(f"What {challenger} gains over {champion}", loc="left")
    figure.supxlabel(
        f"Bars: {confidence:.0%} intervals of the paired bootstrap. Blue: better, orange: worse, grey: left open.",
        fontsize=9,
        color="#444444",
    )
    png = BytesIO()
    figure.savefig(png, format="png", metadata={"Software": "samloop"})
    return png.getvalue()


def _rows(axes: Axes, group: Sequence[Comparison]) -> None:
    found = [_effect(one) for one in group]
    share = group[0].unit == "share"
    finite = [abs(value) for gain in found for value in gain if math.isfinite(value)]
    reach = max([*finite, 1e-9]) * REACH
    unit = " points" if share else " %"
    for row, (gain, low, high) in enumerate(found):
        colour = BETTER_COLOUR if low > 0 else WORSE_COLOUR if high < 0 else UNSURE_COLOUR
        left, right = max(low, -reach), min(high, reach)
        axes.plot([left, right], [row, row], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([gain], [row], marker="o", ms=7, color=colour)
        axes.annotate(
            f"{gain:+.2f}{unit}",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontsize=9,
        )
    axes.axvline(0, color="#333333", linewidth=1)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(group) - 0.4, -0.6)
    axes.set_yticks(range(len(group)), [f"{one.name.replace('_', ' ')} ({one.items})" for one in group])
    axes.set_xlabel(
        "gain in points (right: better)" if share else "gain in % of the champion's value (right: better)"
    )
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _effect(one: Comparison) -> tuple[float, float, float]:
    """Gain with its limits, in points or per cent."""
    base = 1.0 if one.unit == "share" else abs(one.champion.mean) or 1.0
    return one.gain.mean / base * 100, one.gain.low / base * 100, one.gain.high / base * 100
