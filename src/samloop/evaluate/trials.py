"""Trials: answers' code against tests, each trial in two sandboxes, many trials side by side."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from samloop.evaluate.inside import Unfit, dump_plain, load_plain
from samloop.evaluate.sandbox import LIMITS, Limits, check_sandbox, start

ENDED_EARLY: Final = "the code ended before the tests did"
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One answer and the test it has to pass.

    Attributes:
        test: Python source; a function ``check`` that it defines is called with the answer's function.
        programs: readings of the answer's code; the first that compiles counts. Empty: the test needs no code.
        name: the answer's function, which the test calls by this name or as ``candidate``.
        prompt: source whose imports and helpers the test may use.
        values: plain data that the test finds by name.
    """

    test: str
    programs: tuple[str, ...] = ()
    name: str = ""
    prompt: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether the test ran to its end without an objection; else why not, in a phrase."""

    passed: bool
    reason: str = ""


def run_trials(trials: Sequence[Trial], limits: Limits = LIMITS, at_once: int = 0) -> list[Outcome]:
    """Run each trial; one can do nothing to another.

    Args:
        at_once: how many side by side; 0: as many as there are cores to use.

    Raises:
        SandboxError: this machine has no sandbox that works; nothing was run.
    """
    if not trials:
        return []
    check_sandbox()
    with ThreadPoolExecutor(at_once or cores()) as pool:
        return list(pool.map(lambda trial: run_trial(trial, limits), trials))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_trial(trial: Trial, limits: Limits = LIMITS) -> Outcome:
    """Run one trial.

    The word that stands for a pass is drawn for this trial and given to the tests' sandbox alone, which gives it back
    after the test: an answer that ends the process, prints "passed" or kills what is around it has said nothing.

    Raises:
        SandboxError: this machine has no sandbox that works.
    """
    word = secrets.token_hex(16)
    order = (list(trial.programs), trial.name, trial.prompt, trial.test, dict(trial.values), word)
    try:
        message = dump_plain(order)
    except Unfit as error:
        return Outcome(passed=False, reason=str(error))
    with ExitStack() as stack:
        return _Running(trial, limits, stack).outcome(struct.pack(">I", len(message)) + message, word)


class _Running:
    """Two sandboxes at work, and what they say."""

    def __init__(self, trial: Trial, limits: Limits, stack: ExitStack) -> None:
        self.limits, self.stack = limits, stack
        self._open: set[int] = set()
        reading, reporting = self._pipe()
        requests, asking = self._pipe()
        answering, replies = self._pipe()
        self.answer: subprocess.Popen[bytes] | None = None
        self.printed: int | None = None
        if trial.name:
            self.answer = start("answer", limits, stack, fds=(requests, replies), stdout=subprocess.PIPE)
            assert self.answer.stdout is not None  # noqa: S101  it was asked for
            self.printed = self.answer.stdout.fileno()
        self.test = start("test", limits, stack, stdin=subprocess.PIPE, fds=(0, reporting, asking, answering))
        self.report = reading
        # Ours are closed, so that each side sees when the other one ends.
        for fd in (reporting, requests, asking, answering, replies):
            self._close(fd)

    def _pipe(self) -> tuple[int, int]:
        one, other = os.pipe()
        for fd in (one, other):
            self._open.add(fd)
            self.stack.callback(self._close, fd)
        return one, other

    def _close(self, fd: int) -> None:
        if fd in self._open:  # once only: by now the number may be another trial's
            self._open.remove(fd)
            os.close(fd)

    def outcome(self, order: bytes, word: str) -> Outcome:
        deadline = time.monotonic() + self.limits.wall_seconds
        assert self.test.stdin is not None  # noqa: S101
        threading.Thread(target=self._order, args=(order,), daemon=True).start()
        said, over = self._listen(deadline)
        if over:
            return Outcome(passed=False, reason=over)
        try:
            kind, what = load_plain(said[4:])
        except (Unfit, TypeError, ValueError):
            return Outcome(passed=False, reason=f"the tests ended without a result ({_ending(self.test)})")
        if kind == "passed" and what == word:
            return Outcome(passed=True)
        if what == ENDED_EARLY and self.answer:
            what = f"{ENDED_EARLY} ({_ending(self.answer)})"
        return Outcome(passed=False, reason=str(what))

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.test.stdin.write(order)  # type: ignore[union-attr]
            self.test.stdin.flush()  # type: ignore[union-attr]

    def _listen(self, deadline: float) -> tuple[bytes, str]:
        """What the tests reported, and which limit was broken, if one was."""
        said, printed = bytearray(), 0
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.report, selectors.EVENT_READ)
            if self.printed is not None:
                waiting.register(self.printed, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select(_LOOK_SECONDS):
                    piece = os.read(key.fd, 65536)
                    if key.fd == self.report:
                        said += piece
                        if not piece or _whole(said):
                            return bytes(said), ""
                    elif piece:
                        printed += len(piece)
                        if printed > self.limits.output_bytes:
                            return b"", f"it printed more than {self.limits.output_bytes:,} bytes"
                    else:
                        waiting.unregister(key.fd)
                if time.monotonic() > deadline:
                    return b"", f"it was not done after {self.limits.wall_seconds:g} seconds"
                if sys.platform == "darwin" and self._over_memory():
                    return b"", f"it took more than {self.limits.memory_bytes:,} bytes of memory"

    def _over_memory(self) -> bool:
        """Whether the answer's process holds more than it may, where the system keeps no such bound itself."""
        return self.answer is not None and resident_bytes(self.answer.pid) > self.limits.memory_bytes


def resident_bytes(pid: int) -> int:
    """The memory a process holds; 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _whole(said: bytearray) -> bool:
    return len(said) >= 4 and len(said) - 4 >= struct.unpack(">I", said[:4])[0]


def _ending(child: subprocess.Popen[bytes]) -> str:
    """How a sandbox ended, in words."""
    try:
        code = child.wait(5)
    except subprocess.TimeoutExpired:
        return "it did not end"
    signal = -code if code < 0 else code - 128 if code > 128 else 0
    if signal in (9, 24):
        return "it was killed at its limit of processor time"
    return f"ended by signal {signal}" if signal else f"exit code {code}"
