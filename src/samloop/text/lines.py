"""The lines samloop writes: one example as one JSON object, in each format of the contract.

Pure functions. `samloop.sources.formats` reads every line back to an example of equal content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from samloop.errors import InputError, UsageError
from samloop.example import FORMATS, Example, Message

Render = Callable[[Sequence[Message]], str]
"""Messages to text, through a chat template."""

TRUST_KEYS: Final = frozenset(
    {
        "validated",
        "human_reviewed",
        "reviewed",
        "verified",
        "approved",
        "accepted",
        "state",
        "reason",
        "flags",
        "weight",
        "quality_tier",
        "quality_score",
        "used_in_training",
        "training_run_id",
    }
)
"""Keys of `metadata` that a reader never believes: whoever writes a file must not be able to approve its lines."""

CARRIED_KEYS: Final = (
    "id",
    "source",
    "format",
    "domain",
    "complexity",
    "language",
    "licence",
    "group_key",
    "source_id",
    "parent_id",
)
"""Fields of the example that `metadata` carries under their own names, where they are set."""


def to_line(
    example: Example, format: str | None = None, *, render: Render | None = None, metadata: bool = True
) -> dict[str, Any]:
    """`example` as one JSON-ready line.

    What a format has no key for is kept under the key its readers know: ``system`` and ``history`` beside an
    instruction, message lists instead of strings in a preference or a completion with earlier turns, ``context``
    beside anything.

    Args:
        format: one of `FORMATS`; None or ``auto`` for the example's own.
        render: the base model's chat template; with it a completion becomes ``{"text"}``, without it
            ``{"prompt", "completion"}``.
        metadata: add where the line came from and how it was judged.

    Raises:
        InputError: the example cannot be told in that format (a preference without a rejected answer).
        UsageError: there is no such format.
    """
    chosen = example.format if format in (None, "auto") else format
    if chosen not in FORMATS:
        raise UsageError(f"expected a format out of auto, {', '.join(FORMATS)}, got '{format}'")
    line = _instruction(example) if chosen == "instruction" else {}
    if chosen in ("chat", "multi_turn"):
        line = _messages(example, with_context=chosen == "multi_turn")
    elif chosen == "dpo":
        line = _preference(example)
    elif chosen == "completion":
        line = {"text": render(_told_whole(example))} if render else _completion(example)
    if metadata:
        line["metadata"] = {**line_metadata(example), "format": chosen}
    return line


def dialogue(example: Example) -> list[Message]:
    """The whole conversation of `example`: system prompt, earlier turns, what is asked, what is answered."""
    return [*_prompt(example), {"role": "assistant", "content": example.output_text}]


def line_metadata(example: Example) -> dict[str, Any]:
    """Where `example` came from and how it was judged, as the ``metadata`` of a line."""
    carried = {key: value for key in CARRIED_KEYS if (value := getattr(example, key)) not in (None, "")}
    return {
        **example.metadata,
        **carried,
        "quality_tier": example.quality_tier,
        "quality_score": example.quality_score,
        "timestamp": example.created_at,
        "validated": example.validated,
        "human_reviewed": bool(example.metadata.get("human_reviewed", False)),
    }


def _prompt(example: Example) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": example.system_prompt}] if example.system_prompt else []
    messages += example.conversation_history
    messages.append({"role": "user", "content": example.input_text})
    return messages


def _instruction(example: Example) -> dict[str, Any]:
    line: dict[str, Any] = {
        "instruction": example.input_text,
        "input": example.context or "",
        "output": example.output_text,
    }
    if example.system_prompt:
        line["system"] = example.system_prompt
    if example.conversation_history:
        line["history"] = _pairs(example.conversation_history)
    return line


def _pairs(history: Sequence[Message]) -> list[Any]:
    """Alpaca's ``[[question, answer], …]`` where the turns alternate so, else the messages themselves."""
    roles = [turn["role"] for turn in history]
    if roles == ["user", "assistant"] * (len(roles) // 2):
        texts = [turn["content"] for turn in history]
        return [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return [dict(turn) for turn in history]


def _messages(example: Example, *, with_context: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"messages": [dict(message) for message in dialogue(example)]}
    if with_context or example.context:
        line["context"] = example.context or ""
    return line


def _preference(example: Example) -> dict[str, Any]:
    if example.rejected_output is None:
        raise InputError(
            f"expected a rejected answer to write a preference (dpo), got a plain {example.format} example"
            f"{f' ({example.id})' if example.id else ''}; write it as instruction or chat"
        )
    line = _asked(example, chosen=example.output_text, rejected=example.rejected_output)
    line["reason"] = example.preference_reason or ""
    return line


def _told_whole(example: Example) -> list[Message]:
    """`dialogue` with the context before the question, as training tells it: a text has no other place for it."""
    *before, asked, answer = dialogue(example)
    if example.context:
        asked = {**asked, "content": f"{example.context}\n\n{asked['content']}"}
    return [*before, asked, answer]


def _completion(example: Example) -> dict[str, Any]:
    return _asked(example, completion=example.output_text)


def _asked(example: Example, **answers: str) -> dict[str, Any]:
    """``prompt`` and answers as strings; as message lists where a system prompt or earlier turns belong to them."""
    line: dict[str, Any]
    if example.system_prompt or example.conversation_history:
        line = {"prompt": [dict(message) for message in _prompt(example)]}
        line |= {key: [{"role": "assistant", "content": text}] for key, text in answers.items()}
    else:
        line = {"prompt": example.input_text, **answers}
    if example.context:
        line["context"] = example.context
    return line
