"""A run's figures reach a real tracker, which is never asked for anything but them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samloop.errors import TrainingError
from samloop.train.report import Report, require_clients

TELL = """
import json, sys
from pathlib import Path
from samloop.train.report import Report
folder, names, lines, state = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4]), sys.argv[4]
report = Report(names, "run-1", {"rank": 4, "targets": ["q_proj"]}, folder)
for line in lines:
    report(line)
report.finish(state)
"""

READ = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "samloop"]
found = client.search_runs([experiment.experiment_id])
print(json.dumps([{"name": run.info.run_name, "status": run.info.status, "params": run.data.params, "metrics": {
    name: [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, name)] for name in run.data.metrics
}} for run in found]))
"""


def python(code: str, *arguments: object) -> str:
    """A process of its own: clients keep global state, and read their environment once."""
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true"}
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed")
def test_figures_lie_in_the_home_as_mlflow_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "runs" / "run-1"
    folder.mkdir(parents=True)
    first: list[dict[str, Any]] = [
        {"step": 0, "steps": 4, "loss": None, "validation_loss": 3.5, "phase": "answers"},
        {"event": "paused", "at_step": 1, "reason": "memory"},
        {"step": 2, "steps": 4, "loss": 2.5, "validation_loss": None},
    ]
    python(TELL, folder, '["mlflow"]', json.dumps(first), "stopped")
    (run,) = json.loads(python(READ, (tmp_path / "home" / "mlruns").as_uri()))
    assert (run["name"], run["status"]) == ("run-1", "KILLED")
    # Gone on with, it is the same run there.
    python(TELL, folder, '["mlflow"]', '[{"step": 4, "steps": 4, "loss": 1.5}]', "completed")
    (run,) = json.loads(python(READ, (tmp_path / "home" / "mlruns").as_uri()))
    assert run["status"] == "FINISHED"
    assert run["params"] == {"rank": "4", "targets": "['q_proj']"}
    assert run["metrics"]["loss"] == [[2, 2.5], [4, 1.5]]
    assert run["metrics"]["validation_loss"] == [[0, 3.5]]


def test_a_client_that_is_not_installed_is_one_line() -> None:
    if importlib.util.find_spec("trackio"):
        pytest.skip("trackio is installed")
    with pytest.raises(TrainingError) as caught:
        require_clients(["trackio"])
    assert str(caught.value) == "train.report_to names trackio, which is not installed: pip install trackio"


CLIENT = """
calls = []
def init(**given):
    if given["name"] == "refused":
        raise RuntimeError("no key.\\nmore")
    calls.append(("init", given["name"], given["config"]))
def log(figures, step=None):
    if step == 3:
        raise OSError("the network is gone")
    calls.append((step, figures))
def finish():
    calls.append("finish")
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module in the place of trackio that keeps what it is called with."""
    (tmp_path / "trackio.py").write_text(CLIENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    for name in ("WANDB_DIR", "TRACKIO_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    import trackio

    yield trackio
    del sys.modules["trackio"]


def test_only_figures_of_steps_are_told(client: Any, tmp_path: Path) -> None:
    report = Report(["trackio"], "run-1", {"rank": 4}, tmp_path)
    report({"step": 1, "loss": 2.0, "validation_loss": None, "phase": "answers", "eta_seconds": float("inf")})
    report({"event": "paused", "at_step": 1})
    report.finish("completed")
    assert client.calls == [("init", "run-1", {"rank": 4}), (1, {"loss": 2.0}), "finish"]


def test_a_tracker_that_fails_ends_the_report_and_not_the_run(
    client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = Report(["trackio"], "run-1", {}, tmp_path)
    for step in (2, 3, 4):
        report({"step": step, "loss": 1.0})
    report.finish("completed")
    assert client.calls[1:] == [(2, {"loss": 1.0})]
    assert "the report to trackio ends here, the run goes on: the network is gone" in caplog.text


def test_a_tracker_that_refuses_to_begin_is_said_before_time_is_spent(client: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        Report(["trackio"], "refused", {}, tmp_path)
    assert str(caught.value) == (
        "the run cannot be reported to trackio (no key); set trackio up, or take it out of train.report_to"
    )
