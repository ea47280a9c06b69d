"""Words as numbers, for whole columns at once: what a rule or a model compares without a Python object per word.

A word is a run of ASCII letters and of bytes above them, or of digits; a capital after a small letter begins a new
one, so that `readLines` and `read_lines` are the same two words. It is packed, in lower case, into one number by its
first letters, so that `index`, `indexes` and `indexing` are one word where four letters count.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

MOST_LETTERS: Final = 8
"""How many bytes of a word fit into one number."""

_NONE, _SMALL, _CAPITAL, _DIGIT = 0, 1, 2, 3
_CLASS: Final = np.zeros(256, dtype=np.uint8)
_CLASS[[*range(ord("a"), ord("z") + 1), *range(128, 256)]] = _SMALL
_CLASS[ord("A") : ord("Z") + 1] = _CAPITAL
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_LOWER: Final = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32
_CLASS_BYTES, _LOWER_BYTES = _CLASS.tobytes(), _LOWER.tobytes()


def _mapped(raw: np.ndarray, table: bytes) -> np.ndarray:
    """Each byte by a table of 256; bytes.translate takes half the time that indexing does."""
    return np.frombuffer(raw.tobytes().translate(table), dtype=np.uint8)


def words(column: pa.Array, letters: int) -> tuple[np.ndarray, np.ndarray]:
    """Every word of every text: (row, key), int64 and uint64 of one length, in the order of the text.

    Args:
        column: large_string; null is no word.
        letters: how many leading bytes of a word count, at most `MOST_LETTERS`.
    """
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    raw = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    starts, lengths = _starts(raw, bounds)
    lowered = np.zeros(len(raw) + MOST_LETTERS, dtype=np.uint8)
    lowered[: len(raw)] = _mapped(raw, _LOWER_BYTES)
    eight = np.ndarray((len(raw) + 1,), dtype="<u8", buffer=lowered, strides=(1,))  # the 8 bytes from each place on
    keys = eight.take(starts) & _FIRST.take(np.minimum(lengths, letters))
    return np.repeat(np.arange(len(column)), np.diff(np.searchsorted(starts, bounds))), keys


_FIRST: Final = np.array([(1 << (8 * count)) - 1 for count in range(MOST_LETTERS + 1)], dtype=np.uint64)
"""By a number of letters: what keeps so many of a key."""


def _starts(raw: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin, and how many bytes each has."""
    kind = _mapped(raw, _CLASS_BYTES)
    before = np.concatenate([np.zeros(1, dtype=np.uint8), kind[:-1]])
    edges = bounds[:-1][bounds[:-1] < len(raw)]
    before[edges] = _NONE
    begins = (before == _NONE) | ((kind == _CAPITAL) & (before == _SMALL)) | ((kind == _DIGIT) != (before == _DIGIT))
    inside = kind != _NONE
    begins &= inside
    last = inside.copy()
    last[:-1] &= ~inside[1:] | begins[1:]
    starts = np.flatnonzero(begins)
    return starts, np.flatnonzero(last) - starts + 1


def key(word: str, letters: int) -> int:
    """The number of one word, as `words` gives it."""
    return int.from_bytes(word.lower().encode()[:letters], "little")


def keys(text: str, letters: int) -> np.ndarray:
    """The numbers of the words in `text`, sorted, each once."""
    return np.array(sorted({key(word, letters) for word in text.split()}), dtype=np.uint64)
