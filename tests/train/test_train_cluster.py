"""Training on a cluster: two workers on this machine learn what one does, and what goes wrong is one sentence."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from conftest import made_up, made_up_pairs, write_lines
from samloop import __version__
from samloop.child import run_job
from samloop.errors import ModelError, SamloopError, TrainingError
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.checkpoints import KEPT
from samloop.train.cluster import placed
from samloop.train.cluster_worker import Order, Places, _own_base
from samloop.train.crew import Crew
from samloop.train.freight import packed, unpack, unpack_whole
from samloop.train.job import TrainJob

MakeJob = Callable[..., TrainJob]
TWO = {"cluster": "ray://local", "cluster_workers": 2}


class Told(list):
    """The metric lines of a run, as they come."""

    def curve(self, name: str = "loss") -> list[tuple[str, int, float]]:
        """(phase, step, value) of each line that has one."""
        return [(line["phase"], line["step"], line[name]) for line in self if line.get(name) is not None]


@pytest.fixture
def job(make_job: MakeJob, tmp_path: Path) -> dict[str, Any]:
    """Answers, then preferences: 5 and 9 steps of up to 4 batches; the last of an epoch has fewer than two."""
    folder = tmp_path / "both"
    folder.mkdir()
    write_lines(folder / "train.jsonl", made_up(41) + made_up_pairs(26))
    write_lines(folder / "valid.jsonl", made_up(7, start=41) + made_up_pairs(9, start=26))
    made = make_job(
        dataset=str(folder),
        method="sft+dpo",
        accumulation_steps=4,
        epochs=1.0,
        preference_epochs=2.0,
        preference_learning_rate=1e-3,
        targets=("q_proj", "v_proj"),
        patience=0,
    )
    return {**made.to_dict(), "kind": "train"}


def assert_same_run(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two results of the same job are equal but for rounding."""
    for name in ("state", "method", "steps", "best_step", "examples", "pairs", "train_tokens", "epochs"):
        assert one[name] == other[name], name
    assert one["validation_loss"] == pytest.approx(other["validation_loss"], abs=1e-4)
    first, second = (Adapter.read(Path(result["adapter"])).arrays() for result in (one, other))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], atol=1e-4, err_msg=name)


def workers_of_this_process() -> list[psutil.Process]:
    """The training workers of clusters that were started from here."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.Error:  # ended meanwhile
            continue
        if name.startswith("ray::") and "TrainWorker" in name:
            found.append(process)
    return found


# --- two workers -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_workers_learn_what_one_does(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    one, two = Told(), Told()
    alone = run_job(tmp_path / "one", job, one.append)
    together = run_job(tmp_path / "two", {**job, **TWO}, two.append)
    for name in ("loss", "validation_loss", "grad_norm", "preference_loss", "accuracy", "validation_margin"):
        expected, got = one.curve(name), two.curve(name)
        assert len(expected) >= 2
        assert [at[:2] for at in got] == [at[:2] for at in expected]
        assert [at[2] for at in got] == pytest.approx([at[2] for at in expected], rel=1e-3, abs=1e-4), name
    assert_same_run(together, alone)
    kept = [sorted(path.name for path in (tmp_path / name).rglob("*")) for name in ("one", "two")]
    assert kept[0] == kept[1]
    assert len(list((tmp_path / "two" / "checkpoints").iterdir())) == KEPT


@pytest.mark.slow
def test_a_lost_worker_is_one_sentence_and_the_run_goes_on(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    whole, lines = run_job(tmp_path / "whole", job, lambda _: None), Told()

    def kill_one(line: dict[str, Any]) -> None:
        lines.append(line)
        if line.get("step") == 6 and (found := workers_of_this_process()):
            os.kill(found[-1].pid, signal.SIGKILL)

    slow = {**job, **TWO}
    with pytest.raises(TrainingError, match=r"worker \d of 2 was lost") as told:
        run_job(tmp_path / "run", slow, kill_one)
    assert "\n" not in str(told.value)
    assert lines[-1]["step"] < whole["steps"]
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept
    assert not workers_of_this_process()
    lines.clear()
    assert_same_run(run_job(tmp_path / "run", slow, lines.append), whole)
    assert lines[0]["step"] == int(kept[-1].removeprefix("step-")) + 1
