"""Fit a conversation into the longest sequence a run can train on, without touching an answer.

Oldest turns go first, whole, a question together with its answer. If the last question alone is too long (a commit
with a large diff), lines are taken out of its middle and a visible mark is left, because both ends tend to carry the
task. An answer is never cut: what still does not fit is left out and reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from samloop.example import Message
from samloop.text.template import Encoded, encode_chat
from samloop.text.tokens import Tokenizer

CUT_MARK: Final = "[…]"
MIN_QUESTION_SHARE: Final = 0.1
"""A question of which less than this share would remain no longer says what is asked."""

Change = Literal["whole", "turns_dropped", "shortened"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation that fits: its messages, its tokens, and what it took."""

    messages: list[Message]
    encoded: Encoded
    change: Change


def fit(tokenizer: Tokenizer, messages: list[Message], max_tokens: int) -> Fitted | None:
    """`messages` (ending with the answer) in at most `max_tokens` tokens, or None if that cannot be done."""
    encoded = encode_chat(tokenizer, messages)
    if len(encoded.ids) <= max_tokens:
        return Fitted(messages, encoded, "whole")
    system, turns = _apart(messages)
    while len(turns) > 2 and (start := _next_question(turns)) is not None:
        turns = turns[start:]
        encoded = encode_chat(tokenizer, system + turns)
        if len(encoded.ids) <= max_tokens:
            return Fitted(system + turns, encoded, "turns_dropped")
    return _shorten(tokenizer, system + turns, max_tokens)


def _apart(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    start = 1 if messages and messages[0]["role"] == "system" else 0
    return messages[:start], messages[start:]


def _next_question(turns: list[Message]) -> int | None:
    """Where the second question starts: everything before it can go."""
    return next((at for at, turn in enumerate(turns) if at and turn["role"] == "user"), None)


def _shorten(tokenizer: Tokenizer, messages: list[Message], max_tokens: int) -> Fitted | None:
    at = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if at is None:
        return None
    question = messages[at]["content"]
    # Characters per token differ along a text, so the room is narrowed down; each try is one encoding.
    low, high = int(len(question) * MIN_QUESTION_SHARE), len(question)
    best: Fitted | None = None
    while low <= high:
        keep = (low + high) // 2
        tried = [*messages[:at], Message(role="user", content=_without_middle(question, keep)), *messages[at + 1 :]]
        encoded = encode_chat(tokenizer, tried)
        if len(encoded.ids) <= max_tokens:
            best, low = Fitted(tried, encoded, "shortened"), keep + 1
        else:
            high = keep - 1
    return best


def _without_middle(text: str, keep_characters: int) -> str:
    """About `keep_characters` of `text`: two thirds from its start, the rest from its end, cut between lines."""
    if keep_characters >= len(text):
        return text
    head = text[: keep_characters * 2 // 3]
    tail = text[len(text) - (keep_characters - len(head)) :] if keep_characters > len(head) else ""
    if "\n" in head:
        head = head[: head.rindex("\n")]
    if "\n" in tail:
        tail = tail[tail.index("\n") + 1 :]
    return f"{head.rstrip()}\n{CUT_MARK}\n{tail.lstrip()}".rstrip()
