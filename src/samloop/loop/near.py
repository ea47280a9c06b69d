"""Near-duplicates among stored examples: an index that follows the store, and the removal of what is there twice.

`follow` compares only what came since it last looked, so that it costs in proportion to that. What it finds is kept
in the store (`near_pairs`): prepare keeps each cluster on one side of the split, and `dedupe` removes from it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np
from filelock import FileLock

from samloop.curate.near.examples import Cut
from samloop.curate.near.index import Index
from samloop.curate.near.shingles import WHOLE
from samloop.curate.near.sketch import components, stars
from samloop.example import Example
from samloop.home import Home
from samloop.recipe import Recipe
from samloop.store import DuplicateGroup, Filters, Store
from samloop.store.near import NearPair, rank

AT_ONCE: Final = 4096
"""Examples cut, sketched and looked up together."""

PAIRS_KEPT: Final = 4
"""Pairs kept per example as a whole, and by its prompt: enough to hold a group of any size together."""

KINDS: Final = ("accepted", "review")
"""States of examples that are looked at; a rejected one has no duplicates."""

Progress = Callable[[str], None]


class Context(Protocol):
    """What is needed of a `samloop.Context`, which makes use of this file itself."""

    @property
    def home(self) -> Home:
        """Where the index lies."""

    @property
    def recipe(self) -> Recipe:
        """Whose ``curate.near`` applies."""

    @property
    def store(self) -> Store:
        """Where the examples are."""


def follow(context: Context, on_progress: Progress | None = None) -> int:
    """Bring the index up to date with the store and keep the pairs that are found; how many examples were new.

    Raises:
        StoreError: the store or the index cannot be read or written.
    """
    folder = context.home.near
    context.home.create()
    with FileLock(context.home.path / "near.lock", mode=0o600):
        index = Index.open(folder, context.recipe.curate.near)
        if index is not None and not index.outgrown:
            revision = context.store.revision()
            if index.revision == revision:
                return 0
            new = _add(context, index, Filters(states=KINDS, since_revision=index.revision), on_progress)
            index.revision = revision
            index.save()
            return new
        return _rebuild(context, index, on_progress)


def forget(context: Context, ids: Sequence[str]) -> int:
    """Take erased examples out of the index, the pairs and the tests made of them; how many the index held.

    Whoever deletes examples from the store calls it: it leaves no trace of them, and one that comes back is new.
    """
    context.store.forget_near_pairs(ids)
    context.store.forget_tests_of(ids)
    context.home.create()
    with FileLock(context.home.path / "near.lock", mode=0o600):
        index = Index.open(context.home.near, context.recipe.curate.near)
        if index is None:  # it is none, or one that will be built again from what is stored
            shutil.rmtree(context.home.near, ignore_errors=True)
            return 0
        dropped = index.drop(ids)
        index.save()
    return dropped


def _rebuild(context: Context, old: Index | None, on_progress: Progress | None) -> int:
    revision, everything = context.store.revision(), Filters(states=KINDS)
    known = 0 if old is None else len(old)
    count = context.store.count(everything)
    # A first pass counts shingles, so that the first sketch knows the templates as well as the last one.
    sample = next(_batches(context.store.select(everything), AT_ONCE), [])
    per_example = len(Cut.of(sample).marked.sets.hashes) // max(len(sample), 1)
    with Index.build(context.home.near, context.recipe.curate.near, per_example * count * 2, count) as index:
        for batch in _batches(context.store.select(everything), AT_ONCE):
            index.frequencies.add(Cut.of(batch).marked.part(WHOLE))
        _add(context, index, everything, on_progress, old, counted=True)
        index.revision = revision
    return max(len(index) - known, 0)


def _add(
    context: Context,
    index: Index,
    chosen: Filters,
    on_progress: Progress | None,
    old: Index | None = None,
    *,
    counted: bool = False,
) -> int:
    new = 0
    for batch in _batches(context.store.select(chosen), AT_ONCE):
        seen = index.seen([example.id for example in batch])
        fresh = [example for example, known in zip(batch, seen.tolist(), strict=True) if not known]
        if fresh:
            _add_batch(context, index, fresh, old, counted=counted)
            index.merge()
            new += len(fresh)
        if on_progress:
            on_progress(f"{new:,} examples compared")
    return new


def _add_batch(context: Context, index: Index, fresh: Sequence[Example], old: Index | None, *, counted: bool) -> None:
    cut = Cut.of(fresh)
    # What an earlier index has compared keeps the clusters it was given then.
    known = [False] * len(fresh) if old is None else old.seen([example.id for example in fresh]).tolist()
    if not counted:
        index.frequencies.add(cut.marked.part(WHOLE))
    keys = cut.keys(index.frequencies)
    first = index.add([example.id for example in fresh], keys)
    later, earlier = index.lookup(keys, first)
    if not len(later):
        return
    others, places = np.unique(earlier[earlier < first], return_inverse=True)
    ids = index.ids(others)
    stored = _by_id(context, ids)
    cut = cut.followed_by(Cut.of([stored[id] for id in ids if id in stored]))
    position = np.full(len(others), -1, np.int64)
    present = [at for at, id in enumerate(ids) if id in stored]
    position[present] = len(fresh) + np.arange(len(present))
    one, two = later - first, earlier - first
    two[earlier < first] = position[places]
    one, two = one[two >= 0], two[two >= 0]
    names = [example.id for example in fresh] + [ids[at] for at in present]
    verdicts = cut.compare(index.frequencies, two, one, index.bounds.jaccard)
    pairs, kept = [], Counter[tuple[int, bool]]()
    found = (one.tolist(), two.tolist(), verdicts.same.tolist(), verdicts.asked.tolist())
    for a, b, alike, near in zip(*found, strict=True):
        if (alike or near) and not known[a]:
            kept[a, alike] += 1
            if kept[a, alike] <= PAIRS_KEPT:
                pairs.append(NearPair(names[a], names[b], "whole" if alike else "prompt"))
    context.store.add_near_pairs(pairs)


def _by_id(context: Context, ids: Sequence[str]) -> dict[str, Example]:
    found: dict[str, Example] = {}
    for start in range(0, len(ids), AT_ONCE):
        chosen = Filters(ids=ids[start : start + AT_ONCE])
        found |= {example.id: example for example in context.store.select(chosen)}
    return found


def _batches(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    while batch := list(islice(examples, size)):
        yield batch


@dataclass(frozen=True, slots=True)
class Deduped:
    """What `dedupe` found.

    Attributes:
        groups: by the id of what is kept.
        alike: by the id of what goes: its Jaccard index with what is kept in its place, 0..1.
    """

    groups: list[DuplicateGroup]
    alike: dict[str, float]


def dedupe(context: Context, *, dry_run: bool = False, on_progress: Progress | None = None) -> Deduped:
    """Reject near-duplicates among examples that are not rejected: all that directly match the best of their group.

    The best has the higher score, then was reviewed by a person, then is longer, then has the smaller id. What is
    linked to a group through others, but is not itself like its best, makes a group of its own.

    Args:
        dry_run: change nothing but the index and the pairs it knows, only say what would be done.

    Raises:
        StoreError: the store or the index cannot be read or written.
    """
    follow(context, on_progress)
    index = Index.open(context.home.near, context.recipe.curate.near)
    pairs = context.store.near_pairs("whole")
    if index is None or not pairs:
        return Deduped([], {})
    examples = _by_id(context, sorted({id for pair in pairs for id in (pair.example_id, pair.match_id)}))
    live = [example for example in examples.values() if example.state in KINDS]
    found = _groups(live, pairs, index)
    if found.groups and not dry_run:
        context.store.reject_duplicates(found.groups, "near-duplicate")
    return found


def _groups(live: Sequence[Example], pairs: Sequence[NearPair], index: Index) -> Deduped:
    place = {example.id: at for at, example in enumerate(live)}
    known = [pair for pair in pairs if pair.match_id in place and pair.example_id in place]
    first, other = (
        np.array([place[getattr(pair, name)] for pair in known], np.int64) for name in ("match_id", "example_id")
    )
    order = np.empty(len(live), np.int64)
    order[sorted(range(len(live)), key=lambda at: rank(live[at]))] = np.arange(len(live))
    cut, active = Cut.of(live), np.arange(len(live))
    rejected: dict[int, list[int]] = {}
    alike: dict[str, float] = {}
    while len(active):
        inside = np.zeros(len(live), bool)
        inside[active] = True
        edges = inside[first] & inside[other]
        best, members = stars(components(len(live), first[edges], other[edges])[active], order[active])
        best, members = active[best], active[members]
        verdicts = cut.compare(index.frequencies, best, members, index.bounds.jaccard)
        same = verdicts.same
        for kept, gone, share in zip(
            best[same].tolist(), members[same].tolist(), verdicts.share[same].tolist(), strict=True
        ):
            rejected.setdefault(kept, []).append(gone)
            alike[live[gone].id] = round(share, 3)
        active = members[~same]
    groups = [DuplicateGroup(live[kept].id, tuple(live[at].id for at in gone)) for kept, gone in rejected.items()]
    return Deduped(sorted(groups, key=lambda group: group.kept), alike)
