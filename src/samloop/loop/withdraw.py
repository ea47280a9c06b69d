"""Answers that turned out wrong after they had been taken in: rejected where they are stored, and in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.example import collapse, input_hash, normalise
from samloop.protocols import Withdrawal
from samloop.rows import Rows
from samloop.store import Store

RULE: Final = "withdrawn"
WITHDRAWN: Final = f"{RULE}: "
"""What the reason of a withdrawn example begins with."""


def withdraw(
    store: Store, withdrawals: Sequence[Withdrawal], rows: Rows, log: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], int]:
    """Reject what `withdrawals` name, among the stored examples and among `rows`, which are about to be.

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
        asked = normalise(one.input_text)
        for stored in store.answers_given(input_hash(one.history, asked), one.group_key):
            same = _answer(stored["input_text"], stored["output_text"]) == _answer(one.input_text, one.output_text)
            if same and not stored["metadata"].get("human_reviewed"):
                overruled[stored["id"]] = {"state": "rejected", "reason": WITHDRAWN + one.reason}
    if overruled:
        store.update_examples(overruled)
    columns, added = rows.columns, list[Mapping[str, Any]]()
    for at, format in enumerate(columns.get("format", ())):
        reason = reasons.get(_answer(columns["input_text"][at], columns["output_text"][at]))
        if reason and format != "dpo" and columns["state"][at] != "rejected":
            rows.put(at, {"state": "rejected", "reason": reason})
            entry = {"rule": RULE, "outcome": "reject", "measure": None, "reason": reason}
            added.append({"example_id": columns["id"][at], **entry})
    return [*log, *added], len(overruled)


def _answer(asked: str, answer: str) -> tuple[str, str]:
    return collapse(normalise(asked)), collapse(normalise(answer))
