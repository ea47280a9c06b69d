"""The recipe: every default visible, unknown keys refused with the nearest known one, TOML and back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.errors import RecipeError
from samloop.recipe import PRESETS, Recipe
from samloop.settings import Train


def test_full_toml_reads_back_to_the_same_recipe():
    recipe = Recipe.parse(
        {
            "collect": {
                "sources": [{"kind": "git", "location": ".", "limit": 3}, {"kind": "docs", "location": 'a"b'}]
            },
            "curate": {"rules": {"repetition": {"share": 0.4}}, "redact": {"names": ["a]", "b, ]"]}},
            "prepare": {"source_caps": {"routing": 0.5}},
        }
    )
    for full in (True, False):
        again = Recipe.parse(tomllib.loads(recipe.to_toml(full=full)))
        assert again.to_dict(full=True) == recipe.to_dict(full=True)


def test_full_toml_names_every_setting():
    text = Recipe.parse({}).to_toml(full=True)
    for section, info in Recipe.model_fields.items():
        assert f"[{section}]" in text
        for key, field in info.annotation.model_fields.items():
            if isinstance(field.default, str | int | float):
                assert f"\n{key} = " in text, f"{section}.{key}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"trian": {}}, "did you mean 'train'"),
        ({"train": {"rnak": 3}}, "'train.rnak'.*did you mean 'rank'"),
        ({"curate": {"redact": {"enable": True}}}, "did you mean 'enabled'"),
        ({"train": {"rank": "x"}}, "'train.rank'.*'x'"),
        ({"train": {"rank": 0}}, "'train.rank'.*greater than or equal to 1"),
        ({"collect": {"sources": [{"location": "x"}]}}, "collect.sources.0.kind"),
        ({"train": {"preset": "laptop"}}, "laptop-8gb"),
    ],
)
def test_what_does_not_fit_is_named(data, words):
    with pytest.raises(RecipeError, match=words) as caught:
        Recipe.parse(data)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="samloop init"):
        Recipe.load(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("[train\n")
    with pytest.raises(RecipeError, match="not valid TOML"):
        Recipe.load(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        Recipe.load(bad)
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_what_is_not_set(name):
    recipe = Recipe.parse({"train": {"preset": name, "rank": 3}})
    assert recipe.train.rank == 3
    assert recipe.train.max_seq_tokens == PRESETS[name]["max_seq_tokens"]
    assert Train(**PRESETS[name])


def test_another_base_brings_its_own_preset(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 8 * 2**30}))
    recipe = Recipe.parse({"train": {"rank": 3}})
    assert (recipe.train.preset, recipe.train.quantise) == ("laptop-8gb", "4bit")
    other = recipe.changed(train={"model": "pocket"}).train
    assert other == Recipe.parse({"train": {"rank": 3, "model": "pocket"}}).train
    assert (other.preset, other.rank, other.quantise) == ("pocket", 3, "none")
    named = Recipe.parse({"train": {"preset": "laptop-8gb"}}).changed(train={"model": "pocket"}).train
    assert (named.preset, named.rank, named.model) == ("laptop-8gb", 4, "pocket")


def test_preset_by_memory(monkeypatch):
    for total, expected in ((8 * 2**30, "laptop-8gb"), (32 * 2**30, "standard")):
        monkeypatch.setattr("psutil.virtual_memory", lambda total=total: type("M", (), {"total": total}))
        assert Recipe.parse({}).train.preset == expected
    assert Recipe.parse({"train": {"model": "pocket"}}).train.preset == "pocket"


def test_environment_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("SAMLOOP_STORE__URL", "postgresql://example")
    monkeypatch.setenv("SAMLOOP_TRAIN__RANK", "5")
    recipe = Recipe.parse({"train": {"rank": 3, "alpha": 7}})
    assert recipe.store.url == "postgresql://example"
    assert (recipe.train.rank, recipe.train.alpha) == (5, 7)


def test_changed_checks_what_it_changes():
    recipe = Recipe.parse({"train": {"model": "pocket"}})
    assert recipe.changed(train={"rank": 2}).train.rank == 2
    assert recipe.changed(train={"rank": 2}).train.model == "pocket"
    with pytest.raises(RecipeError, match="rank"):
        recipe.changed(train={"rnak": 2})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=3))
def test_any_value_is_taken_or_named(value):
    try:
        Recipe.parse({"train": {"rank": value}, "prepare": value})
    except RecipeError as error:
        assert "setting" in str(error)


def test_what_a_run_keeps_holds_neither_the_password_nor_the_names_of_the_recipe():
    secret = "".join(["pass", "word", "7"])
    recipe = Recipe.parse(
        {"store": {"url": f"postgresql://sam:{secret}@db/sam"}, "curate": {"redact": {"names": ["Ada"]}}}
    )
    kept = recipe.to_keep()
    assert secret not in str(kept)
    assert "Ada" not in str(kept)
    assert Recipe.parse(kept).train == recipe.train


def test_a_base_is_split_whole_and_on_a_cluster():
    with pytest.raises(RecipeError, match="cluster_shard is set without a cluster"):
        Recipe.parse({"train": {"cluster_shard": True, "quantise": "none"}})
    for quantise in ({"quantise": "nf4"}, {"preset": "laptop-8gb"}):
        with pytest.raises(RecipeError, match=r"settings of 'train' in recipe do not fit together: .*four bits"):
            Recipe.parse({"train": {"cluster_shard": True, "cluster": "ray://local", **quantise}})
    with pytest.raises(RecipeError, match="four bits"):
        Recipe.parse({"train": {"cluster_shard": True, "cluster": "ray://local", "quantise": "nf4"}})
