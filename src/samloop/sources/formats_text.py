"""Plain text: conversations that someone rendered through a template, and text that merely goes on."""

from __future__ import annotations

import re
from typing import Final

from samloop.example import Message
from samloop.sources.conversation import ROLES
from samloop.sources.drafts import Unfit

_CHATML = re.compile(r"<\|im_start\|>([a-z_]+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
_LLAMA3 = re.compile(r"<\|start_header_id\|>([a-z_]+)<\|end_header_id\|>\n*(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL)
_HEADED = re.compile(
    r"^### (Instruction|Input|Response|Human|Assistant|System|User):?[ \t]*\n?", re.MULTILINE | re.IGNORECASE
)
_SPOKEN = re.compile(r"\n\n(Human|Assistant): ?")
_ALPACA_ROLES: Final = {"instruction": "user", "input": "input", "response": "assistant"}

SHORTEST_SPLIT: Final = 40
"""Characters below which a text has no beginning and continuation worth telling apart."""

LONGEST_PREFACE: Final = 400
"""Characters of a template's own words before its first heading; more is a document with such a heading in it."""

_BOUNDARIES: Final = tuple(re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"(?<=[.!?])\s+(?=\S)", r"\s+"))


def dialogue_in(text: str) -> list[Message]:
    """The messages of a conversation rendered as ChatML, Llama 3, ``###`` headings or Human/Assistant; else none."""
    if text.startswith("<|im_start|>"):
        return _tagged(_CHATML, text)
    if text.startswith(("<|begin_of_text|>", "<|start_header_id|>")):
        return _tagged(_LLAMA3, text)
    if "### " in text and _HEADED.search(text):
        return _headed(text)
    if "\n\nHuman:" in text and "\n\nAssistant:" in text:
        return spoken(text)
    return []


def _tagged(pattern: re.Pattern[str], text: str) -> list[Message]:
    messages: list[Message] = []
    for role, content in pattern.findall(text):
        if content and not content.isspace() and role in ROLES:
            messages.append({"role": ROLES[role], "content": content})
    return messages


def _headed(text: str) -> list[Message]:
    """``### Instruction`` / ``### Response``, or ``### Human`` / ``### Assistant``; what stands before
    the first heading is the template's own and left out."""
    preface, *pieces = _HEADED.split(text)
    if len(preface) > LONGEST_PREFACE or pieces[0].lower() not in ("instruction", "human", "user", "system"):
        return []
    messages: list[Message] = []
    for heading, content in zip(pieces[::2], pieces[1::2], strict=True):
        name = heading.lower()
        role = _ALPACA_ROLES.get(name) or ROLES.get(name, "user")
        content = content.strip()
        if role == "input" and messages:
            messages[-1]["content"] += f"\n\n{content}" if content else ""
        elif content:
            messages.append({"role": role, "content": content})  # type: ignore[typeddict-item]
    return messages if any(message["role"] == "assistant" for message in messages) else []


def spoken(text: str) -> list[Message]:
    """The turns of a text in which each begins with ``Human:`` or ``Assistant:`` after a blank line."""
    pieces = _SPOKEN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")[1:]
    messages: list[Message] = []
    for speaker, content in zip(pieces[::2], pieces[1::2], strict=True):
        if content.strip():
            messages.append({"role": "user" if speaker == "Human" else "assistant", "content": content.strip()})
    return messages


def continuation(text: str) -> tuple[str, str]:
    """`text` as a beginning and what follows, cut where it falls apart by itself.

    The cut is at the strongest kind of boundary (blank line, line end, sentence end, blank) that occurs between a
    fifth and three fifths of the text, at the one nearest to a third.

    Raises:
        Unfit: the text is too short, or one unbroken run of characters.
    """
    text = text.strip()
    if len(text) < SHORTEST_SPLIT:
        raise Unfit("too short to continue", f"expected {SHORTEST_SPLIT} characters or more, got {len(text)}")
    low, high, aim = len(text) // 5, len(text) * 3 // 5, len(text) // 3
    for boundary in _BOUNDARIES:
        cuts = [match.span() for match in boundary.finditer(text, low, high)]
        if cuts:
            start, end = min(cuts, key=lambda span: abs(span[0] - aim))
            return text[:start], text[end:] if "\n" not in text[start:end] else text[start:end].lstrip("\n") + text[
                end:
            ]
    raise Unfit("too short to continue", "expected a blank between a fifth and three fifths of the text, found none")
