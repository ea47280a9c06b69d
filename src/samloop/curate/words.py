"""Words as numbers, for whole columns at once: what a rule or a model compares without a Python object per word.

A word is a run of ASCII letters and of bytes above them, or of digits; a capital after a small letter begins a new
one, so that `readLines` and `read_lines` are the same two words. It is packed, in lower case, into one number by its
first letters, so that `index`, `indexes` and `indexing` are one word where four letters count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import ASKED, once_per_batch, turns

MOST_LETTERS: Final = 8
"""How many bytes of a word fit into one number. What differs behind them is one word to all that reads these."""

_NONE, _SMALL, _CAPITAL, _DIGIT = 0, 1, 2, 3
_CLASS: Final = bytes(
    _SMALL if chr(c).islower() or c > 127 else _CAPITAL if chr(c).isupper() else _DIGIT if chr(c).isdigit() else _NONE
    for c in range(256)
)
"""The class of each byte. A letter beyond ASCII is written with bytes above 127, all of them small."""

MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""Multiplicative hashing with the golden ratio (Knuth, volume 3, section 6.4)."""

_MIX_AGAIN: Final = np.uint64(0xD6E8FEB86659FD93)

_FIRST_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(MOST_LETTERS + 1)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a column's texts, in order; one entry per word in each array.

    Attributes:
        row: int64, the text it stands in.
        key: uint64, its first eight bytes.
        at: int64, the byte of its text at which it begins.
    """

    row: np.ndarray
    key: np.ndarray
    at: np.ndarray

    def within(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """`row` and `key` of the words that begin in the first `most` bytes of their texts."""
        if self.at.max(initial=0) < most:
            return self.row, self.key
        near = np.flatnonzero(self.at < most)
        return self.row[near], self.key[near]


def is_number(key: np.ndarray) -> np.ndarray:
    """Boolean column: whether a word is a run of digits."""
    return np.asarray(((key & _FIRST_BYTES[1]) - np.uint64(ord("0"))) < 10)


def ngrams(row: np.ndarray, key: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The place of the first word of each n-gram that lies in one text, and the n-gram as one number."""
    count = len(key) - n + 1
    if count <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64)
    mixed = key * MIX
    mixed ^= mixed >> np.uint64(29)
    grams = np.zeros(count, dtype=np.uint64)
    for place in range(n):
        grams = grams * _MIX_AGAIN + mixed[place : place + count]
    grams ^= grams >> np.uint64(32)
    at = np.flatnonzero(row[:count] == row[n - 1 :])
    return at, grams[at]


def words(column: pa.Array) -> Words:
    """Every word of every text of a large_string column; null has none."""
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return Words(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    raw = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    low, starts, ends = _split(raw, bounds)
    # The eight bytes from each byte on, as one little-endian number.
    following = np.ndarray(shape=(len(raw),), dtype="<u8", buffer=low.data, strides=(1,))
    keys = following[starts] & _FIRST_BYTES[np.minimum(ends - starts, MOST_LETTERS)]
    counts = np.diff(np.searchsorted(starts, bounds))
    return Words(np.repeat(np.arange(len(column)), counts), keys, starts - np.repeat(bounds[:-1], counts))


@once_per_batch
def _read(_: pa.RecordBatch) -> dict[str, Words]:
    """The words of the columns that were asked for so far."""
    return {}


def words_of(batch: pa.RecordBatch, name: str) -> Words:
    """The words of one column; of the turns one after the other for ``conversation_history``."""
    found = _read(batch)
    if name not in found:
        column = batch.column(name)
        found[name] = words(column.flatten().field("content") if name == "conversation_history" else column)
    return found[name]


def question_words(batch: pa.RecordBatch, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Example and key of each word before the answer: in the first `most` bytes of input, context and system prompt,
    and of each turn; those of one example side by side.
    """
    parts = [words_of(batch, name).within(most) for name in ASKED if batch.column(name).null_count < batch.num_rows]
    sizes = turns(batch)
    if sizes.any():
        row, key = words_of(batch, "conversation_history").within(most)
        parts.append((np.repeat(np.arange(batch.num_rows), sizes)[row], key))
    row, key = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    if len(parts) == 1:
        return row, key
    order = np.argsort(row, kind="stable")
    return row[order], key[order]


def first_letters(key: np.ndarray, letters: int) -> np.ndarray:
    """The keys cut to so many bytes."""
    return np.asarray(key & _FIRST_BYTES[letters])


def _split(raw: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bytes in lower case, with eight more behind them; where each word starts, and where it ends."""
    n = len(raw)
    kind = np.frombuffer(raw.tobytes().translate(_CLASS), dtype=np.uint8)
    word, capital, digit = kind != _NONE, kind == _CAPITAL, kind == _DIGIT
    low = np.zeros(n + MOST_LETTERS, dtype=np.uint8)
    np.add(raw, capital.view(np.uint8) << 5, out=low[:n])
    apart = np.ones(n + 1, dtype=bool)  # whether a byte does not go on with the word before it
    np.not_equal(digit[1:], digit[:-1], out=apart[1:n])
    apart[1:n] |= ~word[:-1] | (capital[1:] & (kind[:-1] == _SMALL))
    apart[bounds] = True
    starts = np.flatnonzero(apart[:n] & word)
    apart[:n] |= ~word
    return low, starts, np.flatnonzero(word & apart[1:]) + 1


def slot(values: np.ndarray, bits: int) -> np.ndarray:
    """The place of each uint64 in a table of 2**bits, int64 (multiplicative hashing, as `MIX` says)."""
    return np.asarray((values * MIX) >> np.uint64(64 - bits)).view(np.int64)


def repeats(values: np.ndarray) -> np.ndarray:
    """Where a value stands that the array holds elsewhere too: every place of it but one. uint64 in, bool out.

    Several times as fast as sorting: each value leaves its place in a table under its hash, and the last one to
    come stays there. What differs from the one that stayed is sorted after all; it is little.
    """
    again = np.zeros(len(values), dtype=bool)
    bits = max(len(values), 1).bit_length() + 1
    places = slot(values, bits)
    own = np.arange(len(values), dtype=np.int32)
    table = np.empty(1 << bits, dtype=np.int32)
    table[places] = own
    lost = np.flatnonzero(table[places] != own)
    same = values[table[places[lost]]] == values[lost]
    again[lost[same]] = True
    rest = lost[~same]
    order = rest[np.argsort(values[rest], kind="stable")]
    again[order[1:][values[order[1:]] == values[order[:-1]]]] = True
    return again


def key(word: str, letters: int) -> int:
    """The number of one word, as `words` gives it."""
    return int.from_bytes(word.lower().encode()[:letters], "little")


def keys(text: str, letters: int) -> np.ndarray:
    """The numbers of the words in `text`, sorted, each once."""
    return np.array(sorted({key(word, letters) for word in text.split()}), dtype=np.uint64)
