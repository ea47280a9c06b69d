"""The suite `perplexity`: how well a model expects the held-out answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from samloop.evaluate.items import answer_nats, group_of
from samloop.protocols import Model, Score, suite
from samloop.text.template import encode_chat


@suite("perplexity")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Perplexity per token and bits per byte of the assistant turns of each item's "messages".

    Both are made of the same nats: those of the answer tokens and the token that ends the turn; what the user said
    counts nowhere. Bits per byte divides by the UTF-8 bytes of the answers, so that models with different
    tokenizers compare.

    Args:
        items: dataset lines, ``{"id", "messages", "metadata": {"group_key"}}``.

    Returns:
        the scores ``perplexity`` (per token) and ``bits_per_byte``; lower is better.

    Raises:
        InputError: an item has no assistant turn.
    """
    encoded = [encode_chat(model.tokenizer, item["messages"]) for item in items]
    nats = answer_nats(model, encoded)
    tokens = [float(one.trainable[1:].sum()) for one in encoded]
    shared: dict[str, Any] = {
        "suite": "perplexity",
        "better": "lower",
        "ids": tuple(str(item["id"]) for item in items),
        "groups": tuple(group_of(item) for item in items),
    }
    return [
        Score(
            name="perplexity",
            unit="per token",
            numerators=tuple(nats),
            denominators=tuple(tokens),
            exponential=True,
            **shared,
        ),
        Score(
            name="bits_per_byte",
            unit="bits per byte",
            numerators=tuple(value / math.log(2) for value in nats),
            denominators=tuple(float(_answer_bytes(item)) for item in items),
            **shared,
        ),
    ]


def _answer_bytes(item: Mapping[str, Any]) -> int:
    learnt = [turn for turn in item["messages"] if turn["role"] == "assistant" and turn.get("train", True)]
    return sum(len(turn["content"].encode()) for turn in learnt)
