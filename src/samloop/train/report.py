"""A run's figures in MLflow, Weights & Biases or Trackio, by their own clients: off unless the recipe names one.

Where they go is the clients' own business and theirs to be told (MLFLOW_TRACKING_URI, WANDB_MODE, TRACKIO_DIR, …);
what is not told stays in the samloop home. A tracker that fails in the middle of a run ends the report, not the run.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from samloop.errors import TrainingError

log = logging.getLogger(__name__)

PROJECT: Final = "samloop"

INSTALLS: Final[Mapping[str, str]] = {"mlflow": "mlflow-skinny", "wandb": "wandb", "trackio": "trackio"}
"""By the name in the recipe, which is the module's as well, what installs it."""


class Tracker(Protocol):
    """One client, with one run begun."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Keep the figures of a step."""

    def finish(self, state: str) -> None:
        """End the run: ``completed``, ``stopped`` or ``failed``."""


def require_clients(names: Sequence[str]) -> None:
    """See that the clients of these trackers are installed.

    Raises:
        TrainingError: one is not.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise TrainingError(
                f"train.report_to names {name}, which is not installed: pip install {INSTALLS.get(name, name)}"
            )


class Report:
    """Hands a run's metric lines to trackers."""

    def __init__(self, names: Sequence[str], run_id: str, settings: Mapping[str, Any], folder: Path) -> None:
        """Begin the run with each tracker; a run that goes on goes on there as well.

        Args:
            settings: what is shown as the run's parameters.
            folder: the run's.

        Raises:
            TrainingError: a client is not installed, or refuses to begin.
        """
        require_clients(names)
        self._trackers: dict[str, Tracker] = {}
        for name in names:
            try:
                self._trackers[name] = _BEGIN[name](run_id, settings, folder)
            except Exception as error:  # each client raises its own kinds
                said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
                raise TrainingError(
                    f"the run cannot be reported to {name} ({said}); set {name} up, or take it out of train.report_to"
                ) from error

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Report one metric line; events are not figures of a step."""
        step = line.get("step")
        if not isinstance(step, int):
            return
        figures = {
            name: float(value)
            for name, value in line.items()
            if name != "step" and isinstance(value, int | float) and math.isfinite(value)
        }
        self._each(lambda tracker: tracker.log(figures, step))

    def finish(self, state: str) -> None:
        """End the run everywhere."""
        self._each(lambda tracker: tracker.finish(state))
        self._trackers.clear()

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                do(tracker)
            except Exception as error:
                log.warning("the report to %s ends here, the run goes on: %s", name, error)
                del self._trackers[name]


class _Mlflow:
    def __init__(self, run_id: str, settings: Mapping[str, Any], folder: Path) -> None:
        os.environ.setdefault("MLFLOW_TRACKING_URI", (folder.parent.parent / "mlruns").as_uri())
        if os.environ["MLFLOW_TRACKING_URI"].startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer clients want to be asked for it
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment(PROJECT)
        known = folder / "mlflow-run"
        before = known.read_text().strip() if known.is_file() else None
        run = mlflow.start_run(run_id=before) if before else mlflow.start_run(run_name=run_id)
        known.write_text(run.info.run_id)
        if before is None:
            mlflow.log_params({name: str(value) for name, value in settings.items()})

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(figures), step=step)

    def finish(self, state: str) -> None:
        self._mlflow.end_run({"completed": "FINISHED", "stopped": "KILLED"}.get(state, "FAILED"))


class _Wandb:
    """Weights & Biases, and Trackio, which has the same calls."""

    def __init__(self, module: str, run_id: str, settings: Mapping[str, Any], folder: Path) -> None:
        os.environ.setdefault("WANDB_DIR", str(folder))
        os.environ.setdefault("TRACKIO_DIR", str(folder.parent.parent / "trackio"))
        self._module = importlib.import_module(module)
        more = {"id": run_id} if module == "wandb" else {}
        self._module.init(project=PROJECT, name=run_id, config=dict(settings), resume="allow", **more)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._module.log(dict(figures), step=step)

    def finish(self, state: str) -> None:
        if self._module.__name__ == "wandb":
            self._module.finish(exit_code=0 if state == "completed" else 1)
        else:
            self._module.finish()


_BEGIN: Final[Mapping[str, Callable[[str, Mapping[str, Any], Path], Tracker]]] = {
    "mlflow": _Mlflow,
    "wandb": lambda *begin: _Wandb("wandb", *begin),
    "trackio": lambda *begin: _Wandb("trackio", *begin),
}
