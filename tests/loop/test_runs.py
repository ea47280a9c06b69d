"""Runs told right whatever killed them, and steered from another terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from loop_world import Open

from samloop.errors import NotFoundError, TrainingError
from samloop.loop import runs
from samloop.loop.context import Context
from samloop.loop.train import resume
from samloop.train.control import Control


def add(context: Context, run_id: str = "run-1", state: Any = "training", path: Path | None = None) -> Path:
    """A run as a process leaves it that was killed, or is at work."""
    folder = path or context.home.runs / run_id
    folder.mkdir(parents=True, exist_ok=True)
    context.store.add_run(
        run_id, dataset_digest="0", base="pocket", backend="torch", revision=0, state=state, path=str(folder)
    )
    return folder


def at_work(context: Context) -> FileLock:
    return FileLock(context.home.training_lock, timeout=0)


@pytest.mark.parametrize("state", ["training", "paused"])
def test_a_run_whose_process_is_gone_is_stopped(begin: Open, state: str) -> None:
    with begin() as context:
        add(context, state=state)
        (run,) = runs.list_runs(context)
        assert (run["state"], run["error"]) == ("stopped", "its process was killed, or the machine went off")
        assert run["finished_at"]


@pytest.mark.parametrize("state", ["training", "paused"])
def test_a_run_at_work_is_left_as_it_is(begin: Open, state: str) -> None:
    with begin() as context, at_work(context):
        add(context, state=state)
        assert runs.find_run(context, "latest")["state"] == state


def test_a_run_of_another_machine_is_left_as_it_is(begin: Open, tmp_path: Path) -> None:
    """A team's store knows runs of many homes, and one cannot see whether the others live."""
    with begin() as context:
        add(context, path=tmp_path / "elsewhere" / "run-1")
        assert runs.find_run(context, "run-1")["state"] == "training"
        with pytest.raises(TrainingError, match=r"nothing to pause; it is at work in .*elsewhere"):
            runs.ask(context, "run-1", "pause")


def test_runs_that_ended_are_left_as_they_are(begin: Open) -> None:
    with begin() as context:
        for state in ("pending", "completed", "failed", "stopped"):
            add(context, f"run-{state}", state)
        assert {run["run_id"]: run["state"] for run in runs.list_runs(context)} == {
            f"run-{state}": state for state in ("pending", "completed", "failed", "stopped")
        }


def test_wishes_lie_in_the_folder_of_the_run(begin: Open) -> None:
    with begin() as context, at_work(context):
        control = Control(add(context))
        assert runs.ask(context, "run", "pause")["run_id"] == "run-1"
        assert control.wish() == "pause"
        runs.go_on(context, "latest")
        assert control.wish() is None
        runs.ask(context, "run-1", "stop")
        assert control.wish() == "stop"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("completed", "run-1 is completed, so there is nothing to stop; its adapter is whole"),
        ("failed", "run-1 is failed, so there is nothing to stop; go on with: samloop train --resume run-1"),
        ("training", "run-1 is stopped, so there is nothing to stop; go on with: samloop train --resume run-1"),
    ],
)
def test_what_does_not_run_cannot_be_stopped(begin: Open, state: str, message: str) -> None:
    with begin() as context:
        folder = add(context, state=state)
        with pytest.raises(TrainingError) as caught:
            runs.ask(context, "run-1", "stop")
        assert str(caught.value) == message
        assert Control(folder).wish() is None


def test_without_any_run(begin: Open) -> None:
    with begin() as context:
        with pytest.raises(NotFoundError, match="no run to pause; 'samloop train' starts one"):
            runs.ask(context, "latest", "pause")
        with pytest.raises(NotFoundError, match="no run yet"):
            runs.find_run(context, "latest")
        with pytest.raises(NotFoundError, match="run-9"):
            runs.ask(context, "run-9", "pause")


def test_a_second_training_in_a_home_is_refused(begin: Open) -> None:
    with begin() as context, at_work(context):
        add(context)
        with pytest.raises(TrainingError) as caught, runs.alone(context):
            raise AssertionError
    assert str(caught.value) == (
        f"run-1 is at work in {context.home.path}, and one home trains one adapter at a time; wait for it to end, or "
        "stop it with: samloop runs stop run-1"
    )


def test_who_trains_alone_first_calls_the_dead_stopped(begin: Open) -> None:
    with begin() as context:
        add(context)
        with runs.alone(context):
            assert context.store.get_run("run-1")["state"] == "stopped"
        with runs.alone(context):
            pass  # and gives the lock back


def test_why_a_run_pauses(begin: Open) -> None:
    with begin() as context, at_work(context):
        folder = add(context, state="paused")
        assert runs.pause_reason(runs.find_run(context, "run-1")) is None
        (folder / "metrics.jsonl").write_text(
            '{"event": "paused", "at_step": 3, "reason": "asked"}\n'
            '{"event": "paused", "at_step": 4, "reason": "memory", "available_bytes": 210000000}\n'
        )
        assert runs.pause_reason(runs.find_run(context, "run-1")) == "only 0.21 GB of memory are available"
        context.store.update_run("run-1", state="training")
        assert runs.pause_reason(runs.find_run(context, "run-1")) is None


def test_what_cannot_be_gone_on_with(begin: Open, after: Open) -> None:
    with after() as context:
        finished = context.store.list_runs()[0]["run_id"]
        with pytest.raises(TrainingError, match=f"{finished} is completed, so there is nothing to go on with"):
            resume(context, "latest")
        add(context, "run-of-nothing", "stopped")
        with pytest.raises(NotFoundError, match="the dataset of run-of-nothing is gone"):
            resume(context, "run-of")
        with pytest.raises(NotFoundError):
            resume(context, "run-unknown")
        dataset = context.store.get_run(finished)["dataset_path"]
        context.store.add_run(
            "run-other",
            dataset_digest="0",
            dataset_path=dataset,
            base="pocket",
            base_digest="of another",
            backend="torch",
            revision=0,
            recipe=context.recipe.to_dict(full=True),
            state="stopped",
        )
        with pytest.raises(TrainingError, match="the base pocket is not the one that run-other began with"):
            resume(context, "run-other")
