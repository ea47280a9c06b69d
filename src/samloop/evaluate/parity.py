"""The suite `parity`: how near does a model come to the answer that the teacher gave?

Two measures: chrF, how much of the teacher's text the model's own answer shares, and the bits per byte of the
teacher's answer under the model. chrF is the F-score of character n-grams of Popović (chrF: character n-gram F-score
for automatic MT evaluation, WMT 2015) with his orders 1 to 6 and β = 2; it needs no words, so it reads code and
every language alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from samloop.evaluate import perplexity
from samloop.evaluate.answers import ANSWER_TOKENS, answer_texts
from samloop.evaluate.items import question_of, score_of
from samloop.protocols import Model, Score, suite

ORDERS: Final = range(1, 7)
BETA: Final = 2.0


@suite("parity", answers=True)
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Agreement with the last answer of each item, which is the teacher's.

    Of a long answer of the teacher the beginning counts, as far as the model's own may reach: otherwise its length
    would be what is measured.

    Returns:
        ``parity_chrf`` (0 to 1, higher is better) and ``parity_bits_per_byte`` (lower is better).
    """
    said = answer_texts(model, [question_of(item) for item in items], max_new_tokens=ANSWER_TOKENS)
    wanted = [str(item["messages"][-1]["content"]) for item in items]
    shown = [model.tokenizer.decode(model.tokenizer.encode(text)[:ANSWER_TOKENS]).strip() for text in wanted]
    _, bits = perplexity.grade(model, items)
    points = [chrf(mine, theirs) for mine, theirs in zip(said, shown, strict=True)]
    agreement = score_of("parity", "parity_chrf", items, points, said=tuple(said))
    return [agreement, replace(bits, suite="parity", name="parity_bits_per_byte", said=tuple(said))]


def chrf(text: str, reference: str) -> float:
    """chrF2 of `text`, 0 to 1: precision and recall are averaged over the orders that both texts are long enough for.

    Blanks do not count, as in the original, and orders are chosen as in sacrebleu. Two empty texts agree.
    """
    mine, theirs = "".join(text.split()), "".join(reference.split())
    if not mine or not theirs:
        return float(mine == theirs)
    precision, recall, orders = 0.0, 0.0, 0
    for n in ORDERS:
        one, other = _ngrams(mine, n), _ngrams(theirs, n)
        if not one or not other:
            break
        common = (one & other).total()
        precision += common / one.total()
        recall += common / other.total()
        orders += 1
    precision, recall = precision / orders, recall / orders
    if not precision + recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[at : at + n] for at in range(len(text) - n + 1))
