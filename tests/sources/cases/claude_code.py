"""Claude Code sessions, written by hand in the shape that the program keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case


def line(kind: str, uuid: str, parent: str | None, content: Any, **more: Any) -> dict[str, Any]:
    """One message of a session."""
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": f"msg_{uuid}", "model": "claude-sonnet-4", "stop_reason": None}
    return {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "isSidechain": False,
        "sessionId": "hand-written",
        "cwd": "/home/grace/pump",
        "timestamp": "2025-10-02T08:00:00.000Z",
        "message": message,
        **more,
    }


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}]


def call(id: str, name: str, **given: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": id, "name": name, "input": given}]


def result(id: str, words: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": id, "content": words, **more}]


SESSION = [
    {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}, "isSnapshotUpdate": False},
    line("user", "u1", None, "Write the level of the tank into the log once a minute."),
    line(
        "assistant", "a1", "u1", call("t1", "Edit", file_path="pump.py", old_string="pass", new_string="log(level)")
    ),
    line("user", "u2", "a1", result("t1", "The file pump.py has been updated.<system-reminder>x</system-reminder>")),
    line("assistant", "a2", "u2", text("The level is now written with `print` at the end of every single loop.")),
    line("user", "u3", "a2", f"No, use the logger and not print, as {EMAIL} asked for."),
    line(
        "assistant", "a3", "u3", call("t2", "Edit", file_path="pump.py", old_string="print", new_string="logger.info")
    ),
    line("user", "u4", "a3", result("t2", "The file pump.py has been updated.")),
    line("assistant", "a4", "u4", text("The level goes through `logger.info` once a minute, and `print` is gone.")),
    line("user", "u5", "a4", "Thanks. What does the setting `night` do?"),
    line("assistant", "a5", "u5", call("t3", "Read", file_path="pump.toml")),
    line("user", "u6", "a5", result("t3", f'night = false\ntoken = "{KEY}"')),
    line(
        "assistant", "a6", "u6", text("With `night = false` the controller keeps the pump off between ten and six.")
    ),
    {"type": "summary", "summary": "Logging the level of the tank", "leafUuid": "a6"},
    {"type": "a-kind-of-tomorrow", "uuid": "x1", "parentUuid": "a6"},
]
AGENT = [
    line("user", "s1", None, "Find where the pump is started.", isSidechain=True, agentId="e1"),
    line(
        "assistant",
        "s2",
        "s1",
        text("It is started in `pump.py`, in the function `start`."),
        isSidechain=True,
        agentId="e1",
    ),
]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for one in lines)


def make(folder: Path) -> Path:
    projects = folder / "hand_written_projects"
    (projects / "-home-grace-pump").mkdir(parents=True)
    write(projects / "-home-grace-pump" / "session.jsonl", SESSION)
    write(projects / "-home-grace-pump" / "agent-e1.jsonl", AGENT)
    return projects


def add_one(location: Path) -> None:
    more = [
        line("user", "u7", "x1", "And who may change it?"),
        line(
            "assistant", "a7", "u7", text("Whoever may write `pump.toml`; the controller reads it anew every hour.")
        ),
    ]
    write(location / "-home-grace-pump" / "session.jsonl", more)


def grow(folder: Path, size_bytes: int) -> Path:
    words = " ".join(f"word{number}" for number in range(100))
    for number in range(size_bytes // 50_000):
        session: list[dict[str, Any]] = []
        for turn in range(20):
            asked = f"What is said of {number} and {turn}? {words}"
            session.append(line("user", f"u{turn}", f"a{turn - 1}", asked, sessionId=f"s{number}"))
            answer = text(f"Of {number} and {turn} it is said: {words}")
            session.append(line("assistant", f"a{turn}", f"u{turn}", answer, sessionId=f"s{number}"))
        write(folder / f"session{number}.jsonl", session)
    return folder


CASE = Case(name="claude-code", make=make, add_one=add_one, grow=grow)
