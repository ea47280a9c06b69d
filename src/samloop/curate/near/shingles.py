"""Texts as sets of shingles: three words in a row each, or three characters where a text is short or unsegmented.

A shingle is a 48-bit hash. Words are runs of letters, digits and underscores (anything beyond ASCII counts as a
letter), lower-cased, so that spacing, punctuation and case do not matter. A whole block of texts is cut and hashed
by a few array operations, never by a loop over words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

WORDS: Final = 3
"""Words per shingle: one changed word changes three shingles, a template's fixed phrases stay recognisable."""

SHORT_WORDS: Final = 10
"""Texts with fewer words are cut into characters: of five words, three shingles would decide."""

UNSEGMENTED_SHARE: Final = 0.2
"""From this share of characters without blanks between words on, a text is cut into characters."""

BLOCK_CHARACTERS: Final = 2**20
"""Texts are cut in blocks of about this many characters, so that the arrays of a block fit the processor's cache."""

BLOCK_TEXTS: Final = 2**16
"""A position in its block and 48 bits of hash share one 64-bit number, so that one sort makes all sets of a block."""

HASH_BITS: Final = 48
_HASH_MASK: Final = np.uint64(2**HASH_BITS - 1)

# Chinese, Japanese, Thai, Lao, Burmese, Khmer: written without blanks between words.
_UNSEGMENTED: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_WORDS: Final = re.compile(r"[^\W]+")

_LETTER: Final = np.zeros(256, bool)
_LETTER[128:] = True
_LETTER[[ord(c) for c in "0123456789abcdefghijklmnopqrstuvwxyz_"]] = True

_LONG_WORD: Final = 32
"""Bytes of a word that are hashed eight at a time by array operations; longer words are rare and hashed singly."""
_MASKS: Final = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)
# Odd multipliers of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
_M1, _M2, _M3 = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Sets:
    """One sorted set of shingles per text, one after the other.

    Attributes:
        hashes: uint64, all sets; 48 bits are used.
        starts: int64, one entry more than texts: text i owns ``hashes[starts[i]:starts[i + 1]]``.
    """

    hashes: Hashes
    starts: Offsets

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, text: int) -> Hashes:
        """The set of one text."""
        return self.hashes[self.starts[text] : self.starts[text + 1]]

    @property
    def sizes(self) -> Offsets:
        """Shingles per text, int64."""
        return np.diff(self.starts)

    def only(self, keep: npt.NDArray[np.bool_]) -> Sets:
        """The same texts with some of the shingles; `keep` has one entry per hash."""
        before = np.concatenate(([0], np.cumsum(keep, dtype=np.int64)))
        return Sets(self.hashes[keep], before[self.starts])


def join(parts: Sequence[Sets]) -> Sets:
    """The sets of several blocks, in order."""
    hashes = np.concatenate([part.hashes for part in parts]) if parts else np.empty(0, np.uint64)
    sizes = np.concatenate([part.sizes for part in parts]) if parts else np.empty(0, np.int64)
    return Sets(hashes, np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))))


def blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """`texts` in portions of about `BLOCK_CHARACTERS`; one larger text is a portion of its own."""
    start, characters = 0, 0
    for at, text in enumerate(texts):
        if at > start and (characters + len(text) > BLOCK_CHARACTERS or at - start == BLOCK_TEXTS):
            yield texts[start:at]
            start, characters = at, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]


def shingle(texts: Sequence[str]) -> Sets:
    """The sets of shingles of `texts`, which should be one block (see `blocks`)."""
    lowered = [text.lower() for text in texts]
    units, owners = _units(lowered)
    counts = np.bincount(owners, minlength=len(lowered))
    few = np.flatnonzero(counts < SHORT_WORDS)
    single = sorted({*few.tolist(), *(i for i, text in enumerate(lowered) if _is_unsegmented(text))})
    if single:
        by_character = np.zeros(len(lowered), bool)
        by_character[single] = True
        keep = ~by_character[owners]
        more = _characters([lowered[i] for i in single])
        units = np.concatenate((units[keep], more[0]))
        owners = np.concatenate((owners[keep], np.asarray(single, np.int64)[more[1]]))
    return _sets(units, owners, len(lowered))


def _is_unsegmented(text: str) -> bool:
    return not text.isascii() and len(_UNSEGMENTED.findall(text)) > UNSEGMENTED_SHARE * len(text)


def _units(texts: Sequence[str]) -> tuple[Hashes, Offsets]:
    """The hash of every word, in order, and which text it belongs to."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    # A line end before the first text, and eight bytes after the last, since words are read eight bytes at a time.
    data = b"\n" + b"\n".join(encoded) + b"\n" * 9
    buffer = np.frombuffer(data, np.uint8)
    inside = _LETTER[buffer]
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    begins, ends = edges[::2], edges[1::2]
    ends_of_texts = np.cumsum([len(text) + 1 for text in encoded])
    owners = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(begins, ends_of_texts), prepend=0))
    return _hash_words(data, buffer, begins, ends - begins), owners


def _hash_words(data: bytes, buffer: npt.NDArray[np.uint8], begins: Offsets, lengths: Offsets) -> Hashes:
    chunks: Any = np.lib.stride_tricks.as_strided(buffer[:8].view("<u8"), (len(buffer) - 7,), (1,), writeable=False)
    hashes = _mix((chunks[begins] & _MASKS[np.minimum(lengths, 8)]) + lengths.astype(np.uint64) * _M3)
    for done in range(8, _LONG_WORD, 8):
        more = np.flatnonzero(lengths > done)
        if not len(more):
            return hashes
        rest = np.minimum(lengths[more] - done, 8)
        hashes[more] = _mix(hashes[more] ^ ((chunks[begins[more] + done] & _MASKS[rest]) * _M3))
    for at in np.flatnonzero(lengths > _LONG_WORD).tolist():
        begin = int(begins[at])
        hashes[at] = xxhash.xxh3_64_intdigest(data[begin : begin + int(lengths[at])])
    return hashes


def _characters(texts: Sequence[str]) -> tuple[Hashes, Offsets]:
    """The hash of every character that is no white space, in order, and which text it belongs to."""
    bare = ["".join(_WORDS.findall(text)) or "".join(text.split()) for text in texts]
    codes = np.frombuffer("".join(bare).encode("utf-32-le", "replace"), "<u4").astype(np.uint64)
    return _mix(codes * _M2 + _M1), np.repeat(np.arange(len(bare)), [len(text) for text in bare])


def _sets(units: Hashes, owners: Offsets, count: int) -> Sets:
    """Sorted sets of the hashes of `WORDS` units in a row; a text with fewer units has one shingle of them all."""
    sizes = np.bincount(owners, minlength=count)
    order = np.argsort(owners, kind="stable") if len(owners) and (np.diff(owners) < 0).any() else slice(None)
    units, owners = units[order], owners[order]
    rolled = _mix(units * _M1)
    pair = np.append(units[1:], np.uint64(0))
    third = np.append(units[2:], np.zeros(min(2, len(units)), np.uint64))
    ends = np.cumsum(sizes)[owners] if len(owners) else np.empty(0, np.int64)
    left = ends - np.arange(len(units))
    pair = np.where(left > 1, pair, np.uint64(0))
    third = np.where(left > 2, third, np.uint64(0))
    hashes = _mix(rolled + pair * _M2 + (third ^ (third >> np.uint64(29))) * _M3)
    whole = (left >= WORDS) | ((sizes[owners] < WORDS) & (left == sizes[owners]))
    keyed = (owners[whole].astype(np.uint64) << np.uint64(HASH_BITS)) | (hashes[whole] >> np.uint64(64 - HASH_BITS))
    keyed.sort()
    if len(keyed):
        keyed = keyed[np.concatenate(([True], keyed[1:] != keyed[:-1]))]
    starts = np.searchsorted(keyed, np.arange(count + 1, dtype=np.uint64) << np.uint64(HASH_BITS))
    if count == BLOCK_TEXTS:  # the shift of the last bound has no room in 64 bits
        starts[-1] = len(keyed)
    return Sets(keyed & _HASH_MASK, starts.astype(np.int64))


def _mix(values: Hashes) -> Hashes:
    """A bijection of 64-bit numbers after which every bit depends on every other (half a round of splitmix64)."""
    values = values * _M2
    values ^= values >> np.uint64(31)
    values *= _M1
    values ^= values >> np.uint64(29)
    return values
