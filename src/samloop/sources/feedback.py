"""What people said about answers: corrections, preferences and ratings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from samloop.example import input_hash
from samloop.protocols import Mark, Record, Reject, RowReader, Withdrawal, source
from samloop.sources.drafts import Draft, Unfit, optional_text, text_of
from samloop.sources.live_rows import Row, conversation_of, examples_of, no_location, turned_down
from samloop.sources.sam_rows import corrected
from samloop.text.corrections import Correction

REASONS: Final = {
    "correction": "the user corrected this answer",
    "preference": "the user preferred another answer",
    "rating": "the user rated this answer down",
}


@source("feedback", yields=("user_correction", "user_preference"), given=("rows",))
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    rows: RowReader,
    rating_weight: float = 0.5,
    correction_weight: float = 3.0,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """The examples in the feedback that came since.

    A correction becomes three examples with one parent, called ``user_correction``: the preference, the plain
    question with the right answer, and the dialogue in which the user shows the error. A preference becomes a
    ``user_preference``. An answer that was rated up becomes an instruction, called ``feedback``. Stored examples that
    give an answer which was turned down are rejected.

    Args:
        location: none; feedback lies in the store of the home.
        since: the last mark, ``{"row": number}``.
        rows: reads what was said.
        rating_weight: how much an answer with the best rating counts in training; one with half of it, half as much.
        correction_weight: how much each example of a correction counts.
        variables: ``name`` is what the assistant calls itself, in correction dialogues.

    Raises:
        SourceError: there is a location.
    """
    no_location("feedback", location)
    name = (variables or {}).get("name", "SAM")
    for row in rows("feedback", int((since or {}).get("row", 0))):
        if pair := turned_down(row):
            yield Withdrawal(*pair, REASONS[row["kind"]], group_key=conversation_of(row))
        try:
            if row["kind"] == "correction":
                yield from _corrections(row, name, correction_weight)
            elif row["kind"] == "preference":
                yield from _examples("user_preference", row, [_preference(row)])
            elif row["kind"] == "rating":
                yield from _examples("feedback", row, [_liked(row)], weight=rating_weight * row["rating"])
            elif row["kind"] != "routing":  # which the source of that name reads
                raise Unfit("unknown kind of feedback", f"got {row['kind']!r:.40}")
        except Unfit as unfit:
            yield Reject("feedback", unfit.reason, unfit.detail, id=row["feedback_id"])
        yield Mark({"row": row["number"]})


def _corrections(row: Row, name: str, weight: float) -> Iterator[Record]:
    correction = Correction(
        asked=optional_text(row["input_text"], "input_text"),
        incorrect=text_of(row["output_text"], "output_text"),
        correct=text_of(row["better_text"], "better_text"),
        reason=optional_text(row["reason"], "reason"),
    )
    drafts = list(corrected(correction, name))
    for draft in drafts:
        draft.group = correction.parent
    yield from _examples("user_correction", row, drafts, parent_id=correction.parent, weight=weight)


def _preference(row: Row) -> Draft:
    return Draft(
        "dpo",
        text_of(row["input_text"], "input_text"),
        text_of(row["better_text"], "better_text"),
        rejected=text_of(row["output_text"], "output_text"),
        preference_reason=optional_text(row["reason"], "reason"),
    )


def _liked(row: Row) -> Draft:
    rating = row["rating"]
    if rating is None or not rating > 0:
        raise Unfit("not rated up", "an answer that was not liked teaches nothing without a better one")
    return Draft("instruction", text_of(row["input_text"], "input_text"), text_of(row["output_text"], "output_text"))


def _examples(source: str, row: Row, drafts: list[Draft], **more: Any) -> Iterator[Record]:
    for draft in drafts:
        draft.group = draft.group or f"prompt:{input_hash(draft.history, draft.input_text)[:24]}"
    about = {"rating": row["rating"]} if row["rating"] is not None else {}
    about |= {"adapter": row["adapter_id"]} if row["adapter_id"] else {}
    yield from examples_of(source, row, row["feedback_id"], drafts, metadata=about, **more)
