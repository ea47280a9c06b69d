"""Other programs' SQLite databases, read without leaving a trace: no lock held, no file written beside them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

MAGIC: Final = b"SQLite format 3\0"
SUFFIXES: Final = frozenset({".db", ".sqlite", ".sqlite3"})

LOCK_SECONDS: Final = 2.0
"""How long to wait for a program that is writing."""

_WAL_VERSION: Final = 2
"""The file format's write version (byte 18 of the header) of a database with a write-ahead log."""


class Unreadable(Exception):  # noqa: N818 - an outcome: a Reject in a folder, a SourceError for a file that was named
    """A database cannot be read now; the reason is the same for all with this defect."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the database itself describes it."""

    name: str
    columns: tuple[str, ...]
    keyed: bool

    def select(self, what: str = "*") -> str:
        """The rows in the order in which they were written; `what` and this table's own name go in unseen."""
        order = " ORDER BY _rowid_" if self.keyed else ""
        return f"SELECT {what} FROM {quoted(self.name)}{order}"  # noqa: S608  names are quoted, values are bound


def is_database(path: Path) -> bool:
    """Whether the file at `path` begins as an SQLite database does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def stamp(path: Path) -> dict[str, int]:
    """Size and time of the database and of its write-ahead log: when they are as they were, so is the content."""
    found: dict[str, int] = {}
    for name, file in (("", path), ("wal_", path.with_name(path.name + "-wal"))):
        try:
            status = file.stat()
            found |= {f"{name}size": status.st_size, f"{name}mtime_ns": status.st_mtime_ns if status.st_size else 0}
        except FileNotFoundError:
            found |= {f"{name}size": 0, f"{name}mtime_ns": 0}
    return found


@contextmanager
def opened(path: Path, lock_seconds: float | None = None, *, glance: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, in one transaction, so that all tables are of one moment.

    Args:
        lock_seconds: how long to wait for a program that is writing; `LOCK_SECONDS` by default.
        glance: its tables are only to be counted: no lock is taken or waited for, so that what another program is
            writing at the time may be missing.

    Raises:
        Unreadable: it is locked, damaged, or no database; also while it is read.
    """
    with ExitStack() as stack:
        try:
            wait = LOCK_SECONDS if lock_seconds is None else lock_seconds
            connection = stack.enter_context(closing(_connect(path, wait, stack, glance=glance)))
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            for pragma in ("query_only = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield connection
        except sqlite3.Error as error:
            raise _told(error) from None
        except OSError as error:
            raise Unreadable("cannot be read", f"{error.strerror}; check its permissions") from None


def _connect(path: Path, lock_seconds: float, stack: ExitStack, *, glance: bool) -> sqlite3.Connection:
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(MAGIC) or len(header) < 100:
        raise Unreadable("not a database", "it does not begin as an SQLite database; take a whole copy of it")
    log = path.with_name(path.name + "-wal")
    if header[18] != _WAL_VERSION:
        return _open(path, "immutable=1" if glance else "mode=ro", lock_seconds)
    if not log.exists() or not log.stat().st_size:
        # Whoever closes such a database last removes its log: nobody has it open, and it needs no lock.
        return _open(path, "immutable=1", lock_seconds)
    if path.with_name(path.name + "-shm").exists():
        return _open(path, "mode=ro", lock_seconds)
    # Left by a program that died. To open it in place would write beside it.
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samloop-")))
    for file_ in (path, log):
        shutil.copyfile(file_, folder / file_.name)
    return _open(folder / path.name, "mode=rw", lock_seconds)


def _open(path: Path, how: str, lock_seconds: float) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?{how}"
    return sqlite3.connect(address, uri=True, timeout=lock_seconds, isolation_level=None)


def _told(error: sqlite3.Error) -> Unreadable:
    text = str(error)
    if "locked" in text or "busy" in text:
        return Unreadable(
            "database is locked", "another program is writing to it; stop that program and run it again"
        )
    if "readonly" in text or "unable to open" in text:
        return Unreadable("database is in use", "a program left it in the middle of a change; open it there once")
    return Unreadable("damaged database", f"{text}; what came before is in, take a whole copy of it")


def tables_of(connection: sqlite3.Connection) -> list[Table]:
    """The tables with their columns, by name; without SQLite's own, virtual ones and what those keep beside them."""
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    virtual = tuple(f"{name}_" for name, sql in found if (sql or "").lstrip().upper().startswith("CREATE VIRTUAL"))
    own = ("sqlite_", *virtual)
    names = [name for name, _ in found if not name.startswith(own) and f"{name}_" not in virtual]
    return [_table(connection, name) for name in names]


def _table(connection: sqlite3.Connection, name: str) -> Table:
    columns = tuple(row[1] for row in connection.execute(f"PRAGMA table_info({quoted(name)})"))
    try:
        connection.execute(f"SELECT _rowid_ FROM {quoted(name)} LIMIT 0")  # noqa: S608
    except sqlite3.OperationalError:
        return Table(name, columns, keyed=False)
    return Table(name, columns, keyed=True)


def filled(columns: tuple[str, ...], row: tuple[Any, ...]) -> Mapping[str, Any]:
    """The row as an object, by column names in lower case, without what is empty and without raw bytes."""
    pairs = zip(columns, row, strict=True)
    return {name.lower(): value for name, value in pairs if value not in (None, "") and not isinstance(value, bytes)}
