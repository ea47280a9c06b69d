"""Content and input hashes of a batch, from the bytes of its columns: what `samloop.example` gives one by one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import xxhash

from samloop.example import AS_BLANK, ENDINGS, NO_PART, PART, Message, content_hash, input_hash

_BLANK: Final = 0x20

PARTS: Final = ("system_prompt", "context", "input_text", "output_text", "rejected_output")


def hashes_of(batch: pa.RecordBatch, histories: Sequence[tuple[Message, ...]]) -> tuple[list[str], list[str]]:
    """`content_hash` and `input_hash` of each example.

    Args:
        batch: has the columns `PARTS`.
        histories: the earlier turns of each.
    """
    n = batch.num_rows
    columns = [_collapsed(batch.column(name)) for name in PARTS]
    digest = xxhash.xxh3_128_hexdigest
    content, asked = [""] * n, [""] * n
    odd = np.zeros(n, dtype=bool)
    for name in PARTS:
        odd |= _beyond_ascii(batch.column(name))
    odd |= np.fromiter(map(bool, histories), dtype=bool, count=n)
    plain = (~odd).tolist()
    for i, (parts, fits) in enumerate(zip(zip(*columns, strict=True), plain, strict=True)):
        if fits:
            content[i] = digest(b"".join(parts))
            asked[i] = digest(parts[2].lower().rstrip(ENDINGS))
        else:
            system, context, question, answer, rejected = (batch.column(name)[i].as_py() for name in PARTS)
            content[i] = content_hash(system, context, histories[i], question, answer, rejected)
            asked[i] = input_hash(histories[i], question)
    return content, asked


def _collapsed(column: pa.Array) -> list[bytes]:
    """Each text behind the byte that begins a part, with every run of white space as one blank and none around it."""
    n = len(column)
    _, offsets, data = column.buffers()
    if data is None or column.null_count == n:
        return [NO_PART if valid is False else PART for valid in column.is_valid().to_pylist()]
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + n + 1]
    blanked = bytes(memoryview(data)[bounds[0] : bounds[-1]]).translate(AS_BLANK)
    bounds = bounds - bounds[0]
    raw = np.frombuffer(blanked, dtype=np.uint8)
    blank = raw == _BLANK
    again = blank.copy()
    again[1:] &= blank[:-1]
    firsts = bounds[:-1][np.diff(bounds) > 0]
    again[firsts] = blank[firsts]  # the blank that ends the text before is none of this one's
    for first in firsts[again[firsts]].tolist():  # rare: what curation has cleaned begins with no blank
        end = first
        while end < len(raw) and blank[end]:
            again[end] = True
            end += 1
    gone = np.flatnonzero(again)
    if len(gone):
        bounds = bounds - np.searchsorted(gone, bounds)
        blanked = raw[~again].tobytes()
    texts = [PART + blanked[begin:end].rstrip(b" ") for begin, end in pairwise(bounds.tolist())]
    if column.null_count:
        texts = [text if valid else NO_PART for text, valid in zip(texts, column.is_valid().to_pylist(), strict=True)]
    return texts


def _beyond_ascii(column: pa.Array) -> np.ndarray:
    _, offsets, data = column.buffers()
    if data is None:
        return np.zeros(len(column), dtype=bool)
    bounds = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    high = np.flatnonzero(np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]] > 127)
    return np.asarray(np.diff(np.searchsorted(high, bounds - bounds[0])) > 0)
