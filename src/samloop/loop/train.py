"""Train: dataset → run → adapter, in a child process, each run named by all that went into it."""

from __future__ import annotations

import hashlib
import logging
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from samloop import __version__
from samloop.child import run_job
from samloop.errors import NotFoundError, SamloopError, StoreError, TrainingError
from samloop.example import to_json
from samloop.files import storing
from samloop.loop.context import Context
from samloop.loop.fit import refuse_unfitting
from samloop.loop.runs import alone, find_run
from samloop.prepare.dataset import Dataset
from samloop.recipe import Recipe
from samloop.settings import Train
from samloop.text.base import base_digest, resolve_base
from samloop.train.control import Control
from samloop.train.job import TrainJob
from samloop.train.report import require_clients

OnMetric = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)

GUARD_SETTINGS: Final = ("pause_below_gb", "go_on_at_gb", "memory_wait_minutes")
"""Settings of [train] that say when a run pauses; they shape no weight, so they name no run."""

UNNAMED: Final = {
    *("min_new_examples", "preset", "model", "backend", "budget_minutes", "refuse_beyond_memory", "report_to"),
    *("cluster", "cluster_workers", "cluster_shard", "earlier_adapters"),
    *GUARD_SETTINGS,
}
"""Settings of [train] that do not make another run: they change no weight, or stand in its identity otherwise."""


def backend_name(setting: str) -> str:
    """The backend that 'auto' means here: MLX on Apple silicon, torch elsewhere."""
    if setting != "auto":
        return setting
    return "mlx" if sys.platform == "darwin" and platform.machine() == "arm64" else "torch"


def check(context: Context) -> dict[str, Any]:
    """Whether a run is due, and why.

    Returns:
        {due, reason, new_examples, needed}: new_examples counts the accepted ones that came since the last run
        that was completed.
    """
    last = context.store.last_completed_run()
    new = context.store.new_accepted_since(int(last["revision"]) if last else 0)
    needed = context.recipe.train.min_new_examples
    since = f"since {last['run_id']}" if last else "and no run yet"
    verb = "is due" if new >= needed else "is not due"
    return {
        "due": new >= needed,
        "reason": f"a run {verb}: {new} new accepted examples {since}, {needed} make one due",
        "new_examples": new,
        "needed": needed,
    }


def run_name(context: Context, dataset: Dataset, *, quick: bool = False) -> str:
    """The id of the run that the recipe of today makes of `dataset`: equal input, equal name.

    Raises:
        ModelError: the base cannot be used.
    """
    settings = context.recipe.train
    identity = {
        "dataset": dataset.digest,
        "base": base_digest(resolve_base(settings.model)),
        "backend": backend_name(settings.backend),
        "quick": quick,
        "settings": settings.model_dump(mode="json", exclude=UNNAMED),
    }
    return "run-" + hashlib.sha256(to_json(identity).encode()).hexdigest()[:12]


def train(
    context: Context,
    dataset: Dataset,
    *,
    quick: bool = False,
    on_metric: OnMetric | None = None,
) -> dict[str, Any]:
    """Train an adapter on `dataset`; a run that is complete is found again, a killed one goes on.

    Returns:
        {run_id, state, steps, loss, validation_loss, tokens_per_second, peak_memory_bytes, adapter, curve, …}.

    Raises:
        ModelError: the base cannot be used.
        TrainingError: the run failed or was stopped, and its state in the store says so too; or it does not fit the
            memory of this machine, or another training is at work in this home.
        MissingExtraError: the backend is not installed.
    """
    settings = context.recipe.train
    require_clients(settings.report_to)
    base = resolve_base(settings.model)
    backend = backend_name(settings.backend)
    run_id = run_name(context, dataset, quick=quick)
    folder = context.home.runs / run_id
    known = next((run for run in context.store.list_runs() if run["run_id"] == run_id), None)
    revision = int(dataset.manifest["revision"])
    if known and known["revision"] < revision:
        # What came since and left the dataset as it was makes no further run due.
        context.store.update_run(run_id, revision=revision)
    if known and known["state"] == "completed" and (folder / "result.json").exists():
        result: dict[str, Any] = known["result"]
        return result
    with alone(context):
        _see_that_it_fits(context.recipe, context.recipe, dataset)
        context.store.add_run(
            run_id=run_id,
            dataset_digest=dataset.digest,
            dataset_path=str(dataset.path),
            base=settings.model,
            base_digest=base_digest(base),
            backend=backend,
            recipe=context.recipe.to_keep(),
            revision=revision,
            quick=quick,
            path=str(folder),
            code_version=__version__,
        )
        return _run(
            context, run_id, _job(context, settings, run_id, dataset, base, backend, quick), dataset, on_metric
        )


def resume(context: Context, run: str, *, on_metric: OnMetric | None = None) -> dict[str, Any]:
    """Go on with a run that was stopped, failed or was killed: with its own settings, whatever the recipe is now.

    Args:
        run: an id, a beginning that no other shares, or "latest".

    Returns:
        as `train` does.

    Raises:
        NotFoundError: there is no such run, or its dataset is gone.
        TrainingError: it is completed, or its base is another one by now; else as `train`.
    """
    require_clients(context.recipe.train.report_to)
    record = find_run(context, run)
    run_id = record["run_id"]
    if record["state"] == "completed":
        raise TrainingError(f"{run_id} is completed, so there is nothing to go on with; its adapter is whole")
    if not record["dataset_path"] or not Path(record["dataset_path"]).is_dir():
        raise NotFoundError(f"the dataset of {run_id} is gone from {record['dataset_path']}; train anew")
    recipe = Recipe.parse(record["recipe"], where=f"the recipe of {run_id}")
    settings = recipe.train
    base = resolve_base(record["base"])
    if base_digest(base) != record["base_digest"]:
        raise TrainingError(
            f"the base {record['base']} is not the one that {run_id} began with; bring that one back, or train anew"
        )
    dataset = Dataset.open(Path(record["dataset_path"]))
    with alone(context):
        _see_that_it_fits(context.recipe, recipe, dataset)
        job = _job(context, settings, run_id, dataset, base, record["backend"], record["quick"])
        return _run(context, run_id, job, dataset, on_metric)


def _see_that_it_fits(today: Recipe, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse what does not fit this machine, unless others train."""
    if not today.train.cluster:
        refuse_unfitting(recipe, dataset)


def _job(
    context: Context, settings: Train, run_id: str, dataset: Dataset, base: Path, backend: str, quick: bool
) -> dict[str, Any]:
    """job.json of the worker: the run's own settings, watched over as the recipe says today."""
    job = TrainJob.of(
        settings,
        run_id=run_id,
        dataset=dataset.path,
        base=base,
        base_name=settings.model,
        max_steps=settings.quick_steps if quick else 0,
    )
    return {
        **job.to_dict(),
        "kind": "train",
        "backend": backend,
        "report_to": list(context.recipe.train.report_to),
        "cluster": context.recipe.train.cluster,
        "cluster_workers": context.recipe.train.cluster_workers,
        "guard": {name: getattr(context.recipe.train, name) for name in GUARD_SETTINGS},
    }


def _run(
    context: Context, run_id: str, job: dict[str, Any], dataset: Dataset, on_metric: OnMetric | None
) -> dict[str, Any]:
    store, folder = context.store, context.home.runs / run_id
    Control(folder).clear()
    store.update_run(run_id, state="training", started_at=time.time(), finished_at=None, error=None)
    try:
        result = run_job(folder, job, _Kept(context, run_id, on_metric))
    except SamloopError as error:
        store.update_run(run_id, state="failed", error=str(error))
        raise
    except KeyboardInterrupt:
        store.update_run(run_id, state="stopped", error="stopped by the user")
        raise
    except Exception as error:
        store.update_run(run_id, state="failed", error=f"the process that followed it broke: {type(error).__name__}")
        raise
    result["curve"] = _draw(folder, result, job["checkpoint_steps"])
    if result["state"] != "completed":
        reason = result.get("reason")
        store.update_run(run_id, state=result["state"], result=result, error=reason)
        because = f" ({reason})" if reason else ""
        raise TrainingError(
            f"{run_id} was stopped at step {result['steps']}{because}; go on with: samloop train --resume {run_id}"
        )
    store.complete_run(run_id, result=result, examples=dataset.manifest["ids"], error=None)
    return result


class _Kept:
    """Keeps the state of a run in the store as its worker tells it, and hands every line on."""

    def __init__(self, context: Context, run_id: str, on_metric: OnMetric | None) -> None:
        self._store, self._run_id, self._on_metric = context.store, run_id, on_metric
        self._told = self._state = "training"

    def __call__(self, line: dict[str, Any]) -> None:
        self._state = {"paused": "paused", "resumed": "training"}.get(line.get("event", ""), self._state)
        if self._state != self._told:
            try:
                self._store.update_run(self._run_id, state=self._state)
            except (
                StoreError
            ) as error:  # a store that is busy is no reason to end a training: the next line tries again
                log.warning("the state of %s is not kept: %s", self._run_id, error)
            else:
                self._told = self._state
        if self._on_metric:
            self._on_metric(line)


def _draw(folder: Path, result: Mapping[str, Any], checkpoint_steps: int) -> str:
    """The picture of the run's losses, beside its metrics."""
    from samloop.train.plot import plot_run  # matplotlib takes half a second, and only runs need it

    path = folder / "loss.png"
    with storing("the loss curve", path):
        plot_run(
            folder, path, title=result["run_id"], best_step=result["best_step"], checkpoint_steps=checkpoint_steps
        )
    return str(path)
