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
    """What share of an answer's 4-grams it said before, how many answers end in a loop, how varied their words are.

    Args:
        items: ``{"id", "messages"}``; an answer at their end is not shown to the model.

    Returns:
        ``repetition_rate`` and ``loop_rate``, both better when lower, and ``distinct_2`` (the share of different
        ones among an answer's pairs of words; Li et al., A Diversity-Promoting Objective Function, NAACL 2016, take
        all answers together), better when higher. Each answer counts alike: one long loop is one bad answer.
    """
    said = answer_texts(model, [question_of(item) for item in items], max_new_tokens=ANSWER_TOKENS)
    words = [_WORD.findall(text.lower()) for text in said]
    shared: dict[str, Any] = {
        "suite": "repetition",
        "unit": "share",
        "ids": tuple(str(item["id"]) for item in items),
        "groups": tuple(group_of(item) for item in items),
        "said": tuple(said),
        "denominators": (1.0,) * len(items),
    }
    looping = [float(loops(one) or loops(one[:-1])) for one in words]  # the bound cuts within words
    return [
        Score(name="repetition_rate", better="lower", numerators=_each(words, NGRAM, repeated=True), **shared),
        Score(name="loop_rate", better="lower", numerators=tuple(looping), **shared),
        Score(name="distinct_2", better="higher", numerators=_each(words, 2, repeated=False), **shared),
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


def _each(texts: Sequence[Sequence[str]], n: int, *, repeated: bool) -> tuple[float, ...]:
    """The share of each text's n-grams that are new in it, or repeated; a shorter text repeats nothing."""
    shares = []
    for words in texts:
        found = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
        new = len(set(found)) / len(found) if found else 1.0
        shares.append(1.0 - new if repeated else new)
    return tuple(shares)
