"""A file's content, decompressed on the way: what can be had of a damaged one, and no more than its size warrants."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final

from samloop.sources.drafts import Unfit

DAMAGE: Final = (EOFError, gzip.BadGzipFile, zlib.error)
"""What a compressed file that is cut off or damaged raises; pyarrow raises OSError."""

PIECE_BYTES: Final = 2**16
"""What is lost of a damaged zstd file before the damage, at most; gzip loses nothing."""

ALWAYS_BYTES: Final = 2**28
MOST_RATIO: Final = 500
"""A file may unpack to a quarter of a GiB, and beyond that to 500 times its size. Chat logs shrink 4 to 10 times, one
line over and over 300 times; a bomb of blanks 1,000 times as gzip and 30,000 times as zstd."""


def open_bytes(path: Path, compression: str | None) -> BinaryIO:
    """The file's content, decompressed on the way.

    Reading it raises `DAMAGE` or OSError where it is damaged, after all that came before, and `Unfit` where it
    unpacks to more than any data file does.
    """
    return path.open("rb") if compression is None else Unpacked(path, compression)  # type: ignore[return-value]


class Unpacked:
    """A compressed file that is read from its beginning."""

    def __init__(self, path: Path, compression: str) -> None:
        self.limit = max(ALWAYS_BYTES, path.stat().st_size * MOST_RATIO)
        self.given = 0
        self._damage: Exception | None = None
        self._file: Any
        if compression == "gzip":
            self._file = gzip.GzipFile(path)
            self._next = self._file.read1  # hands out what it has, where read would lose it to a later error
        else:
            import pyarrow as pa

            self._file = pa.CompressedInputStream(pa.OSFile(str(path)), compression)
            self._next = self._file.read

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only before the end or the damage."""
        parts: list[bytes] = []
        left = size
        while left > 0 and self._damage is None:
            try:
                part = self._next(min(left, PIECE_BYTES))
            except (*DAMAGE, OSError) as error:
                self._damage = error
                break
            if not part:
                break
            parts.append(part)
            left -= len(part)
        if self._damage is not None and not parts:
            raise self._damage
        self.given += size - left
        if self.given > self.limit:
            detail = f"expected at most {MOST_RATIO} times its own size, got more than {self.limit} bytes; unpack it"
            raise Unfit("unpacks to too much", f"{detail} by hand if you trust it")
        return b"".join(parts)

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
