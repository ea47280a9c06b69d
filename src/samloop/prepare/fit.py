"""Fit a conversation into the longest sequence a run can train on, without touching an answer.

Oldest turns go first, whole, a question together with its answer. If the last question alone is too long (a commit
with a large diff), lines are taken out of its middle and a visible mark is left, because both ends tend to carry the
task. An answer is never cut: what still does not fit is left out and reported. A pair fits where both of its sides
do, and both keep the same turns before them.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """A conversation that fits: its messages, its tokens, and what it took.

    Attributes:
        messages: ending with the answer, the chosen one of a pair.
        encoded: the messages as a model sees them.
        change: what had to go.
        rejected_tokens: how long the conversation is with the rejected answer instead; 0 where there is none.
    """

    messages: list[Message]
    encoded: Encoded
    change: Change
    rejected_tokens: int = 0


def fit(
    tokenizer: Tokenizer, messages: Sequence[Message], max_tokens: int, rejected: str | None = None
) -> Fitted | None:
    """`messages` (ending with the answer) in at most `max_tokens` tokens, or None if that cannot be done.

    Args:
        rejected: the worse answer of a pair: with it in the place of the last message, it has to fit as well.
    """
    found = _try(tokenizer, list(messages), max_tokens, rejected, "whole")
    if found:
        return found
    system, turns = _apart(messages)
    while len(turns) > 2 and (start := _next_question(turns)) is not None:
        turns = turns[start:]
        if found := _try(tokenizer, system + turns, max_tokens, rejected, "turns_dropped"):
            return found
    return _shorten(tokenizer, system + turns, max_tokens, rejected)


def with_answer(messages: Sequence[Message], answer: str) -> list[Message]:
    """`messages` with another text in their last turn."""
    return [*messages[:-1], Message(role="assistant", content=answer)]


def _try(
    tokenizer: Tokenizer, messages: list[Message], max_tokens: int, rejected: str | None, change: Change
) -> Fitted | None:
    encoded = encode_chat(tokenizer, messages)
    if len(encoded.ids) > max_tokens:
        return None
    other = 0 if rejected is None else len(encode_chat(tokenizer, with_answer(messages, rejected)).ids)
    return Fitted(messages, encoded, change, other) if other <= max_tokens else None


def _apart(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    start = 1 if messages and messages[0]["role"] == "system" else 0
    return list(messages[:start]), list(messages[start:])


def _next_question(turns: Sequence[Message]) -> int | None:
    """Where the second question starts: everything before it can go."""
    return next((at for at, turn in enumerate(turns) if at and turn["role"] == "user"), None)


def _shorten(tokenizer: Tokenizer, messages: list[Message], max_tokens: int, rejected: str | None) -> Fitted | None:
    at = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if at is None:
        return None
    question = messages[at]["content"]
    # Characters per token differ along a text, so the room is narrowed down; each try is one encoding of each side.
    low, high = int(len(question) * MIN_QUESTION_SHARE), len(question)
    best: Fitted | None = None
    while low <= high:
        keep = (low + high) // 2
        tried = [*messages[:at], Message(role="user", content=_without_middle(question, keep)), *messages[at + 1 :]]
        if found := _try(tokenizer, tried, max_tokens, rejected, "shortened"):
            best, low = found, keep + 1
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
