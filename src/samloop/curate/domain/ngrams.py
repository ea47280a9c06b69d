"""Requests as hashed n-grams, for whole columns at once: what the domain model adds up.

A token is a run of letters (and of all bytes above ASCII) in lower case by its first eight bytes, a run of digits by
its length, or one mark such as ``?`` or ``{``. The n-grams of a request are its tokens, its pairs of neighbouring
tokens, both once more where a sentence or a line begins (there stands what is wanted: "write a", "why does"), and the
first four letters of longer words, so that *explain* and *explains* have something in common. One more says how
long the request is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HEAD_CHARACTERS: Final = 160
TAIL_CHARACTERS: Final = 80
"""What is looked at of a longer request: a task stands before or after the text that was pasted."""

SHOWN_CHARACTERS: Final = 30
"""How much of an n-gram a person is shown."""

WORD_BYTES: Final = 8
STEM_BYTES: Final = 4
LENGTHS: Final = (16, 31, 61, 121, 241)
"""From so many bytes of what is looked at a request counts as longer."""

WORD, PAIR, FIRST, FIRST_PAIR, STEM, LENGTH = range(6)
"""The kinds of n-gram."""

_OTHER, _LETTER, _DIGIT, _MARK = 0, 1, 2, 3
_CLASS: Final = np.zeros(256, dtype=np.uint8)
_CLASS[[*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1), *range(128, 256)]] = _LETTER
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[list(b'?!`(){}[];=<>+*/%$_"|')] = _MARK
_LOWER: Final = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32
_ENDS: Final = np.zeros(256, dtype=bool)
_ENDS[list(b".?!:\n")] = True
_KEPT: Final = np.array([(1 << 8 * n) - 1 for n in range(WORD_BYTES)] + [2**64 - 1], dtype=np.uint64)
_SALTS: Final = tuple(
    map(np.uint64, (
        0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB,
        0x8EBC6AF09C88C6E3,
    ))
)  # fmt: skip
_MIX: Final = np.uint64(0xFF51AFD7ED558CCD)
"""Odd constants of splitmix64, murmur3 and wyhash: multiplying by them spreads a key over the upper bits."""


@dataclass(frozen=True, slots=True)
class Ngrams:
    """The n-grams of a column of requests.

    Attributes:
        row: int64, which request an n-gram belongs to; ascending within each kind.
        bucket: int64, its hash.
        kind: uint8, `WORD` … `LENGTH`.
        start, end: int64, where it stands in `raw`.
        raw: the bytes looked at.
    """

    row: np.ndarray
    bucket: np.ndarray
    kind: np.ndarray
    start: np.ndarray
    end: np.ndarray
    raw: np.ndarray

    def text(self, at: int) -> str:
        """The n-gram as a person reads it; ``^`` marks the beginning of a sentence, ``-`` an open end."""
        found = bytes(self.raw[self.start[at] : self.end[at]]).decode("utf-8", "replace")
        words = " ".join(found.split())
        words = words if len(words) <= SHOWN_CHARACTERS else words[:SHOWN_CHARACTERS] + "…"
        if self.kind[at] == LENGTH:
            step = int(np.searchsorted(LENGTHS, self.end[at] - self.start[at], side="right"))
            return f"({LENGTHS[step - 1]} bytes and more)" if step else f"(under {LENGTHS[0]} bytes)"
        if self.kind[at] == STEM:
            return words[:STEM_BYTES] + "-"
        return "^" + words if self.kind[at] in (FIRST, FIRST_PAIR) else words


def looked_at(column: pa.Array) -> pa.Array:
    """The beginning of each request, and the end of a long one; null is the empty text."""
    column = pc.fill_null(column, pa.scalar("", pa.large_string()))
    most = HEAD_CHARACTERS + TAIL_CHARACTERS
    long = pc.greater(pc.binary_length(column), most)
    if not pc.any(long).as_py():
        return column
    long = pc.greater(pc.utf8_length(column), most)
    head = pc.utf8_slice_codeunits(column, 0, HEAD_CHARACTERS)
    tail = pc.utf8_slice_codeunits(column, -TAIL_CHARACTERS, None)
    return pc.if_else(long, pc.binary_join_element_wise(head, tail, pa.scalar("\n", pa.large_string())), column)


def ngrams(column: pa.Array, bits: int) -> Ngrams:
    """The n-grams of each text of a large_string column, hashed into 2 ** `bits` buckets."""
    raw, bounds = _bytes(looked_at(column))
    kind = _CLASS[raw]
    start, end, row = _tokens(kind, bounds)
    key = _keys(raw, kind, start, end)
    begins = _begins(raw, start, start - bounds[row], row)
    paired = np.flatnonzero(row[1:] == row[:-1]) if len(row) else np.zeros(0, dtype=np.int64)
    opening = np.flatnonzero(begins)
    opening_pairs = paired[begins[paired]]
    stems = np.flatnonzero((end - start > STEM_BYTES) & (kind[start] == _LETTER)) if len(row) else paired
    pair = _mixed(key[paired]) ^ key[paired + 1]
    opened = _mixed(key[opening_pairs]) ^ key[opening_pairs + 1]
    size = np.searchsorted(LENGTHS, np.diff(bounds), side="right").astype(np.uint64)
    parts = (
        (WORD, row, start, end, key),
        (PAIR, row[paired], start[paired], end[paired + 1], pair),
        (FIRST, row[opening], start[opening], end[opening], key[opening]),
        (FIRST_PAIR, row[opening_pairs], start[opening_pairs], end[opening_pairs + 1], opened),
        (STEM, row[stems], start[stems], end[stems], key[stems] & _KEPT[STEM_BYTES]),
        (LENGTH, np.arange(len(column)), bounds[:-1], bounds[1:], size),
    )
    return Ngrams(
        row=np.concatenate([rows for _, rows, _, _, _ in parts]),
        bucket=np.concatenate([_bucket(hashed, which, bits) for which, _, _, _, hashed in parts]),
        kind=np.repeat(np.arange(len(parts), dtype=np.uint8), [len(rows) for _, rows, _, _, _ in parts]),
        start=np.concatenate([starts for _, _, starts, _, _ in parts]),
        end=np.concatenate([ends for _, _, _, ends, _ in parts]),
        raw=raw,
    )


def _bytes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    if data is None or bounds[-1] == bounds[0]:
        return np.zeros(0, dtype=np.uint8), np.zeros(len(column) + 1, dtype=np.int64)
    return np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _tokens(kind: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, end (both in bytes) and row of each token."""
    change = np.empty(len(kind) + 1, dtype=bool)
    change[0], change[-1] = True, True
    np.not_equal(kind[1:], kind[:-1], out=change[1:-1])
    change[:-1] |= kind == _MARK
    change[bounds] = True
    edges = np.flatnonzero(change)
    start, end = edges[:-1], edges[1:]
    real = kind[start] != _OTHER
    start, end = start[real], end[real]
    return start, end, np.repeat(np.arange(len(bounds) - 1), np.diff(np.searchsorted(start, bounds)))


def _keys(raw: np.ndarray, kind: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    padded = np.zeros(len(raw) + WORD_BYTES, dtype=np.uint8)
    np.take(_LOWER, raw, out=padded[: len(raw)])
    eight = np.ndarray(len(raw) + 1, dtype="<u8", buffer=padded.data, strides=(1,))
    length = np.minimum(end - start, WORD_BYTES)
    key: np.ndarray = eight[start] & _KEPT[length]
    digits = kind[start] == _DIGIT
    key[digits] = length[digits].astype(np.uint64)
    return key


def _begins(raw: np.ndarray, start: np.ndarray, place: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Where a token is the first of its text, sentence or line: the two bytes before it in its text tell."""
    begins = np.ones(len(start), dtype=bool)
    begins[1:] = row[1:] != row[:-1]
    for back in (1, 2):
        begins |= (place >= back) & _ENDS[raw[np.maximum(start - back, 0)]]
    return begins


def _mixed(key: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = key * _MIX
    return np.asarray(mixed ^ (mixed >> np.uint64(33)))


def _bucket(key: np.ndarray, kind: int, bits: int) -> np.ndarray:
    spread = _mixed(key ^ _SALTS[kind]) * _SALTS[0]
    return (spread >> np.uint64(64 - bits)).astype(np.int64)
