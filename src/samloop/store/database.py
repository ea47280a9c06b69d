"""The connection to the database: transactions, the revision counter, and errors a person can act on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from samloop.errors import StoreBusyError, StoreError
from samloop.home import Home
from samloop.settings import StoreSettings
from samloop.store.tables import store_meta

CACHE_KIB: Final = 64 * 1024
"""Page cache per connection: holds the inner pages of the hash indexes of a million examples."""

PAGE_BYTES: Final = 8192
"""Page size of a new SQLite file. An example of 1,200 characters takes 2 kB: four to a page instead of two make the
file a tenth smaller, and a batch of 8,192 takes 25 microseconds an example instead of 29; with pages of 16 kB, 26."""

WAL_PAGES: Final = 8192
"""Pages in the write-ahead log (64 MiB) after which it is folded into the database.

The hash indexes are written at random places, so most of what a batch writes is index pages: the longer the log, the
fewer of them are written twice.
"""

CHUNK: Final = 500
"""Values per IN list, of a server: few statement shapes."""


class Database:
    """One database, opened. Reads see one snapshot; writes hold the write lock from their first statement on.

    Attributes:
        engine: the SQLAlchemy engine.
        path: the SQLite file; None for a database server.
        place: how messages name the store; never holds a password.
    """

    def __init__(self, home: Home, settings: StoreSettings) -> None:
        url = _url(home, settings)
        self.busy_timeout_seconds = settings.busy_timeout_seconds
        self.path = Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None
        self.place = str(self.path or url.render_as_string(hide_password=True))
        try:
            # Parameters hold the text of users' records: no message and no log may show them.
            self.engine: Engine = create_engine(url, hide_parameters=True)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"the database {self.place} needs the Python module {error.name}, which is not installed: "
                f"pip install {error.name}"
            ) from error
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(f"the database {self.place} cannot be used ({error}); check store.url") from error
        if url.get_backend_name() == "sqlite" and (self.path is None or url.database == ":memory:"):
            raise StoreError(
                "expected store.url to name a file or a server, got a database in memory, which is gone when the "
                "command ends; write sqlite:////path/to/samloop.db"
            )
        if self.path is not None:
            _tune(self.engine, settings.busy_timeout_seconds)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees the store as it is now, whatever others write meanwhile.

        Raises:
            StoreError: the database cannot be read.
        """
        with self.translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, wait_seconds: float | None = None) -> Iterator[Connection]:
        """A transaction that is written as a whole or not at all.

        Args:
            wait_seconds: for another process that writes, at SQLite; None: the busy timeout of the settings.

        Raises:
            StoreBusyError: another process kept the write lock for longer than the busy timeout.
            StoreError: the database cannot be written; it is as it was before.
        """
        with self.translated(), self.engine.connect() as connection:
            connection = connection.execution_options(samloop_write=True)
            with self._patience(connection, wait_seconds), connection.begin():
                yield connection

    @contextmanager
    def _patience(self, connection: Connection, seconds: float | None) -> Iterator[None]:
        raw = connection.connection.driver_connection
        if seconds is None or not isinstance(raw, sqlite3.Connection):
            yield
            return
        raw.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        try:
            yield
        finally:
            raw.execute(f"PRAGMA busy_timeout = {int(self.busy_timeout_seconds * 1000)}")

    def close(self) -> None:
        """Close all connections; SQLite then folds its write-ahead log into the database."""
        self.engine.dispose()

    def storage_bytes(self) -> int:
        """Bytes the store takes on disk; 0 for a database server."""
        if self.path is None:
            return 0
        files = (self.path, Path(f"{self.path}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the database's errors into `StoreError`."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise self._explain(error) from error
        except SQLAlchemyError as error:
            raise StoreError(f"the store {self.place} failed: {type(error).__name__}") from error

    def _explain(self, error: DBAPIError | sqlite3.Error) -> StoreError:
        """`error` as one sentence that says where and what to do, without any value of a record."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorname", None) or ""
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusyError(
                f"the store {self.place} is being written by another process; tried for "
                f"{self.busy_timeout_seconds:g} s: try again, or raise store.busy_timeout_seconds"
            )
        if code == "SQLITE_FULL" or (code.startswith("SQLITE_IOERR") and self._no_space_left()):
            return StoreError(
                f"the disk of the store {self.place} is full; nothing of this write was kept: free some space"
            )
        if code.startswith("SQLITE_IOERR"):
            return StoreError(
                f"the store {self.place} could not be written or read ({code}); nothing of this write was kept: "
                "check the disk, its quota and the limit on file sizes"
            )
        if code == "SQLITE_NOTADB":
            return StoreError(
                f"expected a samloop store at {self.place}, got a file that is no database; move it away"
            )
        if code.startswith("SQLITE_CORRUPT"):
            return StoreError(f"the store {self.place} is damaged; restore it from a backup")
        if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return StoreError(
                f"the store {self.place} cannot be opened for writing; make the file and its folder writable, "
                "or choose another home with --home"
            )
        if code == "SQLITE_ERROR" and str(cause).startswith(("no such table", "no such column")):
            return StoreError(f"the store {self.place} has lost a part ({cause}); restore it from a backup")
        kind = code or type(cause).__name__
        return StoreError(f"the store {self.place} failed ({kind}); run `samloop doctor`")

    def _no_space_left(self) -> bool:
        return self.path is not None and shutil.disk_usage(self.path.parent).free < 2**20


def next_revision(connection: Connection) -> int:
    """Raise the store's revision by one and return it.

    Call it before the first change of examples: the row lock it takes is what lets a database server run one such
    transaction after the other, as SQLite's write lock does.
    """
    mine = store_meta.c.name == "revision"
    connection.execute(update(store_meta).where(mine).values(value=store_meta.c.value + 1))
    return int(connection.execute(select(store_meta.c.value).where(mine)).scalar_one())


def current_revision(connection: Connection, *, lock: bool = False) -> int:
    """The store's revision; with `lock`, nobody else can raise it before this transaction ends."""
    statement = select(store_meta.c.value).where(store_meta.c.name == "revision")
    return int(connection.execute(statement.with_for_update() if lock else statement).scalar_one())


def among(connection: Connection, column: Column[str], values: Iterable[str]) -> Iterator[ColumnElement[bool]]:
    """Conditions, for a statement each, that together say that `column` holds one of `values`."""
    wanted = list(values)
    if connection.dialect.name == "sqlite" and wanted:
        # One parameter, where a list of 500 costs more to put together than SQLite needs to look.
        each = func.json_each(orjson.dumps(wanted).decode()).table_valued("value")
        yield column.in_(select(each.c.value))
    else:
        yield from (column.in_(wanted[start : start + CHUNK]) for start in range(0, len(wanted), CHUNK))


def _url(home: Home, settings: StoreSettings) -> URL:
    if not settings.url:
        return URL.create("sqlite", database=str(home.database))
    try:
        return make_url(settings.url)
    except ArgumentError as error:
        # The value itself may hold a password, so it is not repeated.
        raise StoreError("store.url is not a database URL; expected e.g. sqlite:////path/to/samloop.db") from error


def create_file(path: Path) -> None:
    """Make the SQLite file, private to its owner, before SQLite would make it with the process's umask.

    SQLite gives its -wal and -shm files the same mode.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be opened for writing ({error.strerror}); make the file and its folder "
            "writable, or choose another home with --home"
        ) from error


def _tune(engine: Engine, busy_timeout_seconds: float) -> None:
    """Set up every SQLite connection, and let SQLAlchemy's transactions be SQLite's."""

    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's sqlite3 would begin transactions on its own, and only before writes.
        connection.isolation_level = None
        for name, value in (
            ("busy_timeout", int(busy_timeout_seconds * 1000)),
            ("foreign_keys", "ON"),
            # FULL, not NORMAL: the log is flushed at every commit, so that what was acknowledged survives a power
            # cut too (NORMAL survives kill -9 only). One flush per batch of a thousand examples costs little.
            ("synchronous", "FULL"),
            ("page_size", PAGE_BYTES),  # of a file that is empty as yet; others stay as they are
            ("cache_size", -CACHE_KIB),
            ("wal_autocheckpoint", WAL_PAGES),
        ):
            connection.execute(f"PRAGMA {name} = {value}")

    def on_begin(connection: Connection) -> None:
        # A write takes the lock at once: upgrading a read later could fail without waiting for the busy timeout.
        writes = connection.get_execution_options().get("samloop_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def use_wal(database: Database) -> None:
    """Switch the SQLite file to write-ahead logging, for good, if it is not yet.

    The switch needs the file for itself and does not wait for others on its own.
    """
    deadline = time.monotonic() + database.busy_timeout_seconds
    connection = database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        while True:
            try:
                cursor.execute("PRAGMA journal_mode")
                if cursor.fetchall() != [("wal",)]:
                    cursor.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    finally:
        connection.close()
