"""Escalations and exchanges, as a gateway would keep them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case
from samloop.loop.capture import record
from samloop.loop.context import Context
from samloop.text.captured import escalation, exchange

ASKED = "Which valve lets the water out of the upper basin?"
TALK = [
    {"role": "system", "content": "You help the keeper of a waterworks."},
    {"role": "user", "content": ASKED},
    {"role": "assistant", "content": "The red valve at the inlet lets the water out of the upper basin."},
    {"role": "user", "content": "No, that one fills it. Which one empties it?"},
]

SEEN: tuple[dict[str, Any], ...] = (
    {
        "kind": "escalation",
        "query": "Why does the pump stop at night?",
        "local_attempt": "I am not sure. It could be the weather, or somebody stops it.",
        "teacher_response": "A timer stops it from ten in the evening to six in the morning, when power costs most.",
        "teacher": "a-stronger-model",
        "trigger": "low_confidence",
        "confidence": 0.21,
    },
    {
        "kind": "escalation",
        "query": f"Write a line to {EMAIL} that the key {KEY} of the gate is to be replaced.",
        "local_attempt": None,
        "teacher_response": f"To {EMAIL}: please replace the key of the gate, {KEY}, by the end of this week.",
        "teacher": "a-stronger-model",
        "trigger": "asked",
    },
    {
        "kind": "exchange",
        "query": TALK[:2],
        "answer": TALK[2]["content"],
        "conversation_id": "c7",
    },
    {
        "kind": "exchange",
        "query": TALK,
        "answer": "The blue valve below the weir empties the upper basin. Open it slowly: the pipe below is narrow.",
        "conversation_id": "c7",
    },
    {
        "kind": "exchange",
        "query": "How do I read the gauge of the lower basin?",
        "answer": "Read it at eye level and add four centimetres, because its foot stands below the floor.",
        "metadata": {"finish_reason": "stop", "model": "pump-1b"},
    },
    {
        "kind": "exchange",
        "query": "Tell me everything about the pump.",
        "answer": "The pump was built a hundred years ago, and it has since",
        "metadata": {"finish_reason": "length"},
    },
)


def write(path: Path, seen: tuple[dict[str, Any], ...]) -> Path:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in seen)
    return path


def make(folder: Path) -> Path:
    return write(folder / "made_up_captures.jsonl", SEEN)


def add_one(location: Path) -> None:
    answer = "It means that the pump is running and that the basin has water enough for it."
    write(location, ({"kind": "exchange", "query": "What does the green lamp mean?", "answer": answer},))


def grow(folder: Path, size_bytes: int) -> Path:
    answer = "It says how long the pump waits before it starts again, and is counted in minutes. " * 3
    lines = (
        {"kind": "exchange", "query": f"What does setting {n} of the pump say?", "answer": f"{answer}({n})"}
        for n in range(size_bytes // 300)
    )
    return write(folder / "captures.jsonl", tuple(lines))


def enter(context: Context, location: str) -> None:
    rows = []
    for line in Path(location).read_text(encoding="utf-8").splitlines():
        seen = json.loads(line)
        shape = escalation if seen.pop("kind") == "escalation" else exchange
        rows.append(shape(**seen) | {"created_at": 1.7e9})
    record(context, "captures", rows)


CASE = Case(name="captures", make=make, add_one=add_one, grow=grow, grown_bytes=(2**20, 5 * 2**20), enter=enter)
