"""Commands that train and answer, on the pocket model: one small home, taken through the loop by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RECIPE = """\
[train]
model = "pocket"
backend = "torch"
epochs = 1.0

[evaluate]
max_items = 24
suites = ["perplexity", "routing"]
"""


def samloop(home: Path, *arguments: object, stdin: str = "") -> Any:
    """One --json call in a process of its own: its document."""
    done = subprocess.run(
        [sys.executable, "-m", "samloop", "--home", str(home), "--json", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the routing set, one dataset and one quick run, evaluated and registered."""
    home = tmp_path_factory.mktemp("trained") / "home"
    home.mkdir()
    (home / "samloop.toml").write_text(RECIPE)
    assert samloop(home, "collect", "routing")["success"]
    assert samloop(home, "train", "--quick")["success"]
    return home


@pytest.fixture
def used(trained: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own with the same run."""
    shutil.copytree(trained, home, symlinks=True)
    return home


def test_nothing_yet(run: Any) -> None:
    assert run("--json", "datasets", "list").data == []
    assert run("--json", "runs", "list").data == []
    assert run("--json", "adapters", "list").data == []
    assert "No dataset yet" in run("datasets", "list").out
    assert "No run yet" in run("runs", "list").out
    assert "No adapter yet" in run("adapters", "list").out
    for arguments in (["datasets", "show"], ["runs", "show"], ["runs", "plot"], ["adapters", "verify"]):
        ran = run(*arguments)
        assert ran.code == 1
        assert ran.err.count("\n") == 1
    assert "base is in service" in run("adapters", "rollback").err
    due = run("--json", "train", "--check").data
    assert (due["due"], due["new_examples"]) == (False, 0)
    assert "Nothing was trained" in run("train").out


@pytest.mark.slow
def test_train_and_runs_have_the_shape_of_the_contract(trained: Path) -> None:
    shown = samloop(trained, "runs", "show")["data"]
    for name in ("run_id", "state", "steps", "loss", "validation_loss", "tokens_per_second", "peak_memory_bytes"):
        assert shown[name] is not None, name
    assert shown["state"] == "completed"
    assert shown["adapter"]
    assert shown["metrics"]
    (listed,) = samloop(trained, "runs", "list")["data"]
    assert listed["run_id"] == shown["run_id"]
    assert samloop(trained, "runs", "show", shown["run_id"][:8], "--follow")["data"]["run_id"] == shown["run_id"]


@pytest.mark.slow
def test_the_same_run_again_is_found_and_not_trained(trained: Path) -> None:
    first = samloop(trained, "runs", "show")["data"]
    again = samloop(trained, "train", "--quick")["data"]
    assert again["run_id"] == first["run_id"]
    assert samloop(trained, "train", "--check")["data"]["due"] is True, "a quick run makes no other less due"


@pytest.mark.slow
def test_a_run_is_drawn(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "loss.png"
    assert samloop(trained, "runs", "plot", "-o", target)["data"]["path"] == str(target)
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_dataset_is_listed_shown_and_copied(trained: Path, tmp_path: Path, run: Any) -> None:
    (listed,) = samloop(trained, "datasets", "list")["data"]
    shown = samloop(trained, "datasets", "show", listed["digest"][:6])["data"]
    assert shown == listed
    assert "ids" not in shown
    copied = samloop(trained, "prepare", "--out", tmp_path / "copy")["data"]
    assert copied["digest"] == listed["digest"]
    assert (tmp_path / "copy" / "train.jsonl").exists()
    assert samloop(trained, "prepare", "--out", tmp_path / "copy")["error"]["code"] == "usage"
    assert samloop(trained, "datasets", "show", "ffff0000ffff")["error"]["code"] == "not_found"


@pytest.mark.slow
def test_evaluate_gives_intervals_per_suite(trained: Path) -> None:
    data = samloop(trained, "evaluate", "base", "--suite", "routing")["data"]
    (scores,) = data["suites"].values()
    for score in scores:
        assert {"name", "mean", "low", "high", "items", "unit"} <= set(score)
        assert score["low"] <= score["mean"] <= score["high"]
    worst = scores[0]["worst"]
    assert 0 < len(worst) <= 5
    assert all(item["id"] and item["question"].startswith("Route this task") for item in worst)
    assert samloop(trained, "evaluate", "base", "--checkpoints", "latest")["error"]["code"] == "usage"
    assert samloop(trained, "evaluate", "base", "--suite", "parity")["error"]["code"] == "not_found"
    assert samloop(trained, "evaluate", "a", "b", "c")["error"]["code"] == "usage"
    assert samloop(trained, "evaluate", "base", "--suite", "nope")["error"]["code"] == "plugin"


@pytest.mark.slow
def test_all_that_a_run_kept_is_graded_and_shown(used: Path, run: Any) -> None:
    data = samloop(used, "evaluate", "--checkpoints", "latest", "--suite", "routing")["data"]
    shown = samloop(used, "runs", "show")["data"]
    targets = [f"{shown['run_id']}@{shown['steps']}", shown["run_id"]]
    assert [(one["target"], one["step"]) for one in data["checkpoints"]] == list(
        zip(targets, [shown["steps"], None], strict=True)
    )
    assert list(data["suites"]) == ["base", *targets]
    assert data["best"]["routing_accuracy"] in data["suites"]
    assert data["overfitting"] is shown["overfitting"] is None
    told = run("evaluate", "--checkpoints", "latest", "--suite", "routing", "--worst").out
    assert "the run's adapter" in told
    assert "worst in routing accuracy" in told


@pytest.mark.slow
def test_chat_answers_once(trained: Path) -> None:
    data = samloop(trained, "chat", "--adapter", "base", "--max-tokens", 8, "Route this task: add 2 and 3")["data"]
    assert data["answering"] == "base"
    piped = samloop(trained, "chat", "--max-tokens", 8, stdin="Route this task: add 2 and 3\n")["data"]
    assert piped["answer"] == data["answer"]
    assert samloop(trained, "chat", "")["error"]["code"] == "usage"
    assert samloop(trained, "chat", "--adapter", "nobody", "Hello")["error"]["code"] == "not_found"


@pytest.mark.slow
def test_an_adapter_goes_in_and_out_of_service(used: Path, run: Any) -> None:
    from samloop.adapters.registry import Registry
    from samloop.home import Home
    from samloop.store import Store

    with Store.open(Home(used)) as store:
        name = Registry(Home(used), store).register(store.list_runs()[0]["run_id"], "main")
    (row,) = run("--json", "adapters", "list").data
    assert (row["adapter_id"], row["state"]) == (name, "candidate")
    assert "The base is in service." in run("adapters", "list").out
    assert run("adapters", "promote", name[:10]).out == f"{name} is in service in slot main.\n"
    assert run("--json", "adapters", "show").data["state"] == "champion"
    assert run("--json", "adapters", "verify").data["ok"] is True
    lineage = run("--json", "adapters", "lineage").data
    assert len(lineage["examples"]["train"]) > 0
    seen = run("--json", "adapters", "lineage", "--example", lineage["examples"]["train"][0]).data["seen_by"]
    assert [entry["adapter"] for entry in seen] == [name]
    assert run("adapters", "reject", name).code == 1
    assert f"{name} is taken out" in run("adapters", "rollback").out
    assert run("adapters", "reject", name).code == 0
    assert run("adapters", "promote", name).code == 1
    for verb in ("list", "show", "verify", "lineage"):
        ran = run("adapters", verb, *([name] if verb != "list" else []))
        assert ran.code == 0
        assert max(map(len, ran.out.splitlines())) <= 80 or verb == "show"


@pytest.mark.slow
def test_a_damaged_adapter_is_told(used: Path, run: Any) -> None:
    from samloop.adapters.registry import Registry
    from samloop.home import Home
    from samloop.store import Store

    with Store.open(Home(used)) as store:
        registry = Registry(Home(used), store)
        name = registry.register(store.list_runs()[0]["run_id"], "main")
        weights = registry.path(name) / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    ran = run("adapters", "verify", name)
    assert ran.code == 1
    assert name in ran.err
    assert run("adapters", "promote", name).code == 1
