"""A file of decisions; templates fill up."""

from __future__ import annotations

import json
from pathlib import Path

from cases import EMAIL, KEY, Case

TASKS = (
    ("Mend the failing test of the pump controller", "claude-code"),
    (f"Translate this note to {EMAIL} about the key {KEY} into French", "ollama"),
    ("Set a timer for the tea", "local"),
    ("Send it to the moon", "moon"),
)


def write(path: Path, tasks: tuple[tuple[str, str], ...], first: int = 0) -> Path:
    with path.open("a", encoding="utf-8") as file:
        for number, (task, route) in enumerate(tasks, first):
            file.write(json.dumps({"task": task, "route": route, "id": f"d{number}", "timestamp": 1.7e9}) + "\n")
    return path


def make(folder: Path) -> Path:
    return write(folder / "made_up_decisions.jsonl", TASKS)


def add_one(location: Path) -> None:
    write(location, (("What is the boiling point of water on Mars?", "chatgpt"),), len(TASKS))


def grow(folder: Path, size_bytes: int) -> Path:
    tasks = ((f"Explain in a paragraph how part {n} of the pump works", "chatgpt") for n in range(size_bytes // 120))
    return write(folder / "decisions.jsonl", tuple(tasks))


CASE = Case(name="routing", make=make, add_one=add_one, options={"examples": 12}, grow=grow)
