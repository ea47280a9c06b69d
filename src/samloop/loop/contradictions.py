"""Preferences that contradict a stored one: A over B here, B over A there, for the same prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from samloop.curate.preference import OPPOSITE
from samloop.example import ID_LENGTH, content_hash
from samloop.rows import Rows
from samloop.store import Store


def settle(store: Store, rows: Rows, log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Reject each preference among `rows` whose opposite is stored, and that one as well.

    Nothing tells which of the two holds, so the outcome must not hang on which came first. Only what a person has
    reviewed stays. The stored ones are changed before the batch is added: whoever dies in between reads the batch
    again and comes to the same end.

    Returns:
        `log` with an entry for each row that was rejected here.
    """
    columns = rows.columns
    pairs = [at for at, form in enumerate(columns.get("format", ())) if form == "dpo"]
    opposite_of = {_opposite(rows[at]): at for at in pairs if columns["rejected_output"][at]}
    if not opposite_of:
        return list(log)
    stored = store.states_of(opposite_of)
    overruled = {
        id: {"state": "rejected", "reason": OPPOSITE}
        for id, (state, metadata) in stored.items()
        if state != "rejected" and not orjson.loads(metadata or "{}").get("human_reviewed")
    }
    if overruled:
        store.update_examples(overruled)
    added = []
    for id in stored:
        at = opposite_of[id]
        if columns["reason"][at] != OPPOSITE:
            rows.put(at, {"state": "rejected", "reason": OPPOSITE})
            entry = {"rule": "contradictory_pair", "outcome": "reject", "measure": 1.0, "reason": OPPOSITE}
            added.append({"example_id": columns["id"][at], **entry})
    return [*log, *added]


def _opposite(row: Mapping[str, Any]) -> str:
    """The id of the same preference the other way round."""
    history = orjson.loads(row["conversation_history"])
    whole = content_hash(
        row["system_prompt"], row["context"], history, row["input_text"], row["rejected_output"], row["output_text"]
    )
    return whole[:ID_LENGTH]
