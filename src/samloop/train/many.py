"""Answering many prompts at once: the likeliest token of each row, rows that have ended left out.

Prompts of similar length share a batch, padded on the left so that all of them end, and go on, at the same place.
A batch loses its finished rows whenever they are half of it: what is left pays for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np

from samloop.train.batches import by_length


class Rows(Protocol):
    """Prompts under way on a backend, with what it remembers of them."""

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """int64 [rows], the likeliest next token of each row after it has read int64 `tokens` [rows, n]."""

    def keep(self, rows: np.ndarray) -> None:
        """Forget all rows but these, int64 and ascending."""


def answer_many(
    prompts: Sequence[Sequence[int]],
    begin: Callable[[np.ndarray], Rows],
    *,
    max_new_tokens: int,
    max_tokens: int,
    pad_id: int,
    end_ids: Collection[int],
) -> list[list[int]]:
    """The likeliest answer to each prompt; see `protocols.BatchedModel.generate_many`.

    Args:
        begin: gives fresh `Rows` for int64 [rows], how many tokens of padding stand before each prompt.
        max_tokens: room of one batch, the longest answers included.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    if max_new_tokens < 1:
        return answers
    room = [len(prompt) + max_new_tokens for prompt in prompts]
    for batch in by_length(room, max_tokens=max_tokens):
        lengths = np.array([len(prompts[index]) for index in batch])
        feed = np.full((len(batch), int(lengths.max())), pad_id, dtype=np.int64)
        for row, index in enumerate(batch):
            feed[row, feed.shape[1] - lengths[row] :] = prompts[index]
        rows = begin(feed.shape[1] - lengths)
        asked, open_ = np.array(batch), np.ones(len(batch), dtype=bool)
        for at in range(max_new_tokens):
            tokens = rows.step(feed)
            open_ &= ~np.isin(tokens, list(end_ids))
            for index, token in zip(asked[open_], tokens[open_], strict=True):
                answers[index].append(int(token))
            if not open_.any() or at == max_new_tokens - 1:
                break
            if open_.sum() <= len(open_) // 2:
                kept = np.flatnonzero(open_)
                rows.keep(kept)
                asked, tokens, open_ = asked[kept], tokens[kept], open_[kept]
            feed = tokens[:, None]
    return answers
