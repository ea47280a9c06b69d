"""Routing decisions among the live rows: routes that people corrected, and tasks that went to a teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from samloop.example import collapse
from samloop.protocols import Reject, RowReader
from samloop.sources.live_rows import Row

LONGEST_TASK: Final = 400
"""Characters: what is longer is material with a task somewhere in it, and not a task."""

TEACHERS: Final = {"gpt": "chatgpt"}
"""What the names of teachers begin with that stand for a route, beside the routes themselves."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One task with its route.

    Attributes:
        table, id: of the row.
        at: when it was decided, Unix seconds.
        wrong: where it was sent before a person corrected that.
    """

    task: str
    route: str
    table: str
    id: str
    at: float
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class RowsRead:
    """All rows of `table` up to `number` are done."""

    table: str
    number: int


def plain(task: str) -> str:
    """What two tasks share that differ in spacing, case or final punctuation alone."""
    return collapse(task).casefold().rstrip(" .?!:;")


def live_decisions(
    rows: RowReader, done: Mapping[str, Mapping[str, Any]], labels: Sequence[str], teachers: Mapping[str, str]
) -> Iterator[Decision | Reject | RowsRead]:
    """The decisions in the rows after `done`; what people corrected comes first and counts more."""
    for row in rows("feedback", _after(done, "feedback")):
        if row["kind"] == "routing":
            yield _corrected(row, labels)
        yield RowsRead("feedback", row["number"])
    corrected: frozenset[str] | None = None
    for row in rows("captures", _after(done, "captures")):
        if row["kind"] == "escalation":
            if corrected is None:  # only where something is new
                corrected = frozenset(plain(r["input_text"]) for r in rows("feedback") if r["kind"] == "routing")
            yield _escalated(row, labels, teachers, corrected)
        yield RowsRead("captures", row["number"])


def counted(done: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """How many decisions of each route were read before."""
    return sum((Counter(table.get("routes", {})) for table in done.values()), Counter[str]())


def _after(done: Mapping[str, Mapping[str, Any]], table: str) -> int:
    return int(done.get(table, {}).get("row", 0))


def _corrected(row: Row, labels: Sequence[str]) -> Decision | Reject:
    id, route = row["feedback_id"], row["better_text"]
    if route not in labels:
        return Reject("feedback", "route is not one of the labels", id=id)
    return Decision(row["input_text"].strip(), route, "feedback", id, row["created_at"], row["output_text"])


def _escalated(
    row: Row, labels: Sequence[str], teachers: Mapping[str, str], corrected: frozenset[str]
) -> Decision | Reject:
    id = row["capture_id"]

    def no(reason: str, detail: str = "") -> Reject:
        return Reject("captures", reason, detail, id=id)

    said = [message for message in row["messages"] if message["role"] != "system"]
    if row["trigger"] == "error":
        return no("the local model failed", "that says nothing of where the task belongs")
    if len(said) != 1:
        return no("task hangs on earlier turns")
    task = said[0]["content"].strip()
    if len(task) > LONGEST_TASK:
        return no("task is too long to be routed", f"{len(task)} characters")
    if plain(task) in corrected:
        return no("route was corrected")
    route = row["metadata"].get("route") or _route_of(row["teacher"] or "", labels, teachers)
    if route is None or route not in labels:
        return no("teacher stands for no route", "say teachers = { name = label } in the options of routing")
    return Decision(task, route, "captures", id, row["created_at"])


def _route_of(teacher: str, labels: Sequence[str], teachers: Mapping[str, str]) -> str | None:
    """The route whose name the teacher's begins with; the longest beginning counts."""
    known = {**{label: label for label in labels}, **TEACHERS, **teachers}
    fitting = [name for name in known if teacher.lower().startswith(name.lower())]
    return known[max(fitting, key=len)] if fitting else None
