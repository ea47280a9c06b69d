"""Processes beside this one that work on whole units: each reads, judges and writes on its own.

A worker is a fresh Python. Work comes in at its standard input as pickles, and what became of each goes out at its
standard output; both ends are this program, over pipes nobody else holds. It ends when its input ends, so that it
never outlives its parent for longer than the unit at hand. Examples never travel between processes: judged beside
but read and written here, they would cost this process more than judging them costs the others.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Final

from samloop.errors import SamloopError
from samloop.loop.bulk.unit import Settings
from samloop.loop.bulk.work import W

_MODULE: Final = "samloop.loop.bulk.processes"


class Processes:
    """`count` processes that work on the units in `folder`. Use it as a context, so that they are gone at its end."""

    def __init__(self, settings: Settings, folder: Path, count: int) -> None:
        self._count = count
        self._processes = [_start() for _ in range(count)]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self._processes:
            _send(process.stdin, (settings, str(folder)))
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="samloop-bulk")

    def run(self, works: Iterable[W]) -> Iterator[W]:
        """Have `works` done; each comes out when it is.

        Raises:
            SamloopError: it cannot be done, or a process died.
        """
        under_way: set[Future[W]] = set()
        for work in works:
            under_way.add(self._threads.submit(self._do, work))
            if len(under_way) > self._count:  # one more than can be worked on, so that nobody waits for the next
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _do(self, work: W) -> W:
        process = self._idle.get()
        try:
            _send(process.stdin, work)
            answer = pickle.load(process.stdout)  # type: ignore[arg-type]  # noqa: S301  our own process wrote it
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise SamloopError(
                "a process that judges examples ended before it answered; run the same command again to go on, with "
                "--workers 1 if memory is short"
            ) from error
        finally:
            self._idle.put(process)
        if isinstance(answer, BaseException):
            raise answer
        return work

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()  # what it had begun lies beside the whole units, and is swept away
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    pipe.close()  # type: ignore[union-attr]  # both are pipes


def _start() -> subprocess.Popen[bytes]:
    # The same modules and plug-ins as here, and nothing from the folder one happens to stand in. In a session of its
    # own, so that Ctrl-C reaches the parent alone, which then ends its workers.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), OMP_NUM_THREADS="1"),
        start_new_session=True,
    )


def _send(pipe: Any, message: Any) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Work until nothing comes."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    settings, folder = pickle.load(questions)  # noqa: S301  the parent wrote it
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)  # examples hold no cycles; looking for some as often as usual takes 5 %
    while True:
        work = pickle.load(questions)  # noqa: S301
        answer: Any = None
        try:
            work.do(settings, Path(folder))
        except (SamloopError, OSError) as error:
            answer = error
        _send(answers, answer)


if __name__ == "__main__":
    # Standard output is for answers alone: what a rule prints goes where errors go.
    # A pipe that ends, in the middle of a message too, is how the parent says that it is done or dead.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, out)
