"""What watches over a run between its steps: too little memory, and what a person asks from another terminal.

A pause keeps a checkpoint first, so that a power cut during it costs nothing, and the run goes on in the same process
with the same next step: it changes no weight.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from samloop.train import memory
from samloop.train.control import Control

POLL_SECONDS: Final = 0.25
"""How often a paused run looks whether it may go on."""

GIGABYTE: Final = 10**9

OnEvent = Callable[[dict[str, Any]], None]


class Guard:
    """Pauses and ends a run between two steps.

    A pause for memory begins below `pause_below_bytes` and ends at `go_on_at_bytes`: two thresholds, so that a run
    whose own next step takes the memory again does not flutter. It first gives back what it can, which may be enough.
    """

    def __init__(
        self,
        control: Control,
        *,
        pause_below_bytes: int,
        go_on_at_bytes: int,
        give_up_seconds: float,
        ended: Callable[[], bool],
        on_event: OnEvent,
        available: Callable[[], int] = memory.available_bytes,
        release: Callable[[], None] = memory.release,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A guard over one run.

        Args:
            give_up_seconds: a pause for memory that lasts longer ends the run; 0: it waits for ever.
            ended: whether this process was asked to end.
            on_event: called with {event: paused | resumed, at_step, reason, available_bytes, time} and, when resumed,
                the seconds waited.
            available: bytes of memory that can be had now.
            release: gives unused memory back to the system.
            clock, sleep: in seconds.
        """
        self._control, self._ended, self._on_event = control, ended, on_event
        self._pause_below, self._go_on_at, self._give_up = pause_below_bytes, go_on_at_bytes, give_up_seconds
        self._available, self._release, self._clock, self._sleep = available, release, clock, sleep
        self.reason: str | None = None
        """Why the run is to end; None: it is not."""

    def should_stop(self) -> bool:
        """Whether the run is to end now, kept."""
        if self.reason is None and self._ended():
            self.reason = "its process was asked to end"
        if self.reason is None and self._control.wish() == "stop":
            self.reason = "as asked by 'samloop runs stop'"
        return self.reason is not None

    def between_steps(self, step: int, keep: Callable[[], None]) -> None:
        """Return when the next step may be taken, or the run is to end.

        Args:
            step: steps taken so far.
            keep: writes a checkpoint.
        """
        if self.should_stop():
            return
        reason = self._hindrance(self._pause_below)
        if reason == "memory":
            self._release()
            reason = self._hindrance(self._go_on_at)
        if reason is not None:
            keep()
            self._wait(step, reason)

    def _wait(self, step: int, reason: str | None) -> None:
        began = self._clock()
        self._tell("paused", step, reason)
        self._release()
        while not self.should_stop() and (now := self._hindrance(self._go_on_at)) is not None:
            if now != reason:
                self._tell("paused", step, now)
                reason, began = now, began if now == "asked" else self._clock()
            if now == "memory" and self._give_up and self._clock() - began > self._give_up:
                self.reason = (
                    f"for {self._give_up / 60:,.0f} minutes there was less than {self._go_on_at / GIGABYTE:g} GB "
                    "of memory available"
                )
                return
            self._sleep(POLL_SECONDS)
        if self.reason is None:
            self._tell("resumed", step, reason, seconds=self._clock() - began)

    def _hindrance(self, needed_bytes: int) -> str | None:
        """What keeps the run from going on: "asked", "memory", or nothing."""
        if self._control.wish() == "pause":
            return "asked"
        return "memory" if self._available() < needed_bytes else None

    def _tell(self, event: str, step: int, reason: str | None, **more: Any) -> None:
        line = {"event": event, "at_step": step, "reason": reason, "available_bytes": self._available()}
        self._on_event({**line, "time": time.time(), **more})


def describe(event: dict[str, Any]) -> str:
    """Why a run pauses, in a few words."""
    if event.get("reason") == "memory":
        return f"only {event.get('available_bytes', 0) / GIGABYTE:.2f} GB of memory are available"
    return "as asked by 'samloop runs pause'"
