"""Measurements that several rules share, on Arrow columns: lengths, heads and tails, findings."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.protocols import Finding

BY_PROGRAM = ("git_commits", "code_patterns")
"""Sources whose answers a program took from where they stood: subjects of commits and code end without a mark."""

ASKED = ("input_text", "context", "system_prompt")
_BREAK = pa.scalar("\n", pa.large_string())
TEXTS = ("input_text", "output_text", "system_prompt", "context", "rejected_output")


T = TypeVar("T")


def once_per_batch(make: Callable[[pa.RecordBatch], T]) -> Callable[[pa.RecordBatch], T]:
    """`make`, keeping what it made of the last batch while that lives: several rules ask for the same in turn."""
    kept: list[tuple[weakref.ref[pa.RecordBatch], T]] = []

    def forget(gone: weakref.ref[pa.RecordBatch]) -> None:
        kept[:] = [one for one in kept if one[0] is not gone]

    @wraps(make)
    def made(batch: pa.RecordBatch) -> T:
        for of, value in kept[:]:
            if of() is batch:
                return value
        value = make(batch)
        kept[:] = [(weakref.ref(batch, forget), value)]
        return value

    return made


def finding(hit: np.ndarray, measure: np.ndarray) -> Finding:
    """A `Finding` from numpy columns."""
    return Finding(pa.array(hit.astype(bool)), pa.array(measure.astype(np.float64)))


def flat(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a large_string column, one text after the other, and where each begins: int64, one more than
    texts. What is null is empty."""
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return np.zeros(0, dtype=np.uint8), np.zeros(len(column) + 1, dtype=np.int64)
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _going_on(column: pa.Array) -> np.ndarray:
    """By text, how many bytes only go on with the character before them: bytes less characters."""
    raw, bounds = flat(column)
    if raw.max(initial=0) < 128:
        return np.zeros(len(column), dtype=np.int64)
    return np.asarray(np.diff(np.searchsorted(np.flatnonzero((raw & 0xC0) == 0x80), bounds)))


def characters(column: pa.Array) -> np.ndarray:
    """Length of each text in characters, int64; 0 where there is none."""
    _, bounds = flat(column)
    return np.asarray(np.diff(bounds) - _going_on(column))


def _filled(column: pa.Array) -> np.ndarray:
    """A numeric or boolean column as numpy, null as 0 or false."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0).cast(column.type))
    return np.asarray(column.to_numpy(zero_copy_only=False))


@once_per_batch
def _texts(_: pa.RecordBatch) -> dict[str, list[str]]:
    """The columns that were asked for as texts so far."""
    return {}


def texts_of(batch: pa.RecordBatch, name: str) -> list[str]:
    """The texts of a column without nulls as Python has them, made once for all rules; not to be changed."""
    made = _texts(batch)
    if name not in made:
        made[name] = batch.column(name).to_pylist()
    return made[name]


def non_ascii(column: pa.Array) -> np.ndarray:
    """Boolean column: where a text has characters outside ASCII."""
    return np.asarray(_going_on(column) > 0)


def beyond_ascii(column: pa.Array) -> np.ndarray:
    """Bytes over characters of each text, less one: the share of characters outside ASCII, and more beyond Latin."""
    _, bounds = flat(column)
    more = _going_on(column)
    return np.asarray(more / np.maximum(np.diff(bounds) - more, 1))


def summed(per_turn: np.ndarray, history: pa.Array) -> np.ndarray:
    """The sum over each example's turns of a number per turn."""
    total = np.concatenate([[0], np.cumsum(per_turn)])
    offsets = np.asarray(history.offsets)
    return np.asarray(total[offsets[1:] - offsets[0]] - total[offsets[:-1] - offsets[0]])


def turns(batch: pa.RecordBatch) -> np.ndarray:
    """Number of earlier turns."""
    return np.diff(np.asarray(batch.column("conversation_history").offsets))


@once_per_batch
def all_characters(batch: pa.RecordBatch) -> np.ndarray:
    """Length of each example in characters: all its fields and earlier turns."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for name in TEXTS:
        column = batch.column(name)
        if column.null_count < len(column):
            total += characters(column)
    history = batch.column("conversation_history")
    contents = history.flatten().field("content")
    return total + summed(characters(contents), history) if len(contents) else total


def matches(column: pa.Array, pattern: str, among: np.ndarray | None = None) -> np.ndarray:
    """Boolean column: where an RE2 expression matches; false where there is no text.

    Args:
        among: where to look; elsewhere it is false. None: everywhere.
    """
    if among is not None:
        found = np.zeros(len(column), dtype=bool)
        if among.any():
            found[among] = matches(column.filter(pa.array(among)), pattern)
        return found
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=bool)
    return _filled(pc.match_substring_regex(column, pattern))


def counts(column: pa.Array, pattern: str, among: np.ndarray | None = None) -> np.ndarray:
    """How often an RE2 expression matches, without overlap.

    Args:
        among: where to look; elsewhere it is 0. None: everywhere.
    """
    if among is not None:
        found = np.zeros(len(column), dtype=np.int64)
        if among.any():
            found[among] = counts(column.filter(pa.array(among)), pattern)
        return found
    return _filled(pc.count_substring_regex(column, pattern)).astype(np.int64)


def fences(column: pa.Array) -> np.ndarray:
    """How many code fences (```) stand in each text."""
    found = matches(column, "```")
    out = np.zeros(len(column), dtype=np.int64)
    if found.any():
        out[found] = _filled(pc.count_substring(column.filter(pa.array(found)), "```"))
    return out


def head(column: pa.Array, count: int) -> pa.Array:
    """The first `count` characters of each text."""
    return pc.utf8_slice_codeunits(column, 0, count)


def where(hit: np.ndarray, measure: Callable[[int], float], n: int) -> np.ndarray:
    """A measurement per row, taken only where `hit`; 0 elsewhere."""
    out = np.zeros(n, dtype=np.float64)
    for i in np.flatnonzero(hit):
        out[i] = measure(int(i))
    return out


def equals(column: pa.Array, values: Sequence[str]) -> np.ndarray:
    """Boolean column: where the text is one of `values`."""
    found = np.zeros(len(column), dtype=bool)
    for value in values:
        found |= _filled(pc.equal(column, value))
    return found


def question_text(batch: pa.RecordBatch, most: int) -> pa.Array:
    """All that stands before the answer as one text: the input's head, then context, system prompt and turns.

    What an example lacks leaves no trace, whatever the others of its batch have.
    """
    parts = [head(batch.column(name), most) for name in ASKED if batch.column(name).null_count < batch.num_rows]
    history = batch.column("conversation_history")
    contents = history.flatten().field("content")
    if len(contents):
        offsets = history.offsets.cast(pa.int64())
        each = pa.LargeListArray.from_arrays(pc.subtract(offsets, offsets[0]), head(contents, most))
        joined = pc.binary_join(each, _BREAK)
        parts.append(pc.if_else(pa.array(turns(batch) > 0), joined, pa.scalar(None, pa.large_string())))
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, _BREAK, null_handling="skip")
