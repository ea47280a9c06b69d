"""`samloop doctor`: one line per part of the machine, with what to do, and nothing changed by looking."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from samloop import plugins


def checks(ran: Any) -> dict[str, dict[str, str]]:
    """The checks of a --json document by name, the first of each name."""
    document = json.loads(ran.out)
    found: dict[str, dict[str, str]] = {}
    for check in document["data"]["checks"]:
        found.setdefault(check["name"], check)
    return found


@pytest.fixture
def pocket(home: Path) -> Path:
    home.mkdir(mode=0o700)
    (home / "samloop.toml").write_text('[train]\nmodel = "pocket"\n')
    return home


def test_a_machine_that_is_well(run: Any, pocket: Path) -> None:
    ran = run("--json", "doctor")
    found = checks(ran)
    assert ran.code == 0
    assert {"python", "memory", "disk", "git", "recipe", "home", "store", "plug-ins", "torch", "mlx", "base"} <= set(
        found
    )
    assert found["base"]["state"] == found["torch"]["state"] == "ok"
    assert [path.name for path in pocket.iterdir()] == ["samloop.toml"]
    shown = run("doctor")
    assert shown.code == 0
    assert "Ready" in shown.out or "All well" in shown.out


def test_what_fails_is_told_with_a_remedy_and_exit_1(run: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names", lambda group: [])
    home.mkdir(mode=0o755)
    (home / "samloop.toml").write_text('[train]\nmodel = "/no/such/folder"\n')
    (home / "samloop.db").write_text("this is no database at all, whatever its name says")
    ran = run("--json", "doctor")
    found = checks(ran)
    assert ran.code == 1
    assert json.loads(ran.out)["error"]["code"] == "doctor"
    assert {name for name, check in found.items() if check["state"] == "fail"} == {"backend", "base", "store"}
    assert "chmod 700" in found["home"]["remedy"]
    assert "samloop[torch]" in found["backend"]["remedy"]
    assert "failed: mend that first" in run("doctor").out


@pytest.mark.slow
def test_a_broken_recipe_is_one_finding_among_others(run: Any, pocket: Path) -> None:
    (pocket / "samloop.toml").write_text("[train]\nrnak = 4\n")
    found = checks(run("--json", "doctor"))
    assert found["recipe"]["state"] == "fail"
    assert "did you mean 'rank'?" in found["recipe"]["found"]
    assert found["git"]["state"] == "ok"


@pytest.mark.slow
def test_a_teacher_is_looked_at_where_the_recipe_names_one(run: Any, pocket: Path) -> None:
    assert "teacher" not in checks(run("--json", "doctor"))
    for kind, state, part in (("openai", "ok", "nothing was sent"), ("opnai", "fail", "did you mean 'openai'?")):
        (pocket / "samloop.toml").write_text(f'[train]\nmodel = "pocket"\n[teacher]\nkind = "{kind}"\nmodel = "m"\n')
        found = checks(run("--json", "doctor"))["teacher"]
        assert found["state"] == state
        assert part in found["found"]


@pytest.mark.slow
def test_a_missing_recipe_of_the_command_line_is_told(run: Any, tmp_path: Path) -> None:
    found = checks(run("--json", "--config", tmp_path / "none.toml", "doctor"))
    assert "there is no recipe at" in found["recipe"]["found"]


@pytest.mark.slow
def test_four_bits_without_their_library_are_named(run: Any, pocket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pocket / "samloop.toml").write_text('[train]\nmodel = "pocket"\nbackend = "torch"\nquantise = "4bit"\n')
    pytest.importorskip("bitsandbytes")
    assert checks(run("--json", "doctor"))["base"]["found"].endswith(", held in nf4")
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else real(name))
    told = checks(run("--json", "doctor"))["base"]
    assert told["state"] == "fail"
    assert "pip install 'samloop[quantise]'" in told["found"]
