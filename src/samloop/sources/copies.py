"""Which files are equal, byte for byte: only what could be equal is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import xxhash

HEAD_BYTES: Final = 2**16
CHUNK_BYTES: Final = 2**20

Digest = Callable[[Path, int], str | None]


def digest_head(path: Path, size: int) -> str | None:
    """128-bit xxh3 of the first 64 KiB; None where the file cannot be read or has another size by now."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    return xxhash.xxh3_128_hexdigest(head) if len(head) == min(size, HEAD_BYTES) else None


def digest_whole(path: Path, size: int) -> str | None:
    """128-bit xxh3 of all of the file; None where it cannot be read or has another size by now."""
    hasher = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                hasher.update(chunk)
                size -= len(chunk)
    except OSError:
        return None
    return hasher.hexdigest() if size == 0 else None


def copies(sizes: Mapping[Path, int], whole: Digest = digest_whole) -> list[list[Path]]:
    """Groups of equal files, each in the order of `sizes`; empty files are equal and no copies of one another.

    Args:
        sizes: bytes of each file.
        whole: what gives the digest of a file, where it may be known already.
    """
    groups: list[list[Path]] = []
    for same_size in _by(sizes, sizes.__getitem__):
        size = sizes[same_size[0]]
        for same_head in _by(same_size, partial(digest_head, size=size)) if size else ():
            groups += [same_head] if size <= HEAD_BYTES else _by(same_head, partial(_called, whole, size))
    order = {path: at for at, path in enumerate(sizes)}
    return sorted(groups, key=lambda group: order[group[0]])


def _called(whole: Digest, size: int, path: Path) -> str | None:
    return whole(path, size)


def _by(paths: Iterable[Path], key: Callable[[Path], object]) -> list[list[Path]]:
    """Those that share a key, in groups of two and more; None is no key."""
    found: dict[object, list[Path]] = {}
    for path in paths:
        found.setdefault(key(path), []).append(path)
    return [group for value, group in found.items() if value is not None and len(group) > 1]
