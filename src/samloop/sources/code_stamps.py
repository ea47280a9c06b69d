"""What was read before, in a few bytes for each file, however many there are."""

from __future__ import annotations

import base64
import struct
from typing import Final

import xxhash

EDITION: Final = "1"
"""Changes whenever the same file yields something else than before, so that everything is read again."""


class Stamps:
    """A set of 64-bit hashes: of each file's path and stamp, and of its path and content.

    A hundred thousand files take 2 MB as text. Two of a million hashes are the same by chance once in ten million
    times; a file would then be passed over until it changes.
    """

    def __init__(self, text: str, *settings: object) -> None:
        try:
            data = base64.b64decode(text, validate=True)
            self._before = frozenset(struct.unpack(f"<{len(data) // 8}Q", data))
        except (ValueError, struct.error):
            self._before = frozenset()  # of another edition: all is read again
        self._now: set[int] = set()
        self._seed = repr((EDITION, *settings))

    def seen(self, *parts: str) -> bool:
        """Whether these parts were kept before; they are kept on from now where they were."""
        stamp = self._hash(parts)
        if stamp in self._before:
            self._now.add(stamp)
            return True
        return stamp in self._now

    def keep(self, *parts: str) -> None:
        """Remember these parts."""
        self._now.add(self._hash(parts))

    def _hash(self, parts: tuple[str, ...]) -> int:
        return xxhash.xxh3_64_intdigest("\x1f".join((self._seed, *parts)).encode("utf-8", "replace"))

    def __len__(self) -> int:
        """About how many are held."""
        return max(len(self._before), len(self._now))

    def text(self, *, whole: bool) -> str:
        """All stamps as text.

        Args:
            whole: everything was looked at: what was not seen this time is gone and is forgotten.
        """
        stamps = self._now if whole else self._now | self._before
        return base64.b64encode(struct.pack(f"<{len(stamps)}Q", *sorted(stamps))).decode()
