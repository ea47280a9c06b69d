"""Train: dataset → run → adapter, in a child process, each run named by all that went into it."""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samloop import __version__
from samloop.child import run_job
from samloop.errors import SamloopError, TrainingError
from samloop.example import to_json
from samloop.files import storing
from samloop.loop.context import Context
from samloop.prepare.dataset import Dataset
from samloop.text.base import base_digest, resolve_base
from samloop.train.job import TrainJob
from samloop.train.metrics import read_metrics

OnMetric = Callable[[dict[str, Any]], None]


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
        "settings": settings.model_dump(
            mode="json", exclude={"min_new_examples", "preset", "model", "backend", "budget_minutes"}
        ),
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
        TrainingError: the run failed; its state in the store says so too.
        MissingExtraError: the backend is not installed.
    """
    settings = context.recipe.train
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
    if known is None:
        context.store.add_run(
            run_id=run_id,
            dataset_digest=dataset.digest,
            dataset_path=str(dataset.path),
            base=settings.model,
            base_digest=base_digest(base),
            backend=backend,
            recipe=context.recipe.to_dict(full=True),
            revision=revision,
            quick=quick,
            path=str(folder),
            code_version=__version__,
        )
    job = TrainJob.of(
        settings,
        run_id=run_id,
        dataset=dataset.path,
        base=base,
        base_name=settings.model,
        max_steps=settings.quick_steps if quick else 0,
    )
    return _run(context, run_id, folder, {**job.to_dict(), "kind": "train", "backend": backend}, dataset, on_metric)


def _run(
    context: Context,
    run_id: str,
    folder: Path,
    job: dict[str, Any],
    dataset: Dataset,
    on_metric: OnMetric | None,
) -> dict[str, Any]:
    store = context.store
    store.update_run(run_id, state="training", started_at=time.time(), error=None)
    try:
        result = run_job(folder, job, on_metric or (lambda _: None))
    except SamloopError as error:
        store.update_run(run_id, state="failed", error=str(error))
        raise
    except KeyboardInterrupt:
        store.update_run(run_id, state="stopped", error="stopped by the user")
        raise
    result["curve"] = _draw(folder, result)
    if result["state"] != "completed":
        store.update_run(run_id, state=result["state"], result=result)
        raise TrainingError(f"{run_id} was stopped at step {result['steps']}; train again to go on from there")
    store.complete_run(run_id, result=result, examples=dataset.manifest["ids"])
    return result


def _draw(folder: Path, result: Mapping[str, Any]) -> str:
    """The picture of the run's losses, beside its metrics."""
    from samloop.train.plot import plot_loss  # matplotlib takes half a second, and only runs need it

    path = folder / "loss.png"
    with storing("the loss curve", path):
        plot_loss(
            read_metrics(folder / "metrics.jsonl"), path, title=str(result["run_id"]), best_step=result["best_step"]
        )
    return str(path)
