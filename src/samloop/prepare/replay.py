"""General exchanges that are trained along with what is new, so that the model keeps what it could."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import RecipeError
from samloop.example import ROLES, Message
from samloop.files import readable

PACKAGED: Final = Path(__file__).with_name("replay.jsonl")
"""Short exchanges written for samloop; scripts/build_replay.py makes them and says where they come from."""

LICENCE: Final = "Apache-2.0"
"""Of the packaged exchanges: that of samloop itself."""

SOURCE: Final = "replay"


def exchanges(path: Path = PACKAGED) -> list[tuple[str, list[Message]]]:
    """The conversations of a JSONL file of ``{"messages": […]}``, each with an id made of its content.

    Raises:
        RecipeError: the file cannot be read, or a line holds no conversation that ends with an answer.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecipeError(
            f"prepare.replay_file {readable(str(path))} cannot be read ({error.strerror}); name a JSONL file"
        ) from error
    found = [_parsed(line, number, path) for number, line in enumerate(lines, start=1) if line.strip()]
    return [(f"{SOURCE}-{xxhash.xxh3_64_hexdigest(orjson.dumps(messages))}", messages) for messages in found]


def _parsed(line: bytes, number: int, path: Path) -> list[Message]:
    try:
        record: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    messages = record.get("messages") if isinstance(record, dict) else None
    if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
        messages = None
    if messages is None or messages[-1]["role"] != "assistant":
        raise RecipeError(
            f"expected an object with messages that end with an answer at {readable(str(path))}, line {number}; "
            "mend prepare.replay_file"
        )
    return [Message(role=message["role"], content=message["content"]) for message in messages]


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ROLES
        and isinstance(message.get("content"), str)
        and bool(message["content"].strip())
    )
