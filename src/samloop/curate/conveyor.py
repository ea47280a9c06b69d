"""Batches of examples in, judged batches out in the same order: in this process, or beside it for large sources."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from threading import Lock
from types import TracebackType
from typing import Final, Generic, TypeVar

from samloop.curate.engine import Curated, Curator
from samloop.curate.workers import Unsendable, Workers
from samloop.example import Example
from samloop.settings import Curate

T = TypeVar("T")
Items = Mapping[str, Sequence[str]]

LARGE: Final = 4_096
"""Examples above which workers are started: these few take half a second, starting workers as long."""


class Judges:
    """Has examples judged, for sources that may be read side by side.

    The caller's process judges them itself until there are many; then workers do, while the caller reads and stores.
    What comes out is the same either way. Use it as a context: at its end, what is under way is dropped.

    Args:
        settings, items, identifier_key: as for `Curator`.
        workers: processes for many examples, at most one per core; none on a single core.

    Raises:
        RecipeError, PluginError: as `Curator` does.
    """

    def __init__(
        self, settings: Curate, *, workers: int, items: Items | None = None, identifier_key: bytes | None = None
    ) -> None:
        self._curator = Curator(settings, items=items, identifier_key=identifier_key)
        self._items = items
        self.count = min(workers, _cores()) if _cores() > 1 else 0
        self._seen = 0
        self._workers: Workers | None = None
        self._starting, self._judging = Lock(), Lock()
        self._stack = ExitStack()

    def ask(self, examples: Sequence[Example], *, review: bool) -> Future[Curated]:
        """Have `examples` judged; what they come to is there at once where this process judges them.

        Args:
            review: as for `Curator.curate`.

        Raises:
            PluginError: a rule failed.
            SamloopError: a worker could not start; the future raises it where one died.
        """
        workers = self._ready(len(examples))
        if workers is not None:
            try:
                return workers.curate(examples, review=review)
            except Unsendable:
                pass
        done: Future[Curated] = Future()
        with self._judging:  # one at a time: what rules keep of a batch is not made for several
            done.set_result(self._curator.curate(examples, review=review))
        return done

    def _ready(self, more: int) -> Workers | None:
        """The workers, once there are any that can be asked."""
        with self._starting:
            self._seen += more
            if self._workers is None and self.count and self._seen > LARGE:
                curator = self._curator
                self._workers = self._stack.enter_context(
                    Workers(curator.settings, self.count, self._items, curator.identifier_key)
                )
            return self._workers if self._workers is not None and self._workers.ready else None

    def __enter__(self) -> Judges:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


class Conveyor(Generic[T]):
    """One source's batches on their way through `judges`; each comes back with its label, in the order they came.

    Args:
        review: as for `Curator.curate`.
        under_way: how many batches may be under way at most.
    """

    def __init__(self, judges: Judges, *, review: bool, under_way: int) -> None:
        self._judges, self._review, self._most = judges, review, under_way
        self._under_way: deque[tuple[Future[Curated], T]] = deque()

    def put(self, examples: Sequence[Example], label: T) -> Iterator[tuple[Curated, T]]:
        """Have `examples` judged next; what is finished comes out, if only to make room.

        Raises:
            PluginError: a rule failed.
            SamloopError: a worker died.
        """
        asked = self._judges.ask(examples, review=self._review)
        if asked.done() and not self._under_way:
            yield asked.result(), label
            return
        self._under_way.append((asked, label))
        while len(self._under_way) > self._most:
            yield self._next()

    def rest(self) -> Iterator[tuple[Curated, T]]:
        """All that is still under way."""
        while self._under_way:
            yield self._next()

    def _next(self) -> tuple[Curated, T]:
        future, label = self._under_way.popleft()
        return future.result(), label


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
