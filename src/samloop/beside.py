"""Processes of this program beside this one, each with one question at a time.

A process is a fresh Python that runs one module. What it is asked comes in at its standard input and goes out at its
standard output, one answer for one question, as pickles: both ends are this program, over pipes nobody else holds.
It ends when its input ends, so that it never outlives its parent, however hard that dies.

Not a pool of `multiprocessing`: its fork is unsafe beside Arrow's threads, and its spawn runs the main script of the
caller again, which breaks each script that is not written for it.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from samloop.errors import SamloopError

OBJECTS_BETWEEN_LOOKS: Final = (200_000, 20, 20)
"""How seldom such a process looks for cycles: examples hold none, and looking as often as usual takes 5 %."""


_ALLOCATION: Final = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)}
"""glibc's malloc(3), unless the user set it: what one batch gave back serves the next. Handed to the system and asked
for again, it takes 5 % of a worker's time to be mapped; the most it ever holds is the same."""


class Beside:
    """`count` processes that run `module`, whose main part calls `serve`.

    They start in the background. Use it as a context, so that they are gone at its end.

    Args:
        about: what each is told first, before any question.
        died: the sentence for a process that ended before it answered.
        threads: how the threads that wait for answers are called.
        variables: what the environment of the processes has beside that of this one.
    """

    def __init__(
        self,
        module: str,
        about: Any,
        count: int,
        *,
        died: str,
        threads: str,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._died = died
        self._processes = [_start(module, variables or {}) for _ in range(count)]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=threads)
        told = packed(about)
        self._begun = [self._threads.submit(self._begin, process, told) for process in self._processes]

    @property
    def ready(self) -> bool:
        """Whether all of them have loaded what they need.

        Raises:
            SamloopError: one could not.
        """
        if not all(begun.done() for begun in self._begun):
            return False
        for begun in self._begun:
            begun.result()
        return True

    def ask(self, question: bytes) -> Future[Any]:
        """The answer of the next process that is free to a question that is `packed`.

        The future's result raises what the process answered with where that is an exception, and SamloopError where
        it died.
        """
        return self._threads.submit(self._ask_next, question)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()  # what it had begun is of no use to anybody
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what was not sent yet is of no use to a process that is gone
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def _begin(self, process: subprocess.Popen[bytes], about: bytes) -> None:
        try:
            self._ask(process, about)
        finally:
            self._idle.put(process)  # whoever asks one that died is told so

    def _ask_next(self, question: bytes) -> Any:
        process = self._idle.get()
        try:
            return self._ask(process, question)
        finally:
            self._idle.put(process)

    def _ask(self, process: subprocess.Popen[bytes], question: bytes) -> Any:
        try:
            _send(process.stdin, question)  # type: ignore[arg-type]  # both are pipes
            answer = pickle.load(process.stdout)  # type: ignore[arg-type]  # noqa: S301  our own process wrote it
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise SamloopError(self._died) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


def packed(message: Any) -> bytes:
    """A message as it travels."""
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def serve(begin: Callable[[Any], Callable[[Any], Any]]) -> None:
    """Answer until no question comes.

    Args:
        begin: takes what the process is told first and gives what answers a question. A SamloopError that either
            raises is the answer.
    """
    # Standard output is for answers alone: what a rule prints goes where errors go.
    # A pipe that ends, in the middle of a message too, is how the parent says that it is done or dead.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        questions = sys.stdin.buffer
        try:
            answer_to = begin(pickle.load(questions))  # noqa: S301  the parent wrote it
        except SamloopError as error:
            return _send(answers, packed(error))
        gc.freeze()  # what is loaded now stays: no use in looking through it again and again
        gc.set_threshold(*OBJECTS_BETWEEN_LOOKS)
        _send(answers, packed(None))
        while True:
            try:
                answer = answer_to(pickle.load(questions))  # noqa: S301
            except SamloopError as error:
                answer = error
            _send(answers, packed(answer))
            del answer  # before the next question takes its memory


def _start(module: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # The same modules and plug-ins as here, and nothing from the folder one happens to stand in. In a session of its
    # own, so that Ctrl-C reaches the parent alone, which then ends its processes.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_ALLOCATION | os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables},
        start_new_session=True,
    )


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(message)
    pipe.flush()
