"""Which shingles belong to a template: those in more texts than near-duplicates would explain.

"Is this a piece of news regarding world politics, sports …?" stands in two hundred examples that have nothing else in
common. Its shingles are counted, and where they are in more than `TEMPLATE_TEXTS` texts they are left out of sketches
and must not carry a comparison.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.shingles import Hashes, Sets

TEMPLATE_TEXTS: Final = 80
"""A shingle in more texts than this is a template's. See benchmarks/curation/near_quality.py for the sweep."""

MAX_SLOTS: Final = 2**27
"""Counters at most: 128 MiB. A billion different shingles then add about seven to each."""


_AT_ONCE: Final = 2**19
"""Shingles sorted at once: two megabytes of them, so that their counters lie close to one another."""


def slots_for(shingles: int) -> int:
    """A power of two of counters for about so many shingles: as many, so that chance adds one or two to a count."""
    return min(1 << max(shingles - 1, 2**12).bit_length(), MAX_SLOTS)


class Frequencies:
    """In how many texts each shingle occurs, up to 255, in a table of counters that shingles share by hash.

    A count is never too low; two shingles in one counter make it too high, which only strips one more of them.

    Args:
        table: a power of two of counters.
        above: shingles in more texts than this belong to a template.
    """

    def __init__(self, table: npt.NDArray[np.uint8], above: int = TEMPLATE_TEXTS) -> None:
        self.table = table
        self.above = above
        self._mask = np.uint32(len(table) - 1)

    def add(self, sets: Sets) -> None:
        """Count the texts of `sets`."""
        self.count(sets.hashes)

    def count(self, hashes: Hashes) -> None:
        """Count the shingles of some texts, each text's once."""
        for start in range(0, len(hashes), _AT_ONCE):
            slots = hashes[start : start + _AT_ONCE] & self._mask
            slots.sort()  # then counters are met in order; `bincount` misses the cache at nearly each
            heads = np.flatnonzero(np.concatenate(([True], slots[1:] != slots[:-1])))
            counts, at = np.diff(np.append(heads, len(slots))), slots[heads]
            self.table[at] = np.minimum(self.table[at] + counts, 255).astype(np.uint8)

    def common(self, sets: Sets) -> npt.NDArray[np.bool_]:
        """Whether each shingle of `sets` belongs to a template."""
        above: npt.NDArray[np.bool_] = self.table[sets.hashes & self._mask] > self.above
        return above

    def stripped(self, sets: Sets) -> Sets:
        """`sets` without templates; a text that is nothing but template keeps all it has."""
        keep = ~self.common(sets)
        bare = sets.counted(keep) == 0
        return sets.only(keep | np.repeat(bare, sets.sizes)) if bare.any() or not keep.all() else sets
