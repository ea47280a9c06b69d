"""Adapters of an older installation: the one in use serves on, the others wait, and nothing else is taken."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from samloop import pocket
from samloop.adapters.registry import Registry
from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.moving_in import _shapes, move_in_adapters
from samloop.loop.validate import validate
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Store
from samloop.train.adapter import Adapter, initial

MODULE = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    home = Home(tmp_path / "home").create()
    with Store.open(home) as store:
        yield Context(home, Recipe.parse({"train": {"model": "pocket"}}), store, tmp_path)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    folder = tmp_path / "made_up_sam"
    folder.mkdir()
    return folder


def write_adapter(folder: Path, *, seed: int = 0, width: int | None = None) -> Path:
    """An adapter for the pocket base, or for one of another width."""
    folder.mkdir(parents=True)
    rows, columns = _shapes(pocket.path())[f"{MODULE}.weight"]
    weights = initial({MODULE: (width or columns, rows)}, [MODULE], rank=2, seed=seed)
    Adapter(rank=2, alpha=4.0, weights=weights, base_name="pocket" if width is None else "somebody/other-base").write(
        folder
    )
    return folder


def write_mlx_adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows, columns = _shapes(pocket.path())[f"{MODULE}.weight"]
    arrays = {
        f"{MODULE}.lora_a": np.full((columns, 2), 0.01, np.float32),
        f"{MODULE}.lora_b": np.full((2, rows), 0.01, np.float32),
    }
    save_file(arrays, folder / "adapters.safetensors")
    save_file(arrays, folder / "0000100_adapters.safetensors")
    config = {
        "fine_tune_type": "lora",
        "model": "pocket",
        "lora_parameters": {"rank": 2, "scale": 2.0, "dropout": 0.0},
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_the_adapter_in_use_serves_on_and_the_others_wait(context: Context, older: Path) -> None:
    first, _ = write_adapter(older / "adapters/v1"), write_mlx_adapter(older / "adapters/v2")
    (older / "adapters/current").symlink_to("v1")
    told = {entry["folder"]: entry for entry in move_in_adapters(context, str(older))}
    assert {name: entry["state"] for name, entry in told.items()} == {
        "adapters/v1": "champion",
        "adapters/v2": "candidate",
    }
    registry = Registry(context.home, context.store)
    champion = registry.champion("main")
    assert champion == told["adapters/v1"]["adapter"]
    row = context.store.get_adapter(champion)
    assert (row["run_id"], row["lineage"]["lineage"], row["licences"]) == (None, "unknown", ["unknown"])
    assert registry.verify(champion) == []
    assert Adapter.read(registry.path(champion)).arrays().keys() == Adapter.read(first).arrays().keys()
    other = registry.path(told["adapters/v2"]["adapter"])
    assert sorted(path.name for path in other.iterdir()) == [
        "adapter_config.json",
        "adapters.safetensors",
        "manifest.json",
    ]
    assert move_in_adapters(context, str(older)) == []
    assert registry.rollback("main") is None


def test_one_that_was_taken_out_of_service_does_not_come_back(context: Context, older: Path) -> None:
    write_adapter(older / "adapters/v1")
    move_in_adapters(context, str(older))
    registry = Registry(context.home, context.store)
    registry.rollback("main")
    write_adapter(older / "adapters/v2", seed=1)
    (entry,) = move_in_adapters(context, str(older))
    assert (entry["state"], registry.champion("main")) == ("candidate", None)
    assert "served here before" in entry["reason"]


def test_an_adapter_of_another_base_waits(context: Context, older: Path) -> None:
    write_adapter(older / "adapters/wide", width=4096)
    (entry,) = move_in_adapters(context, str(older))
    assert entry["state"] == "candidate"
    assert "it was made for somebody/other-base, not for the recipe's pocket" in entry["reason"]


def test_checkpoints_and_adapters_of_unfinished_jobs_stay_behind(context: Context, older: Path) -> None:
    write_adapter(older / "jobs/7/adapter")
    write_adapter(older / "jobs/7/adapter/checkpoint-100", seed=1)
    write_adapter(older / "jobs/8/adapter", seed=2)
    for job, status in (("7", "completed"), ("8", "running")):
        (older / f"jobs/{job}/status.json").write_text(json.dumps({"status": status}))
    told = {entry["folder"]: entry["state"] for entry in move_in_adapters(context, str(older))}
    assert told == {"jobs/7/adapter": "champion", "jobs/8/adapter": "not taken"}


def test_what_waited_for_a_person_still_waits_when_it_is_judged_again(context: Context, older: Path) -> None:
    row = {"question": "What is in the cellar?", "answer": "The pump, the tank and three old bicycles."}
    with closing(sqlite3.connect(older / "distillation.db")) as database, database:
        database.execute("CREATE TABLE examples (id, question, answer, status)")
        database.execute("INSERT INTO examples VALUES (1, ?, ?, 'pending')", list(row.values()))
    (report,) = collect(context, [SourceSettings(kind="sam-home", location=str(older))]).sources
    assert (report.added, report.review) == (0, 1)
    assert validate(context)["kept"] == 1
    (example,) = context.store.select()
    assert (example.state, example.source) == ("review", "distillation")


def test_all_of_it_can_be_sent_to_review(context: Context, older: Path) -> None:
    (older / "feedback_derived").mkdir()
    line = {
        "question": "Who mends it?",
        "original_response": "You do.",
        "correction": "The plumber does, on Fridays.",
    }
    (older / "feedback_derived/made_up.jsonl").write_text(json.dumps(line) + "\n")
    (report,) = collect(context, [SourceSettings(kind="sam-home", location=str(older), review=True)]).sources
    assert (report.added, report.review) == (0, 3)


@pytest.mark.parametrize("damage", ["pickled", "cut off", "no configuration that can be read"])
def test_what_cannot_be_taken_says_why(context: Context, older: Path, damage: str) -> None:
    folder = write_adapter(older / "adapters/v1")
    weights = folder / "adapter_model.safetensors"
    if damage == "pickled":
        weights.rename(folder / "adapter_model.bin")
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        (folder / "adapter_config.json").write_text("{")
    (entry,) = move_in_adapters(context, str(older))
    assert (entry["adapter"], entry["state"]) == (None, "not taken")
    assert context.store.list_adapters() == []


def test_one_command_moves_everything_in(context: Context, older: Path, capsys: Any) -> None:
    write_adapter(older / "adapters/v1")
    (older / "training_data").mkdir()
    line = {"instruction": "What is in the cellar?", "output": "The pump, the tank and three old bicycles."}
    (older / "training_data/made_up.jsonl").write_text(json.dumps(line) + "\n")
    (report,) = collect(context, [SourceSettings(kind="sam-home", location=str(older))]).sources
    assert report.added == 1
    assert [entry["state"] for entry in report.to_dict()["adapters"]] == ["champion"]
