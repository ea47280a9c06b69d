"""The exact comparison that every removal rests on: Jaccard indices of two examples' sets of shingles.

MinHash only proposes. Two examples are near-duplicates where

- the whole sets have a Jaccard index of at least `JACCARD`,
- what is left of both without templates has one of at least `RARE_JACCARD`; where nothing is left of either, the
  whole sets must be equal,
- what is asked and what is answered have one of at least `JACCARD` each, since two questions about one long passage
  are alike as a whole, and
- the prompts of a brief answer ("yes", "Paris"), which says little about whether the question was the same, differ by
  no more than `BRIEF_CHANGES` shingles.

The second condition parts two fillings of one template, however long the template is. It asks for less than the first
since few shingles are left to count in a text full of common phrases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.shingles import ANSWER, HASH_BITS, PROMPT, WHOLE, Hashes, Marked, Offsets

JACCARD: Final = 0.8
"""Lee and others, Deduplicating Training Data Makes Language Models Better (2022), use the same bound for MinHash."""

RARE_JACCARD: Final = 0.6

BRIEF_CHANGES: Final = 6
"""One changed word takes three shingles from one set and adds three to the other. See near_quality.py: with twice as
much, a fiftieth of the examples of strongly templated sets would go."""

BRIEF, PAIR = np.uint8(1), np.uint8(2)
"""Kinds of examples: the answer is brief; it is a preference pair."""

_RARE: Final = np.uint8(8)
_RARE_PROMPT: Final = np.uint8(16)
_COUNTED: Final = (WHOLE, PROMPT, ANSWER, _RARE, _RARE_PROMPT)

PAIRS_AT_ONCE: Final = 2**13
SHINGLES_AT_ONCE: Final = 2**21
"""Pairs are compared in portions of at most so many; a pair of larger texts is one alone."""

Pairs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What comparing pairs of examples gave; one entry per pair.

    Attributes:
        same: near-duplicates, one of which may go.
        asked: nearly the same is asked, whatever is answered: they belong on one side of a split.
        share: Jaccard index of the whole sets, 0..1; float32.
    """

    same: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.bool_]
    share: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Compared:
    """Examples that can be compared.

    Attributes:
        hashes, starts: as of `Sets`.
        marks: as of `Marked`, and in addition what belongs to no template.
        kinds: uint8 per example, of `BRIEF` and `PAIR`.
        sizes: int64, one row per mark, one column per example.
    """

    hashes: Hashes
    starts: Offsets
    marks: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    sizes: Offsets

    @classmethod
    def of(cls, marked: Marked, common: npt.NDArray[np.bool_], kinds: npt.NDArray[np.uint8]) -> Compared:
        """Examples with the sets `marked`, whose shingles belong to a template where `common` says so."""
        whole, asked = marked.marks & WHOLE, marked.marks & PROMPT
        rare = np.where(common, np.uint8(0), whole * _RARE | (asked >> 1) * _RARE_PROMPT)
        marks = marked.marks | rare
        sizes = np.array([marked.sets.counted((marks & mark) != 0) for mark in _COUNTED])
        return cls(marked.sets.hashes, marked.sets.starts, marks, kinds, sizes.reshape(len(_COUNTED), len(kinds)))

    def compare(self, first: Pairs, other: Pairs, jaccard: float = JACCARD) -> Verdicts:
        """Compare examples first[i] and other[i].

        Args:
            jaccard: the index from which on texts are nearly the same.
        """
        parts = portions(self.starts[first + 1] - self.starts[first] + self.starts[other + 1] - self.starts[other])
        found = [self._compare(first[part], other[part], jaccard) for part in parts]
        return Verdicts(
            np.concatenate([np.empty(0, bool), *(part.same for part in found)]),
            np.concatenate([np.empty(0, bool), *(part.asked for part in found)]),
            np.concatenate([np.empty(0, np.float32), *(part.share for part in found)]),
        )

    def _compare(self, first: Pairs, other: Pairs, jaccard: float) -> Verdicts:
        both = self._shared(first, other)
        either = self.sizes[:, first] + self.sizes[:, other] - both
        alike = both >= jaccard * either
        whole, prompt, answer, rare, rare_prompt = range(len(_COUNTED))

        def told_by(what: int, rare: int) -> npt.NDArray[np.bool_]:
            by_rare = np.where(
                either[rare] > 0, both[rare] >= RARE_JACCARD * either[rare], both[what] == either[what]
            )
            told: npt.NDArray[np.bool_] = alike[what] & (either[what] > 0) & by_rare
            return told

        kinds = self.kinds[first], self.kinds[other]
        changed = ((kinds[0] | kinds[1]) & BRIEF != 0) & (either[prompt] - both[prompt] > BRIEF_CHANGES)
        same = told_by(whole, rare) & alike[prompt] & alike[answer] & ~changed
        same &= (kinds[0] & PAIR) == (kinds[1] & PAIR)
        share = (both[whole] / np.maximum(either[whole], 1)).astype(np.float32)
        return Verdicts(same, told_by(prompt, rare_prompt), share)

    def _shared(self, first: Pairs, other: Pairs) -> Offsets:
        """How many shingles of each mark both examples of a pair have."""
        mine, mine_at = self._keyed(first)
        theirs, theirs_at = self._keyed(other)
        at = np.searchsorted(theirs, mine)
        inside = at < len(theirs)
        inside[inside] = theirs[at[inside]] == mine[inside]
        pair = (mine[inside] >> np.uint64(HASH_BITS)).astype(np.int64)
        marks = self.marks[mine_at[inside]] & self.marks[theirs_at[at[inside]]]
        return np.array([np.bincount(pair[(marks & mark) != 0], minlength=len(first)) for mark in _COUNTED])

    def _keyed(self, texts: Pairs) -> tuple[npt.NDArray[np.uint64], Offsets]:
        """The shingles of `texts`, each with its pair above the hash: one sorted array; and where they stand."""
        sizes = self.starts[texts + 1] - self.starts[texts]
        ends = np.cumsum(sizes)
        pair = np.repeat(np.arange(len(texts)), sizes)
        at = np.arange(int(ends[-1]) if len(ends) else 0) - (ends - sizes)[pair] + self.starts[texts][pair]
        return (pair.astype(np.uint64) << np.uint64(HASH_BITS)) | self.hashes[at], at


def portions(sizes: Offsets) -> list[slice]:
    """Pairs with so many shingles each, in portions of at most `PAIRS_AT_ONCE` and `SHINGLES_AT_ONCE`."""
    found, start, ends = [], 0, np.cumsum(sizes)
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        end = int(np.searchsorted(ends, before + SHINGLES_AT_ONCE, side="right"))
        end = min(max(end, start + 1), start + PAIRS_AT_ONCE)
        found.append(slice(start, end))
        start = end
    return found
