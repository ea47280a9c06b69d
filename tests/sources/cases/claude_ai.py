"""A Claude.ai export, unpacked, written by hand in the shape that the service sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case


def message(uuid: str, parent: str | None, *blocks: Any, at: int = 0, **more: Any) -> dict[str, Any]:
    """One message; its sender is told by its name: h… are the human's."""
    parts = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return {
        "uuid": uuid,
        "text": "\n".join(part["text"] for part in parts if part["type"] == "text"),
        "content": parts,
        "sender": "human" if uuid.startswith("h") else "assistant",
        "created_at": f"2025-03-04T10:{at:02}:00.000000Z",
        "updated_at": f"2025-03-04T10:{at:02}:00.000000Z",
        "attachments": [],
        "files": [],
        "parent_message_uuid": parent or "00000000-0000-4000-8000-000000000000",
        **more,
    }


def conversation(uuid: str, name: str, *messages: dict[str, Any], updated: int = 30) -> dict[str, Any]:
    times = {"created_at": "2025-03-04T10:00:00.000000Z", "updated_at": f"2025-03-04T10:{updated}:00.000000Z"}
    return {"uuid": uuid, "name": name, **times, "account": {"uuid": "account-1"}, "chat_messages": list(messages)}


PLAN = "# Filter\n\nWash it every two weeks in summer, and write the date on the lid."
EXPORT = [
    conversation(
        "talk-pump",
        "Pump at night",
        message("h1", None, "Why does the pump stop at night, although the tank is empty then?", at=1),
        message("a1", "h1", "Pumps may stop for many reasons, and it is hard to say which one it is here.", at=2),
        message(
            "a2", "h1", "Its controller forbids it: the setting `night` is off, so it rests from ten to six.", at=3
        ),
        message(
            "h2",
            "a2",
            f"Here is the log of last night, tell {EMAIL} what it says.",
            at=4,
            attachments=[{"file_name": "pump.log", "extracted_content": "22:00 off\n06:00 on"}],
            files=[{"file_name": "pump.png"}],
        ),
        message(
            "a3",
            "h2",
            {"type": "thinking", "thinking": "The log agrees with the setting."},
            {"type": "tool_use", "name": "read_settings", "input": {"file": "pump.toml"}},
            {"type": "tool_result", "content": [{"type": "text", "text": f'night = false\ntoken = "{KEY}"'}]},
            "The log says the same as the settings: the pump is switched off at ten and on again at six.",
            at=5,
        ),
    ),
    conversation(
        "talk-plan",
        "A plan for the filter",
        message("h3", None, "Write me a page about washing the filter, please.", at=6),
        message(
            "a4",
            "h3",
            "Here it is:",
            {
                "type": "tool_use",
                "name": "artifacts",
                "input": {"command": "create", "type": "text/markdown", "content": PLAN},
            },
            {"type": "tool_result", "name": "artifacts", "content": [{"type": "text", "text": "OK"}]},
            at=7,
        ),
    ),
]


def write(folder: Path, export: list[dict[str, Any]]) -> Path:
    (folder / "conversations.json").write_text(json.dumps(export), encoding="utf-8")
    (folder / "users.json").write_text(json.dumps([{"uuid": "account-1", "email_address": EMAIL}]), encoding="utf-8")
    return folder


def make(folder: Path) -> Path:
    (folder / "hand_written_export").mkdir()
    return write(folder / "hand_written_export", EXPORT)


def add_one(location: Path) -> None:
    more = message("h5", None, "Which tools do I need to change a valve of the pump?", at=40)
    answer = message("a5", "h5", "A large key, a brush for the thread, and a new seal of the same width.", at=41)
    write(location, [*EXPORT, conversation("talk-tools", "Tools", more, answer)])


def grow(folder: Path, size_bytes: int) -> Path:
    text = " ".join(f"word{number}" for number in range(100))
    many = [
        conversation(
            f"talk-{number}",
            "Talk",
            message("h1", None, f"What is said of {number}? {text}"),
            message("a1", "h1", f"Of {number} it is said: {text}"),
        )
        for number in range(size_bytes // 4_500)
    ]
    path = folder / "many_hand_written.json"
    path.write_text(json.dumps(many), encoding="utf-8")
    return path


CASE = Case(name="claude-ai", make=make, add_one=add_one, grow=grow)
