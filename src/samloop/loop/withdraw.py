"""Answers that turned out wrong after they had been taken in: rejected where they are stored, and in the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from samloop.example import collapse, input_hash, normalise
from samloop.protocols import Withdrawal
from samloop.rows import Rows
from samloop.store import Store
from samloop.text.corrections import CORRECTION

RULE: Final = "withdrawn"
WITHDRAWN: Final = f"{RULE}: "
"""What the reason of a withdrawn example begins with."""


def withdraw(
    store: Store, withdrawals: Sequence[Withdrawal], rows: Rows, log: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], int]:
    """Reject what `withdrawals` name, among the stored examples and among `rows`, which are about to be.

    Where the right answer of a correction turns out wrong, its dialogue goes with the plain answer.

    The stored ones are changed before the batch is added: whoever dies in between reads the batch again and comes to
    the same end. What a person has reviewed stays.

    Returns:
        `log` with an entry for each row that was rejected here, and how many stored examples were.
    """
    if not withdrawals:
        return list(log), 0
    reasons = {_answer(one.input_text, one.output_text): WITHDRAWN + one.reason for one in withdrawals}
    overruled: dict[str, dict[str, Any]] = {}
    for one in withdrawals:
        given = store.answers_given(input_hash(one.history, normalise(one.input_text)), one.group_key)
        same = [row for row in given if _answer(row["input_text"], row["output_text"]) in reasons]
        for row in [*same, *(sibling for corrected in same for sibling in _siblings(store, corrected))]:
            if not row["metadata"].get("human_reviewed"):
                overruled[row["id"]] = {"state": "rejected", "reason": WITHDRAWN + one.reason}
    if overruled:
        store.update_examples(overruled)
    return [*log, *_in_batch(rows, reasons)], len(overruled)


def _siblings(store: Store, row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The plain examples that were made of the same correction."""
    if (row["parent_id"] or "").startswith(CORRECTION):
        yield from (one for one in store.answers_given("", row["group_key"]) if one["parent_id"] == row["parent_id"])


def _in_batch(rows: Rows, reasons: Mapping[tuple[str, str], str]) -> Iterator[Mapping[str, Any]]:
    """Reject the rows that give one of these answers; an entry of the log for each."""
    columns, gone, corrections = rows.columns, dict[int, str](), dict[str, str]()
    plain = [at for at, format in enumerate(columns.get("format", ())) if format != "dpo"]
    for at in plain:
        if reason := reasons.get(_answer(columns["input_text"][at], columns["output_text"][at])):
            gone[at] = reason
            if (parent := columns["parent_id"][at] or "").startswith(CORRECTION):
                corrections[parent] = reason
    gone |= {at: corrections[parent] for at in plain if (parent := columns["parent_id"][at]) in corrections}
    for at, reason in sorted(gone.items()):
        if columns["state"][at] != "rejected":
            rows.put(at, {"state": "rejected", "reason": reason})
            entry = {"rule": RULE, "outcome": "reject", "measure": None, "reason": reason}
            yield {"example_id": columns["id"][at], **entry}


def _answer(asked: str, answer: str) -> tuple[str, str]:
    return collapse(normalise(asked)), collapse(normalise(answer))
