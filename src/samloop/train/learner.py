"""What the driver needs of a backend: gradients, updates, losses and a state that can be kept. Nothing else.

A backend knows no files, schedules, epochs or metrics; the driver knows no tensors. Arrays cross as numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from samloop.protocols import AdapterRef, Model

if TYPE_CHECKING:
    import numpy as np

    from samloop.train.adapter import Adapter
    from samloop.train.base import Base
    from samloop.train.batches import Batch
    from samloop.train.job import TrainJob
    from samloop.train.pairs import PairBatch


class Learner(Protocol):
    """A base model with one trainable adapter and its optimiser."""

    def accumulate(self, batch: Batch, denominator: float) -> float:
        """Add the gradient of Σ weight · nats / `denominator` over the batch; returns Σ weight · nats."""

    def prefer(self, pairs: PairBatch, denominator: float, beta: float) -> np.ndarray:
        """Add the gradient of Σ weight · loss / `denominator` over the pairs, the loss as in `preference`.

        Without dropout: what tells two answers apart is small beside its noise, and the reference has none.

        Returns:
            float64 [2 · pairs]: what `log_probabilities` gives.
        """

    def log_probabilities(self, batch: Batch, *, bare: bool = False) -> np.ndarray:
        """float64: log-probability in nats of the tokens that count, summed over each example of the batch, in order.

        Each example has at least one. Without dropout and without gradient; with `bare`, of the base without its
        adapter, which shares its weights.
        """

    def begin(self, adapter: Adapter) -> None:
        """Go on from `adapter` with an optimiser that remembers nothing; the random state stays."""

    def update(self, learning_rate: float) -> float:
        """Clip the gathered gradient, take one AdamW step, forget the gradient; returns its norm before clipping.

        Where several workers train together, the gradient is first summed over them.

        When the norm is not finite, weights and optimiser stay as they were.
        """

    def loss(self, batch: Batch) -> float:
        """Σ weight · nats over the batch, without dropout and without gradient."""

    def adapter(self) -> Adapter:
        """A copy of the adapter as it is now."""

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that the next step depends on besides the adapter: optimiser moments, random state."""

    def restore(self, adapter: Adapter, state: Mapping[str, np.ndarray]) -> None:
        """Go on exactly where `adapter` and `state` were taken."""


class Backend(Protocol):
    """Loads base models for training and for answering."""

    def learner(self, base: Base, job: TrainJob) -> Learner:
        """The base with a fresh adapter, drawn from the job's seed alone."""

    def load(self, base: Path, adapters: Sequence[AdapterRef] = (), *, quantise: str = "none") -> Model:
        """The base with adapters to switch between; the bare base answers until `use` names one.

        Args:
            quantise: how the base's weights are held: ``none``, or the backend's form of four bits; that of the
                adapters, which is kept with each.
        """
