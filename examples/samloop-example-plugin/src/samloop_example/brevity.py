"""A suite: how many tokens a model needs to say what it has to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samloop.protocols import Model, Score, suite
from samloop.text.template import encode_prompt

MAX_NEW_TOKENS = 64


@suite("brevity")
def grade(model: Model, items: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Mean length of the answer, in tokens; an item's last assistant message, if any, is not shown to the model."""
    lengths = []
    for item in items:
        turns = [message for message in item["messages"] if message["role"] != "assistant"]
        prompt = encode_prompt(model.tokenizer, turns)
        lengths.append(float(sum(1 for _ in model.generate(prompt, max_new_tokens=MAX_NEW_TOKENS))))
    return [
        Score(
            suite="brevity",
            name="answer_length",
            unit="tokens",
            better="lower",
            ids=tuple(str(item["id"]) for item in items),
            numerators=tuple(lengths),
            denominators=(1.0,) * len(lengths),
        )
    ]
