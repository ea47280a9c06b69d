"""Which judged examples stay: of those that are the same, the first in input order, however many there are.

Memory is bounded: hashes are spilled by their own value into partitions of some two million, and each partition is
looked through alone. What is held for every example is one bit of an answer (a byte while the run lasts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from samloop.loop.bulk.unit import ROWS, ROWS_FILE, rows_of

PARTITION_ROWS: Final = 2**21
"""Rows looked through at once; each takes about 60 bytes meanwhile."""

SPILL_ROWS: Final = 2**18

_SPILLED: Final = np.dtype([("high", "<u8"), ("low", "<u8"), ("at", "<u8")])


def first_of_each(units: Sequence[Path], spill: Path, partition_rows: int = PARTITION_ROWS) -> np.ndarray:
    """A boolean per row of all units: whether no earlier row has the same content.

    Args:
        units: the units' folders, in input order.
        spill: an empty folder for what memory does not hold.
    """
    stays = np.ones(int(begins_of(units)[-1]), dtype=bool)
    _drop_repeats(units, stays, spill, partition_rows)
    return stays


def begins_of(units: Sequence[Path]) -> np.ndarray:
    """The number of each unit's first row among all, and of all rows; int64."""
    counts = [(folder / ROWS_FILE).stat().st_size // ROWS.itemsize for folder in units]
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _drop_repeats(units: Sequence[Path], stays: np.ndarray, spill: Path, partition_rows: int) -> None:
    """Set `stays` to False where an earlier row has the same content hash."""
    partitions = 1 + len(stays) // partition_rows
    paths = [spill / f"hashes-{i:05}" for i in range(partitions)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for rows in _spilled(units):
            # The upper half decides: the lower one is what samples are drawn by.
            owner = (rows["high"] % np.uint64(partitions)).astype(np.int64)
            for i in np.unique(owner).tolist():
                files[i].write(rows[owner == i].tobytes())
    for path in paths:
        rows = np.fromfile(path, dtype=_SPILLED)
        order = np.lexsort((rows["low"], rows["high"]))  # stable: equal hashes stay in input order
        high, low, at = (rows[name][order] for name in ("high", "low", "at"))
        again = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        stays[at[1:][again]] = False
        path.unlink()


def _spilled(units: Sequence[Path]) -> Iterator[np.ndarray]:
    begin = 0
    for folder in units:
        rows = rows_of(folder)
        for start in range(0, len(rows), SPILL_ROWS):
            some = rows[start : start + SPILL_ROWS]
            out = np.empty(len(some), dtype=_SPILLED)
            out["high"], out["low"] = some["high"], some["low"]
            out["at"] = np.arange(begin + start, begin + start + len(some))
            yield out
        begin += len(rows)
