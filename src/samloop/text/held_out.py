"""Questions that are held out for good, and how a text is found to be one of them.

Compared are words: case, spaces and punctuation make no difference. A text meets a held-out question where it is the
same words, or where most of the question's sequences of three words stand in a text that is not much longer. That
finds near-duplicates (a Jaccard index of `SHARE` over such sequences implies a share of `SHARE`) and the question
with a greeting before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from samloop.example import Example, normalise

SHARE: Final = 0.8
"""Of a held-out question's three-word sequences, to count as near; near-duplicates have that bound in curation."""

LONGER: Final = 2.0
"""Times as many words as the question, beyond which a text is another one that quotes it."""

RUN: Final = 3
"""Words in a sequence."""

_WORD = re.compile(r"\w+")


def words(text: str) -> tuple[str, ...]:
    """The words of `text`, without case and punctuation."""
    return tuple(_WORD.findall(normalise(text).casefold()))


def asked_by(example: Example) -> list[str]:
    """Everything a user asks in an example."""
    return [*(turn["content"] for turn in example.conversation_history if turn["role"] == "user"), example.input_text]


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question.

    Attributes:
        own: the question that was reworded. A text with exactly its words never meets the rewording, however alike
            the two are: it is what trains, and what the rewording is there to test.
    """

    id: str
    text: str
    own: str


class Questions:
    """Finds which held-out questions a text meets; the cost does not grow with their number."""

    def __init__(self, questions: Iterable[Question] = ()) -> None:
        self._questions = tuple(questions)
        self._words = [words(question.text) for question in self._questions]
        self._own = [words(question.own) for question in self._questions]
        self._same: dict[tuple[str, ...], list[int]] = {}
        self._near: dict[tuple[str, ...], list[int]] = {}
        for at, said in enumerate(self._words):
            self._same.setdefault(said, []).append(at)
            for run in _runs(said):
                self._near.setdefault(run, []).append(at)
        # Beyond this many characters no text meets any: long documents cost nothing.
        self._longest = max((len(question.text) for question in self._questions), default=0) * 2 * LONGER

    def __len__(self) -> int:
        return len(self._questions)

    def met_by(self, text: str) -> list[Question]:
        """The held-out questions that `text` is, or is nearly."""
        if not self._questions or len(text) > self._longest:
            return []
        said = words(text)
        hits = Counter(at for run in _runs(said) for at in self._near.get(run, ()))
        found = set(self._same.get(said, ()))
        for at, shared in hits.items():
            near = shared >= SHARE * len(_runs(self._words[at])) and len(said) <= LONGER * len(self._words[at])
            if near and said != self._own[at]:
                found.add(at)
        return [self._questions[at] for at in sorted(found)]


def _runs(said: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {said[at : at + RUN] for at in range(len(said) - RUN + 1)}
