"""Rules on how texts belong together: an answer to its question, the two answers of a preference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.looks import shares_no_words
from samloop.curate.measure import beyond_ascii, characters, equals, finding, matches, once_per_batch
from samloop.curate.preference import OPPOSITE
from samloop.curate.words import keys, question_words, repeats, slot, words_of
from samloop.example import content_hash
from samloop.protocols import Finding, rule

LETTERS: Final = 4
"""Letters of a word that count. Of 4, 5 and 6, four gave the fewest false alarms and the best separation."""

FIRST_BYTES: Final = 400
MOST_BYTES: Final = 4000
"""Question and answer are compared by so many bytes first, and by so many where that is not enough."""

MOSTLY_ASCII: Final = 0.2
"""Bytes beyond one per character; above it, the beginnings of words tell little."""

ENOUGH_WORDS: Final = 20
"""Beyond so many words a text need not share more: a long answer to a long question stays on its topic freely."""

_COMMON: Final = keys(
    "the a an of and or to with for in on by from that which is are was were as at into than its it this these "
    "those be been being i you he she they we me him her them us my your his their our do does did not no have has "
    "had can could will would should may might must what who when where why how write give make following use using "
    "one two please some any all about if then so but also more most other such there here only just up out over "
    "return def function python java script code print self name value list string number int str new class create",
    LETTERS,
)
"""Words that say nothing about the topic: function words, words that ask, and what stands in every program."""

_LISTED: Final = r"(?:(?:^|\s)(?:[0-9]{1,2}[.):]|[-*•]) ?[^\n]*){3}"
_FOUR_LINES: Final = r"(?:\n[^\n]*){3}"


_LETTERS: Final = np.uint64((1 << 8 * LETTERS) - 1)
_COMMON_BITS: Final = 16
_IS_COMMON: Final = np.zeros(1 << _COMMON_BITS, dtype=bool)
_IS_COMMON[slot(_COMMON, _COMMON_BITS)] = True


@rule("loosely_related", outcome="flag", reason="answer hardly takes up the question")
def loosely_related(batch: pa.RecordBatch, *, share: float = 0.15, asked: int = 3, answered: int = 5) -> Finding:
    """The answer takes up less than `share` of the words it could. Measure: content words that question and answer
    have in common, over those of the shorter of both (20 at most).

    The question is all that came before: turns, context, system prompt. Words are compared by their first four
    letters, without function words; where the first 400 bytes of both have enough in common, the rest is not
    read. Questions under `asked` and answers under `answered` content words are left alone, as are translations,
    questions about the assistant ("Who built you?") and texts that are mostly not in ASCII letters, whose words
    cannot be told by their beginnings.
    Counting shared content words is the "word count" baseline of answer selection (Yang, Yih and Meek 2015,
    "WikiQA"); the figures are our own (benchmarks/curation/score_auroc.py): with 15 %, three of four swapped answers
    are seen in sets of some length, and one original in thirty is flagged.
    """
    common, question, answer = _shared(batch)
    able = (question >= asked) & (answer >= answered)
    room = np.maximum(np.minimum(np.minimum(question, answer), ENOUGH_WORDS), 1)
    measure = np.where(able, common / room, 1.0)
    return finding(measure < share, measure)


@rule("unrelated", outcome="flag", reason="answer has nothing to do with the question", doubt=True)
def unrelated(batch: pa.RecordBatch, *, asked: int = 4, answered: int = 8) -> Finding:
    """Question and answer, long enough, have no content word in common. Measure: the content words of the answer.

    Compared as `loosely_related` does, which fires as well, so that such an answer loses twice the penalty of a flag.
    Lists are left to `loosely_related`: "three ideas for a date" need not name what was asked. The lengths are
    where one original in a hundred is flagged on real sets.
    """
    common, question, answer = _shared(batch)
    hit = (common == 0) & (question >= asked) & (answer >= answered)
    if hit.any():
        hit &= ~matches(batch.column("output_text"), _LISTED, hit)
    return finding(hit, answer)


@rule("prompt_mismatch", outcome="reject", reason="chosen and rejected answer belong to different prompts")
def prompt_mismatch(batch: pa.RecordBatch, *, answered: int = 12, taken_up: int = 2) -> Finding:
    """One answer of a preference takes up the prompt, the other one shares no content word with the prompt nor with
    its rival. Measure: content words of the stray answer.

    Both have at least `answered` content words, and the one that fits has `taken_up` of the prompt's and more. Such
    a pair teaches to tell topics apart and not answers. Lists and answers of four lines and more are left
    alone, and a rejected answer that is only bad stays: what it misunderstood, it names.
    """
    able = equals(batch.column("format"), ["dpo"])
    for name in ("output_text", "rejected_output"):
        able &= ~matches(batch.column(name), f"{_LISTED}|{_FOUR_LINES}", able)
    pairs = np.flatnonzero(able)
    stray = np.zeros(batch.num_rows)
    if not len(pairs):
        return finding(stray > 0, stray)
    part, every = batch.take(pa.array(pairs)), np.ones(len(pairs), dtype=bool)
    prompt = _asked(part, MOST_BYTES, every)
    chosen, rejected = (_said(part, name, MOST_BYTES, every) for name in ("output_text", "rejected_output"))
    n = len(pairs)
    size_chosen, size_rejected = _per_row(chosen, n), _per_row(rejected, n)
    fits_chosen, fits_rejected = _in_common(prompt, chosen, n), _in_common(prompt, rejected, n)
    able = (np.minimum(size_chosen, size_rejected) >= answered) & (_in_common(chosen, rejected, n) == 0)
    able &= _comparable(part, every)
    found = np.where(able & (fits_rejected == 0) & (fits_chosen >= taken_up), size_rejected, 0)
    found = np.where(able & (fits_chosen == 0) & (fits_rejected >= taken_up), size_chosen, found)
    stray[pairs] = found
    return finding(stray > 0, stray)


@rule("contradictory_pair", outcome="reject", reason=OPPOSITE)
def contradictory_pair(batch: pa.RecordBatch) -> Finding:
    """A preference whose opposite is in the batch: the same prompt, chosen and rejected the other way round.
    Measure: how many such opposites. Both are rejected, since nothing tells which of them holds; those that are
    stored already are looked up when a batch is collected.
    """
    dpo = np.flatnonzero(equals(batch.column("format"), ["dpo"]))
    measure = np.zeros(batch.num_rows)
    if len(dpo) < 2:
        return finding(measure > 0, measure)
    # An opposite has as many characters in both answers, whichever is which: few rows are left to be hashed.
    columns = (batch.column(name).take(pa.array(dpo)) for name in ("output_text", "rejected_output"))
    both = np.sort([_lengths(column) for column in columns], axis=0)
    _, kind, count = np.unique(both[0] << 32 | both[1], return_inverse=True, return_counts=True)
    pairs = dpo[count[kind] > 1]
    rows = batch.take(pa.array(pairs)).to_pylist()
    ways = [_way(row, "output_text", "rejected_output") for row in rows]
    opposites = [_way(row, "rejected_output", "output_text") for row in rows]
    counted = Counter(ways)
    measure[pairs] = [counted[back] if back != there else 0 for there, back in zip(ways, opposites, strict=True)]
    return finding(measure > 0, measure)


def _lengths(column: pa.Array) -> np.ndarray:
    """Characters of each text without blanks, as spacing makes no difference."""
    return characters(pc.replace_substring_regex(column, r"[\s\p{Z}]+", "")).astype(np.int64)


def _way(row: Mapping[str, Any], chosen: str, rejected: str) -> str:
    return content_hash(
        row["system_prompt"],
        row["context"],
        row["conversation_history"],
        row["input_text"],
        row[chosen],
        row[rejected],
    )


@once_per_batch
def _shared(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Content words in common, in the question, in the answer: one number per example each."""
    n, every = batch.num_rows, np.ones(batch.num_rows, dtype=bool)
    question, answer = _asked(batch, FIRST_BYTES, every), _said(batch, "output_text", FIRST_BYTES, every)
    common, asked, answered = _in_common(question, answer, n), _per_row(question, n), _per_row(answer, n)
    room = np.minimum(np.minimum(asked, answered), ENOUGH_WORDS)
    again = (common == 0) | (common * 5 < room)
    if again.any():
        question, answer = _asked(batch, MOST_BYTES, again), _said(batch, "output_text", MOST_BYTES, again)
        fits = _comparable(batch, again)[again]
        asked[again], answered[again] = _per_row(question, n)[again] * fits, _per_row(answer, n)[again] * fits
        common[again] = _in_common(question, answer, n)[again]
    return common, asked, answered


def _asked(batch: pa.RecordBatch, most: int, among: np.ndarray) -> np.ndarray:
    """The content words of all that stands before the answer: input, context, system prompt and turns."""
    return _content(*question_words(batch, most), among)


def _said(batch: pa.RecordBatch, name: str, most: int, among: np.ndarray) -> np.ndarray:
    found = words_of(batch, name)
    return _content(found.row, found.key, among, found.at < most)


def _content(row: np.ndarray, keys: np.ndarray, among: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """The content words of the examples `among`, each once: example and key in one number.

    Args:
        near: which of the words count; None: all.
    """
    keys = keys & _LETTERS
    telling = (keys > 255) & ~_IS_COMMON[slot(keys, _COMMON_BITS)]  # single letters tell nothing
    if near is not None:
        telling &= near
    if not among.all():
        telling &= among[row]
    # By place: to pick what a mask of as many ones as zeros says takes several times as long.
    at = np.flatnonzero(telling)
    found = row[at].astype(np.uint64) << np.uint64(32) | keys[at]
    return np.asarray(found[np.flatnonzero(~repeats(found))])


def _per_row(found: np.ndarray, n: int) -> np.ndarray:
    return np.bincount((found >> np.uint64(32)).astype(np.int64), minlength=n)


def _in_common(one: np.ndarray, other: np.ndarray, n: int) -> np.ndarray:
    both = np.concatenate([one, other])
    return _per_row(both[repeats(both)], n)


def _comparable(batch: pa.RecordBatch, among: np.ndarray) -> np.ndarray:
    """Where words can be compared: both texts mostly ASCII; neither a translation nor the assistant is asked for."""
    fits = among & ~shares_no_words(batch)
    for name in ("input_text", "output_text"):
        fits &= beyond_ascii(batch.column(name)) <= MOSTLY_ASCII
    return np.asarray(fits)
