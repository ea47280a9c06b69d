"""Plug-ins by entry point: names without imports, errors with a hint, and the example package, built and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from samloop import plugins
from samloop.errors import PluginError

PACKAGE = Path(__file__).parents[1] / "examples" / "samloop-example-plugin"


def test_the_built_in_parts_come_in_by_the_same_door() -> None:
    assert {"git", "docs", "routing", "dataset"} <= set(plugins.names("sources"))
    assert {"torch", "mlx"} <= set(plugins.names("backends"))
    assert {"perplexity", "routing"} <= set(plugins.names("suites"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="there is no source called 'gitt'; did you mean 'git'"):
        plugins.load("sources", "gitt")
    with pytest.raises(PluginError, match="known: "):
        plugins.load("sources", "something else entirely")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built and installed into a folder of its own, without a network."""
    target = tmp_path_factory.mktemp("plugin") / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"),
            *("--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target), str(PACKAGE)),
        ],
        check=True,
        capture_output=True,
    )
    return target


@pytest.fixture
def python(installed: Path, tmp_path: Path) -> Any:
    """Run a program beside which the example package is installed; what it printed."""

    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed), "SAMLOOP_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_example_package_is_known_by_its_names(python: Any) -> None:
    code = (
        "import json; from samloop import plugins; print(json.dumps({g: plugins.names(g) for g in plugins.GROUPS}))"
    )
    found = json.loads(python("-c", code))
    assert "flashcards" in found["sources"]
    assert "shouting" in found["rules"]
    assert "brevity" in found["suites"]
    assert "glossary" in found["teachers"]


def test_its_source_and_its_rule_take_part_in_a_collection(python: Any, tmp_path: Path) -> None:
    cards = tmp_path / "cards.txt"
    cards.write_text(
        "What does the gate of samloop decide?\tWhether a challenger may become champion, with its reasons.\n"
        "How loud should an answer be at most?\tALWAYS AS LOUD AS YOU POSSIBLY CAN, EVERYBODY LIKES THAT.\n"
        "no tab here\n"
    )

    def collect() -> dict[str, Any]:
        return json.loads(python("-m", "samloop", "--json", "collect", "flashcards", str(cards)))["data"]

    totals = collect()["totals"]
    assert totals["read"] == 3
    assert totals["rejected"] == 1
    listed = json.loads(python("-m", "samloop", "--json", "examples", "list"))["data"]["examples"]
    flags = {example["source_id"]: [flag["rule"] for flag in example["flags"]] for example in listed}
    assert "shouting" in flags["cards.txt:2"]
    assert "shouting" not in flags["cards.txt:1"]
    assert collect()["totals"]["read"] == 0


def test_its_teacher_answers(python: Any) -> None:
    code = (
        "from samloop import plugins; "
        "print(plugins.load('teachers', 'glossary')([{'role': 'user', 'content': 'What is a champion?'}]).text)"
    )
    assert python("-c", code) == "The adapter in service.\n"


@pytest.mark.slow
def test_its_suite_grades_the_pocket_model(python: Any) -> None:
    code = (
        "from samloop import plugins; from samloop.text.base import resolve_base; "
        "model = plugins.load('backends', 'torch')().load(resolve_base('pocket')); model.use(None); "
        "items = [{'id': str(n), 'messages': [{'role': 'user', 'content': f'Say {n}.'}]} for n in range(2)]; "
        "score, = plugins.load('suites', 'brevity')(model, items); "
        "assert score.ids == ('0', '1') and all(0 <= n <= 64 for n in score.numerators); print(score.name)"
    )
    assert python("-c", code) == "answer_length\n"
