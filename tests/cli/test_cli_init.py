"""`samloop init`: a first recipe that loads, private, with sources from where one stands."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from samloop.recipe import Recipe


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that is no git repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


@pytest.fixture
def repository(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = outside / 'a "repository" \\ here'
    (top / "inside").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    monkeypatch.chdir(top / "inside")
    return top


@pytest.mark.parametrize("full", [False, True])
def test_a_repository_becomes_the_first_sources(run: Any, home: Path, repository: Path, full: bool) -> None:
    ran = run("--json", "init", *["--full"] * full)
    assert ran.data == {"recipe": str(home / "samloop.toml"), "sources": ["git", "docs"]}
    recipe = Recipe.load(home / "samloop.toml")
    assert [(s.kind, s.location) for s in recipe.collect.sources] == [
        ("git", str(repository)),
        ("docs", str(repository)),
    ]


def test_elsewhere_the_recipe_shows_how_to_add_a_source(run: Any, home: Path, outside: Path) -> None:
    ran = run("init")
    assert ran.code == 0
    assert "names no source yet" in ran.out
    text = (home / "samloop.toml").read_text()
    assert Recipe.load(home / "samloop.toml") == Recipe.parse({})
    # What stands there as a comment works when the comment signs are taken away.
    lines = [line.removeprefix("# ") for line in text.splitlines() if "=" in line or "[[" in line]
    example = "\n".join(lines[lines.index("[[collect.sources]]") :])
    (home / "samloop.toml").write_text(text + example)
    assert [source.kind for source in Recipe.load(home / "samloop.toml").collect.sources] == ["git"]


def test_full_shows_every_default_and_means_the_same(run: Any, home: Path, outside: Path) -> None:
    assert run("init", "--full").code == 0
    text = (home / "samloop.toml").read_text()
    for name, section in Recipe.model_fields.items():
        assert f"[{name}]" in text
        for key in section.annotation.model_fields:  # type: ignore[union-attr]
            assert key in text
    read, default = Recipe.load(home / "samloop.toml"), Recipe.parse({})
    for name in Recipe.model_fields:
        assert getattr(read, name) == getattr(default, name)


def test_a_model_is_entered(run: Any, home: Path, outside: Path) -> None:
    assert run("init", "--model", "pocket").code == 0
    recipe = Recipe.load(home / "samloop.toml")
    assert (recipe.train.model, recipe.train.preset) == ("pocket", "pocket")


def test_no_password_of_the_environment_gets_into_the_file(
    run: Any, home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMLOOP_STORE__URL", "postgresql://me:hidden-word@host/db")
    assert run("init", "--full").code == 0
    assert "hidden-word" not in (home / "samloop.toml").read_text()


def test_a_recipe_is_replaced_only_by_force(run: Any, home: Path, outside: Path) -> None:
    assert run("init").code == 0
    (home / "samloop.toml").write_text('[sam]\nname = "Mine"\n')
    ran = run("init")
    assert ran.code == 2
    assert "--force" in ran.err
    assert "Mine" in (home / "samloop.toml").read_text()
    assert run("init", "--force").code == 0
    assert "Mine" not in (home / "samloop.toml").read_text()


def test_home_and_recipe_are_private(run: Any, home: Path, outside: Path) -> None:
    assert run("init").code == 0
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "samloop.toml").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["samloop.toml"]


def test_config_names_another_place(run: Any, home: Path, outside: Path) -> None:
    assert run("--config", outside / "team.toml", "init").code == 0
    assert (outside / "team.toml").exists()
    assert not home.exists()


def test_a_place_that_cannot_be_written_is_one_line(run: Any, outside: Path) -> None:
    ran = run("--config", outside / "no" / "such" / "folder.toml", "init")
    assert ran.code == 1
    assert ran.err.startswith("samloop: ")
    assert ran.err.count("\n") == 1
