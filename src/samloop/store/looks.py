"""What an inventory found in each file, kept in a file of its own: lost without harm, it is found again.

A row holds for a file of that path, size and time, and for the settings it was looked at with.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import orjson
import xxhash

from samloop.errors import StoreError

PUTS_AT_ONCE: Final = 500
SECONDS_AT_ONCE: Final = 1.0
"""A transaction ends after so many files or so long: a killed inventory looks at little again, and another one beside
it need not wait."""

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS looks (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
    "settings TEXT NOT NULL, look BLOB NOT NULL) WITHOUT ROWID"
)


class Looks:
    """Looks at files by path, size and time.

    Args:
        path: the file; made where it is missing, and made anew where it is damaged.
        settings: what a look depends on besides the file; looks of other settings do not count.

    Raises:
        StoreError: it cannot be written.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self.path, self.settings = path, settings
        self._puts, self._committed = 0, time.monotonic()
        self._seen: set[int] = set()
        try:
            self._database = self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._failed(error) from error
            path.unlink(missing_ok=True)
            self._database = self._opened()

    def _opened(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(self.path, timeout=10.0)
        try:
            database.execute("PRAGMA synchronous = OFF")  # what a power cut damages is made anew
            database.execute(_TABLE)
            database.commit()
        except sqlite3.Error:
            database.close()
            raise
        return database

    def get(self, path: Path, size: int, mtime_ns: int) -> dict[str, Any] | None:
        """The look at that file, if it has not changed since."""
        key = os.fsencode(path)
        self._seen.add(xxhash.xxh3_64_intdigest(key))
        found = self._do(
            lambda: self._database.execute(
                "SELECT look FROM looks WHERE path = ? AND size = ? AND mtime_ns = ? AND settings = ?",
                (key, size, mtime_ns, self.settings),
            ).fetchone()
        )
        return None if found is None else dict(orjson.loads(found[0]))

    def put(self, path: Path, size: int, mtime_ns: int, look: Mapping[str, Any]) -> None:
        """Keep a look; it is on disk with the next portion, or when this object is closed."""
        row = (os.fsencode(path), size, mtime_ns, self.settings, orjson.dumps(look))
        self._do(lambda: self._database.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?)", row))
        self._puts += 1
        if self._puts % PUTS_AT_ONCE == 0 or time.monotonic() - self._committed > SECONDS_AT_ONCE:
            self._do(self._database.commit)
            self._committed = time.monotonic()

    def forget_missing(self, place: Path) -> None:
        """Forget the files below `place` that were not asked for: they are gone."""
        below = os.fsencode(place).rstrip(b"/") + b"/"
        kept = self._do(
            lambda: self._database.execute(
                "SELECT path FROM looks WHERE path >= ? AND path < ?", (below, below[:-1] + b"0")
            ).fetchall()
        )
        gone = [(path,) for (path,) in kept if xxhash.xxh3_64_intdigest(path) not in self._seen]
        self._do(lambda: self._database.executemany("DELETE FROM looks WHERE path = ?", gone))

    def _do(self, what: Callable[[], Any]) -> Any:
        try:
            return what()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"what the inventory found could not be kept in {self.path} ({error}); "
            "wait for another inventory to end, free some space, or remove that file"
        )

    def __enter__(self) -> Looks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(self._database.commit)
        finally:
            self._database.close()
