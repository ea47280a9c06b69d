"""Preference pairs as numpy batches: both answers to one question, and what the base alone thinks of them.

Only the last answer of either side counts; the turns before are shared, and no side learns them here. A pair lies as
two documents in `Examples`, the chosen side of pair i at 2 i and the rejected one at 2 i + 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xxhash

from samloop.errors import InputError
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer
from samloop.train.batches import EMPTY, Batch, Examples, Line, joined


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Some pairs.

    Attributes:
        batch: their sides: chosen, rejected, chosen, rejected, …
        weights: float64 [pairs], how much each pair counts.
        reference: float64 [pairs, 2], log-probability in nats of chosen and rejected answer by the base alone.
    """

    batch: Batch
    weights: np.ndarray
    reference: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def total_weight(self) -> float:
        """Σ weights."""
        return float(self.weights.sum())

    def parts(self, max_tokens: int) -> Iterator[PairBatch]:
        """These pairs in stretches, none with more than `max_tokens` tokens unless it is one pair."""
        for start, end in self.batch.stretches(max_tokens, together=2):
            pairs = slice(start // 2, end // 2)
            yield PairBatch(self.batch.rows(start, end), self.weights[pairs], self.reference[pairs])


@dataclass(frozen=True, slots=True)
class Pairs:
    """The encoded pairs of one split.

    Attributes:
        sides: two documents per pair; the weight of each token of the last answer is one.
        weights: float64 [pairs].
        too_long, untrainable: pairs left out because a side exceeds the sequence bound, or has no answer of its own.
    """

    sides: Examples
    weights: np.ndarray
    too_long: int = 0
    untrainable: int = 0

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the longer side of each pair, int64."""
        longest: np.ndarray = self.sides.lengths.reshape(-1, 2).max(axis=1)
        return longest

    def digest(self) -> str:
        """128-bit xxh3 of all that training sees of these pairs."""
        return xxhash.xxh3_128_hexdigest(self.sides.digest().encode() + self.weights.tobytes())

    def batch(self, indices: Sequence[int] | np.ndarray, pad_id: int, reference: np.ndarray) -> PairBatch:
        """The pairs at `indices`; `reference` is that of all pairs, float64 [pairs, 2]."""
        at = np.asarray(indices, dtype=np.int64)
        return PairBatch(self.documents(at, pad_id), self.weights[at], reference[at])

    def documents(self, indices: np.ndarray, pad_id: int) -> Batch:
        """The sides of the pairs at `indices` as one batch."""
        return self.sides.batch(np.stack([2 * indices, 2 * indices + 1], axis=1).ravel(), pad_id)


NO_PAIRS: Final = Pairs(EMPTY, np.zeros(0))
"""A split without pairs."""


class PairReader:
    """Encodes lines with a rejected answer, one after the other."""

    def __init__(self, tokenizer: Tokenizer, max_seq_tokens: int, *, weighted: bool = True) -> None:
        self._tokenizer, self._max, self._weighted = tokenizer, max_seq_tokens, weighted
        self._ids: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._weights: list[float] = []
        self._too_long = self._untrainable = 0

    def add(self, line: Line) -> None:
        """Take `line` up; one without a rejected answer is none."""
        if line.rejected is None:
            return
        texts = (line.messages[-1]["content"], line.rejected)
        try:
            sides = [self._encode(line.messages[:-1], text) for text in texts]
        except InputError:
            sides = []
        if not sides or texts[0] == texts[1] or (self._weighted and line.weight == 0):
            self._untrainable += 1
        elif max(len(ids) for ids, _ in sides) > self._max:
            self._too_long += 1
        else:
            self._ids += [ids for ids, _ in sides]
            self._counts += [counts for _, counts in sides]
            self._weights.append(line.weight if self._weighted else 1.0)

    def done(self) -> Pairs:
        """All that were taken up."""
        if not self._weights:
            return Pairs(EMPTY, np.zeros(0), self._too_long, self._untrainable)
        sides = joined(self._ids, self._counts, 0, 0)
        return Pairs(sides, np.asarray(self._weights), self._too_long, self._untrainable)

    def _encode(self, before: list[Any], answer: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids of a side, and weights that are one on the last answer alone."""
        shared = [{**message, "train": False} for message in before]
        encoded = encode_chat(self._tokenizer, [*shared, {"role": "assistant", "content": answer}])
        return encoded.ids, encoded.trainable.astype(np.float32)
