"""Rules that reject: what cannot be trained on at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.measure import all_characters, characters, equals, finding, matches, non_ascii, turns
from samloop.protocols import Finding, rule


def _blank(column: pa.Array) -> np.ndarray:
    return ~matches(column, r"[^\s\p{Z}]")


@rule("empty_input", outcome="reject", reason="input is empty")
def empty_input(batch: pa.RecordBatch) -> Finding:
    """The input has no visible character. Measure: its characters. The contract rejects it: nothing is asked."""
    column = batch.column("input_text")
    return finding(_blank(column), characters(column))


@rule("empty_output", outcome="reject", reason="output is empty")
def empty_output(batch: pa.RecordBatch) -> Finding:
    """The output has no visible character. Measure: its characters. The contract rejects it: nothing is learnt."""
    column = batch.column("output_text")
    return finding(_blank(column), characters(column))


@rule("no_rejected", outcome="reject", reason="preference pair without a rejected answer")
def no_rejected(batch: pa.RecordBatch) -> Finding:
    """A dpo example without rejected_output. Measure: characters of the rejected answer."""
    column = batch.column("rejected_output")
    pair = equals(batch.column("format"), ["dpo"])
    return finding(pair & _blank(column) if pair.any() else pair, characters(column))


@rule("identical_pair", outcome="reject", reason="chosen and rejected answer are the same")
def identical_pair(batch: pa.RecordBatch) -> Finding:
    """A dpo example whose answers are equal but for spacing. Measure: characters of the answer.

    Case counts: LLMBar has pairs whose only difference is the capitals that were asked for.
    """
    pair = equals(batch.column("format"), ["dpo"])
    if not pair.any():
        return finding(pair, np.zeros(batch.num_rows))
    chosen, rejected = (_collapsed(batch.column(name)) for name in ("output_text", "rejected_output"))
    same = pc.fill_null(pc.equal(chosen, rejected), False).to_numpy(zero_copy_only=False)
    hit = pair & same & ~_blank(batch.column("rejected_output"))
    return finding(hit, np.where(hit, characters(batch.column("output_text")), 0))


def _collapsed(column: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"[\s\p{Z}]+", " ")


_ROLES = {"system": 0, "user": 1, "assistant": 2, "tool": 3}
_FOLLOWS = np.array(
    # the next turn: system, user, assistant, tool, unknown, the input itself
    [
        [0, 1, 1, 0, 0, 1],  # after system
        [0, 0, 1, 0, 0, 0],  # after user
        [0, 1, 0, 1, 0, 1],  # after assistant
        [0, 0, 1, 1, 0, 1],  # after tool: its caller goes on, or the next result; the input may be the last result
        [0, 0, 0, 0, 0, 0],  # after an unknown role
    ],
    dtype=bool,
)


@rule("role_order", outcome="reject", reason="turns of the conversation are out of order")
def role_order(batch: pa.RecordBatch) -> Finding:
    """Earlier turns out of order. Measure: the number of places where a turn may not follow the one before it.

    A system turn stands first only; user and assistant alternate, tool results stand between an assistant turn and
    the next; the last turn is one that the input can follow, so not a user's. An assistant may speak first.
    """
    history = batch.column("conversation_history")
    count = turns(batch)
    if not count.any():
        return finding(count > 0, count)
    roles = history.flatten().field("role")
    index = pc.fill_null(pc.index_in(roles, pa.array(list(_ROLES), roles.type)), 4)
    codes = np.asarray(index.to_numpy(zero_copy_only=False), dtype=np.int64)
    offsets = np.asarray(history.offsets) - history.offsets[0].as_py()
    last = np.zeros(len(codes), dtype=bool)
    last[offsets[1:][count > 0] - 1] = True
    following = np.where(last, 5, np.append(codes[1:], 5))
    wrong = ~_FOLLOWS[codes, following]
    first = offsets[:-1][count > 0]
    wrong[first] |= np.isin(codes[first], [3, 4])
    row = np.repeat(np.arange(len(count)), count)
    measure = np.bincount(row, weights=wrong, minlength=len(count))
    return finding(measure > 0, measure)


@rule("over_length", outcome="reject", reason="longer than the bound")
def over_length(batch: pa.RecordBatch, *, characters: int = 32_000) -> Finding:
    """More than `characters` in all fields and turns. Measure: characters. 32,000 is the unified rubric's bound;
    the other rubrics set their own (pipeline: 50,000)."""
    length = all_characters(batch)
    return finding(length > characters, length)


@rule("under_length", outcome="reject", reason="shorter than the bound")
def under_length(batch: pa.RecordBatch, *, characters: int = 20) -> Finding:
    """Fewer than `characters` in all fields and turns. Measure: characters. 20 is the contract's bound."""
    length = all_characters(batch)
    return finding(length < characters, length)


@rule("undecodable", outcome="reject", reason="text is not decodable")
def undecodable(batch: pa.RecordBatch, *, share: float = 0.01) -> Finding:
    """NUL characters, or more than `share` of the answer or the input being U+FFFD, which decoders put in place of
    bytes they cannot read. Measure: the larger share. One stray mark in a hundred characters stays readable; a
    text in a wrong encoding has one for every accented letter."""
    n = batch.num_rows
    worst, hit = np.zeros(n), np.zeros(n, dtype=bool)
    for name in ("input_text", "output_text"):
        column = batch.column(name)
        rows = np.flatnonzero(matches(column, r"\x00") | matches(column, "\ufffd", non_ascii(column)))
        for i, text in zip(rows, column.take(pa.array(rows)).to_pylist(), strict=True):
            worst[i] = max(worst[i], text.count("\ufffd") / len(text))
            hit[i] |= "\x00" in text
    return finding(hit | (worst > share), worst)
