"""Training on a cluster: two workers on this machine learn what one does, and what goes wrong is one sentence."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tiny import MakeJob, made_up, made_up_pairs, write_lines

from samloop import __version__
from samloop.child import run_job
from samloop.errors import ModelError, SamloopError, TrainingError
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.checkpoints import KEPT
from samloop.train.cluster import placed
from samloop.train.cluster_worker import Order, Places, _own_base
from samloop.train.control import Control
from samloop.train.crew import Crew
from samloop.train.freight import packed, unpack, unpack_whole

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
@pytest.mark.parametrize("checkpointing", [False, True])
def test_workers_that_split_the_base_learn_what_one_does(
    job: dict[str, Any], tmp_path: Path, checkpointing: bool
) -> None:
    """Their batches are not equally many: in the last step of an epoch one worker has fewer."""
    pytest.importorskip("ray")
    job["gradient_checkpointing"] = checkpointing
    one, two = Told(), Told()
    alone = run_job(tmp_path / "one", job, one.append)
    together = run_job(tmp_path / "two", {**job, **TWO, "cluster_shard": True}, two.append)
    for name in ("loss", "validation_loss", "grad_norm", "preference_loss"):
        assert [at[2] for at in two.curve(name)] == pytest.approx(
            [at[2] for at in one.curve(name)], rel=1e-3, abs=1e-4
        ), name
    assert_same_run(together, alone)


@pytest.mark.slow
def test_a_lost_worker_is_one_sentence_and_the_run_goes_on(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    job["epochs"] = 30.0
    whole, lines = run_job(tmp_path / "whole", job, lambda _: None), Told()

    def kill_one(line: dict[str, Any]) -> None:
        lines.append(line)
        if line["step"] == 6 and (found := workers_of_this_process()):
            os.kill(found[-1].pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"worker \d of 2 was lost") as told:
        run_job(tmp_path / "run", {**job, **TWO}, kill_one)
    assert "\n" not in str(told.value)
    assert lines[-1]["step"] < whole["steps"]
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept
    assert not workers_of_this_process()
    lines.clear()
    assert_same_run(run_job(tmp_path / "run", {**job, **TWO}, lines.append), whole)
    assert lines[0]["step"] == int(kept[-1].removeprefix("step-")) + 1


@pytest.mark.slow
def test_a_run_pauses_and_stops_when_asked_and_one_machine_ends_it(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    job["epochs"] = 30.0
    whole, run, lines = run_job(tmp_path / "whole", job, lambda _: None), tmp_path / "run", Told()

    def ask(line: dict[str, Any]) -> None:
        lines.append(line)
        if line.get("step") == 6:
            Control(run).ask("pause")
        if line.get("event") == "paused":
            Control(run).clear()
        if line.get("event") == "resumed":
            Control(run).ask("stop")

    stopped = run_job(run, {**job, **TWO}, ask)
    assert (stopped["state"], stopped["reason"]) == ("stopped", "as asked by 'samloop runs stop'")
    assert [line["event"] for line in lines if line.get("event") != "reference" and "event" in line] == [
        "paused",
        "resumed",
    ]
    assert 6 <= stopped["steps"] < whole["steps"]
    assert Adapter.read(run / "adapter").weights
    Control(run).clear()
    assert_same_run(run_job(run, job, lambda _: None), whole)


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_worker_raises_is_said_as_it_is(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(TrainingError, match="the base model has no module 'nowhere'"):
        run_job(tmp_path / "run", {**job, **TWO, "targets": ["nowhere"]}, lambda _: None)


def test_a_cluster_that_does_not_answer_is_one_sentence(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SamloopError, match=r"does not answer \(.*or train on this machine") as told:
        run_job(tmp_path / "run", {**job, "cluster": f"ray://127.0.0.1:{port}"}, lambda _: None)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"cluster": "spark://host"},
            "expected train.cluster to be ray://local or ray://HOST:PORT, got 'spark://host'",
        ),
        ({"cluster": "ray://local", "backend": "mlx"}, "a cluster trains with the backend torch, got 'mlx'"),
    ],
)
def test_settings_that_fit_no_cluster_are_one_sentence(
    job: dict[str, Any], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        run_job(tmp_path / "run", {**job, **settings}, lambda _: None)


def test_the_base_is_found_on_a_machine_by_what_it_is(base: Path, tmp_path: Path) -> None:
    known = Base.open(base).fingerprint
    order = Order(job={"base": str(base), "base_name": "tiny"}, version=__version__, fingerprint=known)
    assert _own_base(order) == base
    elsewhere = {"base": str(tmp_path / "nowhere"), "base_name": str(base)}
    assert _own_base(replace(order, job=elsewhere)) == base
    with pytest.raises(ModelError, match=r"expected the base nowhere on the machine .*, got none at"):
        _own_base(replace(order, job={"base": str(tmp_path / "nowhere"), "base_name": "nowhere"}))
    with pytest.raises(ModelError, match=r"expected the base tiny on the machine .*, got another model at"):
        _own_base(replace(order, fingerprint="0" * 32))
    with pytest.raises(TrainingError, match=r"expected samloop 0\.0\.0 on the machine"):
        _own_base(replace(order, version="0.0.0"))


@pytest.mark.parametrize(
    ("machines", "asked", "places"),
    [
        ([{"CPU": 8.0}], 0, Places(workers=1, gpu=False, cores=8)),
        ([{"CPU": 8.0}, {"CPU": 4.0}], 0, Places(workers=2, gpu=False, cores=4)),
        ([{"CPU": 8.0}, {"CPU": 2.0}], 2, Places(workers=2, gpu=False, cores=4)),
        ([{"CPU": 2.0}], 2, Places(workers=2, gpu=False, cores=1)),
        ([{"memory": 1.0}, {"CPU": 2.0}], 0, Places(workers=1, gpu=False, cores=2)),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0}], 0, Places(workers=8, gpu=True, cores=1)),
        ([{"CPU": 64.0, "GPU": 8.0}], 3, Places(workers=3, gpu=True, cores=1)),
    ],
)
def test_workers_are_placed_where_there_is_room(
    machines: Sequence[dict[str, float]], asked: int, places: Places
) -> None:
    assert placed(machines, asked) == places


@pytest.mark.parametrize(
    ("machines", "asked", "message"),
    [
        ([{"CPU": 2.0}], 3, "the cluster has 2 cores for train.cluster_workers = 3"),
        ([{"CPU": 9.0, "GPU": 1.0}], 2, "the cluster has 1 GPUs for train.cluster_workers = 2"),
        ([{"memory": 1.0}], 0, "the cluster has 0 cores"),
    ],
)
def test_more_workers_than_there_is_room_for_are_refused(
    machines: Sequence[dict[str, float]], asked: int, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        placed(machines, asked)


# --- shares and files --------------------------------------------------------------------------------------------


def test_every_batch_is_one_workers_share() -> None:
    items = list(range(7))
    crews = [Crew() for _ in range(3)]
    for rank, crew in enumerate(crews):
        crew.rank, crew.size = rank, len(crews)
    shares = [crew.share(items) for crew in crews]
    assert sorted(item for share in shares for item in share) == items
    assert [len(share) for share in shares] == [3, 2, 2]
    assert Crew().share(items) == items
    assert [list(crew.share([0])) for crew in crews] == [[0], [], []]


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    root = tmp_path / "from"
    (root / "adapter" / "deep").mkdir(parents=True)
    (root / "adapter" / "a.bin").write_bytes(b"\0\1")
    (root / "adapter" / "deep" / "b.txt").write_bytes(b"b")
    (root / "adapter" / ".c.1.part").write_bytes(b"half")
    (root / "one.bin").write_bytes(b"one")
    freight = packed(root / "adapter", root)
    assert freight == {"adapter/a.bin": b"\0\1", "adapter/deep/b.txt": b"b"}
    assert packed(root / "nothing", root) == {}
    unpack_whole(freight, "adapter", tmp_path / "to")
    unpack_whole(packed(root / "one.bin", root), "one.bin", tmp_path / "to")
    unpack(freight, tmp_path / "again")
    for to in ("to", "again"):
        assert packed(tmp_path / to / "adapter", tmp_path / to) == freight
    assert (tmp_path / "to" / "one.bin").read_bytes() == b"one"
