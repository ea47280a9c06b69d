"""A file of instructions, a conversation and a preference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case


def pair(number: int) -> dict[str, Any]:
    answer = f"Valve {number} closes when the level passes {number + 3} litres, so that the tank never runs over."
    return {"instruction": f"When does valve {number} of the tank close?", "output": answer}


RECORDS: list[dict[str, Any]] = [
    pair(1),
    pair(2) | {"input": "The tank is the one behind the house.", "license": "CC0-1.0"},
    {
        "id": "talk-7",
        "messages": [
            {"role": "system", "content": "You help with pumps."},
            {"role": "user", "content": "The pump hums and moves no water. What is it?"},
            {"role": "assistant", "content": "Most likely the impeller is stuck. Is the intake free of leaves?"},
            {"role": "user", "content": f"It was not. Tell {EMAIL} that I cleaned it, the token is {KEY}."},
            {
                "role": "assistant",
                "content": "Done. Run the pump for a minute and listen whether the humming is gone.",
            },
        ],
    },
    {
        "prompt": "How often should the filter be washed?",
        "chosen": "Every two weeks in summer, and whenever the pressure behind it falls below one bar.",
        "rejected": "Filters are important parts of many machines, and there are a lot of different ones.",
    },
    {"instruction": "", "output": "There was no question at all, and this record is turned away for it."},
    pair(3),
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return path


def make(folder: Path) -> Path:
    return write(folder / "made_up_pumps.jsonl", RECORDS)


def add_one(location: Path) -> None:
    write(location, [pair(4)])


def grow(folder: Path, size_bytes: int) -> Path:
    path = folder / "many.jsonl"
    text = " ".join(f"word{number}" for number in range(100))
    write(path, [pair(number) | {"input": f"{number} {text}"} for number in range(size_bytes // 900)])
    return path


CASE = Case(name="dataset", make=make, add_one=add_one, alone=True, grow=grow)
