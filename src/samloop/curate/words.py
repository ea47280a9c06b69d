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
    starts = _starts(raw, bounds)
    ends = np.append(starts[1:], len(raw))
    keys = np.zeros(len(starts), dtype=np.uint64)
    inside = np.ones(len(starts), dtype=bool)
    padded = np.concatenate([raw, np.zeros(letters, dtype=np.uint8)])
    for place in range(letters):
        letter = padded[starts + place]
        inside &= (starts + place < ends) & (_CLASS[letter] != _NONE)
        keys |= np.where(inside, _LOWER[letter], 0).astype(np.uint64) << np.uint64(8 * place)
    return np.searchsorted(bounds, starts, side="right") - 1, keys


def _starts(raw: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    kind = _CLASS[raw]
    before = np.concatenate([np.zeros(1, dtype=np.uint8), kind[:-1]])
    edges = bounds[:-1][bounds[:-1] < len(raw)]
    before[edges] = _NONE
    begins = (before == _NONE) | ((kind == _CAPITAL) & (before == _SMALL)) | ((kind == _DIGIT) != (before == _DIGIT))
    return np.flatnonzero(begins & (kind != _NONE))


def key(word: str, letters: int) -> int:
    """The number of one word, as `words` gives it."""
    return int.from_bytes(word.lower().encode()[:letters], "little")


def keys(text: str, letters: int) -> np.ndarray:
    """The numbers of the words in `text`, sorted, each once."""
    return np.array(sorted({key(word, letters) for word in text.split()}), dtype=np.uint64)
