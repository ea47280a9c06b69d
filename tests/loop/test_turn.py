"""The whole turn: on an empty home, with nothing new, below and above the threshold, forced, and beside another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from loop_world import Finished, Open, plain, write_instructions

from samloop.adapters.registry import Registry
from samloop.errors import InputError, TrainingError
from samloop.example import Example
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.prepare import prepare
from samloop.loop.train import check, train
from samloop.loop.turn import turn
from samloop.settings import SourceSettings
from samloop.train.metrics import read_metrics


def no_training(stage: str, news: dict[str, Any]) -> None:
    """A turn that trains or evaluates would tell of it."""
    assert stage not in ("train", "evaluate"), news


def add(context: Context, path: Path, count: int) -> None:
    """Bring `count` new accepted examples into the store."""
    write_instructions(path, range(100, 100 + count))
    assert collect(context, [SourceSettings(kind="dataset", location=str(path))]).sources[0].added == count


def state(context: Context) -> list[Any]:
    """What a turn that trains nothing must leave alone."""
    store, registry = context.store, Registry(context.home, context.store)
    return [
        store.list_runs(),
        store.decisions(),
        [{k: v for k, v in row.items() if k != "updated_at"} for row in store.list_adapters()],
        registry.champion("main"),
        sorted(path.name for path in context.home.datasets.iterdir()),
        sorted(path.name for path in context.home.evaluations.iterdir()),
    ]


def test_a_turn_on_an_empty_home_goes_through_every_stage(finished: Finished) -> None:
    assert finished.stages == ["collect", "check", "prepare", "train", "evaluate", "decide"]
    totals = finished.report["totals"]
    assert totals["read"] == sum(totals[name] for name in ("added", "duplicate", "rejected", "review"))
    assert {s["source"]: s["added"] > 0 for s in finished.report["sources"]} == dict.fromkeys(
        ["git_commits", "knowledge", "datasets", "routing"], True
    )
    assert finished.report["run"]["state"] == "completed"
    assert finished.report["decision"]["verdict"] == "promote"
    assert finished.home.reports.joinpath(f"{finished.run_id}.md").stat().st_mode & 0o077 == 0
    assert Path(finished.report["run"]["curve"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_nothing_is_left_behind_and_no_worker_complains(finished: Finished) -> None:
    assert not list(finished.home.path.rglob("*.part"))
    logs = list(finished.home.path.rglob("worker.log"))
    assert len(logs) == 2
    assert [log.read_text() for log in logs] == ["", ""]


def test_a_second_turn_with_nothing_new_trains_nothing_and_says_why(finished: Finished, after: Open) -> None:
    with after() as context:
        before = state(context)
        report = turn(context, on_progress=no_training)
        assert state(context) == before
    assert not report.trained
    assert report.path is None
    assert (report.due["due"], report.due["new_examples"]) == (False, 0)
    assert report.due["reason"] == (
        f"a run is not due: 0 new accepted examples since {finished.run_id}, 30 make one due"
    )
    assert report.due["reason"] in report.to_text()
    assert report.to_dict()["run"] is None


def test_new_examples_below_the_threshold_wait_and_above_it_make_a_run_due(after: Open, tmp_path: Path) -> None:
    with after() as context:
        add(context, tmp_path / "some.jsonl", 29)
        report = turn(context, on_progress=no_training)
        assert (report.due["due"], report.due["new_examples"], report.trained) == (False, 29, False)
        write_instructions(tmp_path / "some.jsonl", range(129, 130))
        collect(context, [SourceSettings(kind="dataset", location=str(tmp_path / "some.jsonl"))])
        due = check(context)
    assert (due["due"], due["new_examples"], due["needed"]) == (True, 30, 30)
    assert due["reason"].startswith("a run is due: 30 new accepted examples since run-")


def test_new_examples_that_the_recipe_does_not_admit_make_a_turn_due_once(finished: Finished, after: Open) -> None:
    admitted = ["git_commits", "knowledge", "datasets", "routing"]
    with after(prepare={"sources": admitted}) as context:
        texts = [f"Describe row {number} of the table in one sentence." for number in range(30)]
        made = [Example(source="manual", format="instruction", input_text=t, output_text=t[::-1]) for t in texts]
        context.store.add_examples(replace(example, state="accepted") for example in made)
        found = turn(context, on_progress=no_training)
        assert (found.due["due"], found.run["run_id"]) == (True, finished.run_id)
        again = turn(context, on_progress=no_training)
        assert (again.due["due"], again.due["new_examples"], again.trained) == (False, 0, False)


def test_a_turn_on_an_empty_store_is_not_due_and_cannot_be_forced(begin: Open) -> None:
    with begin() as context:
        empty = Context(context.home, context.recipe.changed(collect={"sources": []}), context.store, context.folder)
        report = turn(empty)
        assert (report.trained, report.due["new_examples"]) == (False, 0)
        with pytest.raises(InputError, match="nothing to train on"):
            turn(empty, force=True)
        assert empty.store.list_runs() == []


@pytest.mark.slow
def test_a_forced_turn_with_another_setting_gives_another_run_that_meets_the_champion(
    finished: Finished, after: Open
) -> None:
    with after(train={"learning_rate": 5e-3, "epochs": 1.0}) as context:
        report = turn(context, force=True)
        assert report.due["due"] is False
        assert report.dataset["digest"] == finished.report["dataset"]["digest"]
        assert report.run["run_id"] != finished.run_id
        assert report.evaluation["champion"] == finished.challenger
        assert list(report.evaluation["suites"]) == ["base", finished.challenger, report.decision["challenger"]]
        assert [d["challenger"] for d in context.store.decisions()] == [
            report.decision["challenger"],
            finished.challenger,
        ]
        before = state(context)
        again = turn(context, force=True, on_progress=no_training)
        assert state(context) == before
        assert again.run["run_id"] == report.run["run_id"]
        if report.decision["verdict"] != "refuse":
            assert again.evaluation["champion"] == finished.challenger
        assert plain(again.decision) == plain(report.decision)
    with after() as context:
        first = train(context, prepare(context), on_metric=lambda news: no_training("train", news))
        assert plain(first) == finished.report["run"]


def test_two_turns_at_once_the_second_says_so_and_changes_nothing(
    after: Open, home: Path, finished: Finished
) -> None:
    said: list[Any] = []

    def meanwhile(stage: str, _news: dict[str, Any]) -> None:
        if stage != "check":
            return
        command = [sys.executable, "-m", "samloop", "--home", home, "--config", finished.recipe, "--json", "turn"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said.append((done.returncode, json.loads(done.stdout)["error"]))

    with after() as context:
        before = state(context)
        turn(context, on_progress=meanwhile)
        assert state(context) == before
    ((code, error),) = said
    assert code == 1
    assert error["code"] == "store_busy"
    assert "another turn is at work" in error["message"]


@pytest.mark.slow
def test_a_killed_worker_and_a_stopped_turn_end_as_if_nothing_had_happened(
    begin: Open, home: Path, finished: Finished
) -> None:
    """Killed at step 8, stopped at step 20, then left alone: the adapter is the same, byte for byte."""
    steps: list[int] = []

    def kill(stage: str, news: dict[str, Any]) -> None:
        if stage == "train" and news["step"] >= 8:
            for child in psutil.Process().children():
                if "samloop.worker" in child.cmdline():
                    child.kill()

    def stop(stage: str, news: dict[str, Any]) -> None:
        if stage == "train" and news["step"] >= 20:
            raise KeyboardInterrupt

    def note(stage: str, news: dict[str, Any]) -> None:
        if stage == "train":
            steps.append(news["step"])

    with begin() as context:
        with pytest.raises(TrainingError, match=r"ended by SIGKILL; .*memory.*worker\.log"):
            turn(context, on_progress=kill)
        (run,) = context.store.list_runs()
        assert (run["run_id"], run["state"]) == (finished.run_id, "failed")
        assert "SIGKILL" in run["error"]
        with pytest.raises(KeyboardInterrupt):
            turn(context, on_progress=stop)
        (run,) = context.store.list_runs()
        assert (run["state"], run["error"]) == ("stopped", "stopped by the user")
        assert not [c for c in psutil.Process().children() if "samloop.worker" in c.cmdline()]
        report = turn(context, on_progress=note)
        (run,) = context.store.list_runs()
        assert (run["state"], run["error"]) == ("completed", None)
    # Each went on from where the one before had come to.
    assert 20 <= steps[0] < steps[-1] == report.run["steps"]
    before = finished.home.runs / finished.run_id
    again = home / "runs" / finished.run_id
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (again / name).read_bytes() == (before / name).read_bytes()
    undisturbed = read_metrics(before / "metrics.jsonl")
    resumed = read_metrics(again / "metrics.jsonl")
    for measure in ("step", "loss", "validation_loss", "trained_tokens"):
        assert [line[measure] for line in resumed] == [line[measure] for line in undisturbed]
    same = ("verdict", "challenger", "champion", "reasons", "summary")
    assert {name: report.decision[name] for name in same} == {
        name: finished.report["decision"][name] for name in same
    }
    assert (home / "adapters" / "main" / "current").readlink().name == finished.challenger


def test_a_turn_that_died_before_its_report_is_reported_by_the_next(finished: Finished, after: Open) -> None:
    with after() as context:
        shutil.rmtree(context.home.reports)
        before = state(context)
        report = turn(context, on_progress=no_training)
        assert state(context) == before
        assert not turn(context).trained
    assert report.path.read_text()
    kept = json.loads(report.path.with_suffix(".json").read_bytes())
    for part in ("dataset", "run", "evaluation", "decision"):
        assert {k: v for k, v in kept[part].items() if k not in ("path",)} == {
            k: v for k, v in finished.report[part].items() if k not in ("path",)
        }


def test_what_killed_processes_left_is_swept(undecided: Open, home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [home / "datasets" / f".abc.{gone.pid}.part", home / "runs" / f".loss.png.{gone.pid}.part"]
    kept = home / "datasets" / f".def.{os.getpid()}.part"
    left[0].mkdir()
    (left[0] / "train.jsonl").touch()
    left[1].touch()
    kept.touch()
    with undecided() as context:
        turn(context)
    assert [path.exists() for path in (*left, kept)] == [False, False, True]
