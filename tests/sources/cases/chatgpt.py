"""A ChatGPT export in its .zip, written by hand in the shape that the service sends."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case

Node = dict[str, Any]
CLOCK = (2024, 5, 17, 12, 0, 0)
START = 1_715_900_000.0


def node(
    id: str,
    parent: str | None,
    role: str = "user",
    text: str | None = None,
    *,
    kind: str = "text",
    recipient: str = "all",
    hidden: bool = False,
    **metadata: Any,
) -> tuple[str, Node]:
    """One node of a mapping; without a text, one that only joins others."""
    message: Node | None = None
    if text is not None:
        content: Node = {"content_type": kind}
        content |= {"parts": [text]} if kind == "text" else {"text": text}
        message = {
            "id": id,
            "author": {"role": role, "name": None, "metadata": {}},
            "create_time": START + len(id) + sum(map(ord, id)),
            "content": content,
            "status": "finished_successfully",
            "weight": 0.0 if hidden else 1.0,
            "metadata": metadata | ({"model_slug": "gpt-4o"} if role == "assistant" else {}),
            "recipient": recipient,
        }
    return id, {"id": id, "message": message, "parent": parent, "children": []}


def conversation(id: str, title: str, *nodes: tuple[str, Node], updated: float = START) -> Node:
    mapping = dict(nodes)
    for key, one in mapping.items():
        if one["parent"] in mapping:
            mapping[one["parent"]]["children"].append(key)
    head = {"title": title, "create_time": START, "update_time": updated, "mapping": mapping}
    return {**head, "current_node": nodes[-1][0], "conversation_id": id, "id": id}


INSTRUCTIONS = node(
    "instructions",
    "root",
    "system",
    "",
    is_user_system_message=True,
    user_context_message_data={
        "about_user_message": "I keep pumps.",
        "about_model_message": "Answer in one sentence.",
    },
)

EXPORT = [
    conversation(
        "pump-that-hums",
        "Pump that hums",
        node("root", None),
        INSTRUCTIONS,
        node("ask1", "instructions", "user", "The pump hums and moves no water. What should I look at first?"),
        node("bad1", "ask1", "assistant", "Pumps are important machines that have many parts, and all can fail."),
        node("good1", "ask1", "assistant", "Look at the impeller first, since leaves often block it.【3†source】"),
        node("ask2", "good1", "user", f"It was blocked, and {EMAIL} has cleaned it. How warm may the motor get?"),
        node("call2", "ask2", "assistant", "limit = 80 - 15\nlimit", kind="code", recipient="python"),
        node("out2", "call2", "tool", "65", kind="execution_output"),
        node("good2", "out2", "assistant", "It may get 65 degrees warm, which leaves 15 degrees to its limit."),
        updated=START + 900,
    ),
    conversation(
        "valve-of-the-tank",
        "Valve of the tank",
        node("v0", None),
        node("v1a", "v0", "user", "How often should I wash the filter?"),
        node("v2a", "v1a", "assistant", "Wash the filter every two weeks in summer, and monthly in winter."),
        node("v1b", "v0", "user", f"How often should I wash the sand filter? The log is behind {KEY}."),
        node(
            "v2b", "v1b", "assistant", "A sand filter is washed backwards every ten days, until the water is clear."
        ),
    ),
    conversation("never-answered", "Never answered", node("n0", None), node("n1", "n0", "user", "Is anybody there?")),
]


def write(path: Path, export: list[Node]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (
            ("chat.html", "<html></html>"),
            ("conversations.json", json.dumps(export)),
            ("user.json", json.dumps({"id": "user-1", "email": EMAIL})),
        ):
            archive.writestr(zipfile.ZipInfo(name, CLOCK), text)
    return path


def make(folder: Path) -> Path:
    return write(folder / "hand_written_export.zip", EXPORT)


def add_one(location: Path) -> None:
    """The first conversation goes on."""
    more = (
        node("ask3", "good2", "user", "And what should I do when it gets warmer than that?"),
        node(
            "good3", "ask3", "assistant", "Switch it off, let it cool for an hour, and look for sand in the bearings."
        ),
    )
    old = [(key, one | {"children": []}) for key, one in EXPORT[0]["mapping"].items()]
    write(
        location, [conversation("pump-that-hums", "Pump that hums", *old, *more, updated=START + 2_000), *EXPORT[1:]]
    )


def grow(folder: Path, size_bytes: int) -> Path:
    text = " ".join(f"word{number}" for number in range(100))
    path = folder / "many_hand_written.json"
    many = [
        conversation(
            f"talk-{number}",
            "Talk",
            node("a", None, "user", f"What is said of {number}? {text}"),
            node("b", "a", "assistant", f"Of {number} it is said: {text}"),
        )
        for number in range(size_bytes // 2_500)
    ]
    path.write_text(json.dumps(many), encoding="utf-8")
    return path


CASE = Case(name="chatgpt", make=make, add_one=add_one, grow=grow)
