"""What suites share: the nats of answers, and which items belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from samloop.protocols import Model, Score, logprobs_of
from samloop.text.template import Encoded, encode_chat


def answer_nats(model: Model, encoded: Sequence[Encoded]) -> list[float]:
    """For each conversation the negative log-probability, in nats, of its answer tokens, end of turn included.

    All go to the model in one call; a backend batches them by length.
    """
    found = logprobs_of(model, [one.ids.tolist() for one in encoded], [one.trainable for one in encoded])
    return [-float(np.asarray(logprobs, dtype=np.float64).sum()) for logprobs in found]


def question_of(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages of an item without the answer at their end."""
    messages = list(item["messages"])
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages


def label_nats(
    model: Model, asked: Sequence[tuple[Sequence[Mapping[str, Any]], Sequence[str]]]
) -> list[dict[str, float]]:
    """For each question with its labels, the `answer_nats` of each label as the whole answer; all in one call."""
    encoded = [
        encode_chat(model.tokenizer, [*messages, {"role": "assistant", "content": label}])
        for messages, labels in asked
        for label in labels
    ]
    nats = iter(answer_nats(model, encoded)) if encoded else iter(())
    return [{label: next(nats) for label in labels} for _, labels in asked]


def group_of(item: Mapping[str, Any]) -> str:
    """What an item is not independent of: its conversation, document or wording; else the item alone."""
    metadata = item.get("metadata") or {}
    return str(item.get("wording") or metadata.get("group_key") or item.get("group_key") or item["id"])


def score_of(
    suite: str,
    name: str,
    items: Sequence[Mapping[str, Any]],
    numerators: Iterable[float],
    denominators: Iterable[float] | None = None,
    **more: Any,
) -> Score:
    """One measure of a suite on `items`, each with its id and group.

    Args:
        numerators: one per item.
        denominators: one per item; None: ones, for a plain mean.
        more: further fields of the score; without them a share of which more is better.
    """
    return Score(
        suite=suite,
        name=name,
        ids=tuple(str(item["id"]) for item in items),
        numerators=tuple(numerators),
        denominators=(1.0,) * len(items) if denominators is None else tuple(denominators),
        groups=tuple(group_of(item) for item in items),
        **{"unit": "share", "better": "higher", **more},
    )
