"""Who serves in a slot: a link, and beside it the history of links, so that going back needs nothing else.

    adapters/<slot>/current          a link to the folder of the adapter in service; none: the bare base serves
    adapters/<slot>/history.jsonl    one line per change, appended: {"at", "serve": id or null, "reason"} or
                                     {"at", "bar": id, "state", "reason"}

The link is the truth, and the history says who served before. Neither the store nor the recipe is asked, so that an
adapter is taken out of service in an instant also where the store is locked, damaged or away: it follows later.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from filelock import FileLock, Timeout

from samloop.adapters import folders
from samloop.errors import GateError, StoreBusyError
from samloop.files import private_folder, storing, sync_folder
from samloop.home import Home

CURRENT: Final = "current"
HISTORY: Final = "history.jsonl"
LOCK_SECONDS: Final = 10.0

REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
"""States that bar an adapter from service: it is no good; it learnt from what was erased."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """One change of who serves: an adapter's id, or None for the bare base, why, and when in Unix seconds."""

    adapter_id: str | None
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback did.

    Attributes:
        left: the adapter that was taken out of service.
        now: the one that serves now; None: the bare base.
        passed: the predecessors that were passed over, with what is wrong with each.
    """

    left: str
    now: str | None
    passed: tuple[tuple[str, str], ...] = ()


class Service:
    """The links of one home and their histories; only files are read and written."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def slots(self) -> list[str]:
        """The slots that have a folder, sorted."""
        return sorted(path.name for path in self.home.adapters.glob("*") if path.is_dir())

    def folder(self, slot: str) -> Path:
        """Where the adapters of a slot lie."""
        return self.home.adapters / slot

    def champion(self, slot: str) -> str | None:
        """The id of the adapter in service; None: the bare base."""
        try:
            return (self.folder(slot) / CURRENT).readlink().name
        except OSError:
            return None

    def known(self, slot: str) -> bool:
        """Whether the slot has a history; homes of before have none until the store has told it."""
        return (self.folder(slot) / HISTORY).is_file()

    def served(self, slot: str) -> list[Served]:
        """Who was put into service, oldest first, up to what the link says now.

        Where a process died between the link and its line, the link is the last entry.
        """
        found = [
            Served(line["serve"], str(line.get("reason", "")), float(line.get("at", 0.0)))
            for line in self._lines(slot)
            if "serve" in line
        ]
        now = self.champion(slot)
        if (found[-1].adapter_id if found else None) != now:
            found.append(Served(now, "taken over from the link in service", time.time()))
        return found

    def barred(self, slot: str) -> dict[str, str]:
        """The state of each adapter that must not serve: rejected or withdrawn; what was withdrawn stays so."""
        found: dict[str, str] = {}
        for line in self._lines(slot):
            if "bar" in line and found.get(line["bar"]) != WITHDRAWN:
                found[str(line["bar"])] = str(line.get("state", REJECTED))
        return found

    def predecessor(self, slot: str) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        """Who a rollback goes back to (None: the bare base), and whom it passes over, with what is wrong.

        It is the one that served before the present one was promoted. Who was rolled back is no predecessor, and
        rejected and withdrawn ones are passed over in silence.
        """
        barred = self.barred(slot)
        passed: list[tuple[str, str]] = []
        for name in reversed(succession(entry.adapter_id for entry in self.served(slot))[:-1]):
            if name is None:
                break
            if name in barred:
                continue
            found = folders.damage(self.folder(slot) / name)
            if not found:
                return name, tuple(passed)
            passed.append((name, found[0]))
        return None, tuple(passed)

    def rollback(self, slot: str, reason: str) -> Rollback:
        """Put the champion before the present one into service again, or the base where there was none.

        A predecessor whose files are damaged is barred; one whose folder is away is passed over only.

        Raises:
            GateError: the bare base is in service already.
            StoreBusyError: a promotion is under way.
            StoreError: the link cannot be written.
        """
        with self.locked(slot):
            left = self.champion(slot)
            if left is None:
                raise GateError(f"nothing to roll back: the base is in service in slot '{slot}'")
            return self._go_back(slot, left, reason)

    def serve(self, slot: str, name: str | None, reason: str) -> None:
        """Swap the link in one step, then note it in the history. The caller holds the lock and checked the adapter.

        Raises:
            StoreError: the link cannot be written; what served still does.
        """
        folder = self.folder(slot)
        link = folder / CURRENT
        before = self.served(slot)
        if before and before[-1].adapter_id == name:
            return
        with storing("the link to the adapter in service", link):
            for left in folder.glob(f".{CURRENT}.*.part"):
                left.unlink(missing_ok=True)
            if name is None:
                link.unlink(missing_ok=True)
            else:
                beside = folder / f".{CURRENT}.{secrets.token_hex(4)}.part"
                beside.symlink_to(name, target_is_directory=True)
                beside.replace(link)
            sync_folder(folder)
        # With what a full disk, or a process that died right here, has kept from being written down before.
        told = sum("serve" in line for line in self._lines(slot))
        self._append(slot, [_line(one) for one in (*before[told:], Served(name, reason, time.time()))])

    def bar(self, slot: str, names: Sequence[str], state: str, reason: str) -> Rollback | None:
        """Bar adapters from ever serving. One of them that serves is taken out at once: the newest clean one serves.

        Returns:
            what was put into service instead; None: none of them served.

        Raises:
            StoreBusyError: a promotion is under way.
            StoreError: it cannot be written.
        """
        with self.locked(slot):
            now = time.time()
            lines = [{"at": now, "bar": name, "state": state, "reason": reason} for name in names]
            with storing("the history of the slot", self.folder(slot) / HISTORY):
                self._write(slot, lines)
            left = self.champion(slot)
            return self._go_back(slot, left, reason) if left in names and left is not None else None

    def note(self, slot: str, served: Iterable[Served], barred: Mapping[str, str]) -> None:
        """Add to the history what the store knows and it does not: of homes of before, and of other hands."""
        lines = [_line(one) for one in served]
        lines += [{"at": time.time(), "bar": name, "state": state, "reason": ""} for name, state in barred.items()]
        if lines or not self.known(slot):
            self._append(slot, lines)

    @contextmanager
    def locked(self, slot: str, seconds: float | None = None) -> Iterator[None]:
        """One process at a time changes what serves in a slot.

        Raises:
            StoreBusyError: another one has been at it for `seconds`, by default `LOCK_SECONDS`.
            StoreError: the slot's folder cannot be written.
        """
        folder = self.folder(slot)
        wait = LOCK_SECONDS if seconds is None else seconds
        with storing("the adapter's slot", folder):
            private_folder(folder)
            lock = FileLock(folder / ".lock", timeout=wait, mode=0o600)
            try:
                lock.acquire()
            except Timeout:
                raise StoreBusyError(
                    f"another process is changing what serves in slot '{slot}'; try again when it is done"
                ) from None
        try:
            yield
        finally:
            lock.release()

    # --- inside --------------------------------------------------------------------------------------------------

    def _go_back(self, slot: str, left: str, reason: str) -> Rollback:
        now, passed = self.predecessor(slot)
        self.serve(slot, now, reason)
        at = time.time()
        damaged = [(name, why) for name, why in passed if (self.folder(slot) / name).is_dir()]
        if damaged:
            self._append(slot, [{"at": at, "bar": name, "state": REJECTED, "reason": why} for name, why in damaged])
        for name, why in passed:
            log.warning("adapter %s is damaged and passed over in the rollback: %s", name, why)
        return Rollback(left, now, passed)

    def _lines(self, slot: str) -> list[dict[str, Any]]:
        """The lines of the history; one that a full disk or a power cut tore is left out."""
        try:
            content = (self.folder(slot) / HISTORY).read_bytes()
        except OSError:
            return []
        found = []
        for line in content.splitlines():
            try:
                plain = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(plain, dict):
                found.append(plain)
        return found

    def _append(self, slot: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines for what has happened. A full disk is told, and no reason to undo it: the link holds."""
        try:
            self._write(slot, lines)
        except OSError as error:
            log.warning("the history of slot %s could not be written (%s); the link holds", slot, error.strerror)

    def _write(self, slot: str, lines: Sequence[Mapping[str, Any]]) -> None:
        path = self.folder(slot) / HISTORY
        text = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            text = b"\n" + text if torn else text
            while text:
                text = text[os.write(handle, text) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _line(one: Served) -> dict[str, Any]:
    return {"at": one.at, "serve": one.adapter_id, "reason": one.reason}


def succession(served: Iterable[str | None]) -> list[str | None]:
    """The line of succession, from the base (None) to who serves now.

    Going back to an earlier champion cuts off those after it, so that a second rollback goes further back and not
    to the one just taken out of service.
    """
    line: list[str | None] = [None]
    for adapter_id in served:
        if adapter_id in line:
            del line[line.index(adapter_id) + 1 :]
        else:
            line.append(adapter_id)
    return line
