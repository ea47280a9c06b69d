"""A whole near-duplicate pass over texts in memory: cut, sketch, compare, keep the best of each group."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from samloop.curate.near.compare import Compared
from samloop.curate.near.groups import KEPT, Compare, Groups
from samloop.curate.near.shingles import WHOLE, Marked, shingle_all
from samloop.curate.near.sketch import NOTHING, sketch
from samloop.curate.near.templates import TEMPLATE_TEXTS, Frequencies, slots_for


def near_duplicates(
    texts: Sequence[str],
    rank: npt.NDArray[np.int64] | None = None,
    *,
    template_texts: int = TEMPLATE_TEXTS,
    threads: int = 0,
) -> npt.NDArray[np.int64]:
    """Find near-duplicates among `texts`.

    Args:
        rank: int64 per text; of a group the text with the smallest rank stays. Default: the first.
        template_texts: shingles in more texts than this belong to a template.
        threads: 0: as many as there are processors.

    Returns:
        int64 per text: the text it is a near-duplicate of and by which it is replaced; `KEPT` for those that stay. A
        text is only ever replaced by one that stays.
    """
    threads = threads or os.cpu_count() or 1
    marked = shingle_all(texts, [""] * len(texts), threads)
    marked = Marked(marked.sets, marked.marks & WHOLE)
    wholes = marked.part(WHOLE)
    frequencies = Frequencies(np.zeros(slots_for(len(wholes.hashes)), np.uint8), template_texts)
    frequencies.add(wholes)
    keys = sketch(frequencies.stripped(wholes), threads)
    compared = Compared.of(marked, frequencies.common(marked.sets), np.zeros(len(texts), np.uint8))
    return resolve(keys, np.arange(len(texts)) if rank is None else rank, compared.compare)


def resolve(keys: npt.NDArray[np.uint64], rank: npt.NDArray[np.int64], compare: Compare) -> npt.NDArray[np.int64]:
    """Which text replaces which, as `near_duplicates` says it.

    Args:
        keys: band keys of whole texts, one row per text.
        compare: says which pairs are near-duplicates.
    """
    best = np.full(len(rank), KEPT, np.int64)
    groups = Groups(rank, compare)
    owners = np.repeat(np.arange(len(keys)), keys.shape[1])
    filled = keys.ravel() != NOTHING
    groups.look_through(keys.ravel()[filled] & ~np.uint64(1), owners[filled])
    found = groups.settled()
    best[found.gone] = found.kept
    return best
