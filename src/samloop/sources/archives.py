"""The members of a ZIP archive as streams: nothing goes to disk, and nothing unpacks to more than it warrants."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from samloop.sources.drafts import Unfit
from samloop.sources.unpack import ALWAYS_BYTES, MOST_RATIO

MAGIC: Final = b"PK\x03\x04"
EMPTY_MAGIC: Final = b"PK\x05\x06"

MOST_DIRECTORY_BYTES: Final = 2**26
"""Of an archive's own table of contents: room for half a million members."""

DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)
"""What a damaged archive, or one that is packed in a way nobody reads here, raises."""


def is_archive(path: Path) -> bool:
    """Whether the file at `path` begins as a ZIP archive does."""
    with path.open("rb") as file:
        return file.read(4) in (MAGIC, EMPTY_MAGIC)


@dataclass(slots=True)
class Budget:
    """Bytes that an archive may still unpack to, all members together: told by what comes out, not by what its
    table of contents says."""

    left: int

    @classmethod
    def of(cls, path: Path) -> Budget:
        """As much as `unpack` grants a compressed file of that size."""
        return cls(max(ALWAYS_BYTES, path.stat().st_size * MOST_RATIO))


class Member:
    """One file in an archive, read from its beginning.

    Reading raises `Unfit` where the archive unpacks to more than its budget.
    """

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> None:
        self._file: Any = archive.open(info)
        self._budget = budget

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        data: bytes = self._file.read(size)
        self._budget.left -= len(data)
        if self._budget.left < 0:
            detail = (
                f"expected an archive to unpack to at most {MOST_RATIO} times its size, got more; unpack it by hand"
            )
            raise Unfit("unpacks to too much", f"{detail} if you trust it")
        return data

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive at `path`.

    Raises:
        Unfit: its table of contents is larger than any export's.
        zipfile.BadZipFile: it is damaged.
    """
    _refuse_huge_directory(path)
    return zipfile.ZipFile(path)


def _refuse_huge_directory(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**16 - 64))
        end = file.read()
    at = end.rfind(EMPTY_MAGIC)
    size = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    wide = end.rfind(b"PK\x06\x06")
    if size == 0xFFFFFFFF and wide >= 0:
        size = int.from_bytes(end[wide + 40 : wide + 48], "little")
    if size > MOST_DIRECTORY_BYTES:
        raise Unfit("unpacks to too much", f"expected a table of contents of at most {MOST_DIRECTORY_BYTES} bytes")


def members(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, Unfit | None]]:
    """The files in `archive` in order of name, each with the reason why it is not to be opened, if there is one."""
    for info in sorted(archive.infolist(), key=lambda one: one.filename):
        if not info.is_dir():
            yield info, _refused(info)


def _refused(info: zipfile.ZipInfo) -> Unfit | None:
    name = info.filename
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        return Unfit(
            "path leads out of the archive", "expected the name of a member to stay below the archive's root"
        )
    if info.flag_bits & 1:
        return Unfit("encrypted", "expected an archive without a password; unpack it by hand")
    return None
