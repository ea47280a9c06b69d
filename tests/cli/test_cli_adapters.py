"""`samloop adapters promote|rollback|verify|lineage|show|prune`, as a user calls them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samloop import pocket
from samloop.example import Example
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.train.adapter import Adapter
from samloop.train.base import Base


def write_adapter(folder: Path, seed: int) -> Path:
    """A random adapter for the bundled base."""
    folder.mkdir(parents=True)
    config = json.loads((pocket.path() / "config.json").read_bytes())
    hidden, draw = config["hidden_size"], np.random.default_rng(seed)
    module = "model.layers.0.self_attn.q_proj"
    a, b = (draw.normal(0, 0.1, shape).astype(np.float32) for shape in ((2, hidden), (hidden, 2)))
    Adapter(
        rank=2,
        alpha=4.0,
        weights={module: (a, b)},
        base_name="pocket",
        base_fingerprint=Base.open(pocket.path()).fingerprint,
    ).write(folder)
    return folder


@pytest.fixture
def ids(home: Path, run: Any, tmp_path: Path) -> list[str]:
    """Two adapters of one run each, trained on one example; the second serves."""
    home.mkdir(exist_ok=True)
    (home / "samloop.toml").write_text('[train]\nmodel = "pocket"\n')
    found = []
    from samloop.adapters.registry import Registry

    with open_context(Home(home)) as context:
        example = Example(
            source="manual", format="instruction", input_text="What is a champion?", created_at=1.0,
            output_text="The adapter in service.", state="accepted", reason=None,
        ).sealed()  # fmt: skip
        context.store.add_examples([example])
        for number in (1, 2):
            name = f"run-{number}"
            context.store.add_run(name, dataset_digest="d" * 64, backend="torch", base="pocket", revision=1)
            context.store.complete_run(name, examples={"train": [example.id]})
            write_adapter(home / "runs" / name / "adapter", number)
            found.append(Registry(context.home, context.store).register(name, "main"))
    for name in found:
        assert run("adapters", "promote", name).code == 0
    return found


def test_there_and_back(run: Any, ids: list[str]) -> None:
    assert run("adapters", "rollback").out == f"{ids[0]} is in service in slot main; {ids[1]} is taken out.\n"
    data = run("--json", "adapters", "rollback", "--reason", "enough").data
    assert data == {"slot": "main", "champion": None, "taken_out": ids[0], "passed_over": [], "store": "told"}
    assert "the base is in service" in run("adapters", "rollback").err
    assert run("adapters", "promote", "champion").code == 1


def test_rollback_of_a_store_that_is_held_says_that_it_is_told_later(run: Any, ids: list[str], home: Path) -> None:
    holder = sqlite3.connect(home / "samloop.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    ran = run("adapters", "rollback")
    holder.execute("ROLLBACK")
    holder.close()
    assert ran.code == 0
    assert ran.out.splitlines()[1] == "The store will be told by the next command (the store is busy)."
    assert run("--json", "adapters", "show").data["adapter_id"] == ids[0]


def test_rollback_of_a_damaged_store_and_recipe(run: Any, ids: list[str], home: Path) -> None:
    (home / "samloop.db").write_bytes(b"nothing that is a database" * 99)
    (home / "samloop.toml").write_text("[train")
    ran = run("adapters", "rollback")
    assert ran.code == 0
    assert f"{ids[0]} is in service in slot main" in ran.out


def test_an_adapter_of_another_base_is_not_promoted(run: Any, ids: list[str], home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(pocket.path(), other)
    config = json.loads((other / "config.json").read_bytes())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    (home / "samloop.toml").write_text(f'[train]\nmodel = "{other}"\n')
    ran = run("adapters", "promote", ids[0])
    assert ran.code == 1
    assert f"adapter {ids[0]} was trained on another base (pocket) than the one in use" in ran.err
    assert run("--json", "adapters", "show").data["adapter_id"] == ids[1]


def test_one_or_all_are_verified(run: Any, ids: list[str], home: Path) -> None:
    assert run("adapters", "verify", "--all").out == "".join(f"{name} is as it was made.\n" for name in ids[::-1])
    weights = home / "adapters" / "main" / ids[0] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    ran = run("--json", "adapters", "verify", "--all")
    assert ran.code == 1
    found = json.loads(ran.out)["data"]
    assert {one["adapter"]: one["ok"] for one in found} == {ids[0]: False, ids[1]: True}
    assert run("adapters", "verify").code == 0


def test_lineage_both_ways_in_words(run: Any, ids: list[str]) -> None:
    told = run("--json", "adapters", "lineage", "champion").data
    assert told["same_data"] == [ids[0]]
    (example,) = told["examples"]["train"]
    ran = run("adapters", "lineage", example)
    for word in ("What is a champion?", "The adapter in service.", *ids, "run-1", "run-2"):
        assert word in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    with_option = run("--json", "adapters", "lineage", "--example", example).data
    assert with_option == run("--json", "adapters", "lineage", example).data
    assert "neither an adapter nor an example 'nobody'" in run("adapters", "lineage", "nobody").err


def test_feedback_on_the_champion_is_kept_for_the_adapter_that_it_is_now(run: Any, ids: list[str]) -> None:
    assert run("feedback", "add", "Why?", "Because.", "--rating", "1", "--adapter", "champion").code == 0
    assert run("adapters", "rollback").code == 0
    (one,) = run("--json", "feedback", "list").data["feedback"]
    assert one["adapter_id"] == ids[1]


def test_a_card_is_shown(run: Any, ids: list[str]) -> None:
    assert run("adapters", "show", "champion", "--card").out.startswith("---\nlicense: ")
    assert f"# {ids[0]}\n" in run("--json", "adapters", "show", ids[0], "--card").data["card"]


def test_pruning_says_what_would_go_before_it_goes(run: Any, ids: list[str], home: Path) -> None:
    assert "Nothing is old enough to go; 2 adapters stay." in run("adapters", "prune").out
    assert run("adapters", "rollback").code == 0
    assert run("adapters", "rollback").code == 0
    ran = run("adapters", "prune", "--keep", 0, "--days", 0)
    assert ran.code == 0
    assert "would be freed" in ran.out
    assert "prune --yes' removes them" in ran.out
    assert (home / "adapters" / "main" / ids[0]).is_dir()
    data = run("--json", "adapters", "prune", "--keep", 0, "--days", 0, "--yes").data
    assert {one["adapter"] for one in data["adapters"]} == set(ids)
    assert not (home / "adapters" / "main" / ids[0]).exists()
    assert "was pruned" in run("adapters", "promote", ids[0]).err
    assert "No adapter is on disk." in run("adapters", "verify", "--all").out
    assert run("adapters", "prune", "--keep", "-1").code == 2
