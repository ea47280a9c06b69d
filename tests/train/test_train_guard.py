"""The guard over a run: thresholds with a gap, wishes from another terminal, and no weight changed by any of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import Killed, MakeJob

from samloop.train import memory
from samloop.train.checkpoints import Checkpoints
from samloop.train.control import Control
from samloop.train.driver import run
from samloop.train.guard import GIGABYTE, Guard, describe
from samloop.train.metrics import read_events


class World:
    """A machine whose available memory and clock the test sets; each wait takes a second and the next reading."""

    def __init__(self, *available_gb: float) -> None:
        self.readings = [round(gb * GIGABYTE) for gb in available_gb]
        self.now, self.released, self.kept = 0.0, 0, 0
        self.events: list[dict[str, Any]] = []
        self.on_wait: Callable[[], None] = lambda: None

    def available(self) -> int:
        return self.readings[0]

    def next(self) -> None:
        del self.readings[0]

    def release(self) -> None:
        self.released += 1

    def sleep(self, _seconds: float) -> None:
        self.now += 1.0
        self.on_wait()
        if len(self.readings) > 1:
            self.next()

    def keep(self) -> None:
        self.kept += 1

    def guard(
        self, folder: Path, *, give_up_seconds: float = 0.0, ended: Callable[[], bool] = lambda: False
    ) -> Guard:
        return Guard(
            Control(folder),
            pause_below_bytes=300_000_000,
            go_on_at_bytes=500_000_000,
            give_up_seconds=give_up_seconds,
            ended=ended,
            on_event=self.events.append,
            available=self.available,
            release=self.release,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def test_enough_memory_is_no_event(tmp_path: Path) -> None:
    world = World(0.31)
    guard = world.guard(tmp_path)
    guard.between_steps(1, world.keep)
    assert (world.events, world.kept, guard.should_stop()) == ([], 0, False)


def test_a_pause_begins_below_one_threshold_and_ends_at_the_other(tmp_path: Path) -> None:
    world = World(0.29, 0.31, 0.45, 0.49, 0.5, 0.1)
    guard = world.guard(tmp_path)
    guard.between_steps(7, world.keep)
    assert world.readings[0] == 0.5 * GIGABYTE
    paused, resumed = world.events
    assert (paused["event"], paused["at_step"], paused["reason"]) == ("paused", 7, "memory")
    assert describe(paused) == "only 0.29 GB of memory are available"
    assert (resumed["event"], resumed["seconds"], resumed["available_bytes"]) == ("resumed", 4.0, 0.5 * GIGABYTE)
    assert (world.kept, guard.should_stop()) == (1, False)


def test_memory_that_can_be_given_back_is_and_that_may_be_enough(tmp_path: Path) -> None:
    world = World(0.2, 0.6)
    world.release = world.next  # type: ignore[method-assign]  what is released is had at once
    world.guard(tmp_path).between_steps(1, world.keep)
    assert (world.events, world.kept) == ([], 0)


def test_what_is_given_back_must_reach_the_upper_threshold(tmp_path: Path) -> None:
    """Else the next step would take it, and the run would flutter."""
    world = World(0.2, 0.4, 0.4, 0.6)
    world.release = world.next  # type: ignore[method-assign]
    world.guard(tmp_path).between_steps(1, world.keep)
    assert [event["event"] for event in world.events] == ["paused", "resumed"]


def test_a_pause_that_was_asked_for_lasts_until_it_is_taken_back(tmp_path: Path) -> None:
    world, control = World(8.0), Control(tmp_path)
    world.on_wait = lambda: control.clear() if world.now == 3 else None
    control.ask("pause")
    world.guard(tmp_path).between_steps(2, world.keep)
    assert [(event["event"], event["reason"]) for event in world.events] == [
        ("paused", "asked"),
        ("resumed", "asked"),
    ]
    assert (world.events[1]["seconds"], world.kept) == (3.0, 1)
    assert describe(world.events[0]) == "as asked by 'samloop runs pause'"


def test_a_pause_taken_back_without_memory_goes_on_as_one_for_memory(tmp_path: Path) -> None:
    world, control = World(0.4, 0.4, 0.4, 0.6), Control(tmp_path)
    world.on_wait = control.clear
    control.ask("pause")
    world.guard(tmp_path).between_steps(2, world.keep)
    assert [(e["event"], e["reason"]) for e in world.events] == [
        ("paused", "asked"),
        ("paused", "memory"),
        ("resumed", "memory"),
    ]


def test_a_paused_run_can_be_stopped(tmp_path: Path) -> None:
    world, control = World(8.0), Control(tmp_path)
    world.on_wait = lambda: control.ask("stop")
    control.ask("pause")
    guard = world.guard(tmp_path)
    guard.between_steps(2, world.keep)
    assert (guard.should_stop(), guard.reason) == (True, "as asked by 'samloop runs stop'")
    assert [event["event"] for event in world.events] == ["paused"]


def test_a_paused_run_ends_with_its_process(tmp_path: Path) -> None:
    world = World(0.1)
    guard = world.guard(tmp_path, ended=lambda: world.now >= 2)
    guard.between_steps(2, world.keep)
    assert (guard.should_stop(), guard.reason, world.kept) == (True, "its process was asked to end", 1)


def test_a_pause_for_memory_does_not_last_for_ever(tmp_path: Path) -> None:
    world = World(0.1)
    guard = world.guard(tmp_path, give_up_seconds=120)
    guard.between_steps(2, world.keep)
    assert 120 < world.now < 125
    assert guard.should_stop()
    assert guard.reason == "for 2 minutes there was less than 0.5 GB of memory available"


def test_a_wish_that_is_no_word_of_ours_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "wish").write_bytes(b"\xff\xfe dance")
    assert Control(tmp_path).wish() is None


def test_what_is_released_is_given_back() -> None:
    """Three hundred thousand small blocks that were freed: glibc keeps them until it is asked."""
    if memory.sys.platform != "linux":
        pytest.skip("glibc's malloc_trim")
    held = [bytes(1000) for _ in range(300_000)]
    pin = held[-1]
    before = memory.resident_bytes()
    del held
    memory.release()
    assert memory.resident_bytes() < before - 150_000_000
    assert len(pin) == 1000


def test_the_peak_of_a_small_process_is_not_that_of_its_large_parent() -> None:
    held = b"x" * 300_000_000
    code = "from samloop.train import memory; print(memory.peak_bytes())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 5_000_000 < int(said) < 200_000_000
    assert memory.peak_bytes() > len(held)


@pytest.fixture
def paused_run(make_job: MakeJob, tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Train with pauses asked for at steps 3 and 6, each taken back once its checkpoint is there."""

    def train(backend: str) -> dict[str, Any]:
        folder, lines = tmp_path / "paused", []
        folder.mkdir()
        control = Control(folder)
        guard = Guard(
            control,
            pause_below_bytes=0,
            go_on_at_bytes=0,
            give_up_seconds=0,
            ended=lambda: False,
            on_event=lambda event: (lines.append(event), event["event"] == "paused" and go_on(event["at_step"])),
            sleep=lambda _seconds: time.sleep(0.01),
        )

        def go_on(step: int) -> None:
            assert (folder / f"checkpoints/step-{step:08d}/progress.json").is_file()
            threading.Timer(0.05, control.clear).start()

        def on_metric(line: dict[str, Any]) -> None:
            lines.append(line)
            if line["step"] in (3, 6):
                control.ask("pause")

        job = make_job(backend=backend, dropout=0.2, checkpoint_steps=100)
        result = run(job, folder, on_metric, guard.should_stop, guard.between_steps)
        return {**result, "lines": lines}

    yield train


def test_a_paused_run_ends_with_the_same_bytes(
    make_job: MakeJob, backend: str, tmp_path: Path, paused_run: Callable[..., dict[str, Any]]
) -> None:
    whole = run(make_job(backend=backend, dropout=0.2), tmp_path / "whole", lambda _: None, lambda: False)
    result = paused_run(backend)
    events = [line for line in result["lines"] if "event" in line]
    assert [(e["event"], e["at_step"]) for e in events] == [
        ("paused", 3),
        ("resumed", 3),
        ("paused", 6),
        ("resumed", 6),
    ]
    assert (
        Path(result["adapter"], "adapter_model.safetensors").read_bytes()
        == Path(whole["adapter"], "adapter_model.safetensors").read_bytes()
    )
    assert result["loss"] == whole["loss"]


def test_events_are_read_apart_from_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"event": "paused", "at_step": 1}\n{"event": 3}\n[1]\n{"ev')
    assert read_events(path) == [{"event": "paused", "at_step": 1}]
    assert read_events(tmp_path / "none") == []


def test_a_run_killed_in_a_pause_loses_no_step(make_job: MakeJob, tmp_path: Path) -> None:
    """Its pause kept a checkpoint, though none was due."""
    job, folder = make_job(checkpoint_steps=100, dropout=0.2), tmp_path / "run"
    whole = run(job, tmp_path / "whole", lambda _: None, lambda: False)

    def between(step: int, keep: Callable[[], None]) -> None:
        if step == 5:
            keep()
            raise Killed

    with pytest.raises(Killed):
        run(job, folder, lambda _: None, lambda: False, between)
    assert Checkpoints(folder / "checkpoints", {}).last_step() == 5
    lines: list[dict[str, Any]] = []
    result = run(job, folder, lines.append, lambda: False)
    assert lines[0]["step"] == 6
    assert (
        Path(result["adapter"], "adapter_model.safetensors").read_bytes()
        == Path(whole["adapter"], "adapter_model.safetensors").read_bytes()
    )


def test_a_run_killed_in_a_validation_ends_with_the_same_bytes(
    make_job: MakeJob, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from samloop.train import driver

    job, folder = make_job(backend=backend, dropout=0.2), tmp_path / "run"
    whole = run(job, tmp_path / "whole", lambda _: None, lambda: False)
    real, calls = driver._Run._validate, []

    def validate(self: Any, *, candidate: bool) -> bool:
        calls.append(self.progress.step)
        if calls == [0, 4, 8]:
            raise Killed
        return real(self, candidate=candidate)

    monkeypatch.setattr(driver._Run, "_validate", validate)
    with pytest.raises(Killed):
        run(job, folder, lambda _: None, lambda: False)
    result = run(job, folder, lambda _: None, lambda: False)
    assert calls == [0, 4, 8, 8, 12]
    assert (result["best_step"], result["validation_loss"]) == (whole["best_step"], whole["validation_loss"])
    assert (
        Path(result["adapter"], "adapter_model.safetensors").read_bytes()
        == Path(whole["adapter"], "adapter_model.safetensors").read_bytes()
    )


BALLOON_BYTES = 3 * GIGABYTE
BALLOON = f"held = b'x' * {BALLOON_BYTES}; print('full', flush=True); input()"


@pytest.mark.slow
def test_a_real_shortage_pauses_and_its_end_resumes(tmp_path: Path) -> None:
    """Another program takes three gigabytes; the thresholds lie two below what there is: other tests run."""
    before = memory.available_bytes()
    if before < 2 * BALLOON_BYTES:
        pytest.skip(f"expected {2 * BALLOON_BYTES / GIGABYTE:g} GB of available memory, got {before / GIGABYTE:.1f}")
    events: list[dict[str, Any]] = []
    ended = threading.Event()
    guard = Guard(
        Control(tmp_path),
        pause_below_bytes=before - 2 * GIGABYTE,
        go_on_at_bytes=before - 2 * GIGABYTE + GIGABYTE // 4,
        give_up_seconds=0,
        ended=ended.is_set,
        on_event=events.append,
    )
    with subprocess.Popen(
        [sys.executable, "-c", BALLOON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as balloon:
        assert balloon.stdin is not None
        assert balloon.stdout is not None
        assert balloon.stdout.readline() == "full\n"
        step = threading.Thread(target=guard.between_steps, args=(3, lambda: None))
        step.start()
        try:
            while not events:
                time.sleep(0.05)
            assert step.is_alive()
        finally:
            balloon.stdin.write("\n")
            balloon.stdin.close()
            step.join(timeout=300)
            ended.set()
    assert [(e["event"], e["reason"], e["at_step"]) for e in events] == [
        ("paused", "memory", 3),
        ("resumed", "memory", 3),
    ]
    assert events[0]["available_bytes"] < events[1]["available_bytes"]
