"""Processes that read documents beside this one, each with one `Tree`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final

from samloop.beside import Beside, packed, serve
from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources.tree import Entry, Job, Tree

_MODULE: Final = "samloop.sources.tree_workers"

BATCH_BYTES: Final = 256 * 1024
BATCH_FILES: Final = 100
"""So much is sent at once: little is kept in memory, and asking costs next to nothing."""

Answer = list[tuple[list[Example | Reject], Entry | None]]


class TreeWorkers(Beside):
    """Some workers, which read as `tree` does. Use it as a context, so that they are gone at its end."""

    def __init__(self, tree: Tree, count: int) -> None:
        super().__init__(
            _MODULE,
            (tree.root, tree.project, tree.max_answer_characters),
            count,
            died="a process that reads documents ended before it answered; all that was stored stays, so collect "
            "again, with workers = 0 for this source in the recipe if memory is short",
            threads="samloop-docs",
        )
        self._tree, self._most = tree, 2 * count

    def read(self, jobs: Iterator[tuple[Job, int] | Reject]) -> Iterator[Reject | tuple[Job, Any, Entry | None]]:
        """What each file holds, in the order of `jobs`; a Reject among them comes through in its place."""
        asked = deque[tuple[list[Job], Future[Answer] | Reject]]()
        for batch in _batches(jobs):
            if isinstance(batch, Reject):
                asked.append(([], batch))
            elif self.ready:
                asked.append((batch, self.ask(packed(batch))))
            else:  # they are still starting
                yield from _answered(asked)
                for job in batch:
                    yield job, *self._tree.read(job)
            while len(asked) > self._most:
                yield from _first(asked)
        yield from _answered(asked)


def _batches(jobs: Iterator[tuple[Job, int] | Reject]) -> Iterator[list[Job] | Reject]:
    batch, used = list[Job](), 0
    for found in jobs:
        if isinstance(found, Reject):
            if batch:
                yield batch
            yield found
            batch, used = [], 0
            continue
        batch.append(found[0])
        used += found[1]
        if used >= BATCH_BYTES or len(batch) >= BATCH_FILES:
            yield batch
            batch, used = [], 0
    if batch:
        yield batch


def _answered(
    asked: deque[tuple[list[Job], Future[Answer] | Reject]],
) -> Iterator[Reject | tuple[Job, Any, Entry | None]]:
    while asked:
        yield from _first(asked)


def _first(
    asked: deque[tuple[list[Job], Future[Answer] | Reject]],
) -> Iterator[Reject | tuple[Job, Any, Entry | None]]:
    batch, answer = asked.popleft()
    if isinstance(answer, Reject):
        yield answer
        return
    for job, (records, entry) in zip(batch, answer.result(), strict=True):
        yield job, records, entry


def _begin(about: Any) -> Callable[[list[Job]], Answer]:
    tree = Tree(*about)
    return lambda batch: [tree.read(job) for job in batch]


if __name__ == "__main__":
    serve(_begin)
