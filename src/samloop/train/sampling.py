"""What answering has in common on every backend: drawing the next token, and scoring sequences of any lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from samloop.train.batches import by_length

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


def score(
    sequences: Sequence[Sequence[int]],
    wanted: Sequence[np.ndarray] | None,
    scorer: Scorer,
    *,
    pad_id: int,
    max_tokens: int,
) -> list[np.ndarray]:
    """Log-probabilities, in nats, of tokens given those before them; see `protocols.BatchedModel.logprobs_of`.

    Sequences of similar length share a batch, padded on the right.

    Args:
        wanted: the tokens that count; None: all but the first.
        scorer: (ids [batch, tokens], rows, positions) to float32 log-probabilities of ids[row, position + 1].
        max_tokens: of one batch, padding included.
    """
    lengths = [len(sequence) for sequence in sequences]
    counted = [np.arange(max(0, length - 1)) for length in lengths]
    if wanted is not None:
        counted = [np.flatnonzero(chosen[1:]) for chosen in wanted]
    results = [np.zeros(len(positions), dtype=np.float32) for positions in counted]
    for indices in by_length(lengths, max_tokens=max_tokens):
        counts = [len(counted[i]) for i in indices]
        if not any(counts):
            continue
        ids = np.full((len(indices), max(lengths[i] for i in indices)), pad_id, dtype=np.int32)
        for row, index in enumerate(indices):
            ids[row, : lengths[index]] = sequences[index]
        rows = np.repeat(np.arange(len(indices)), counts)
        positions = np.concatenate([counted[i] for i in indices])
        values = scorer(ids, rows, positions)
        for index, part in zip(indices, np.split(values, np.cumsum(counts)[:-1]), strict=True):
            results[index] = part.astype(np.float32, copy=False)
    return results
