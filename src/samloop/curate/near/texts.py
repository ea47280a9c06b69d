"""A whole near-duplicate pass over texts in memory: cut, sketch, link, confirm, keep the best of each group."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.compare import Pairs, confirm
from samloop.curate.near.shingles import Sets, blocks, join, shingle
from samloop.curate.near.sketch import candidates, components, sketch, stars
from samloop.curate.near.templates import TEMPLATE_TEXTS, Frequencies, slots_for

MAX_ROUNDS: Final = 64
"""Rounds in which what did not match its group's best is grouped anew; what is left then is kept."""

KEPT: Final = -1


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass found.

    Attributes:
        best: int64 per text: the text it is a near-duplicate of and by which it is replaced; `KEPT` for those that
            stay. A text is only ever replaced by one that stays.
        cluster: int64 per text: the smallest text it is linked to by confirmed pairs; its own number where there is
            none.
    """

    best: npt.NDArray[np.int64]
    cluster: npt.NDArray[np.int64]


def shingle_all(texts: Sequence[str], threads: int = 0) -> Sets:
    """The sets of any number of texts; about as many bytes as the texts have characters, twice over."""
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return join(list(pool.map(shingle, blocks(texts))))


def near_duplicates(
    texts: Sequence[str],
    rank: npt.NDArray[np.int64] | None = None,
    *,
    template_texts: int = TEMPLATE_TEXTS,
    threads: int = 0,
) -> Found:
    """Find near-duplicates among `texts`.

    Args:
        rank: int64 per text; of a group the text with the smallest rank stays. Default: the first.
        template_texts: shingles in more texts than this belong to a template.
        threads: 0: as many as there are processors.
    """
    sets = shingle_all(texts, threads)
    frequencies = Frequencies(np.zeros(slots_for(len(sets.hashes)), np.uint8), template_texts)
    frequencies.add(sets)
    keys = sketch(frequencies.stripped(sets), threads or os.cpu_count() or 1)
    return resolve(sets, frequencies.common(sets), keys, np.arange(len(texts)) if rank is None else rank)


def resolve(
    sets: Sets,
    common: npt.NDArray[np.bool_],
    keys: npt.NDArray[np.uint64],
    rank: npt.NDArray[np.int64],
    same: Callable[[Pairs, Pairs], npt.NDArray[np.bool_]] | None = None,
) -> Found:
    """Link texts that share band keys, and replace in each group what is confirmed to be like its best.

    Args:
        same: which of some pairs are near-duplicates; by default what `confirm` says of the sets.

    The rest of a group is grouped anew by its keys, until no two texts that share a key are left together.
    """
    count = len(sets)
    best = np.full(count, KEPT, np.int64)
    first, other = candidates(keys)
    active = np.unique(np.concatenate((first, other)))
    for _ in range(MAX_ROUNDS):
        if not len(active):
            break
        first, other = candidates(keys[active])
        leaders, members = stars(components(len(active), first, other), rank[active])
        mine, theirs = active[members], active[leaders]
        alike = same(theirs, mine) if same else confirm(sets, common, theirs, mine)
        best[mine[alike]] = theirs[alike]
        active = np.sort(mine[~alike])
    gone = np.flatnonzero(best != KEPT)
    return Found(best, components(count, gone, best[gone]))
