"""The exact comparison that every removal rests on: the Jaccard index of two sets, with and without templates.

MinHash only proposes. A pair is a near-duplicate where

- the whole sets have a Jaccard index of at least `JACCARD`, and
- what is left of both without templates has one of at least `RARE_JACCARD`; where nothing is left of either, the
  whole sets must be equal.

The second condition parts two fillings of one template, however long the template is. It asks for less than the first
since few shingles are left to count in a text full of common phrases.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.shingles import HASH_BITS, Sets

JACCARD: Final = 0.8
"""Lee and others, Deduplicating Training Data Makes Language Models Better (2022), use the same bound for MinHash."""

RARE_JACCARD: Final = 0.6

BRIEF_CHANGES: Final = 6
"""One changed word takes three shingles from one set and adds three to the other. See near_quality.py: with twice as
much, a fiftieth of the examples of strongly templated sets would go."""

PAIRS_AT_ONCE: Final = 2**14
"""Position and hash of a pair's shingles share 64 bits."""

Pairs = npt.NDArray[np.int64]


def confirm(
    sets: Sets, common: npt.NDArray[np.bool_], first: Pairs, other: Pairs, *, jaccard: float = JACCARD
) -> npt.NDArray[np.bool_]:
    """Which of the pairs (first[i], other[i]) are near-duplicates.

    Args:
        sets: the whole sets of all texts.
        common: per hash of `sets`, whether it belongs to a template.
        first, other: texts, int64 arrays of equal length.
    """
    found = np.zeros(len(first), bool)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        both, either, rare_both, rare_either = overlaps(sets, common, first[part], other[part])
        alike = both >= jaccard * either
        found[part] = (
            alike & (either > 0) & np.where(rare_either > 0, rare_both >= RARE_JACCARD * rare_either, both == either)
        )
    return found


def overlaps(
    sets: Sets, common: npt.NDArray[np.bool_], first: Pairs, other: Pairs
) -> tuple[Pairs, Pairs, Pairs, Pairs]:
    """Sizes of intersection and union per pair, of the whole sets and without templates."""
    mine, mine_common = _keyed(sets, common, first)
    theirs, theirs_common = _keyed(sets, common, other)
    at = np.searchsorted(theirs, mine)
    shared = np.zeros(len(mine), bool)
    inside = at < len(theirs)
    shared[inside] = theirs[at[inside]] == mine[inside]
    count = len(first)
    pair = (mine >> np.uint64(HASH_BITS)).astype(np.int64)
    both = np.bincount(pair[shared], minlength=count)
    rare_both = np.bincount(pair[shared & ~mine_common], minlength=count)
    either = sets.sizes[first] + sets.sizes[other] - both
    rare = np.bincount(pair[~mine_common], minlength=count) + np.bincount(
        (theirs[~theirs_common] >> np.uint64(HASH_BITS)).astype(np.int64), minlength=count
    )
    return both, either, rare_both, rare - rare_both


def _keyed(
    sets: Sets, common: npt.NDArray[np.bool_], texts: Pairs
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The shingles of `texts`, each with the text's position above the hash: one sorted array for all pairs."""
    sizes = sets.sizes[texts]
    ends = np.cumsum(sizes)
    pair = np.repeat(np.arange(len(texts)), sizes)
    at = np.arange(int(ends[-1]) if len(ends) else 0) - (ends - sizes)[pair] + sets.starts[texts][pair]
    return (pair.astype(np.uint64) << np.uint64(HASH_BITS)) | sets.hashes[at], common[at]


def confirm_parts(
    wholes: Sets,
    common: npt.NDArray[np.bool_],
    prompts: Sets,
    answers: Sets,
    brief: npt.NDArray[np.bool_],
    first: Pairs,
    other: Pairs,
) -> npt.NDArray[np.bool_]:
    """Which pairs of examples are near-duplicates: as a whole, in what is asked, and in what is answered.

    Two questions about one long passage are alike as a whole; so prompts and answers are compared for themselves too.
    A brief answer ("yes", "Paris") says little about whether the question was the same: then the prompts may differ
    by no more than `BRIEF_CHANGES` shingles, one changed word.

    Args:
        brief: per text, whether its answer is brief.
    """
    same = confirm(wholes, common, first, other)
    at = np.flatnonzero(same)
    first, other = first[at], other[at]
    asked = overlap(prompts, first, other)
    answered = overlap(answers, first, other)
    alike = (asked[0] >= JACCARD * asked[1]) & (answered[0] >= JACCARD * answered[1])
    told_apart = (brief[first] | brief[other]) & (asked[1] - asked[0] > BRIEF_CHANGES)
    same[at] = alike & ~told_apart
    return same


def overlap(sets: Sets, first: Pairs, other: Pairs) -> tuple[Pairs, Pairs]:
    """Sizes of intersection and union per pair."""
    both, either, _, _ = overlaps(sets, np.zeros(len(sets.hashes), bool), first, other)
    return both, either
