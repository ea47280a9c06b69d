"""A training and a second terminal: paused, resumed, stopped, killed, and gone on with, to the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from samloop.train.metrics import read_events, read_metrics

RECIPE = """\
[train]
model = "pocket"
backend = "torch"
batch_examples = 2
accumulation_steps = 2
epochs = 4.0
dropout = 0.1
report_steps = 1
evaluate_steps = 7
checkpoint_steps = 5
min_new_examples = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def filled(run: Any, tmp_path: Path) -> None:
    """A store with enough to train on."""
    data = tmp_path / "data.jsonl"
    with data.open("w") as file:
        for i in range(60):
            question, answer = (
                f"What does device number {i} do?",
                f"It counts to {i * 7} and rests for {i % 5} hours.",
            )
            file.write(json.dumps({"instruction": question, "output": answer}) + "\n")
    assert run("collect", "dataset", data).code == 0


class Terminal:
    """A terminal in which a training runs, and the files it leaves."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process, self.home = process, home

    def steps(self) -> list[int]:
        return [
            line["step"] for folder in self.home.glob("runs/*") for line in read_metrics(folder / "metrics.jsonl")
        ]

    def events(self) -> list[str]:
        found = [event for folder in self.home.glob("runs/*") for event in read_events(folder / "metrics.jsonl")]
        return [event["event"] for event in found]

    def until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def end(self, number: int | None = None) -> tuple[int, dict[str, Any]]:
        if number is not None:
            self.process.send_signal(number)
        out, _ = self.process.communicate()
        return self.process.returncode, json.loads(out) if out else {}


@contextmanager
def training(home: Path, *arguments: object) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "samloop", "--home", home, "--json", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield Terminal(process, home)
        finally:
            process.kill()


def adapter_of(document: dict[str, Any]) -> bytes:
    return Path(document["data"]["adapter"], "adapter_model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_disturbed_in_every_way_ends_with_the_weights_of_a_quiet_one(
    run: Any, home: Path, recipe: Path, filled: None, tmp_path: Path
) -> None:
    quiet = tmp_path / "quiet"
    subprocess.run(["cp", "-r", home, quiet], check=True)
    with training(quiet, "--config", recipe, "train") as terminal:
        code, undisturbed = terminal.end()
        assert code == 0

    with training(home, "--config", recipe, "train") as terminal:
        terminal.until(lambda: len(terminal.steps()) > 2)
        assert run("runs", "pause").code == 0
        terminal.until(lambda: "paused" in terminal.events())
        terminal.until(lambda: run("--json", "runs", "show").data["state"] == "paused")
        shown = run("--json", "runs", "show").data
        assert shown["pause_reason"] == "as asked by 'samloop runs pause'"
        at = terminal.steps()
        # A second training is refused, the first one is not disturbed, and a pause takes no steps.
        second = run("--json", "--config", recipe, "train", "--force")
        assert second.code == 1
        assert f"{shown['run_id']} is at work in" in second.error["message"]
        assert f"samloop runs stop {shown['run_id']}" in second.error["message"]
        assert terminal.steps() == at
        assert "goes on" in run("runs", "resume").out
        terminal.until(lambda: len(terminal.steps()) > len(at))
        assert run("--json", "runs", "stop", shown["run_id"]).data["asked"] == "stop"
        code, told = terminal.end()
        assert code == 1
        message = told["error"]["message"]
        assert "(as asked by 'samloop runs stop')" in message
        assert message.endswith(f"go on with: samloop train --resume {shown['run_id']}")
    stopped = run("--json", "runs", "show").data
    assert (stopped["state"], stopped["error"]) == ("stopped", "as asked by 'samloop runs stop'")

    # Gone on with, and ended as a service is stopped: while it pauses.
    with training(home, "train", "--resume", "latest") as terminal:
        terminal.until(lambda: max(terminal.steps()) > stopped["steps"])
        run("runs", "pause")
        terminal.until(lambda: terminal.events().count("paused") == 2)
        terminal.until(lambda: run("--json", "runs", "show").data["state"] == "paused")
        code, told = terminal.end(signal.SIGTERM)
        assert (code, told["error"]["code"]) == (130, "interrupted")
    assert run("--json", "runs", "show").data["state"] == "stopped"

    # Killed without a word: the state is told right all the same.
    with training(home, "train", "--resume", "latest") as terminal:
        before = max(terminal.steps())
        terminal.until(lambda: max(terminal.steps()) > before)
        assert run("--json", "runs", "show").data["state"] == "training"
        os.kill(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()
    dead = run("--json", "runs", "show").data
    assert (dead["state"], dead["error"]) == ("stopped", "its process was killed, or the machine went off")
    refused = run("--json", "runs", "resume")
    assert refused.error["message"].endswith(f"go on with: samloop train --resume {dead['run_id']}")

    with training(home, "train", "--resume", dead["run_id"]) as terminal:
        code, document = terminal.end()
    assert (code, document["data"]["state"]) == (0, "completed")
    assert adapter_of(document) == adapter_of(undisturbed)
    assert document["data"]["loss"] == undisturbed["data"]["loss"]
    assert run("--json", "runs", "show").data["state"] == "completed"
    assert run("--json", "train", "--resume", "latest").error["message"].startswith(f"{dead['run_id']} is completed")


@pytest.mark.slow
def test_too_little_memory_pauses_a_run_and_then_ends_it(
    run: Any, home: Path, recipe: Path, filled: None, tmp_path: Path
) -> None:
    """No machine has a million gigabytes: the pause lasts until the run is given up, kept."""
    greedy = tmp_path / "greedy.toml"
    greedy.write_text(RECIPE + "pause_below_gb = 1e6\ngo_on_at_gb = 2e6\nmemory_wait_minutes = 0.01\n")
    ended = run("--json", "--config", greedy, "train")
    assert ended.code == 1
    assert "there was less than 2e+06 GB of memory available" in ended.error["message"]
    shown = run("--json", "runs", "show").data
    assert (shown["state"], shown["steps"]) == ("stopped", 1)
    (paused,) = read_events(home / "runs" / shown["run_id"] / "metrics.jsonl")
    assert (paused["event"], paused["at_step"], paused["reason"]) == ("paused", 1, "memory")
    # With thresholds that the machine meets, the same run goes on: they shape no weight.
    finished = run("--json", "--config", recipe, "train")
    assert (finished.code, finished.data["run_id"]) == (0, shown["run_id"])


@pytest.mark.parametrize("option", [["--quick"], ["--check"], ["--force"], ["--model", "pocket"]])
def test_resume_takes_the_run_as_it_began(run: Any, option: list[str]) -> None:
    ran = run("--json", "train", "--resume", "latest", *option)
    assert (ran.code, ran.error["code"]) == (2, "usage")
    assert option[0] in ran.error["message"]


@pytest.mark.parametrize("verb", ["pause", "resume", "stop"])
def test_steering_without_a_run(run: Any, verb: str) -> None:
    ran = run("--json", "runs", verb)
    assert ran.code == 1
    assert ran.error["message"] == f"there is no run to {verb}; 'samloop train' starts one"


def test_a_gap_that_is_the_wrong_way_round(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text("[train]\npause_below_gb = 0.8\n")
    ran = run("--json", "--config", path, "train", "--check")
    assert (ran.code, ran.error["code"]) == (2, "recipe")
    assert "go_on_at_gb = 0.5 is below pause_below_gb = 0.8; raise it" in ran.error["message"]


def test_a_dry_run_tells_memory_by_part_and_trains_nothing(run: Any, home: Path) -> None:
    told = run("--json", "train", "--model", "pocket", "--dry-run").data
    parts = told["estimate"]
    assert (told["model"], told["fits"], told["fitting_preset"]) == ("pocket", True, None)
    names = ("program", "weights", "adapter", "optimiser", "activations", "logits", "held")
    assert parts["training"] == sum(parts[name] for name in names)
    shown = run("train", "--model", "pocket", "--dry-run").out
    for name in names:
        assert f"\n{name} " in shown
    assert "It fits: " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert not list(home.glob("runs/*"))


def test_a_dry_run_that_does_not_fit_names_the_preset_that_would(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pocket base with the settings of a larger preset, which takes longer sequences at once."""
    monkeypatch.setenv("SAMLOOP_TRAIN__PRESET", "standard")
    recipe = ("--model", "pocket", "--backend", "torch")
    needed = run("--json", "train", *recipe, "--dry-run").data["estimate"]["training"]
    monkeypatch.setattr("samloop.train.memory.available_bytes", lambda: needed - 1)
    told = run("--json", "train", *recipe, "--dry-run").data
    assert not told["fits"]
    monkeypatch.setattr("samloop.train.memory.available_bytes", lambda: 100_000_000)
    shown = run("train", *recipe, "--dry-run").out
    assert "It does not fit: 0.10 GB of memory are available." in shown
    assert "No preset fits; close other programs." in shown


def test_a_tracker_that_is_not_installed(run: Any, filled: None, tmp_path: Path) -> None:
    path = tmp_path / "tracked.toml"
    path.write_text('[train]\nmodel = "pocket"\nmin_new_examples = 1\nreport_to = ["wandb"]\n')
    ran = run("--json", "--config", path, "train")
    assert (ran.code, ran.error["message"]) == (
        1,
        "train.report_to names wandb, which is not installed: pip install wandb",
    )
    path.write_text('[train]\nreport_to = ["wandbx"]\n')
    assert run("--config", path, "train", "--check").code == 2
