"""MinHash sketches of sets of shingles, folded into band keys: two texts that share a key are worth comparing.

Broder, On the resemblance and containment of documents (1997), for MinHash; Leskovec, Rajaraman, Ullman, Mining of
Massive Datasets, chapter 3, for bands. With 21 bands of 6 rows a pair with a Jaccard index of 0.8 shares a key with
probability 1 − (1 − 0.8⁶)²¹ = 0.998, one of 0.6 with 0.63, one of 0.3 with 0.02.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.shingles import Sets

BANDS: Final = 21
ROWS: Final = 6

NOTHING: Final = np.uint64(2**64 - 1)
"""The key of a text that has no shingles: it resembles nothing."""

_PERMUTATIONS: Final = BANDS * ROWS
# h ↦ a·h + b modulo 2³² with odd a permutes the 32-bit numbers; h itself is a mixed hash. Fixed for good, since
# sketches are kept: drawn once with PCG64 and seed 21.
_DRAWN = np.random.Generator(np.random.PCG64(21)).integers(0, 2**32, (2, _PERMUTATIONS), np.uint32)
_FACTORS: Final = _DRAWN[0] | np.uint32(1)
_SHIFTS: Final = _DRAWN[1]
_WEIGHTS: Final = np.random.Generator(np.random.PCG64(6)).integers(0, 2**63, (4, BANDS), np.uint64) * np.uint64(2) + 1

_PAIR_SALT: Final = np.uint64(0x5851F42D4C957F2D)

_AT_ONCE: Final = 2**16
"""Shingles sketched at once: hash, product and minimum stay in the second-level cache."""


def sketch(sets: Sets, threads: int = 1) -> npt.NDArray[np.uint64]:
    """The band keys of each text: uint64, one row per text, one column per band; `NOTHING` for empty sets."""
    lowest = np.full((_PERMUTATIONS, len(sets)), 2**32 - 1, np.uint32)
    filled = np.flatnonzero(sets.sizes)
    bounds = sets.starts[filled]
    hashes = sets.hashes
    portions = _portions(bounds, len(hashes))

    def fill(portion: tuple[int, int]) -> None:
        first, last = portion
        begin = int(bounds[first])
        end = int(bounds[last]) if last < len(bounds) else len(hashes)
        part, starts, texts = hashes[begin:end], bounds[first:last] - begin, filled[first:last]
        product = np.empty_like(part)
        for row in range(_PERMUTATIONS):
            np.multiply(part, _FACTORS[row], out=product)
            np.add(product, _SHIFTS[row], out=product)
            lowest[row, texts] = np.minimum.reduceat(product, starts)

    if threads > 1 and len(portions) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, portions))
    else:
        for portion in portions:
            fill(portion)
    return _keys(lowest, sets.sizes > 0)


def _portions(bounds: npt.NDArray[np.int64], total: int) -> list[tuple[int, int]]:
    """Ranges of texts with about `_AT_ONCE` shingles each; a larger text is one alone."""
    found, first = [], 0
    while first < len(bounds):
        last = int(np.searchsorted(bounds, bounds[first] + min(_AT_ONCE, total), side="right"))
        last = max(min(last - 1 if last < len(bounds) else last, len(bounds)), first + 1)
        found.append((first, last))
        first = last
    return found


def _keys(lowest: npt.NDArray[np.uint32], filled: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Six minima of each band as one 64-bit hash that also depends on the band."""
    keys = np.empty((len(filled), BANDS), np.uint64)
    for band in range(BANDS):
        six = lowest[band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        key = np.full(len(filled), _WEIGHTS[3, band])
        for at in range(0, ROWS, 2):
            key += (six[at] << np.uint64(32) | six[at + 1]) * _WEIGHTS[at // 2, band]
            key ^= key >> np.uint64(29)
        key *= _WEIGHTS[0, band]
        key ^= key >> np.uint64(32)
        keys[:, band] = key
    keys[keys == NOTHING] -= np.uint64(1)
    keys[~filled] = NOTHING
    return keys


def example_keys(wholes: Sets, prompts: Sets, pairs: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Band keys of wholes, then of prompts: one row per example. Keys of prompts are odd, those of wholes even.

    Args:
        pairs: which examples are preference pairs: their wholes share keys with those of preference pairs only.
    """
    keys = np.concatenate((sketch(wholes), sketch(prompts)), axis=1)
    empty = keys == NOTHING
    keys[:, :BANDS] ^= np.where(pairs, _PAIR_SALT, np.uint64(0))[:, None]
    keys[:, :BANDS] &= ~np.uint64(1)
    keys[:, BANDS:] |= np.uint64(1)
    keys[keys == NOTHING] -= np.uint64(2)
    keys[empty] = NOTHING
    return keys


def components(count: int, first: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Union-find on arrays: per text the smallest one it is linked to, directly or through others; `count` texts."""
    labels = np.arange(count)
    while True:
        lower = np.minimum(labels[first], labels[other])
        before = labels.copy()
        np.minimum.at(labels, labels[first], lower)
        np.minimum.at(labels, labels[other], lower)
        labels = labels[labels]
        if (labels == before).all():
            return labels


def stars(
    groups: npt.NDArray[np.int64], rank: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs (best, member) of each group: the member of the smallest rank beside each of the others.

    Args:
        groups: the group of each text, as `components` gives it.
        rank: int64 per text.
    """
    if not len(groups):
        return groups, groups
    order = np.lexsort((rank, groups))
    heads = np.concatenate(([True], groups[order][1:] != groups[order][:-1]))
    leaders = order[np.maximum.accumulate(np.where(heads, np.arange(len(order)), 0))]
    return leaders[~heads], order[~heads]
