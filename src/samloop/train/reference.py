"""What the base alone thinks of the pairs: asked once and kept with the run, so that a resumed one need not ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from samloop.errors import TrainingError
from samloop.files import write_atomic
from samloop.train import batches
from samloop.train.crew import ALONE, Crew
from samloop.train.learner import Learner
from samloop.train.pairs import Pairs

TOLD_SECONDS: Final = 2.0
"""How often progress is told."""

KEPT_SECONDS: Final = 60.0
"""How often what is known so far is written: what a kill costs at most."""


class Reference:
    """The log-probabilities of the pairs of one run, in one file."""

    def __init__(
        self, path: Path, identity: str, crew: Crew = ALONE, on_written: Callable[[Path], None] = lambda _: None
    ) -> None:
        """The one kept at `path`.

        Args:
            identity: names base and settings: what was kept for another one is asked anew.
            crew: the workers that ask, each its share.
            on_written: called with `path` when it was written.
        """
        self._path, self._identity, self._crew, self._on_written = path, identity, crew, on_written

    def of(
        self,
        learner: Learner,
        splits: dict[str, Pairs],
        pad_id: int,
        batch_pairs: int,
        on_metric: Callable[[dict[str, Any]], None],
        should_stop: Callable[[], bool],
    ) -> dict[str, np.ndarray] | None:
        """float64 [pairs, 2] of each split; None where it was stopped, and what is known by then is kept.

        Raises:
            TrainingError: the file cannot be written.
        """
        known = self._read(splits)
        kept = told = time.monotonic()
        work = [
            (name, indices)
            for name, pairs in splits.items()
            for indices in batches.in_order(pairs.lengths, batch_examples=batch_pairs, limit=len(pairs))
            if len(pairs)
        ]
        left = [(name, indices) for name, indices in work if np.isnan(known[name][indices]).any()]
        fresh: dict[str, list[np.ndarray]] = {name: [] for name in splits}
        for start in range(0, len(left), self._crew.size):
            for name, indices in self._crew.share(left[start : start + self._crew.size]):
                batch = splits[name].documents(indices, pad_id)
                known[name][indices] = learner.log_probabilities(batch, bare=True).reshape(-1, 2)
                fresh[name].append(indices)
            done, now = min(start + self._crew.size, len(left)), time.monotonic()
            if now - told >= TOLD_SECONDS:
                told = now
                on_metric({"event": "reference", "done": len(work) - len(left) + done, "total": len(work)})
            stopped = self._crew.word(should_stop())
            if stopped or self._crew.word(now - kept >= KEPT_SECONDS) or done == len(left):
                kept = now
                self._join(known, fresh)
                self._write(known, splits)
            if stopped:
                return None
        return known

    def _join(self, known: dict[str, np.ndarray], fresh: dict[str, list[np.ndarray]]) -> None:
        """Put what all workers found since the last time into `known`."""
        for name, values in known.items():
            found = np.zeros((len(values), 3))
            for indices in fresh[name]:
                found[indices, :2], found[indices, 2] = values[indices], 1.0
            found = self._crew.sums(found)
            asked = found[:, 2] > 0
            values[asked] = found[asked, :2]
            fresh[name].clear()

    def _name(self, split: str, pairs: Pairs) -> str:
        return f"{split}/{pairs.digest()}/{self._identity}"

    def _read(self, splits: dict[str, Pairs]) -> dict[str, np.ndarray]:
        """What is known; NaN where nothing is."""
        try:
            arrays = load_arrays(self._path.read_bytes())
        except FileNotFoundError:
            arrays = {}
        except Exception:  # the safetensors library raises its own kinds; a broken file only costs asking again
            arrays = {}
        empty = {name: np.full((len(pairs), 2), np.nan) for name, pairs in splits.items()}
        return {name: arrays.get(self._name(name, pairs), empty[name]).copy() for name, pairs in splits.items()}

    def _write(self, known: dict[str, np.ndarray], splits: dict[str, Pairs]) -> None:
        if not self._crew.leads:
            return
        arrays = {self._name(name, pairs): np.ascontiguousarray(known[name]) for name, pairs in splits.items()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, save_arrays(arrays))
            self._on_written(self._path)
        except OSError as error:
            raise TrainingError(
                f"what the base thinks of the pairs cannot be written to {self._path} ({error.strerror}); make room "
                "and start the run again"
            ) from error
