"""Corrections, preferences and ratings, as lines that the command reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case
from samloop.loop.capture import record
from samloop.loop.context import Context
from samloop.text.captured import feedback_of

SAID: tuple[dict[str, Any], ...] = (
    {
        "query": "Which valve lets the water out of the upper basin?",
        "response": "The red valve at the inlet lets the water out of the upper basin.",
        "correction": "The blue valve below the weir lets the water out of the upper basin. The red one fills it.",
        "what_was_wrong": "it took the inlet for the outlet",
        "conversation_id": "c1",
    },
    {
        "query": "How do I print the pump's log of today?",
        "response": "tail pump.log",
        "correction": 'grep "$(date +%F)" pump.log\n\nThe log begins each line with the date, so grep finds the day.',
        "rating": "down",
    },
    {
        "query": f"Whom do I write to about the key {KEY} of the gate?",
        "response": "Write to somebody at the office; they will know what to do about it.",
        "preferred": f"Write to {EMAIL}, who looks after the keys, and say which gate it is.",
        "what_was_wrong": "it names nobody",
    },
    {
        "query": "Why does the pump stop at night?",
        "response": "A timer stops it from ten in the evening to six in the morning, when power costs most.",
        "rating": 0.5,
    },
    {
        "query": "What does the yellow lamp mean?",
        "response": "The yellow lamp means that all is well with the pump and the basin.",
        "rating": "down",
    },
    {"query": "Set a timer for the tea", "response": "chatgpt", "route": "local"},
)


def write(path: Path, said: tuple[dict[str, Any], ...]) -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in said)
    return path


def make(folder: Path) -> Path:
    return write(folder / "made_up_feedback.jsonl", SAID)


def add_one(location: Path) -> None:
    liked = "The green lamp means that the pump is running and that the basin has water enough for it."
    write(location, ({"query": "What does the green lamp mean?", "response": liked, "rating": "up"},))


def grow(folder: Path, size_bytes: int) -> Path:
    answer = "It says how long the pump waits before it starts again, and is counted in minutes. " * 3
    lines = (
        {"query": f"What does setting {n} of the pump say?", "response": f"{answer}({n})", "rating": 1}
        for n in range(size_bytes // 300)
    )
    return write(folder / "feedback.jsonl", tuple(lines))


def enter(context: Context, location: str) -> None:
    lines = Path(location).read_text(encoding="utf-8").splitlines()
    rows = [feedback_of(json.loads(line)) | {"created_at": 1.7e9} for line in lines]
    record(context, "feedback", rows)


CASE = Case(name="feedback", make=make, add_one=add_one, grow=grow, grown_bytes=(2**20, 5 * 2**20), enter=enter)
