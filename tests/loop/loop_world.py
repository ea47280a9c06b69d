"""A small world with a history, documents and tasks; the recipe for a turn on it; and what a finished turn left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from samloop.home import Home
from samloop.loop.context import Context

RECIPE = """\
[[collect.sources]]
kind = "git"
location = "project"

[[collect.sources]]
kind = "docs"
location = "project"

[[collect.sources]]
kind = "dataset"
location = "more.jsonl"

[[collect.sources]]
kind = "routing"
examples = 100

[prepare]
valid_share = 0.1
test_share = 0.3

[train]
model = "pocket"
backend = "torch"
epochs = 3.0
batch_examples = 4
report_steps = 1
evaluate_steps = 10
checkpoint_steps = 4
min_new_examples = 30

[evaluate]
suites = ["perplexity", "routing"]
max_items = 40
resamples = 200

[gate]
min_items = 10
not_worse_margin = 1.0
"""

SUBJECTS = ("parser", "cache", "scheduler", "reader", "writer", "index")
FAULTS = ("forgets its last line", "counts empty rows twice", "keeps a file open", "sorts numbers as text")

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "HF_HUB_OFFLINE": "1",
}

Open = Callable[..., AbstractContextManager[Context]]


def make_world(folder: Path) -> Path:
    """A project with eight commits and a guide, a file of instructions, and the recipe that names them: its path."""
    project = folder / "project"
    project.mkdir(parents=True)
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str, **more: str) -> None:
        environment = {**os.environ, **ENVIRONMENT, **more}
        subprocess.run(["git", "-C", project, *person, *arguments], check=True, capture_output=True, env=environment)

    git("init", "-q", "-b", "main")
    for number in range(8):
        subject, fault = SUBJECTS[number % 6], FAULTS[number % 4]
        (project / f"{subject}.py").write_text(
            f"def {subject}(rows):\n    return [row for row in rows if {number}]\n"
        )
        git("add", ".")
        when = f"2025-01-{number + 1:02d}T12:00:00Z"
        message = f"Mend the {subject} that {fault}\n\nIt looks at row {number} again before it returns."
        git("commit", "-q", "-m", message, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
    guide = ["# Guide"]
    for number, subject in enumerate(SUBJECTS):
        guide += [f"## How does the {subject} work?", "", f"The {subject} takes rows and returns those it needs."]
        guide += [f"Set option {number} when a row is longer than {number + 2} columns; it is off by default.", ""]
    (project / "guide.md").write_text("\n".join(guide))
    write_instructions(folder / "more.jsonl", range(12))
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE)
    return recipe


def write_instructions(path: Path, numbers: range) -> None:
    """Add one instruction per number to a JSONL file."""
    with path.open("a") as file:
        for number in numbers:
            subject, fault = SUBJECTS[number % 6], FAULTS[number // 6 % 4]
            question = f"In ticket {number}, what should be done about the {subject} that {fault}?"
            answer = f"Write a test for the {subject} with {number + 2} rows first, and then mend what it shows."
            file.write(json.dumps({"instruction": question, "output": answer}) + "\n")


def plain(value: Any) -> Any:
    """`value` as it comes back from a JSON file: tuples are lists, and NaN, which equals nothing, is None."""
    return orjson.loads(orjson.dumps(value))


@dataclass(frozen=True)
class Finished:
    """A home after one whole, undisturbed turn on an empty store.

    Attributes:
        stages: the stages that told something, in order, each once.
        report: the kept document of the turn.
        text: the kept text.
    """

    home: Home
    recipe: Path
    stages: list[str]
    report: dict[str, Any]
    text: str

    @property
    def run_id(self) -> str:
        return str(self.report["run"]["run_id"])

    @property
    def challenger(self) -> str:
        return str(self.report["decision"]["challenger"])

    def read(self, name: str) -> Any:
        """A JSON file of the home."""
        return json.loads((self.home.path / name).read_bytes())
