"""The suite `instructions`: does a model do what it is told, where a program can tell?

As IFEval (Zhou et al., Instruction-Following Evaluation for Large Language Models, 2023, arXiv 2311.07911): a prompt
holds one or more verifiable instructions ("in at most 50 words", "without commas"). Four measures: the share of
instructions followed and the share of prompts in which all were, each strictly and loosely; the loose ones forgive a
greeting line and asterisks (`checks.loosely`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.checks import Check, holds, holds_loosely
from samloop.evaluate.items import score_of
from samloop.protocols import Model, Score, suite

MAX_NEW_TOKENS: Final = 768
"""Bound on an answer: IFEval's longest demand is 1,200 words, nine in ten ask for 500 or fewer."""


@suite("instructions")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The shares of instructions and of prompts that were followed.

    Args:
        items: ``{"id", "messages", "instructions": [{"id", "checks": [check]}]}``; an instruction is followed where
            all its checks hold.

    Returns:
        ``instructions_followed``, ``instructions_followed_loosely``, ``prompts_followed`` and
        ``prompts_followed_loosely``; shares, higher is better.
    """
    said = answer_texts(model, [item["messages"] for item in items], max_new_tokens=MAX_NEW_TOKENS)
    scores = []
    for ending, judge in (("", holds), ("_loosely", holds_loosely)):
        followed = [_followed(item, answer, judge) for item, answer in zip(items, said, strict=True)]
        counts, sizes = [float(sum(one)) for one in followed], [float(len(one)) for one in followed]
        scores.append(_score(f"instructions_followed{ending}", items, counts, sizes))
        whole = [float(all(one)) for one in followed]
        scores.append(_score(f"prompts_followed{ending}", items, whole, [1.0] * len(items)))
    return scores


def _followed(item: Mapping[str, Any], answer: str, judge: Callable[[Check, str], bool]) -> list[bool]:
    return [all(judge(check, answer) for check in one["checks"]) for one in item["instructions"]]


def _score(
    name: str, items: Sequence[Mapping[str, Any]], numerators: Sequence[float], denominators: Sequence[float]
) -> Score:
    return score_of("instructions", name, items, numerators, denominators)
