"""The loss curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from samloop.train.metrics import latest

TRAIN_COLOUR: Final = "#0072b2"
VALIDATION_COLOUR: Final = "#d55e00"
"""Blue and vermilion of the Okabe-Ito palette: told apart with any kind of colour vision."""


def plot_loss(
    metrics: Sequence[Mapping[str, Any]], path: Path, *, title: str = "Training", best_step: int | None = None
) -> None:
    """Write a PNG of training and validation loss over optimiser steps.

    Args:
        metrics: lines as `driver.run` reports them, in any order; repeated steps count once.
        path: where the PNG goes; its folder exists.
        best_step: the step whose adapter was kept, marked on the validation curve.
    """
    lines = latest([dict(line) for line in metrics])
    train = [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
    valid = [(line["step"], line["validation_loss"]) for line in lines if line.get("validation_loss") is not None]
    figure = Figure(figsize=(7.2, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if train:
        axes.plot(
            *zip(*train, strict=True), color=TRAIN_COLOUR, linewidth=1.8, label="training (mean of the last 10 steps)"
        )
    if valid:
        axes.plot(
            *zip(*valid, strict=True), color=VALIDATION_COLOUR, linewidth=1.8, marker="o", ms=4, label="validation"
        )
    best = dict(valid).get(best_step)
    if best is not None and best_step is not None:
        axes.plot([best_step], [best], marker="*", ms=16, color=VALIDATION_COLOUR, mec="white", zorder=5, ls="none")
        axes.annotate(
            f"kept: step {best_step}, {best:.3f}",
            (best_step, best),
            textcoords="offset points",
            xytext=(0, 14),
            ha="right" if best_step > lines[-1]["step"] / 2 else "left",
            color=VALIDATION_COLOUR,
        )
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
    if train or valid:
        axes.legend(frameon=False)
    figure.savefig(path, format="png", metadata={"Software": "samloop"})
