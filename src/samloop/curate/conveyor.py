"""Batches of examples in, judged batches out in the same order: in this process, or beside it for a large source."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Generic, TypeVar

from samloop.curate.engine import Curated, Curator
from samloop.curate.workers import Unsendable, Workers
from samloop.example import Example
from samloop.recipe import Curate

T = TypeVar("T")
Items = Mapping[str, Sequence[str]]

LARGE: Final = 4_096
"""Examples above which workers are started: these few take half a second, starting workers as long."""


class Conveyor(Generic[T]):
    """Has batches judged, and gives each back with its label, in the order in which they came.

    The caller's process judges them itself until a source turns out to be large; then workers do, while the caller
    reads and stores. What comes out is the same either way. At most two batches per worker are under way. Use it as a
    context: at its end, what is under way is dropped.

    Args:
        settings, review_sources, items, identifier_key: as for `Curator`.
        workers: processes for a large source, at most one per core; none on a single core.

    Raises:
        RecipeError, PluginError: as `Curator` does.
    """

    def __init__(
        self,
        settings: Curate,
        *,
        review_sources: frozenset[str],
        workers: int,
        items: Items | None = None,
        identifier_key: bytes | None = None,
    ) -> None:
        self._curator = Curator(settings, review_sources=review_sources, items=items, identifier_key=identifier_key)
        self._items = items
        self._count = min(workers, _cores()) if _cores() > 1 else 0
        self._seen = 0
        self._workers: Workers | None = None
        self._under_way: deque[tuple[Future[Curated], T]] = deque()
        self._stack = ExitStack()

    def put(self, examples: Sequence[Example], label: T) -> Iterator[tuple[Curated, T]]:
        """Have `examples` judged next; what is finished comes out, if only to make room.

        Raises:
            PluginError: a rule failed.
            SamloopError: a worker died.
        """
        self._seen += len(examples)
        if self._workers is None and self._count and self._seen > LARGE:
            curator = self._curator
            self._workers = self._stack.enter_context(
                Workers(curator.settings, curator.review_sources, self._count, self._items, curator.identifier_key)
            )
        if self._workers is None or not self._workers.ready:
            yield self._curator.curate(examples), label
            return
        self._under_way.append((self._asked(self._workers, examples), label))
        if len(self._under_way) > 2 * self._count:
            yield self._next()

    def _asked(self, workers: Workers, examples: Sequence[Example]) -> Future[Curated]:
        try:
            return workers.curate(examples)
        except Unsendable:
            done: Future[Curated] = Future()
            done.set_result(self._curator.curate(examples))
            return done

    def rest(self) -> Iterator[tuple[Curated, T]]:
        """All that is still under way."""
        while self._under_way:
            yield self._next()

    def _next(self) -> tuple[Curated, T]:
        future, label = self._under_way.popleft()
        return future.result(), label

    def __enter__(self) -> Conveyor[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.clear()
        self._stack.close()


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
