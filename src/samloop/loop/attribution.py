"""Which training examples moved the answers to corrected questions, told from texts and losses alone.

An estimate in the spirit of TracIn (Pruthi, Liu, Kale and Sundararajan, Estimating Training Data Influence by Tracing
Gradient Descent, NeurIPS 2020): there the influence of a training example on a test is the sum over training of the
products of their gradients. Gradients of every example cost as much as the training, so each part of the product is
replaced by what is at hand:

- how far the example moved the model: how much its own loss fell from the base to the adapter, times its weight;
- how alike the two gradients are: the share of three-word sequences that their answers have in common, times that of
  their questions. Where gradients are taken at the word embeddings, they meet only in words that both texts have
  (Yeh, Taly, Sundararajan, Liu and Ravikumar, First is Better than Last for Language Data Influence, NeurIPS 2022).

A test has a right and a wrong answer: likeness to the wrong one counts against. docs/explanation/corrections.md says
what such an estimate cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from samloop.text.held_out import words

RUN: Final = 3
"""Words in a sequence; shorter texts are compared by all the runs they have."""

OTHER_QUESTION: Final = 0.1
"""What is left of the likeness of two answers where the questions share nothing: an answer learnt on one question is
given to others too, but less."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A held-out question with its right and its wrong answer."""

    question: str
    answer: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Trained:
    """A training example: what is asked in it, what it answers, which answer it rejects, and how loud it is."""

    id: str
    question: str
    answer: str
    rejected: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What an example is estimated to have done.

    Attributes:
        share: of all that the examples looked at did, for or against, 0..1.
        towards: whether, on the whole, towards the right answers.
        loss_drop_nats: how much its own loss fell, in nats per token.
    """

    id: str
    share: float
    towards: bool
    loss_drop_nats: float


class Likeness:
    """How alike training examples are to tests, from 0 to 1; below 0 where alike to the wrong answers."""

    def __init__(self, tests: Sequence[Probe]) -> None:
        self._tests = [(_runs(test.question), _runs(test.answer), _runs(test.wrong)) for test in tests]
        self._near: dict[tuple[str, ...], set[int]] = {}
        for at, (_, answer, wrong) in enumerate(self._tests):
            for run in answer | wrong:
                self._near.setdefault(run, set()).add(at)

    def of(self, example: Trained) -> float:
        """The sum over all tests."""
        answer, rejected, asked = _runs(example.answer), _runs(example.rejected), _runs(example.question)
        total = 0.0
        for at in set().union(*(self._near.get(run, set()) for run in answer | rejected)):
            question, right, wrong = self._tests[at]
            # What is rejected moves away from what it is like.
            alike = _shared(answer, right) - _shared(answer, wrong)
            alike += _shared(rejected, wrong) - _shared(rejected, right)
            total += alike * (OTHER_QUESTION + (1 - OTHER_QUESTION) * _shared(asked, question))
        return total


def nearest(tests: Sequence[Probe], examples: Iterable[Trained], most: int) -> list[Trained]:
    """The examples that may have moved the tests most, as far as texts tell, at most `most`."""
    likeness = Likeness(tests)
    found = [(abs(likeness.of(example)) * example.weight, example) for example in examples]
    ranked = sorted((pair for pair in found if pair[0]), key=lambda pair: (-pair[0], pair[1].id))
    return [example for _, example in ranked[:most]]


def moved(tests: Sequence[Probe], examples: Sequence[Trained], loss_drops_nats: Mapping[str, float]) -> list[Moved]:
    """What each example did to the tests, the most first; those that did nothing are left out.

    Args:
        loss_drops_nats: by id, the loss per token of the base minus that of the adapter; an example that was not
            learnt (no drop) moved nothing.
    """
    likeness = Likeness(tests)
    found: dict[str, float] = {}
    for example in examples:
        found[example.id] = likeness.of(example) * example.weight * max(0.0, loss_drops_nats.get(example.id, 0.0))
    whole = sum(map(abs, found.values()))
    ranked = sorted(found.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return [Moved(id, abs(did) / whole, did > 0, loss_drops_nats[id]) for id, did in ranked if did]


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    said = words(text)
    size = min(RUN, len(said))
    return frozenset(said[at : at + size] for at in range(len(said) - size + 1)) if said else frozenset()


def _shared(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """The Jaccard index of two sets."""
    return len(one & other) / len(one | other) if one and other else 0.0
