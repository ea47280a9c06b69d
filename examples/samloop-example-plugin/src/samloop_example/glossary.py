"""A teacher: knows a few words by heart. A real one asks a stronger model."""

from __future__ import annotations

from collections.abc import Sequence

from samloop.example import Message
from samloop.protocols import Answer

WORDS = {
    "adapter": "LoRA weights that change what a base model answers, with their lineage.",
    "champion": "The adapter in service.",
    "gate": "The decision whether a challenger may become champion, with its reasons.",
}


def ask(messages: Sequence[Message]) -> Answer:
    """The meaning of the first known word in the last message."""
    question = messages[-1]["content"].lower()
    known = next((meaning for word, meaning in WORDS.items() if word in question), "I do not know that word.")
    return Answer(text=known, model="glossary")
