"""The recipes under examples/ are recipes, and say what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from samloop import plugins
from samloop.example import Example
from samloop.protocols import Reject
from samloop.recipe import PRESETS, Recipe

RECIPES = sorted((Path(__file__).parents[1] / "examples" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_names_sources_that_exist(path: Path) -> None:
    recipe = Recipe.load(path)
    assert recipe.train.preset in PRESETS
    assert recipe.collect.sources
    assert {source.kind for source in recipe.collect.sources} <= set(plugins.names("sources"))
    assert Recipe.parse(recipe.to_dict(full=True)) == recipe


def test_the_demo_needs_no_network_and_no_other_folder() -> None:
    recipe = Recipe.load(next(path for path in RECIPES if path.stem == "demo"))
    assert recipe.train.model == "pocket"
    assert {source.location for source in recipe.collect.sources} == {"../..", ""}


def test_a_team_keeps_its_password_out_of_the_file() -> None:
    assert Recipe.load(next(path for path in RECIPES if path.stem == "team")).store.url == ""


def test_the_hand_written_examples_are_all_taken(tmp_path: Path) -> None:
    from samloop.sources.datasets import read

    records = list(read(str(RECIPES[0].parents[1] / "data" / "hand-written.jsonl"), None))
    examples = [record for record in records if isinstance(record, Example)]
    assert not [record for record in records if isinstance(record, Reject)]
    assert {example.format for example in examples} >= {"instruction", "chat", "multi_turn", "dpo", "completion"}
