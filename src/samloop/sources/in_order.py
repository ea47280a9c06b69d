"""Processes that work beside this one, whose answers come in the order of what they were asked."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from samloop.beside import Beside, packed
from samloop.protocols import Reject

BATCH_BYTES: Final = 256 * 1024
BATCH_JOBS: Final = 100
"""So much is sent at once: little is kept in memory, and asking costs next to nothing."""

Job = TypeVar("Job")
Answer = TypeVar("Answer")


def processors() -> int:
    """Processors that this process may use; none is worth a process of its own where there is but one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if count > 1 else 0


class InOrder(Beside, Generic[Job, Answer]):
    """Some workers, which answer as `here` does. Use it as a context, so that they are gone at its end.

    Args:
        module: what they run: it calls `samloop.beside.serve` with what answers a list of jobs with a list.
        about: what each is told first.
        here: answers a job in this process, as long as the others are still starting.
        what: what they do, for the sentence on one that died: "reads documents".
        threads: how the threads that wait for answers are called.
    """

    def __init__(
        self, module: str, about: Any, count: int, here: Callable[[Job], Answer], *, what: str, threads: str
    ) -> None:
        super().__init__(
            module,
            about,
            count,
            died=f"a process that {what} ended before it answered; all that was stored stays, so collect "
            "again, with workers = 0 for this source in the recipe if memory is short",
            threads=threads,
        )
        self._here, self._most = here, 2 * count

    def read(self, jobs: Iterator[tuple[Job, int] | Reject]) -> Iterator[Reject | tuple[Job, Answer]]:
        """Each job with its answer, in order; a Reject among them comes through in its place.

        Args:
            jobs: each with what it weighs, in bytes.
        """
        asked = deque[tuple[list[Job], Future[Any]] | Reject]()
        for batch in _batches(jobs):
            if isinstance(batch, Reject):
                asked.append(batch)
            elif self.ready:
                asked.append((batch, self.ask(packed(batch))))
            else:  # they are still starting
                while asked:
                    yield from _first(asked)
                for job in batch:
                    yield job, self._here(job)
            while len(asked) > self._most:
                yield from _first(asked)
        while asked:
            yield from _first(asked)


def answered(
    jobs: Iterator[tuple[Job, int] | Reject],
    here: Callable[[Job], Answer],
    beside: Callable[[], InOrder[Job, Answer]] | None,
    alone_bytes: int,
) -> Generator[Reject | tuple[Job, Answer], None, None]:
    """Each job with its answer, in order: found here at first, and beside this process once there is much to do.

    Close it where it is left before its end, so that the processes are gone.

    Args:
        beside: starts the processes; None: there are to be none.
        alone_bytes: what the jobs done here weigh together before that.
    """
    alone = 0
    for found in jobs:
        if isinstance(found, Reject):
            yield found
        elif beside is not None and alone >= alone_bytes:
            with beside() as workers:
                yield from workers.read(chain((found,), jobs))
        else:
            yield found[0], here(found[0])
            alone += found[1]


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
        if used >= BATCH_BYTES or len(batch) >= BATCH_JOBS:
            yield batch
            batch, used = [], 0
    if batch:
        yield batch


def _first(asked: deque[tuple[list[Job], Future[Any]] | Reject]) -> Iterator[Reject | tuple[Job, Any]]:
    first = asked.popleft()
    if isinstance(first, Reject):
        yield first
        return
    batch, answer = first
    yield from zip(batch, answer.result(), strict=True)
