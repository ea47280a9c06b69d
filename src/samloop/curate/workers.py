"""Processes that judge examples beside this one.

A worker is a fresh Python with one `Curator`. What it is asked comes in at its standard input and goes out at its
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
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Final

from samloop.curate.engine import Curated, Curator
from samloop.errors import SamloopError
from samloop.example import Example
from samloop.recipe import Curate

_MODULE: Final = "samloop.curate.workers"


class Unsendable(Exception):  # noqa: N818 - an outcome, not an error
    """A batch that cannot be sent; the caller judges it itself."""


class Workers:
    """Some workers, which judge as a `Curator` of the same arguments does.

    They start in the background; `curate` may be called as soon as they are `ready`. Use it as a context, so that
    they are gone at its end.

    Args:
        count: how many processes; each takes about 200 MB of memory.
    """

    def __init__(
        self,
        settings: Curate,
        review_sources: frozenset[str],
        count: int,
        items: Mapping[str, Sequence[str]] | None = None,
        identifier_key: bytes | None = None,
    ) -> None:
        self._processes = [_start() for _ in range(count)]
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="samloop-curate")
        about = _packed((settings, review_sources, items, identifier_key))
        self._begun = [self._threads.submit(self._begin, process, about) for process in self._processes]

    @property
    def ready(self) -> bool:
        """Whether all workers have loaded what they need.

        Raises:
            SamloopError: one could not.
        """
        if not all(begun.done() for begun in self._begun):
            return False
        for begun in self._begun:
            begun.result()
        return True

    def curate(self, examples: Sequence[Example]) -> Future[Curated]:
        """Have `examples` judged by the next worker that is free.

        The future's result raises PluginError where `Curator.curate` does, and SamloopError where the worker died.

        Raises:
            Unsendable: metadata holds something that cannot be sent to another process.
        """
        try:
            question = _packed(examples)
        except Exception as error:  # pickle lets through whatever a foreign object raises
            raise Unsendable from error
        return self._threads.submit(self._curate, question)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()  # it holds nothing but what is asked of it
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):  # what was not sent yet is of no use to a process that is gone
                    pipe.close()  # type: ignore[union-attr]  # both are pipes

    def _begin(self, process: subprocess.Popen[bytes], about: bytes) -> None:
        _ask(process, about)
        self._idle.put(process)

    def _curate(self, question: bytes) -> Curated:
        process = self._idle.get()
        try:
            curated: Curated = _ask(process, question)
            return curated
        finally:
            self._idle.put(process)


def _start() -> subprocess.Popen[bytes]:
    # The same modules and plug-ins as here, and nothing from the folder one happens to stand in. In a session of its
    # own, so that Ctrl-C reaches the parent alone, which then ends its workers.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        start_new_session=True,
    )


def _ask(process: subprocess.Popen[bytes], question: bytes) -> Any:
    try:
        _send(process.stdin, question)  # type: ignore[arg-type]  # both are pipes
        answer = pickle.load(process.stdout)  # type: ignore[arg-type]  # noqa: S301  our own process wrote it
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise SamloopError(
            "a process that judges examples ended before it answered; all that was stored stays, so collect again, "
            "with collect.workers = 0 in the recipe if memory is short"
        ) from error
    if isinstance(answer, SamloopError):
        raise answer
    return answer


def _packed(message: Any) -> bytes:
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(message)
    pipe.flush()


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until no question comes: first the settings, then batches of examples."""
    settings, review_sources, items, key = pickle.load(questions)  # noqa: S301  the parent wrote it
    curator = Curator(settings, review_sources=review_sources, items=items, identifier_key=key)
    # What is loaded now stays, and a batch is dropped whole: looking for cycles once per batch is enough.
    gc.freeze()
    gc.disable()
    _send(answers, _packed(None))
    while True:
        examples = pickle.load(questions)  # noqa: S301
        try:
            answer: Curated | SamloopError = curator.curate(examples)
        except SamloopError as error:
            answer = error
        _send(answers, _packed(answer))
        del examples, answer
        gc.collect()


if __name__ == "__main__":
    # Standard output is for answers alone: what a rule prints goes where errors go.
    # A pipe that ends, in the middle of a message too, is how the parent says that it is done or dead.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, out)
