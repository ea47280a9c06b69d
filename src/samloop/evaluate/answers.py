"""Answers in full, for the suites that read what a model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.protocols import Model, generate_many
from samloop.text.template import encode_prompt

ANSWER_TOKENS: Final = 64
"""Bound on an answer of the suites that judge how a model speaks. It is one for all of them, so that they share what
was said; loops and falling apart show within it, and a small machine answers a hundred questions in minutes."""


def answer_texts(
    model: Model, conversations: Sequence[Sequence[Mapping[str, Any]]], *, max_new_tokens: int
) -> list[str]:
    """The likeliest answer (greedy, without chance) of the model in use to each conversation, outer spaces cut.

    Args:
        conversations: messages, the last of them the user's.
        max_new_tokens: bound on each answer.
    """
    prompts = [encode_prompt(model.tokenizer, messages) for messages in conversations]
    found = generate_many(model, prompts, max_new_tokens=max_new_tokens)
    return [model.tokenizer.decode(ids).strip() for ids in found]
