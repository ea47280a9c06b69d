"""From band keys to what goes: who is compared with whom, who stays for whom, and who belongs together.

Examples that share a key make a bucket. Each member is compared with the bucket's best alone (a star holds a group
together as well as all its pairs would); what does not match it is compared with the next best, and so on for
`ROUNDS` rounds, until nobody is left. Buckets are independent of each other, so keys may come in portions, and an
example that has gone takes no part in later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.compare import Pairs, Verdicts
from samloop.curate.near.sketch import components

ROUNDS: Final = 8
"""Members of a bucket that the others are compared with: a few are enough, since every pair shares many buckets."""

KEPT: Final = -1

Compare = Callable[[Pairs, Pairs, bool], Verdicts]
"""Compares pairs of examples, the second of which would go; or, where it is so told, nothing but what they ask."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        gone: int64, the examples that go, in order.
        kept: int64, beside each the example that stays in its place; it is among `gone` for none of them.
        share: float32, their Jaccard index.
    """

    gone: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    share: npt.NDArray[np.float32]


@dataclass(slots=True)
class Groups:
    """What is known so far of examples 0, 1, 2 …

    Attributes:
        rank: per example; of two the one with the smaller rank is better, of equal ones the earlier.
        compare: says which pairs are near-duplicates.
    """

    rank: InitVar[npt.NDArray[np.integer]]
    compare: Compare
    _place: npt.NDArray[np.uint32] = field(init=False)
    _gone: npt.NDArray[np.bool_] = field(init=False)
    _parent: npt.NDArray[np.int64] = field(init=False)
    _removals: list[tuple[Pairs, Pairs, npt.NDArray[np.float32]]] = field(default_factory=list)

    def __post_init__(self, rank: npt.NDArray[np.integer]) -> None:
        self._gone = np.zeros(len(rank), bool)
        self._parent = np.arange(len(rank), dtype=np.uint32)
        # The place of each among all, the best first: half the size of the rank, and none is like another.
        self._place = np.empty(len(rank), np.uint32)
        self._place[np.argsort(rank, kind="stable")] = self._parent

    def look_through(self, keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]) -> None:
        """Take in the buckets of some keys, each of which comes in one call with all that have it.

        Args:
            keys: band keys; odd ones are of prompts.
            owners: the example each key is of.
        """
        keys, owners = self._shared(keys, owners)
        judged = np.empty(0, np.int64)
        for _ in range(ROUNDS):
            keys, owners, leaders = self._unsettled(keys, owners)
            if not len(keys):
                break
            members = leaders != owners
            keys, owners = keys[members], owners[members]
            pairs = leaders[members] * len(self._gone) + owners
            of_prompts = _of_prompts(keys)
            for prompts in (False, True):
                some = _distinct(pairs[of_prompts == prompts])
                some = some[~_among(some, judged)]
                if len(some):
                    judged = np.sort(np.concatenate((judged, some)), kind="stable")
                    self._judge(*np.divmod(some, len(self._gone)), prompts)

    def _shared(
        self, keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The keys that more than one has, sorted, the best of each bucket first."""
        order = np.argsort(keys, kind="stable")  # portions come sorted
        order = order[~_alone(keys[order])]
        keys, owners = keys[order], owners[order]
        buckets = np.cumsum(_heads(keys)).astype(np.uint64) << np.uint64(32)
        return keys, owners[np.argsort(buckets | self._place[owners], kind="stable")]

    def _unsettled(
        self, keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Buckets without those who have gone, and without who is known to belong together; and who leads each."""
        there = ~self._gone[owners]
        keys, owners = keys[there], owners[there]
        leaders = _leaders(keys, owners)
        known = np.flatnonzero(_of_prompts(keys) & (leaders != owners))
        known = known[self.roots(owners[known]) == self.roots(leaders[known])]
        left = np.ones(len(keys), bool)
        left[known] = False
        left[left] = ~_alone(keys[left])
        return keys[left], owners[left], leaders[left]

    def _judge(self, first: Pairs, other: Pairs, prompts: bool) -> None:
        verdicts = self.compare(first, other, prompts)
        linked = verdicts.same | verdicts.asked
        self._link(first[linked], other[linked])
        first, other, share = first[verdicts.same], other[verdicts.same], verdicts.share[verdicts.same]
        order = np.argsort(self._place[first], kind="stable")
        first, other, share = first[order], other[order], share[order]
        active = np.arange(len(first))
        while len(active):
            # Who is behind nobody stays, and who is like one that stays goes.
            staying = ~np.isin(first[active], other[active])
            gone, at = np.unique(other[active[staying]], return_index=True)  # the best of several comes first
            edges = active[staying][at]
            self._removals.append((gone, first[edges], share[edges]))
            self._gone[gone] = True
            active = active[~staying & ~self._gone[first[active]] & ~self._gone[other[active]]]

    def _link(self, first: Pairs, other: Pairs) -> None:
        one, two = self.roots(first), self.roots(other)
        involved, place = np.unique(np.concatenate((one, two)), return_inverse=True)
        labels = components(len(involved), place[: len(one)], place[len(one) :])
        self._parent[involved] = involved[labels]

    def roots(self, examples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The cluster of each example, told by its first member: those that are linked directly or through others."""
        at = self._parent[examples]
        while True:
            above = self._parent[at]
            if (above == at).all():
                return at.astype(np.int64)
            at = above

    def clusters(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Those that stay and belong together with others that stay; and beside each the first of its cluster.

        Call it last: who is better is forgotten, so that there is room for the answer.
        """
        self._place = self._place[:0]
        while (self._parent[self._parent] != self._parent).any():
            self._parent = self._parent[self._parent]
        first = np.full(len(self._parent), len(self._parent), self._parent.dtype)
        several = np.zeros(len(self._parent), bool)
        # From the end on, so that the first of each cluster is written last.
        staying = np.flatnonzero(~self._gone)[::-1].astype(self._parent.dtype)
        roots = self._parent[staying]
        first[roots] = staying
        several[roots[first[roots] != staying]] = True
        members = staying[several[roots]][::-1]
        return members, first[self._parent[members]]

    def settled(self) -> Found:
        """Who goes and for whom. Call it once, when all keys were looked through."""
        parts = self._removals or [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
        gone, kept, share = (np.concatenate([part[at] for part in parts]) for at in range(3))
        order = np.argsort(gone)
        gone, kept, share = gone[order], kept[order], share[order]
        self._settle(gone, kept, share)
        still = self._gone[gone]
        return Found(gone[still], kept[still], share[still])

    def _settle(self, gone: Pairs, kept: Pairs, share: npt.NDArray[np.float32]) -> None:
        """Give those whose better one went later another that stays, or let them stay."""
        open_ = np.flatnonzero(self._gone[kept])
        last = kept[open_]
        while (led := self._gone[last]).any():
            last[led] = kept[np.searchsorted(gone, last[led])]
        verdicts = self.compare(last, gone[open_], False)
        matched = open_[verdicts.same]
        kept[matched], share[matched] = last[verdicts.same], verdicts.share[verdicts.same]
        open_ = open_[~verdicts.same]
        while len(open_):
            # From the top of each chain down: who goes for one that stays after all need not stay.
            top = ~np.isin(kept[open_], gone[open_])
            staying = open_[top]
            self._gone[gone[staying[self._gone[kept[staying]]]]] = False
            open_ = open_[~top]


def _of_prompts(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    return (keys & np.uint64(1)).astype(bool)


def _alone(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of the sorted `keys` are there once."""
    alone = np.ones(len(keys), bool)
    same = keys[1:] == keys[:-1]
    alone[1:] &= ~same
    alone[:-1] &= ~same
    return alone


def _leaders(keys: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first of each bucket, beside each of its members; `keys` are sorted."""
    return owners[np.maximum.accumulate(np.where(_heads(keys), np.arange(len(keys)), 0))]


def _heads(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where sorted `values` differ from the one before."""
    heads = np.ones(len(values), bool)
    heads[1:] = values[1:] != values[:-1]
    return heads


def _distinct(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each value once, sorted; four times as fast as `np.unique`, which hashes."""
    values = np.sort(values)
    return values[_heads(values)]


def _among(values: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `values` are among `known`, which are sorted."""
    at = np.searchsorted(known, values)
    inside = at < len(known)
    inside[inside] = known[at[inside]] == values[inside]
    return inside
