"""Processes beside this one that work on whole units: each reads, judges and writes on its own.

Examples never travel between processes: judged beside but read and written here, they would cost this process more
than judging them costs the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, Final

from samloop import sorting
from samloop.beside import Beside, packed, serve
from samloop.loop.bulk.unit import Settings
from samloop.loop.bulk.work import W

_MODULE: Final = "samloop.loop.bulk.processes"


class Processes(Beside):
    """`count` processes that work on the units in `folder`. Use it as a context, so that they are gone at its end."""

    def __init__(self, settings: Settings, folder: Path, count: int) -> None:
        super().__init__(
            _MODULE,
            (settings, str(folder)),
            count,
            died="a process that judges examples ended before it answered; run the same command again to go on, with "
            "--workers 1 if memory is short",
            threads="samloop-bulk",
            variables={"OMP_NUM_THREADS": "1"} | sorting.variables(),
        )
        self._count = count

    def run(self, works: Iterable[W]) -> Iterator[W]:
        """Have `works` done; each comes out when it is.

        Raises:
            SamloopError: it cannot be done, or a process died.
        """
        under_way: dict[Future[Any], W] = {}
        for work in works:
            under_way[self.ask(packed(work))] = work
            if len(under_way) > self._count:  # one more than can be worked on, so that nobody waits for the next
                yield from _done(under_way)
        while under_way:
            yield from _done(under_way)


def _done(under_way: dict[Future[Any], W]) -> Iterator[W]:
    """The works that are done by now, one at least; they are no longer under way."""
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        future.result()
        yield under_way.pop(future)


def _begin(about: Any) -> Callable[[Any], OSError | None]:
    import pyarrow as pa

    import samloop.loop.bulk.judging  # noqa: F401  before the first unit comes

    pa.set_cpu_count(1)
    settings, folder = about

    def do(work: Any) -> OSError | None:
        try:
            work.do(settings, Path(folder))
        except OSError as error:
            return error
        return None

    return do


if __name__ == "__main__":
    serve(_begin)
