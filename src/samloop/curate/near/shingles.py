"""Texts as sets of shingles: three words in a row each, or three characters where a text is short or unsegmented.

A shingle is a 32-bit hash: of two texts with a thousand shingles each, one in four thousand pairs shares one by
chance. Words are runs of letters, digits and underscores (anything beyond ASCII counts as a letter), lower-cased, so
that spacing, punctuation and case do not matter. A whole block of texts is cut and hashed by a few array operations,
never by a loop over words; question, answer and both together are cut in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xxhash

from samloop.sorting import nearly_sorted

Units = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.uint32]
Marks = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

WORDS: Final = 3
"""Words per shingle: one changed word changes three shingles, a template's fixed phrases stay recognisable."""

SHORT_WORDS: Final = 10
"""Texts with fewer words are cut into characters: of five words, three shingles would decide."""

UNSEGMENTED_SHARE: Final = 0.2
"""From this share of characters without blanks between words on, a text is cut into characters."""

BLOCK_CHARACTERS: Final = 2**19
"""Texts are cut in blocks of about this many characters, so that the arrays of a block fit the processor's cache."""

BLOCK_TEXTS: Final = 2**16
"""Text, hash and marks of a shingle share one 64-bit number, so that one sort makes all sets of a block."""

WHOLE, PROMPT, ANSWER = np.uint8(1), np.uint8(2), np.uint8(4)
"""Marks of a shingle: it is one of the whole text, of what is asked, of what is answered; one may be of several."""

HASH_BITS: Final = 32
_MARK_BITS: Final = np.uint64(3)
_MARKS: Final = np.uint64(7)
_HASH_MASK: Final = np.uint64(2**HASH_BITS - 1)

# Chinese, Japanese, Thai, Lao, Burmese, Khmer: written without blanks between words.
_UNSEGMENTED: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_WORDS: Final = re.compile(r"[^\W]+")

_LETTER: Final = bytes(byte > 127 or chr(byte) in "0123456789abcdefghijklmnopqrstuvwxyz_" for byte in range(256))
"""1 for each byte of a word."""

_LONG_WORD: Final = 32
"""Bytes of a word that are hashed eight at a time by array operations; longer words are rare and hashed singly."""
_MASKS: Final = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)
# Odd multipliers of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
_M1, _M2, _M3 = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Sets:
    """One sorted set of shingles per text, one after the other.

    Attributes:
        hashes: uint32, all sets.
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
        return Sets(self.hashes[keep], self.counted(keep, cumulated=True))

    def counted(self, keep: npt.NDArray[np.bool_], *, cumulated: bool = False) -> Offsets:
        """How many of each text's shingles `keep` says, int64; `cumulated`: how many before each text."""
        before = np.concatenate(([0], np.cumsum(keep, dtype=np.int64)))[self.starts]
        return before if cumulated else np.diff(before)


@dataclass(frozen=True, slots=True)
class Marked:
    """Sets of shingles, each shingle with marks of what it is one of (`WHOLE`, `PROMPT`, `ANSWER`).

    Attributes:
        marks: uint8 per hash.
    """

    sets: Sets
    marks: Marks

    def __len__(self) -> int:
        return len(self.sets)

    def part(self, mark: np.uint8) -> Sets:
        """The shingles with one mark."""
        return self.sets.only((self.marks & mark) != 0)


def join(parts: Sequence[Marked]) -> Marked:
    """The sets of several blocks, in order."""
    hashes = np.concatenate([part.sets.hashes for part in parts]) if parts else np.empty(0, np.uint32)
    sizes = np.concatenate([part.sets.sizes for part in parts]) if parts else np.empty(0, np.int64)
    marks = np.concatenate([part.marks for part in parts]) if parts else np.empty(0, np.uint8)
    return Marked(Sets(hashes, np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))), marks)


def blocks(sizes: Sequence[int]) -> Iterator[slice]:
    """Texts of so many characters in portions of about `BLOCK_CHARACTERS`; a larger text is a portion of its own."""
    start, characters = 0, 0
    for at, size in enumerate(sizes):
        if at > start and (characters + size > BLOCK_CHARACTERS or at - start == BLOCK_TEXTS):
            yield slice(start, at)
            start, characters = at, 0
        characters += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def shingle_all(asked: Sequence[str], answered: Sequence[str], threads: int = 1) -> Marked:
    """The sets of any number of examples; about as many bytes as the texts have characters."""
    sizes = [len(question) + len(answer) for question, answer in zip(asked, answered, strict=True)]
    parts = [(asked[part], answered[part]) for part in blocks(sizes)]
    if threads == 1 or len(parts) == 1:
        return join([shingle(*part) for part in parts])
    with ThreadPoolExecutor(threads) as pool:
        return join(list(pool.map(lambda part: shingle(*part), parts)))


def shingle(asked: Sequence[str], answered: Sequence[str]) -> Marked:
    """The sets of examples, which should be one block (see `blocks`).

    Args:
        asked, answered: the two parts of each; the whole is both, with a line end between them. A plain text is an
            example whose answer is empty.
    """
    count = len(asked)
    lowered = [""] * (2 * count)
    lowered[::2], lowered[1::2] = [text.lower() for text in asked], [text.lower() for text in answered]
    units, words = _units(lowered)
    foreign = np.array([0 if text.isascii() else len(_UNSEGMENTED.findall(text)) for text in lowered])
    lengths = np.array([len(text) for text in lowered])
    by_word = (words >= SHORT_WORDS) & (foreign <= UNSEGMENTED_SHARE * lengths)
    pairs = (words.reshape(-1, 2), foreign.reshape(-1, 2), lengths.reshape(-1, 2))
    in_all, foreign_in_all, length = (each.sum(axis=1) for each in pairs)
    whole_by_word = (in_all >= SHORT_WORDS) & (foreign_in_all <= UNSEGMENTED_SHARE * length)
    keyed = [_by_words(units, words, by_word, whole_by_word)]
    for mark, some in ((PROMPT, np.flatnonzero(~by_word[::2])), (ANSWER, np.flatnonzero(~by_word[1::2]))):
        texts = lowered[::2] if mark == PROMPT else lowered[1::2]
        keyed.append(_by_characters([texts[at] for at in some.tolist()], some, mark))
    some = np.flatnonzero(~whole_by_word)
    keyed.append(_by_characters([f"{lowered[2 * at]}\n{lowered[2 * at + 1]}" for at in some.tolist()], some, WHOLE))
    return _sets(np.concatenate(keyed), count)


def _units(texts: Sequence[str]) -> tuple[Units, Offsets]:
    """The hash of every word, in order, and how many words each text has."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    # A line end before the first text, and eight bytes after the last, since words are read eight bytes at a time.
    data = b"\n" + b"\n".join(encoded) + b"\n" * 9
    buffer = np.frombuffer(data, np.uint8)
    inside = np.frombuffer(data.translate(_LETTER), np.bool_)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    begins, ends = edges[::2], edges[1::2]
    ends_of_texts = np.cumsum([len(text) + 1 for text in encoded])
    return _hash_words(data, buffer, begins, ends - begins), np.diff(
        np.searchsorted(begins, ends_of_texts), prepend=0
    )


def _hash_words(data: bytes, buffer: npt.NDArray[np.uint8], begins: Offsets, lengths: Offsets) -> Units:
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


def _by_words(
    units: Units, words: Offsets, by_word: npt.NDArray[np.bool_], whole_by_word: npt.NDArray[np.bool_]
) -> Units:
    """Keys of the shingles of words: those of each part, and those of the whole, that are cut so.

    Args:
        words: how many words each text has; the parts of one example follow one another.
    """
    in_all = words.reshape(-1, 2).sum(axis=1)
    of_part = np.where(by_word.reshape(-1, 2), np.array([PROMPT, ANSWER]), np.uint8(0)).ravel()
    marks = _marked(of_part, words) | _marked(whole_by_word.view(np.uint8) * WHOLE, in_all)
    chosen = np.flatnonzero(marks)
    owner = np.repeat(np.arange(len(in_all)), in_all)
    return _key(owner[chosen], _rolled(units)[chosen], marks[chosen])


def _marked(marks: Marks, words: Offsets) -> Marks:
    """The mark of its text on each word but the last two of each text, where no shingle of that text begins."""
    marked = np.repeat(marks, words)
    ends = np.cumsum(words)
    for last in range(1, WORDS):
        # In a text of fewer words this is one of the last of a text before it, or none.
        marked[ends[ends >= last] - last] = 0
    return marked


def _by_characters(texts: Sequence[str], examples: Offsets, mark: np.uint8) -> Units:
    """Keys of the shingles of characters that are no white space; a text of fewer has one shingle of them all."""
    bare = ["".join(_WORDS.findall(text)) or "".join(text.split()) for text in texts]
    codes = np.frombuffer("".join(bare).encode("utf-32-le", "replace"), "<u4").astype(np.uint64)
    sizes = np.array([len(text) for text in bare], np.int64)
    owner = np.repeat(np.arange(len(bare)), sizes)
    ends = np.cumsum(sizes)
    left = ends[owner] - np.arange(len(codes)) if len(codes) else np.empty(0, np.int64)
    units = _mix(codes * _M2 + _M1)
    padded = np.where(left > np.arange(WORDS)[:, None], [_shifted(units, by) for by in range(WORDS)], np.uint64(0))
    chosen = (left >= WORDS) | ((sizes[owner] < WORDS) & (left == sizes[owner]))
    hashes = _combined(*padded)[chosen]
    return _key(examples[owner[chosen]], hashes, np.full(len(hashes), mark, np.uint8))


def _rolled(units: Units) -> Units:
    """The hash of each unit and the two after it."""
    return _combined(*(_shifted(units, by) for by in range(WORDS)))


def _shifted(units: Units, by: int) -> Units:
    return np.concatenate((units[by:], np.zeros(min(by, len(units)), np.uint64)))


def _combined(one: Units, two: Units, three: Units) -> Units:
    return _mix(_mix(one * _M1) + two * _M2 + (three ^ (three >> np.uint64(29))) * _M3)


def _key(examples: Offsets, hashes: Units, marks: Marks) -> Units:
    """Example, upper half of the hash, and marks in one number."""
    key = (examples.astype(np.uint64) << np.uint64(HASH_BITS)) | (hashes >> np.uint64(64 - HASH_BITS))
    return (key << _MARK_BITS) | marks


def _sets(keyed: Units, count: int) -> Marked:
    """Keys sorted, equal shingles of a text as one with the marks of all."""
    keyed.sort(kind=nearly_sorted())
    shingles = keyed >> _MARK_BITS
    again = np.zeros(len(keyed), dtype=bool)
    np.equal(shingles[1:], shingles[:-1], out=again[1:])
    heads = np.flatnonzero(~again)
    marks = (keyed[heads] & _MARKS).astype(np.uint8)
    later = np.flatnonzero(again)  # few: most texts say a thing once
    np.bitwise_or.at(marks, np.searchsorted(heads, later) - 1, (keyed[later] & _MARKS).astype(np.uint8))
    shingles = shingles[heads]
    starts = np.searchsorted(shingles, np.arange(count + 1, dtype=np.uint64) << np.uint64(HASH_BITS))
    return Marked(Sets((shingles & _HASH_MASK).astype(np.uint32), starts.astype(np.int64)), marks)


def _mix(values: Units) -> Units:
    """A bijection of 64-bit numbers after which every bit depends on every other (half a round of splitmix64)."""
    values = values * _M2
    values ^= values >> np.uint64(31)
    values *= _M1
    values ^= values >> np.uint64(29)
    return values
