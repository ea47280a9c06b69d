"""The workers of one run. They walk through the same loop with the same plan, and share out the batches of each step.

What they decide by (losses, validations, whether to stop) is summed over all of them first, so that all decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Crew:
    """One worker alone; `torch_crew` has the one of many.

    Attributes:
        rank: this worker's number. The first one, 0, writes the run's files and tells its figures.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the worker that writes and tells."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Those of the items that are this worker's; each is exactly one worker's, and some may have none."""
        return items[self.rank :: self.size]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """float64 sums over the workers of an array that each has in the same shape: to all the very same figures."""
        return values

    def sum(self, value: float) -> float:
        """`sums` of one number."""
        return float(self.sums(np.array([value], dtype=np.float64))[0])

    def word(self, said: bool) -> bool:
        """What the first worker said; all ask at the same point of the loop."""
        return self.sum(float(said and self.leads)) > 0


ALONE = Crew()
