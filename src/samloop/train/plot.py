"""The loss curve of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from samloop.train.metrics import latest, read_events, read_metrics

TRAIN_COLOUR: Final = "#0072b2"
VALIDATION_COLOUR: Final = "#d55e00"
"""Blue and vermilion of the Okabe-Ito palette: told apart with any kind of colour vision."""

BORDER_COLOUR: Final = "#999999"

MARK_COLOUR: Final = "#555555"

MARKS: Final = 60
"""Checkpoints that are marked at most, evenly spread: more would be a band."""


def plot_run(folder: Path, path: Path, *, title: str, best_step: int | None, checkpoint_steps: int) -> None:
    """`plot_loss` of what lies in the folder of a run, pauses included."""
    metrics = folder / "metrics.jsonl"
    plot_loss(
        read_metrics(metrics),
        path,
        title=title,
        best_step=best_step,
        checkpoint_steps=checkpoint_steps,
        events=read_events(metrics),
    )


def plot_loss(
    metrics: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str = "Training",
    best_step: int | None = None,
    checkpoint_steps: int = 0,
    events: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write a PNG of training and validation loss over optimiser steps; preferences have a panel of their own.

    Args:
        metrics: lines as `driver.run` reports them, in any order; repeated steps count once.
        path: where the PNG goes; its folder exists.
        best_step: the step whose adapter was kept, marked on the validation curve.
        checkpoint_steps: steps between checkpoints, which are marked on the axis; 0: none is.
        events: what `metrics.read_events` gives; pauses are marked.
    """
    lines = latest([dict(line) for line in metrics])
    answers = [line for line in lines if line.get("preference_loss") is None]
    pairs = [line for line in lines if "preference_loss" in line and line not in answers]
    panels = [True] * bool(answers or not pairs) + [False] * bool(pairs)
    figure = Figure(figsize=(7.2, 1.4 + 2.8 * len(panels)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, of_answers in zip(axes, panels, strict=True):
        if of_answers:
            _curves(panel, answers, lines, ("loss", "validation_loss"), "loss (nats per token)", best_step)
        else:
            names = ("preference_loss", "validation_preference_loss")
            _curves(panel, pairs, lines, names, "preference loss (nats per pair)", best_step)
        _borders(panel, lines)
        _marks(panel, lines, checkpoint_steps, events)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False)
    axes[-1].set_xlabel("optimiser step")
    axes[0].set_title(title, loc="left")
    figure.savefig(path, format="png", metadata={"Software": "samloop"})


def _curves(
    axes: Axes,
    trained: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    names: tuple[str, str],
    label: str,
    best_step: int | None,
) -> None:
    train = [(line["step"], line[names[0]]) for line in trained if line.get(names[0]) is not None]
    valid = [(line["step"], line[names[1]]) for line in lines if line.get(names[1]) is not None]
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
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)


def _marks(
    axes: Axes, lines: Sequence[Mapping[str, Any]], checkpoint_steps: int, events: Sequence[Mapping[str, Any]]
) -> None:
    """Checkpoints as ticks on the axis, and pauses as dotted lines."""
    on_axis = axes.get_xaxis_transform()
    last = lines[-1]["step"] if lines else 0
    kept = list(range(checkpoint_steps, last + 1, checkpoint_steps)) if checkpoint_steps else []
    if kept:
        steps = kept if len(kept) <= MARKS else kept[:: -(-len(kept) // MARKS)]
        axes.plot(
            steps, [0.02] * len(steps), transform=on_axis, ls="none", marker="^", ms=5, color=MARK_COLOUR,
            label="checkpoint",
        )  # fmt: skip
    pauses = sorted({event["at_step"] for event in events if event.get("event") == "paused"})
    for number, step in enumerate(pauses):
        label = None if number else "pause"
        axes.axvline(step, color=MARK_COLOUR, linewidth=1.2, linestyle=":", label=label)


def _borders(axes: Axes, lines: Sequence[Mapping[str, Any]]) -> None:
    """A line where one phase ends and the next begins, with the name of the one that begins."""
    for before, line in pairwise(lines):
        if before.get("phase") != line.get("phase"):
            axes.axvline(before["step"], color=BORDER_COLOUR, linewidth=1, linestyle="--")
            axes.annotate(
                str(line["phase"]),
                (before["step"], 1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                xytext=(4, -10),
                color=BORDER_COLOUR,
            )
