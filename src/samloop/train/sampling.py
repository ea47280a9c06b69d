"""What answering has in common on every backend: drawing the next token, and scoring sequences of any lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from samloop.train.batches import by_length

LOGITS_BYTES: Final = 128 * 2**20
"""Room for float32 logits at a time when scoring; what is more is scored in turns."""

Scorer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Sampler:
    """Draws tokens; equal seeds and logits give equal tokens on every backend.

    Args:
        temperature: 0 takes the likeliest token; 1 draws from the model's own distribution.
    """

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._generator = np.random.default_rng(seed)

    def __call__(self, logits: np.ndarray) -> int:
        """One token id from float32 logits [vocabulary]."""
        if self._temperature <= 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self._temperature
        total = np.cumsum(np.exp(scaled - scaled.max()))
        return int(np.searchsorted(total, self._generator.random() * total[-1], side="right"))


def score(sequences: Sequence[Sequence[int]], pad_id: int, vocabulary: int, scorer: Scorer) -> list[np.ndarray]:
    """Log-probabilities, in nats, of each token given those before it; see `protocols.Model.logprobs`.

    Sequences of similar length share a batch, padded on the right.

    Args:
        scorer: (ids [batch, tokens], rows, positions) to float32 log-probabilities of ids[row, position + 1].
    """
    results = [np.zeros(max(0, len(sequence) - 1), dtype=np.float32) for sequence in sequences]
    limit = max(1, LOGITS_BYTES // (4 * vocabulary))
    for indices in by_length([len(sequence) for sequence in sequences], max_tokens=limit):
        counts = [len(results[i]) for i in indices]
        if not any(counts):
            continue
        ids = np.full((len(indices), max(counts) + 1), pad_id, dtype=np.int32)
        for row, index in enumerate(indices):
            ids[row, : len(sequences[index])] = sequences[index]
        rows = np.repeat(np.arange(len(indices)), counts)
        positions = np.concatenate([np.arange(count) for count in counts])
        values = scorer(ids, rows, positions)
        for index, part in zip(indices, np.split(values, np.cumsum(counts)[:-1]), strict=True):
            results[index] = part.astype(np.float32, copy=False)
    return results
