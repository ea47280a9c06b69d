"""The suite `hallucination`: does a model keep to the context it is given, and say so where that holds no answer?

Two measures. Grounded: the share of names, numbers, identifiers and claims of an answer that the context does not
support (`samloop.evaluate.grounding`). Unanswerable: whether it abstains where the context does not hold the answer,
and only there; as in SQuAD 2.0 (Rajpurkar et al., Know What You Don't Know, 2018, arXiv 1806.03822) both kinds of
questions are asked, so that neither always answering nor never answering scores well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.grounding import KINDS, Grounding, ground
from samloop.evaluate.items import score_of
from samloop.protocols import Model, Score, suite

MAX_NEW_TOKENS: Final = 160
"""Bound on an answer: a few sentences, as is asked for."""

_NOT: Final = r"(?: not|n['’]t|not)"
_TEXT: Final = r"(?:text|context|passage|article|document|paragraph|information|source|excerpt)"
_ABSTAINS: Final = re.compile(
    "|".join(
        (
            # The text does not say; it does not mention; nothing in the text says.
            rf"\b{_TEXT}\b[^.]{{0,40}}?\b(?:do|does|did){_NOT} (?:\w+ )?(?:say|state|mention|specify|provide|contain"
            r"|include|give|tell|indicate|hold|answer|reveal|list|explain|discuss|cover)",
            rf"\bit (?:do|does|did){_NOT} (?:\w+ )?(?:say|state|mention|specify|tell|indicate)\b",
            rf"\b(?:says|tells|mentions|states) nothing\b|\bnothing (?:is|was) (?:said|mentioned|stated)\b"
            rf"|\bnothing in the {_TEXT}\b|\bnothing about\b",
            # It is not stated; it cannot be said.
            rf"\b(?:is|are|was|were|has|have){_NOT} (?:been )?(?:\w+ )?(?:stated|mentioned|specified|given|provided"
            rf"|known|clear|disclosed|indicated|said|named|listed|included|(?:in|part of) the (?:\w+ )?{_TEXT})\b",
            rf"\bcan{_NOT} (?:be |\w+ )?(?:determined?|answer(?:ed)?|said|say|found|find|tell|told|know|known"
            r"|inferred)\b",
            # I do not know; there is no information.
            rf"\bI (?:do|did){_NOT} (?:know|have|see|find)\b|\bI(?: am|['’]m) (?:not (?:sure|able)|unsure|unable)\b",
            r"\b(?:no|not enough|insufficient|without) (?:\w+ )?(?:information|mention|answer|indication|details?)\b",
            r"\b(?:unknown|unanswerable|unspecified)\b|^\W*n/a\b|^\W*no answer\b",
            r"\bnot (?:mentioned|stated|specified)\b",
        )
    ),
    re.IGNORECASE,
)


@suite("hallucination")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """How much of what a model says its context does not support, and whether it abstains where it should.

    Args:
        items: ``{"id", "messages": [context and question], "context", "answerable"}``; with "answerable" None an item
            counts for the first measure alone.

    Returns:
        ``unsupported_rate``, the mean share over the answers (0 for an abstention or one that says nothing), then
        the same of each kind, ``unsupported_names`` and so on; lower is better. ``abstention_accuracy``: the share of
        questions that were answered where the context holds the answer, and not where it does not.
    """
    said = answer_texts(model, [item["messages"] for item in items], max_new_tokens=MAX_NEW_TOKENS)
    found = [grounding_of(item, answer) for item, answer in zip(items, said, strict=True)]
    scores = [_score("unsupported_rate", "lower", items, [one.share() for one in found])]
    scores += [_score(f"unsupported_{kind}", "lower", items, [one.share(kind) for one in found]) for kind in KINDS]
    asked = [at for at, item in enumerate(items) if item.get("answerable") is not None]
    points = [float(rightly(bool(items[at]["answerable"]), said[at])) for at in asked]
    return [*scores, _score("abstention_accuracy", "higher", [items[at] for at in asked], points)]


def grounding_of(item: Mapping[str, Any], answer: str) -> Grounding:
    """What `answer` says beyond the item's context and question; an abstention claims nothing of the world."""
    asked = "\n".join(str(turn["content"]) for turn in item["messages"] if turn["role"] == "user")
    return ground("" if abstains(answer) else answer, f"{item['context']}\n{asked}")


def abstains(answer: str) -> bool:
    """Whether an answer says, in its first two sentences, that there is no answer."""
    head = re.split(r"(?<=[.!?])\s", answer.strip(), maxsplit=2)[:2]
    return _ABSTAINS.search(" ".join(head)) is not None


def rightly(answerable: bool, answer: str) -> bool:
    """Whether a question was answered exactly if it can be; silence is neither an answer nor an abstention."""
    return bool(answer.strip()) and abstains(answer) != answerable


def _score(name: str, better: Any, items: Sequence[Mapping[str, Any]], values: Sequence[float]) -> Score:
    return score_of("hallucination", name, items, values, better=better)
