"""How many tokens a run has time for: the recipe's window times the speed that this machine has shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from samloop.loop.context import Context
from samloop.prepare.dataset import UNBOUND, Bounds, Dataset
from samloop.prepare.mix import window_tokens
from samloop.settings import Train
from samloop.train.base import Base

RUNS: Final = 5
"""Latest runs whose speed counts: enough for a median, few enough to follow a new machine."""

STEADY: Final = 0.25
"""A measured speed this near to the one that the last dataset was drawn for counts as the same: else each run would
change the budget a little, and with it the dataset, though nothing is new."""

ASSUMED_FLOPS: Final = 1e11
"""What is assumed before anything was measured: two cores of a laptop in single precision reach it."""

FLOPS_PER_TOKEN: Final = 4
"""Operations per parameter and token when LoRA trains: two forward, two backward to the activations."""


def bounds_of(context: Context, base: Path, base_digest: str, backend: str) -> Bounds:
    """What ``train.budget_minutes`` allows a dataset to hold; unbound where it is 0.

    Raises:
        ModelError: nothing was measured yet, and the base's size cannot be read.
    """
    settings = context.recipe.train
    if not settings.budget_minutes:
        return UNBOUND
    speeds = _speeds(context.store.list_runs(state="completed"), base_digest, backend)
    speed = statistics.median(speeds) if speeds else ASSUMED_FLOPS / (FLOPS_PER_TOKEN * Base.open(base).parameters)
    before = _last(context, base_digest)
    if speeds and before and abs(speed / before - 1) <= STEADY:
        speed = before
    origin = {"minutes": settings.budget_minutes, "tokens_per_second": speed, "measured_runs": len(speeds)}
    return Bounds(
        tokens=window_tokens(settings.budget_minutes, speed, settings.epochs),
        pair_passes=_pair_passes(settings),
        origin=origin,
    )


def _speeds(runs: Sequence[Mapping[str, Any]], base_digest: str, backend: str) -> list[float]:
    """Tokens per second of the latest runs of this base on this backend; quick ones count."""
    found = [
        (run["result"] or {}).get("tokens_per_second")
        for run in runs
        if run["base_digest"] == base_digest and run["backend"] == backend
    ]
    return [float(speed) for speed in found if speed][:RUNS]


def _last(context: Context, base_digest: str) -> float | None:
    """The measured speed that the latest dataset of this base was drawn for."""
    found = [Dataset.open(path.parent).manifest for path in context.home.datasets.glob("[!.]*/manifest.json")]
    ours = [manifest for manifest in found if manifest.get("base_digest") == base_digest]
    budget = max(ours, key=lambda manifest: float(manifest["created_at"])).get("budget", {}) if ours else {}
    return float(budget["tokens_per_second"]) if budget.get("measured_runs") else None


def _pair_passes(settings: Train) -> float:
    """How often both sides of a pair go through the model per pass over the examples.

    The reference is one forward pass, a third of a training step.
    """
    if settings.method == "sft":
        return 0.0
    return (settings.preference_epochs + 1 / 3) / settings.epochs
