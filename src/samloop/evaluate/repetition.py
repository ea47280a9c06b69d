"""The suite `repetition`: does a model say the same over and over?

Greedy answers are looked at, because they show it first: a model that falls into a loop stays in it (Holtzman et al.,
The Curious Case of Neural Text Degeneration, ICLR 2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import ANSWER_TOKENS, answer_texts
from samloop.evaluate.items import group_of, question_of
from samloop.protocols import Model, Score, suite

NGRAM: Final = 4
"""Of `repetition_rate`: seq-rep-4 of Welleck et al., Neural Text Generation with Unlikelihood Training, ICLR 2020."""

LOOP_TIMES: Final = 4
LONGEST_LOOP: Final = 16
"""An answer that ends with the same 1 to 16 words four times in a row and more is in a loop; of one word alone it
takes eight, since tables and rules repeat a sign in honest text."""

_WORD: Final = re.compile(r"[㐀-䶿一-鿿぀-ヿ]|\w+|[^\w\s]")


@suite("repetition", answers=True)
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """What share of the answers' 4-grams was said before, how many answers end in a loop, how varied their words are.

    Args:
        items: ``{"id", "messages"}``; an answer at their end is not shown to the model.

    Returns:
        ``repetition_rate`` (Σ repeated 4-grams / Σ 4-grams), ``loop_rate`` (share of answers), both better when
        lower, and ``distinct_2`` (Σ distinct pairs of words / Σ pairs, within each answer; Li et al., A
        Diversity-Promoting Objective Function, NAACL 2016), better when higher.
    """
    said = answer_texts(model, [question_of(item) for item in items], max_new_tokens=ANSWER_TOKENS)
    words = [_WORD.findall(text.lower()) for text in said]
    shared: dict[str, Any] = {
        "suite": "repetition",
        "unit": "share",
        "ids": tuple(str(item["id"]) for item in items),
        "groups": tuple(group_of(item) for item in items),
        "said": tuple(said),
    }
    # An answer too short to be measured stands for one part at the good end.
    four = [(all_ - new, all_) if all_ else (0, 1) for new, all_ in (_ngrams(one, NGRAM) for one in words)]
    two = [(new, all_) if all_ else (1, 1) for new, all_ in (_ngrams(one, 2) for one in words)]
    looping = [(int(loops(one) or loops(one[:-1])), 1) for one in words]  # the bound cuts within words
    return [
        Score(name="repetition_rate", better="lower", **(shared | _parts(four))),
        Score(name="loop_rate", better="lower", **(shared | _parts(looping))),
        Score(name="distinct_2", better="higher", **(shared | _parts(two))),
    ]


def loops(words: Sequence[str]) -> bool:
    """Whether a text ends in a loop; see `LOOP_TIMES`."""
    for period in range(1, LONGEST_LOOP + 1):
        length = period * (LOOP_TIMES if period > 1 else 2 * LOOP_TIMES)
        if length > len(words):
            return False
        end = words[-length:]
        if all(end[at] == end[at % period] for at in range(length)):
            return True
    return False


def _ngrams(words: Sequence[str], n: int) -> tuple[int, int]:
    """How many distinct n-grams, and how many in all."""
    found = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    return len(set(found)), len(found)


def _parts(ratios: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {
        "numerators": tuple(float(value) for value, _ in ratios),
        "denominators": tuple(float(total) for _, total in ratios),
    }
