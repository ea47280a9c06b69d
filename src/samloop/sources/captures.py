"""Captured exchanges: what a teacher answered where the local model did not do, and what went well without one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from samloop.example import Message, collapse, input_hash
from samloop.protocols import Mark, Record, Reject, RowReader, Withdrawal, source
from samloop.sources.conversation import conversation
from samloop.sources.drafts import Draft, Unfit
from samloop.sources.live_rows import (
    Row,
    all_turned_down,
    conversation_of,
    digest,
    examples_of,
    no_location,
    objected,
)

WHOLE: Final = ("stop", "end_turn")
"""How an answer ends that is one; all else was cut off, filtered, or went on with a tool."""

BECAUSE: Final = {
    "low_confidence": "the local model was not sure of it",
    "complexity": "the task was too hard for the local model",
    "error": "the local model failed at it",
    "refusal": "the local model refused to answer",
    "asked": "the user asked for a better answer",
}
TURNED_DOWN: Final = "the user turned this answer down"


@source("captures", yields=("claude_capture", "conversation_capture"), given=("rows",))
def read(location: str, since: Mapping[str, Any] | None, *, rows: RowReader) -> Iterator[Record]:
    """The examples in the exchanges that were captured since.

    An escalation becomes a preference, the teacher's answer before the local attempt; without an attempt, a chat.
    They are called ``claude_capture``. An exchange that went well becomes a chat and is called
    ``conversation_capture``; one whose answer the user turned down, by feedback or in the next message, is none.

    Args:
        location: none; what was captured lies in the store of the home.
        since: the last mark, ``{"row": number}``.
        rows: reads what was captured.

    Raises:
        SourceError: there is a location.
    """
    no_location("captures", location)
    after = int((since or {}).get("row", 0))
    disliked: frozenset[str] | None = None
    for row in rows("captures", after):
        if disliked is None:  # only where something is new
            disliked = all_turned_down(rows, after)
        if objection := objected(row["messages"]):
            history, asked, answer = objection
            yield Withdrawal(asked, answer, TURNED_DOWN, tuple(history), conversation_of(row))
        yield from _records(row, disliked)
        yield Mark({"row": row["number"]})


def _records(row: Row, disliked: Collection[str]) -> Iterator[Record]:
    try:
        if row["kind"] == "escalation":
            about = {name: row[name] for name in ("teacher", "trigger", "confidence") if row[name] is not None}
            yield from _named("claude_capture", row, [_escalation(row)], about)
        elif row["kind"] == "exchange":
            yield from _named("conversation_capture", row, _exchange(row, disliked), {})
        else:
            raise Unfit("unknown kind of capture", f"expected escalation or exchange, got {row['kind']!r:.40}")
    except Unfit as unfit:
        yield Reject("captures", unfit.reason, unfit.detail, id=row["capture_id"])


def _named(name: str, row: Row, drafts: Sequence[Draft], about: Mapping[str, Any]) -> Iterator[Record]:
    more = {key: row["metadata"][key] for key in ("domain", "reason", "model") if key in row["metadata"]}
    for draft in drafts:
        draft.group = draft.group or f"prompt:{input_hash(draft.history, draft.input_text)[:24]}"
    yield from examples_of(name, row, row["capture_id"], drafts, metadata={**more, **about})


def _escalation(row: Row) -> Draft:
    if not (row["teacher_answer"] or "").strip():
        raise Unfit("no answer of the teacher", "the escalation came to nothing")
    draft = _last(row["messages"], row["teacher_answer"])
    attempt = row["local_answer"] or ""
    if attempt.strip() and collapse(attempt) != collapse(row["teacher_answer"]):
        draft.format, draft.rejected = "dpo", attempt
        draft.preference_reason = row["metadata"].get("reason") or BECAUSE.get(row["trigger"])
    return draft


def _exchange(row: Row, disliked: Collection[str]) -> list[Draft]:
    answer, ended = row["local_answer"] or "", row["metadata"].get("finish_reason")
    if not answer.strip():
        raise Unfit("no answer", "the exchange came to nothing")
    if ended is not None and ended not in WHOLE:
        raise Unfit("the answer is not a whole one", f"it ended with {ended!r:.40}")
    draft = _last(row["messages"], answer)
    if digest(draft.input_text, answer) in disliked:
        raise Unfit(TURNED_DOWN)
    return [draft]


def _last(messages: Sequence[Message], answer: str) -> Draft:
    """The example in a request and its answer: of a long conversation the latest turns that fit.

    Each earlier answer of it was captured when it was given.
    """
    drafts = conversation([*messages, {"role": "assistant", "content": answer}])
    return drafts[-1]
