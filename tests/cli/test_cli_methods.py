"""Training methods at the command line: what is chosen, what is said of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PARTS = ("parser", "cache", "reader", "writer", "index", "engine", "gears", "filter", "router", "ledger")
RECIPE = """\
[train]
model = "pocket"
backend = "torch"
quick_steps = 4

[prepare]
valid_share = 0.1
test_share = 0.1

[curate.near]
enabled = false
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def plain(number: int) -> dict[str, str]:
    part = PARTS[number % 10]
    return {
        "instruction": f"What does the {part} in release {number} take for its input?",
        "output": f"The {part} takes rows of {number} columns and returns those that it needs.",
    }


def preference(number: int) -> dict[str, str]:
    part = PARTS[number % 10]
    return {
        "prompt": f"How should the {part} number {number} be installed on a new machine of the team?",
        "chosen": f"Run the command uv add {part} in its own folder, and commit the lock file.",
        "rejected": f"You may want to use pip install {part} with sudo and hope that it works.",
    }


def collect(run: Any, recipe: Path, name: str, records: list[dict[str, str]]) -> None:
    path = recipe.parent / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run("--config", recipe, "collect", "dataset", path).code == 0


@pytest.mark.slow
def test_a_method_that_needs_pairs_is_refused_without(run: Any, recipe: Path) -> None:
    collect(run, recipe, "plain.jsonl", [plain(n) for n in range(30)])
    for method in ("dpo", "sft+dpo"):
        ran = run("--json", "--config", recipe, "train", "--quick", "--method", method)
        assert ran.code == 1
        assert f"for method {method}, found plain answers alone; take method sft" in ran.error["message"]
    ran = run("--config", recipe, "train", "--method", "ppo")
    assert (ran.code, ran.out) == (2, "")
    assert "'auto', 'sft', 'dpo' or 'sft+dpo', got 'ppo'" in ran.err


@pytest.mark.slow
def test_pairs_make_two_phases_and_the_run_says_what_it_learnt(run: Any, recipe: Path) -> None:
    collect(run, recipe, "plain.jsonl", [plain(n) for n in range(30)])
    collect(run, recipe, "pairs.jsonl", [preference(n) for n in range(60)])
    prepared = run("--config", recipe, "prepare").out
    dataset = run("--json", "datasets", "show").data
    assert f"train {dataset['pairs']['train']}, valid {dataset['pairs']['valid']}" in prepared
    assert f"{dataset['replay']['examples']} general exchanges" in prepared
    assert dataset["pairs"]["train"] >= 20

    both = run("--json", "--config", recipe, "train", "--quick").data
    assert both["method"] == "sft+dpo"
    assert [phase["name"] for phase in both["phases"]] == ["sft", "dpo"]
    assert both["steps"] == 4
    assert both["pairs"] == both["chosen"] == dataset["pairs"]["train"]
    shown = run("runs", "show", both["run_id"]).out
    assert f"sft+dpo: {both['examples']} answers, {both['chosen']} of them the chosen ones of pairs" in shown
    assert "accuracy" in shown
    assert "nats per pair" in shown

    alone = run("--config", recipe, "train", "--quick", "--method", "sft").out
    assert f"sft: {both['examples']} answers, {both['chosen']} of them the chosen ones of pairs" in alone
    assert "dpo" not in alone
