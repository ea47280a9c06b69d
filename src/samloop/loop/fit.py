"""Whether a run fits this machine: told before anything is loaded, with the preset that would fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from samloop.errors import ModelError, RecipeError, TrainingError
from samloop.prepare.dataset import Dataset
from samloop.recipe import POCKET, PRESETS, Recipe
from samloop.text.base import resolve_base
from samloop.train import memory
from samloop.train.estimate import Estimate, estimate, trained_bytes
from samloop.train.job import TrainJob
from samloop.train.phases import method_of

MANY_PAIRS: Final = 10**9
"""How many pairs are supposed where the dataset is not there yet: the method is the one that takes more."""

CHECKPOINTS: Final = 3
"""Checkpoints on disk at a time, at most: two that are kept, and one that is being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a run takes beside what this machine has.

    Attributes:
        model: the base as the recipe names it.
        estimate: bytes by part.
        available_bytes: memory that can be had now.
        available_on_gpu_bytes: the same on the GPU; None where the run takes none, or its driver says nothing.
        disk_bytes: checkpoints and adapter, at most.
    """

    model: str
    backend: str
    estimate: Estimate
    available_bytes: int
    available_on_gpu_bytes: int | None
    disk_bytes: int

    @property
    def fits(self) -> bool:
        """Whether there is enough memory now."""
        own = self.estimate.training
        if self.estimate.device == "cuda":
            own = self.estimate.program + self.estimate.weights
            on_gpu = self.estimate.training - self.estimate.program
            if self.available_on_gpu_bytes is not None and on_gpu > self.available_on_gpu_bytes:
                return False
        return own <= self.available_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain = {**asdict(self), "fits": self.fits}
        return {**plain, "estimate": self.estimate.to_dict()}


def fit(recipe: Recipe, dataset: Dataset | None = None) -> Fit:
    """What the recipe's run takes, from its base's config.json and its settings.

    Args:
        dataset: what is trained on, where it is known: its longest example counts instead of the recipe's bound.

    Raises:
        ModelError: the base cannot be used, or its config.json does not tell its size.
    """
    settings = recipe.train
    base = resolve_base(settings.model)
    where = dataset.path if dataset else Path()
    job = TrainJob.of(settings, run_id="", dataset=where, base=base, base_name=settings.model)
    edges = (dataset.manifest.get("token_histogram") or {}).get("edges") if dataset else None
    found = estimate(
        _config(base),
        job,
        longest_tokens=max(1, round(max(edges))) if edges else None,
        pairs="dpo" in method_of(job, dataset.manifest["pairs"]["train"] if dataset else MANY_PAIRS),
    )
    return Fit(
        model=settings.model,
        backend=job.backend,
        estimate=found,
        available_bytes=memory.available_bytes(),
        available_on_gpu_bytes=memory.available_on_gpu_bytes() if found.device == "cuda" else None,
        disk_bytes=CHECKPOINTS * 4 * trained_bytes(found) + trained_bytes(found),
    )


def refuse_unfitting(recipe: Recipe, dataset: Dataset) -> None:
    """See that a run fits before its base is loaded.

    Raises:
        TrainingError: it does not; the sentence names the preset that would.
    """
    if not recipe.train.refuse_beyond_memory:
        return
    try:
        found = fit(recipe, dataset)
    except ModelError:
        return  # an architecture whose size its config does not tell, or a base whose own check says more
    if found.fits:
        return
    available = found.available_bytes
    if found.available_on_gpu_bytes is not None:
        available = min(available, found.available_on_gpu_bytes)
    raise TrainingError(
        f"training {found.model} takes about {gigabytes(found.estimate.training)} of memory, and "
        f"{gigabytes(available)} are available; {_remedy(recipe, dataset)}"
    )


def _remedy(recipe: Recipe, dataset: Dataset) -> str:
    name = fitting_preset(recipe, dataset)
    if name is None:
        return "close other programs: no preset fits"
    return f"close other programs, or set train.preset = '{name}', which would fit"


def fitting_preset(recipe: Recipe, dataset: Dataset | None = None) -> str | None:
    """The largest preset that fits this machine now: on the recipe's own base, else on the preset's; None: none."""
    own: Mapping[str, Any] = {"model": recipe.train.model, "backend": recipe.train.backend}
    for model in (own, {"backend": recipe.train.backend}):
        found = []
        for name in PRESETS:
            if (name == POCKET) != (model.get("model", name) == POCKET):
                continue  # the pocket base's preset trains no other, and it needs none but its own
            try:
                told = fit(Recipe.parse({"train": {**model, "preset": name}}), dataset)
            except (ModelError, RecipeError, TrainingError):
                continue  # its base is not on this machine
            if told.fits:
                found.append((told.estimate.training, name))
        if found:
            return max(found)[1]
    return None


def gigabytes(size_bytes: int) -> str:
    """``1.5 GB``, ``0.31 GB``."""
    size = size_bytes / 10**9
    return f"{size:.1f} GB" if size >= 1 else f"{size:.2f} GB"


def _config(base: Path) -> dict[str, Any]:
    try:
        config = json.loads((base / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{base / 'config.json'} is not readable JSON; download the model again") from error
    if not isinstance(config, dict):
        raise ModelError(f"expected a JSON object in {base / 'config.json'}; download the model again")
    return config
