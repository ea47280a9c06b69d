"""What the sources of live rows share: which answers were turned down, and where a row's examples come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from samloop.errors import SourceError
from samloop.example import Example, Message, collapse
from samloop.protocols import RowReader
from samloop.sources.drafts import Draft, digest_of
from samloop.text.corrections import is_correction

Row = Mapping[str, Any]


def no_location(kind: str, location: str) -> None:
    """Refuse a location: these sources read the store alone.

    Raises:
        SourceError: there is one.
    """
    if location:
        raise SourceError(
            f"the source '{kind}' reads the store of this home, got the location {location}; leave it out"
        )


def examples_of(source: str, row: Row, id: str, drafts: Iterable[Draft], **more: Any) -> Iterator[Example]:
    """`drafts` made of a row, with where they came from; `more` are fields of the example."""
    group, told = conversation_of(row), more.pop("metadata", {})
    for draft in drafts:
        yield draft.example(
            source=source,
            source_id=id,
            metadata=told,
            created_at=row["created_at"],
            group_key=group or draft.group,
            **more,
        )


def conversation_of(row: Row) -> str | None:
    """The group of all that comes from the conversation of a row, where it is known."""
    return f"conversation:{row['conversation_id']}" if row["conversation_id"] else None


def turned_down(row: Row) -> tuple[str, str] | None:
    """The question and the answer that a row of feedback says is not to be learnt."""
    asked, answer = row["input_text"], row["output_text"]
    worse = row["kind"] in ("correction", "preference") or (row["kind"] == "rating" and (row["rating"] or 0) < 0)
    return (asked, answer) if worse and asked and answer else None


def objected(messages: Sequence[Message]) -> tuple[Sequence[Message], str, str] | None:
    """The turns before, the question and the answer that the last message of a request turns down."""
    said = [one for one in messages if one["role"] != "system"]
    if len(said) < 3 or [one["role"] for one in said[-3:]] != ["user", "assistant", "user"]:
        return None
    asked, answer, reply = (one["content"] for one in said[-3:])
    return (said[:-3], asked, answer) if is_correction(reply) else None


def all_turned_down(rows: RowReader, after: int) -> frozenset[str]:
    """What people did not like, as digests: by feedback of any time, or by what they said next since row `after`."""
    found = {digest(*pair) for row in rows("feedback") if (pair := turned_down(row))}
    for row in rows("captures", after):
        if objection := objected(row["messages"]):
            found.add(digest(*objection[1:]))
    return frozenset(found)


def digest(asked: str, answer: str) -> str:
    """One question with one answer, whatever their spacing."""
    return digest_of(collapse(asked), collapse(answer))
