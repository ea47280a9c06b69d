"""Files that are whole or not there: write beside, flush to disk, rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from samloop.errors import StoreError, UsageError


def absolute(path: str | os.PathLike[str], start: Path | None = None) -> Path:
    """`path` from the root on: ``~`` filled in, a relative one begun at `start` (the current folder by default).

    Raises:
        UsageError: nothing can have that path.
    """
    if "\0" in os.fspath(path):
        raise UsageError("expected a path, got text with a NUL byte in it; correct it")
    try:
        return (start or Path()).joinpath(Path(path).expanduser()).absolute()
    except RuntimeError:
        raise UsageError(
            f"expected the home folder of a user at the start of {path}, found none; write it out"
        ) from None


def readable(path: str | os.PathLike[str]) -> str:
    """`path` as text that every database and JSON file can hold: bytes that are not UTF-8 are told as ``\\xff``."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return os.fspath(path).encode("utf-8", "backslashreplace").decode()


PID_DIGITS: Final = 7
"""Process ids stay below 2**22; a longer number in a name is something else."""


@contextmanager
def storing(what: str, path: Path) -> Iterator[None]:
    """Turn operating system errors while writing `what` at `path` into one StoreError sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space and run it again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "make the folder writable, or choose another place"
        elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            remedy = "name a file in a folder that exists"
        else:
            remedy = "check the disk and run it again"
        raise StoreError(f"{what} could not be written to {path} ({error.strerror}); {remedy}") from error


def private_folder(path: Path) -> Path:
    """Make `path` and what is missing above it, each for its owner alone; `path`."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path`, private to the owner; readers see the old file or the whole new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of `value` as indented JSON."""
    write_atomic(path, orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which appears as `path` only when the block ends without an error.

    If `path` exists by then, it is kept and the new one is dropped: folders are named by their content.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)
    private_folder(beside)
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        if not path.exists():
            beside.replace(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left beside the files and folders they were writing, anywhere under `folder`."""
    for left in list(folder.rglob(".*.part")):
        writer = left.name.split(".")[-2]
        if not writer.isdecimal() or len(writer) > PID_DIGITS or psutil.pid_exists(int(writer)):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, so that a power cut finds them as they are now."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
