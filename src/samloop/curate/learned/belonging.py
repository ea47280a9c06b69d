"""How likely an answer belongs to another question: words in common, words that go together, and the shape of both.

Two things are measured of a question's and an answer's words. What they share, each word counting by how rare it is;
and how well they go together where they share nothing: a vector per word of a question and one per word of an answer
(words by their first six letters, hashed into 8,192 places), summed and compared by their cosine. The vectors were
trained to tell an answer from the other answers of the same source. A small network weighs these and the lengths.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.learned.weights import Weights, chance, hidden, weights
from samloop.curate.measure import characters, head, question_text
from samloop.curate.words import first_letters, is_number, question_words, slot, words_of

MODEL: Final = "belonging"
PLACES_BITS: Final = 13
RARITY_BITS: Final = 15
LETTERS: Final = 6
STEM: Final = np.uint64((1 << 32) - 1)
"""Keeps four letters of a word: what two texts share is compared by those, as inflection is at the end."""

ASKED_CHARACTERS: Final = 2000
ANSWERED_CHARACTERS: Final = 400
"""How much is read of each part of the question and of the answer (of words: bytes), whose topic shows early."""

AT_ONCE: Final = 256
"""Examples whose words' vectors are added up together, so that all of it stays in the processor's cache."""

SLOTS_BITS: Final = 12
CHUNK_ROWS: Final = 512
"""Words in common are found by marking a table of 4,096 slots per example; so many examples at a time."""

MARKS: Final = 64
"""Places before the words', for marks of shape that take part as if they were words."""

RARE: Final = 6.0
"""A word is rare when it stands in fewer than one text in e⁶ = 403."""

VERBATIM_CHARACTERS: Final = 80
_COUNTED: Final = np.zeros(256, dtype=np.int64)
for _bit, _characters in ((0, "{}()=;<>_"), (16, "0123456789"), (32, "\n"), (48, "?")):
    _COUNTED[[ord(c) for c in _characters]] = 1 << _bit
_IS_COUNTED: Final = (_COUNTED != 0).tobytes()
"""Four kinds of characters, counted together in one number of 64 bits."""


def misfit(batch: pa.RecordBatch) -> np.ndarray:
    """By example, the chance that its answer belongs to another question; between 0 and 1."""
    model = weights(MODEL)
    return 1.0 - chance(hidden(measured(batch, model), model)) if batch.num_rows else np.zeros(0)


def measured(batch: pa.RecordBatch, model: Weights) -> np.ndarray:
    """What the network sees of each example: float32 [examples, 17].

    Args:
        model: ``asked`` and ``answered``, float32 [64 + 8192, dimensions], and ``rarity``, float32 [32768].
    """
    n = batch.num_rows
    question, answer = question_text(batch, ASKED_CHARACTERS), batch.column("output_text")
    beginning = head(answer, ANSWERED_CHARACTERS)
    of_question, of_answer = words_read(batch)
    shapes = _shape(head(question, ANSWERED_CHARACTERS), question), _shape(beginning, answer)
    one = _summed(*of_question, model["asked"], shapes[0][0])
    other = _summed(*of_answer, model["answered"], shapes[1][0])
    together = (one * other).sum(axis=1) / np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1) + 1e-9)
    verbatim = _verbatim(question, answer)
    lengths = [np.log1p(characters(column)) / 5 for column in (answer, question)]
    shared = _shared(of_question, of_answer, model["rarity"], n)
    return np.stack([together, *shared, verbatim, *lengths, shapes[1][1], shapes[0][1]], axis=1).astype(np.float32)


def words_read(batch: pa.RecordBatch) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Example and first letters of each word that counts: of the questions, of the answers."""
    asked_in, asked = question_words(batch, ASKED_CHARACTERS)
    answered_in, answered = words_of(batch, "output_text").within(ANSWERED_CHARACTERS)
    return (asked_in, first_letters(asked, LETTERS)), (answered_in, first_letters(answered, LETTERS))


def _summed(row: np.ndarray, key: np.ndarray, vectors: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The sum of the vectors of each example's words and marks."""
    total = vectors[marks].sum(axis=1)
    at = slot(key, PLACES_BITS) + MARKS
    cuts = np.searchsorted(row, np.arange(0, len(marks) + AT_ONCE, AT_ONCE))
    for begin, end in pairwise(cuts):
        if begin < end:
            own = row[begin:end]
            first = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
            total[own[first]] += np.add.reduceat(vectors.take(at[begin:end], axis=0), first, axis=0)
    return np.asarray(total)


def _shared(
    of_question: tuple[np.ndarray, np.ndarray], of_answer: tuple[np.ndarray, np.ndarray], rarity: np.ndarray, n: int
) -> list[np.ndarray]:
    """Words in question, answer and common; shares of rarity in common; numbers and rare words in common."""
    (q_row, q_key), (a_row, a_key) = of_question, of_answer
    q_key, a_key = q_key & STEM, a_key & STEM
    common = _in_common(q_row, q_key, a_row, a_key, n)
    q_rarity, a_rarity = rarity.take(slot(q_key, RARITY_BITS)), rarity.take(slot(a_key, RARITY_BITS))
    number = is_number(a_key)
    rare = a_rarity > RARE

    def per(row: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(row, weights=weight, minlength=n)

    asked_words, asked_rarity = per(q_row), per(q_row, q_rarity)
    words_in, rarity_in = per(a_row), per(a_row, a_rarity)
    c_row, c_rarity = a_row[common], a_rarity[common]
    both, both_rarity = per(c_row), per(c_row, c_rarity)
    rare_in, rare_both = per(a_row[rare]), per(a_row[common & rare])
    return [
        np.log1p(asked_words),
        np.log1p(words_in),
        np.log1p(both),
        both_rarity / (rarity_in + 1),
        both_rarity / (np.minimum(rarity_in, asked_rarity) + 1),
        np.log1p(both_rarity) / 3,
        np.log1p(per(a_row[common & number])),
        np.log1p(per(a_row[number])),
        np.log1p(rare_both),
        rare_both / (rare_in + 1),
        np.log1p(rare_in),
    ]


def _in_common(q_row: np.ndarray, q_key: np.ndarray, a_row: np.ndarray, a_key: np.ndarray, n: int) -> np.ndarray:
    """Boolean per word of an answer: where the example's question has it too (or one with the same slot)."""
    q_slot, a_slot = slot(q_key, SLOTS_BITS), slot(a_key, SLOTS_BITS)
    common = np.zeros(len(a_row), dtype=bool)
    marked = np.empty((min(n, CHUNK_ROWS), 1 << SLOTS_BITS), dtype=bool)
    for first in range(0, n, CHUNK_ROWS):
        q = slice(*np.searchsorted(q_row, [first, first + CHUNK_ROWS]))
        a = slice(*np.searchsorted(a_row, [first, first + CHUNK_ROWS]))
        marked[:] = False
        marked[q_row[q] - first, q_slot[q]] = True
        common[a] = marked[a_row[a] - first, a_slot[a]]
    return common


def _shape(beginning: pa.Array, whole: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Marks of shape, int64 [examples, 6], and the share of characters that programs use, ten being all."""
    _, offsets, data = beginning.buffers()
    n = len(beginning)
    bounds = np.frombuffer(offsets, dtype=np.int64)[beginning.offset : beginning.offset + n + 1]
    raw = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]] if data else np.zeros(0, dtype=np.uint8)
    bounds = bounds - bounds[0]
    size = np.maximum(np.diff(bounds), 1)
    at = np.flatnonzero(np.frombuffer(raw.tobytes().translate(_IS_COUNTED), np.bool_))
    total = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(_COUNTED.take(raw[at]))])
    counted = np.diff(total[np.searchsorted(at, bounds)])
    code, digits, lines, question = ((counted >> bit) & 0xFFFF for bit in (0, 16, 32, 48))
    code, digits = code / size, digits / size
    length = characters(whole)
    first = np.append(raw, 0)[np.minimum(bounds[:-1], len(raw))]
    capital = (first >= ord("A")) & (first <= ord("Z")) & (np.diff(bounds) > 0)
    marks = np.stack(
        [
            np.minimum(np.log2(length + 1).astype(np.int64), 15),
            16 + np.minimum(lines, 7),
            24 + np.minimum((code * 40).astype(np.int64), 7),
            32 + np.minimum((digits * 30).astype(np.int64), 7),
            40 + capital,
            42 + (question > 0),
        ],
        axis=1,
    )
    return marks, code * 10


def _verbatim(question: pa.Array, answer: pa.Array) -> np.ndarray:
    """1 where a short answer stands in the question word for word, case aside."""
    short = np.asarray(pc.binary_length(answer)) < VERBATIM_CHARACTERS
    found = np.zeros(len(answer))
    for i in np.flatnonzero(short):
        text = answer[i].as_py().strip(" .\n").lower()
        found[i] = bool(text) and text in question[i].as_py().lower()
    return found
