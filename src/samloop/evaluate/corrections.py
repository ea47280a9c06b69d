"""The suite `corrections`: does a model prefer, and say, what people corrected or preferred?

Each item asks a question and knows a right and a wrong answer to it.

**Margin.** The mean log-probability per token of the right answer minus that of the wrong one, in nats, each with the
token that ends the turn. Per token, because the two differ in length and a sum would prefer the short one; so does
the reward of SimPO (Meng, Xia and Chen, SimPO: Simple Preference Optimization with a Reference-Free Reward, NeurIPS
2024, equation 4, without its factor). The right answer is preferred where the margin is above 0.

**Produced.** The model answers by itself, greedily. What it says is compared with both answers by the F1 of their
tokens, as SQuAD scores answers (Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP
2016, section 6.1): it is the right answer where its F1 with that one is at least `SAME_F1`, and above its F1 with the
wrong one. Deviations: signs other than those of sentences count as tokens, because code differs by them, articles
stay, and all three texts are cut to as many tokens as the model may say.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.items import answer_nats, score_of
from samloop.protocols import Model, Score, suite
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer

HELD_OUT: Final = "held out"
TRAINED: Final = "trained wording"
SOURCE: Final = "source"
"""Slices of items: questions that no adapter was trained on; those that were; training examples."""

ANSWER_TOKENS: Final = 64
"""What a model may say. Which of two answers it gives shows in the first sentences."""

SAME_F1: Final = 0.5
"""At least half of the words shared, both ways; below that an answer is neither."""

_TOKEN: Final = re.compile(r"\w+|[^\w\s.,;:!?'\"`]")

Item = Mapping[str, Any]
Measured = list[float]


@suite("corrections")
def grade(model: Model, items: Sequence[Item]) -> list[Score]:
    """Margins and productions over held-out questions, the same over trained wordings, and what was kept.

    Args:
        items: ``{"id", "messages": [… the question], "answer", "wrong", "slice", "group_key"}``, and "kept" where an
            earlier champion had learnt it; in the slice "source" whole conversations instead, without "wrong".

    Returns:
        ``corrections_margin`` (nats per token), ``corrections_preferred`` and ``corrections_produced`` (shares) over
        the slice "held out"; the same three with ``_trained_wordings``; ``corrections_kept``, the share preferred of
        the held-out questions with "kept"; ``corrections_source_loss`` (nats per token) over the slice "source".
        Those without items are left out.
    """
    asked = [item for item in items if item["slice"] != SOURCE]
    margins = _margins(model, asked)
    produced = _produced(model, asked)
    preferred = [_share(margin) for margin in margins]
    scores: list[Score] = []

    def add(name: str, values: Measured, unit: str, chosen: Callable[[Item], bool]) -> None:
        found = [(item, value) for item, value in zip(asked, values, strict=True) if chosen(item)]
        if found:
            scores.append(_score(name, unit, [item for item, _ in found], [value for _, value in found]))

    for slice_name, suffix in ((HELD_OUT, ""), (TRAINED, "_trained_wordings")):
        of_slice = _slice(slice_name)
        add(f"corrections_margin{suffix}", margins, "nats per token", of_slice)
        add(f"corrections_preferred{suffix}", preferred, "share", of_slice)
        add(f"corrections_produced{suffix}", produced, "share", of_slice)
    add("corrections_kept", preferred, "share", lambda item: item["slice"] == HELD_OUT and bool(item.get("kept")))
    return scores + _source_loss(model, [item for item in items if item["slice"] == SOURCE])


def _slice(name: str) -> Callable[[Item], bool]:
    return lambda item: bool(item["slice"] == name)


def _margins(model: Model, items: Sequence[Item]) -> Measured:
    # Earlier answers of a conversation are the same on both sides: only the last one counts.
    heads = [[{**turn, "train": False} for turn in item["messages"]] for item in items]
    encoded = [
        encode_chat(model.tokenizer, [*head, {"role": "assistant", "content": item[side]}])
        for item, head in zip(items, heads, strict=True)
        for side in ("answer", "wrong")
    ]
    lengths = [int(one.trainable[1:].sum()) for one in encoded]
    per_token = [-nats / length for nats, length in zip(answer_nats(model, encoded), lengths, strict=True)]
    return [right - wrong for right, wrong in zip(per_token[::2], per_token[1::2], strict=True)]


def _share(margin: float) -> float:
    """1 where the right answer is the likelier one, a half where both are equal, NaN where that is not known."""
    if not math.isfinite(margin):
        return math.nan
    return 0.5 if margin == 0 else float(margin > 0)


def _produced(model: Model, items: Sequence[Item]) -> Measured:
    said = answer_texts(model, [item["messages"] for item in items], max_new_tokens=ANSWER_TOKENS)
    return [
        float(says(text, item["answer"], item["wrong"], model.tokenizer))
        for text, item in zip(said, items, strict=True)
    ]


def says(text: str, right: str, wrong: str, tokenizer: Tokenizer) -> bool:
    """Whether `text` is the right answer rather than the wrong one."""
    cut = [tokenizer.decode(tokenizer.encode(answer)[:ANSWER_TOKENS]) for answer in (right, wrong)]
    of_right, of_wrong = (token_f1(text, answer) for answer in cut)
    return of_right >= SAME_F1 and of_right > of_wrong


def token_f1(text: str, answer: str) -> float:
    """The harmonic mean of the shares of tokens that two texts have in common, 0..1; 0 where one has none."""
    one, other = (Counter(_TOKEN.findall(each.casefold())) for each in (text, answer))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


def _source_loss(model: Model, items: Sequence[Item]) -> list[Score]:
    if not items:
        return []
    encoded = [encode_chat(model.tokenizer, item["messages"]) for item in items]
    tokens = [float(one.trainable[1:].sum()) for one in encoded]
    nats = answer_nats(model, encoded)
    return [_score("corrections_source_loss", "nats per token", items, nats, tokens, better="lower")]


def _score(
    name: str,
    unit: str,
    items: Sequence[Item],
    numerators: Measured,
    denominators: Measured | None = None,
    **more: Any,
) -> Score:
    return score_of("corrections", name, items, numerators, denominators or None, unit=unit, **more)
