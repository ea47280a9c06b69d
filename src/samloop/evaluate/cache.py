"""What models said before, by model, question and bound: found again instead of asked again.

One SQLite file in the home. An entry is named by a digest of all that its answer depends on, and holds numbers alone
(log-probabilities, or the ids of an answer's tokens) behind a checksum of their own. Each is tied to the items it was
asked for, so that `forget` finds what an example led to. Whatever is wrong with the file costs time, never truth: a
broken entry is a missing one, a broken file is made anew, and where none can be written the work goes on without.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import xxhash

from samloop.errors import StoreError
from samloop.files import private_folder

log = logging.getLogger(__name__)

KEPT_SHARE: Final = 0.9
"""A full cache loses what was used longest ago until it is filled so far."""

CHECKSUM_BYTES: Final = 8
BUSY_SECONDS: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS asked (batch TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (batch, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (batch TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (batch, item)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS asked_by_key ON asked (key);
"""

T = TypeVar("T")


class Cache:
    """Entries by key, in a file or, where `path` is None, only as long as this lives.

    Args:
        room_bytes: the most that all values may take.
    """

    def __init__(self, path: Path | None, room_bytes: int) -> None:
        self._path, self._room_bytes = path, room_bytes
        self._database: sqlite3.Connection | None = None
        self._filled_bytes = 0

    def get(self, keys: Collection[bytes], batch: str) -> dict[bytes, bytes]:
        """What is known of `keys`, which are asked for `batch`; a broken entry is none."""
        return self._guarded(lambda database: self._get(database, keys, batch), {})

    def put(self, entries: Mapping[bytes, bytes], batch: str) -> None:
        """Keep `entries`, which were asked for `batch`, at once: a killed process loses none that were put."""
        self._guarded(lambda database: self._put(database, entries, batch), None)

    def tell(self, batch: str, items: Iterable[str]) -> None:
        """Remember which items a batch is about."""
        rows = [(batch, item) for item in items]
        self._guarded(lambda database: _many(database, "INSERT OR IGNORE INTO items VALUES (?, ?)", rows), None)

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
        self._database = None

    def _guarded(self, act: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do `act`; where the file is broken once more on a new one, and where it cannot be used without it."""
        for _ in range(2):
            try:
                if self._database is None:
                    self._database = _open(self._path)
                    (self._filled_bytes,) = self._database.execute(
                        "SELECT coalesce(sum(length(value)), 0) FROM entries"
                    ).fetchone()
                with self._database:
                    return act(self._database)
            except (sqlite3.OperationalError, OSError) as error:
                if self._path is None:
                    raise
                log.warning("the cache of evaluations %s cannot be used (%s); going on without it", self._path, error)
                self.close()
                self._path = None
            except sqlite3.DatabaseError as error:
                log.warning("the cache of evaluations %s is damaged (%s); it is made anew", self._path, error)
                self.close()
                if self._path is not None:
                    _remove(self._path)
        return otherwise

    def _get(self, database: sqlite3.Connection, keys: Collection[bytes], batch: str) -> dict[bytes, bytes]:
        found, broken = {}, []
        for key in keys:
            for (value,) in database.execute("SELECT value FROM entries WHERE key = ?", (key,)):
                if _checksum(key, value[CHECKSUM_BYTES:]) == value[:CHECKSUM_BYTES]:
                    found[key] = value[CHECKSUM_BYTES:]
                else:
                    broken.append((key,))
        _many(database, "DELETE FROM entries WHERE key = ?", broken)
        now = time.time()
        _many(database, "UPDATE entries SET used = ? WHERE key = ?", [(now, key) for key in found])
        _many(database, "INSERT OR IGNORE INTO asked VALUES (?, ?)", [(batch, key) for key in found])
        return found

    def _put(self, database: sqlite3.Connection, entries: Mapping[bytes, bytes], batch: str) -> None:
        now = time.time()
        rows = [(key, _checksum(key, value) + value, now) for key, value in entries.items()]
        _many(database, "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
        _many(database, "INSERT OR IGNORE INTO asked VALUES (?, ?)", [(batch, key) for key in entries])
        self._filled_bytes += sum(len(value) for _, value, _ in rows)
        if self._filled_bytes > self._room_bytes:
            self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        (filled,) = database.execute("SELECT coalesce(sum(length(value)), 0) FROM entries").fetchone()
        gone = []
        for key, size in database.execute("SELECT key, length(value) FROM entries ORDER BY used, rowid"):
            if filled <= self._room_bytes * KEPT_SHARE:
                break
            gone.append((key,))
            filled -= size
        _many(database, "DELETE FROM entries WHERE key = ?", gone)
        _tidy(database)
        self._filled_bytes = filled


def forget(path: Path, examples: Collection[str]) -> int:
    """Remove from the cache at `path` all that was asked for items made of these examples; how many entries went.

    An item is made of an example where its id holds the example's. Which of a batch's entries belong to which of its
    items is not known, so the whole batch goes: it is worked out again when it is next asked for. Nothing of it stays
    in the file. A cache that cannot be read goes as a whole, and then the number is 0.

    Raises:
        StoreError: the file cannot be written.
    """
    if not path.exists():
        return 0
    try:
        database = _open(path)
        try:
            with database:
                found = {
                    batch
                    for example in examples
                    for (batch,) in database.execute("SELECT batch FROM items WHERE instr(item, ?)", (example,))
                }
                before = _count(database)
                rows = [(batch,) for batch in found]
                _many(database, "DELETE FROM entries WHERE key IN (SELECT key FROM asked WHERE batch = ?)", rows)
                _many(database, "DELETE FROM items WHERE batch = ?", rows)
                _tidy(database)
                return before - _count(database)
        finally:
            database.close()
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"the cache of evaluations {path} could not be changed ({error}); wait for the evaluation at work "
            "to end, or remove that file: it is made anew"
        ) from error
    except sqlite3.DatabaseError:
        _remove(path)
        return 0


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS)
    try:
        database.execute("PRAGMA secure_delete = ON")  # what is forgotten shall not stay in free pages
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-journal"):
        with suppress(OSError):
            path.with_name(name).unlink(missing_ok=True)


def _tidy(database: sqlite3.Connection) -> None:
    """Forget who asked for what is gone, and what the batches of nothing were about."""
    database.execute("DELETE FROM asked WHERE key NOT IN (SELECT key FROM entries)")
    database.execute("DELETE FROM items WHERE batch NOT IN (SELECT batch FROM asked)")


def _count(database: sqlite3.Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM entries").fetchone()
    return int(count)


def _many(database: sqlite3.Connection, statement: str, rows: Collection[tuple[object, ...]]) -> None:
    if rows:
        database.executemany(statement, rows)


def _checksum(key: bytes, value: bytes) -> bytes:
    return xxhash.xxh3_64_digest(key + value)
