"""What a record of the older layout is, told by its columns, and the examples in it.

The same shapes stand in tables and in JSON lines. Columns are matched by what they are usually called; those that no
parser knows go to the metadata, so that nothing of a row is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from samloop.example import FORMATS, Message, input_hash
from samloop.protocols import SHALL_LOOK
from samloop.sources.conversation import conversation, messages_of
from samloop.sources.drafts import Draft, Json, Unfit, answer_of, optional_text, text_of
from samloop.text.corrections import Correction
from samloop.text.lines import TRUST_KEYS

ASKED: Final = (
    "input_text", "prompt", "query", "question", "user_query", "original_query", "user_input", "user_message",
    "user_prompt", "instruction", "input", "task", "problem",
)  # fmt: skip
ANSWERED: Final = (
    "output_text", "response", "answer", "teacher_response", "claude_response", "teacher_answer", "final_answer",
    "output", "completion", "assistant_response", "assistant_message", "conclusion", "solution",
)  # fmt: skip
ATTEMPT: Final = (
    "sam_attempt", "sam_response", "local_attempt", "local_response", "local_answer", "student_response",
)  # fmt: skip
CHOSEN: Final = ("chosen", "chosen_response", "preferred", "preferred_response", "better_response")
TURNED_DOWN: Final = ("rejected", "rejected_response", "rejected_output", "dispreferred", "worse_response")
INCORRECT: Final = (
    "incorrect", "incorrect_response", "incorrect_answer", "wrong_response", "wrong_answer", "original_response",
    "original_answer", "original_output", *ATTEMPT,
)  # fmt: skip
CORRECT: Final = (
    "correct", "correct_response", "correct_answer", "corrected", "corrected_response", "corrected_answer",
    "corrected_output", "correction", "user_correction",
)  # fmt: skip
WHY: Final = (
    "why", "why_incorrect", "why_wrong", "reason", "explanation", "error_reason", "preference_reason",
    "feedback_text",
)  # fmt: skip
STEPS: Final = (
    "reasoning_steps", "steps", "chain_of_thought", "chain", "reasoning_chain", "thought_process", "thoughts",
    "reasoning",
)  # fmt: skip
SYSTEM: Final = ("system_prompt", "system")
CONTEXT: Final = ("context",)
TOLD_WHOLE: Final = ("example", "example_data", "example_json", "data", "content", "payload")
"""Columns that may hold a whole record as JSON."""

JSON_COLUMNS: Final = frozenset({*TOLD_WHOLE, *STEPS, "metadata", "conversation_history", "history"})
"""Anywhere else, text that looks like a list is text: "[3, 1, 2]" may well be what is to be sorted."""

STANDING: Final = ("state", "status", "review_status", "approval_status")
REFUSED: Final = frozenset({"rejected", "declined", "discarded", "denied"})
PENDING: Final = frozenset({"pending", "review", "in_review", "needs_review", "queued", "unreviewed"})

WAITS: Final = f"{SHALL_LOOK}it was waiting for a review where it came from"

BEFORE: Final = frozenset({*TRUST_KEYS, "human_reviewed", "domain", "complexity"}) - {"state", "reason", "flags"}
"""What the older system thought of an example: kept under "before", and never believed."""

_DROPPED: Final = frozenset(
    {"id", "content_hash", "input_hash", "updated_at", "format", "source", "created_at", "timestamp", "source_id"}
    | {"parent_id", "group_key", "licence", "license", "language", "metadata", "flags", "reason", *STANDING}
)
"""Columns that become fields of the example or can be computed from it."""

LONGEST_EXTRA: Final = 20_000
LONGEST_BARE_ANSWER: Final = 24

Parser = Callable[[Json], Sequence[Draft]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the records of a table are.

    Attributes:
        name: for messages, in the singular.
        parse: makes drafts of one; None where a record is no example by itself.
        joins: its rows say something about the examples that ``example_id`` names.
    """

    name: str
    parse: Parser | None = None
    joins: bool = False


def shape_of(name: str, columns: Collection[str]) -> Shape | None:
    """The shape of the records called `name` (of a table; "" for JSON lines) with these keys; None: no such one."""
    keys, called = frozenset(column.lower() for column in columns), name.lower()
    asked, answered = _has(keys, ASKED), _has(keys, ANSWERED)
    if "rejection" in called:
        return Shape("filter rejection", _refused_before)
    if "review" in called and "example_id" in keys and not (asked and answered):
        return Shape("review", parse=_told_whole if _has(keys, TOLD_WHOLE) else None, joins=True)
    if called == "reasoning_patterns" or ({"example_id"} <= keys and _has(keys, STEPS) and not asked):
        return Shape("reasoning pattern", joins=True)
    if "principle" in called or ({"principle", "principle_text"} & keys and not (asked and answered)):
        return Shape("principle")
    if _has(keys, CHOSEN) and _has(keys, TURNED_DOWN):
        return Shape("preference", _preference)
    if _has(keys, CORRECT) and _has(keys, INCORRECT):
        return Shape("correction")
    if {"input_text", "output_text"} <= keys:
        return Shape("example", _example)
    if asked and _has(keys, STEPS):
        return Shape("chain of thought", _chain)
    if asked and answered and _has(keys, ATTEMPT):
        return Shape("interaction", _interaction)
    if "skill" in called and not (asked and answered):
        return Shape("skill template")
    if asked and answered and name:
        return Shape("pair", _pair)
    return None


def _has(keys: Collection[str], names: Sequence[str]) -> bool:
    return any(name in keys for name in names)


def drafts_of(shape: Shape, row: Json, name: str) -> tuple[list[Draft], str | None]:
    """The drafts in `row`, and the parent that they share, if any; `name` is what the assistant calls itself.

    Raises:
        Unfit: there is none, with the reason.
    """
    row = _decoded(row)
    if _standing(row) in REFUSED:
        raise Unfit("turned away by the older system", f"its {shape.name} was rejected there")
    if shape.name == "correction":
        correction = _correction(row)
        drafts, parent = list(corrected(correction, name)), correction.parent
    elif shape.parse is not None:
        drafts, parent = list(shape.parse(row)), None
    else:
        raise Unfit(f"kept for later: {shape.name}", "it is no example by itself; it stays where it is")
    extras = _extras(row)
    for draft in drafts:
        draft.metadata = {**extras, **(draft.metadata or {})}
        draft.group = parent or draft.group or _group(draft, row)
    return drafts, parent


def _group(draft: Draft, row: Json) -> str:
    """The conversation that a draft with earlier turns is of, else its question."""
    if draft.history and isinstance(session := row.get("session_id"), (str, int)):
        return f"conversation:{session}"
    return f"prompt:{input_hash(draft.history, draft.input_text)[:24]}"


def waits(row: Json) -> bool:
    """Whether the row was waiting for a person."""
    return _standing(row) in PENDING or row.get("needs_review") in (1, True, "1", "true")


def _standing(row: Json) -> str | None:
    for key in STANDING:
        if isinstance(value := row.get(key), str):
            return value.strip().lower().replace(" ", "_").replace("-", "_")
    return None


def _decoded(row: Json) -> dict[str, Any]:
    """`row` with JSON text as what it means, in the columns that may hold a list or an object."""
    found = dict(row)
    for key in JSON_COLUMNS & row.keys():
        value = row[key]
        if type(value) is str and value[:1] in ("[", "{"):
            try:
                found[key] = orjson.loads(value)
            except orjson.JSONDecodeError:
                continue
    return found


def _extras(row: Json) -> dict[str, Any]:
    known = {
        *ASKED,
        *ANSWERED,
        *ATTEMPT,
        *CHOSEN,
        *TURNED_DOWN,
        *INCORRECT,
        *CORRECT,
        *WHY,
        *SYSTEM,
        *CONTEXT,
        *STEPS,
    }
    known |= {*_DROPPED, *BEFORE, "conversation_history", "history", "rejected_output"}
    extras: dict[str, Any] = {
        key: value
        for key, value in row.items()
        if key not in known and len(value if isinstance(value, str) else str(value)) <= LONGEST_EXTRA
    }
    inner = row.get("metadata")
    before = {key: row[key] for key in sorted(BEFORE) if key in row}
    if isinstance(inner, dict):
        before = {key: inner[key] for key in sorted(BEFORE) if inner.get(key) is not None} | before
    return extras | ({"before": before} if before else {})


def _first(row: Json, names: Sequence[str]) -> tuple[Any, str]:
    for name in names:
        if row.get(name) not in (None, ""):
            return row[name], name
    return None, names[0]


def _text(row: Json, names: Sequence[str]) -> str:
    return text_of(*_first(row, names))


def _optional(row: Json, names: Sequence[str]) -> str | None:
    return optional_text(*_first(row, names))


def _history(row: Json) -> list[Message]:
    value, key = _first(row, ("conversation_history", "history"))
    return messages_of(value, key) if value else []


def _draft(row: Json, format: str, asked: str, answer: str) -> Draft:
    return Draft(
        format,  # type: ignore[arg-type]
        asked,
        answer,
        system_prompt=_optional(row, SYSTEM),
        context=_optional(row, CONTEXT),
        history=_history(row),
    )


def _example(row: Json) -> list[Draft]:
    asked, answer = _text(row, ("input_text",)), answer_of(row.get("output_text"), "output_text")
    rejected = _optional(row, ("rejected_output",))
    format_ = row.get("format")
    if format_ not in FORMATS or (format_ == "dpo") != (rejected is not None):
        format_ = "dpo" if rejected else "multi_turn" if _history(row) else "instruction"
    draft = _draft(row, format_, asked, answer)
    if rejected:
        draft.rejected, draft.preference_reason = rejected, _optional(row, ("preference_reason", "reason"))
    return [draft]


def _pair(row: Json) -> list[Draft]:
    answer, key = _first(row, ANSWERED)
    history = _history(row)
    return [_draft(row, "multi_turn" if history else "instruction", _text(row, ASKED), answer_of(answer, key))]


def _preference(row: Json) -> list[Draft]:
    asked, (chosen, key) = _text(row, ASKED), _first(row, CHOSEN)
    draft = _draft(row, "dpo", asked, answer_of(chosen, key))
    draft.rejected = _text(row, TURNED_DOWN)
    draft.preference_reason = _optional(row, WHY)
    return [draft]


def _interaction(row: Json) -> list[Draft]:
    """A question that was escalated: what the teacher said, before what was tried first."""
    answer, key = _first(row, ANSWERED)
    attempt = _optional(row, ATTEMPT)
    draft = _draft(row, "chat", _text(row, ASKED), answer_of(answer, key))
    if attempt and attempt.strip() != draft.output_text.strip():
        draft.format, draft.rejected = "dpo", attempt
        draft.preference_reason = _optional(row, WHY)
    return [draft]


def _chain(row: Json) -> list[Draft]:
    """The steps, one under the other, and then the answer."""
    steps, key = _first(row, STEPS)
    answer = _optional(row, ANSWERED)
    lines = [text for step in (steps if isinstance(steps, list) else []) if (text := _step(step))]
    if lines:
        told = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    elif steps is not None and not isinstance(steps, (list, dict)):
        told = text_of(steps, key)
    else:
        told = ""
    if not told and not answer:
        raise Unfit("no answer", "expected steps or an answer, found neither")
    whole = _with_answer(told, answer)
    draft = _draft(row, "chat", _text(row, ASKED), answer_of(whole, key))
    draft.metadata = {"reasoning_steps": len(lines)} if lines else {}
    if (attempt := _optional(row, ATTEMPT)) and attempt.strip() != draft.output_text.strip():
        draft.format, draft.rejected = "dpo", attempt
    return [draft]


def _with_answer(told: str, answer: str | None) -> str:
    """The steps and then the answer, which is said as one where it is a bare number or word."""
    if not answer or told.rstrip(" .").endswith(answer.strip(" .")):
        return told
    if not told or told in answer:
        return answer
    bare = len(answer) <= LONGEST_BARE_ANSWER and " " not in answer.strip()
    return f"{told}\n\nAnswer: {answer.strip()}" if bare else f"{told}\n\n{answer}"


def _step(step: Any) -> str:
    if isinstance(step, Mapping):
        parts = [step.get(key) for key in ("step", "title", "thought", "content", "text", "description", "result")]
        return " – ".join(str(part).strip() for part in parts if part and not isinstance(part, (int, list, dict)))
    return step.strip() if isinstance(step, str) else ""


def _told_whole(row: Json) -> list[Draft]:
    """A record inside a column, as JSON."""
    inner, _ = _first(row, TOLD_WHOLE)
    if not isinstance(inner, dict):
        raise Unfit("kept for later: review", "its example is not there any more; it stays where it is")
    inner = {key.lower(): value for key, value in inner.items() if value not in (None, "")}
    shape = shape_of("example", inner)
    if "messages" in inner:
        return conversation(messages_of(inner["messages"], "messages"))
    if shape is None or shape.parse is None:
        raise Unfit("kept for later: review", "its content is of no known shape; it stays where it is")
    return list(shape.parse(_decoded(inner)))


def _refused_before(_: Json) -> list[Draft]:
    raise Unfit("turned away by the older system", "its own filter had rejected it")


def _correction(row: Json) -> Correction:
    return Correction(
        asked=_optional(row, ASKED),
        incorrect=_text(row, INCORRECT),
        correct=_text(row, CORRECT),
        reason=_optional(row, WHY),
    )


def corrected(correction: Correction, name: str) -> Iterator[Draft]:
    """The preference, the plain pair and the dialogue; the dialogue alone where it is not known what was asked."""
    if preference := correction.preference():
        asked, chosen, rejected = preference
        yield Draft("dpo", asked, chosen, rejected=rejected, preference_reason=correction.reason, part="preference")
    if pair := correction.pair():
        yield Draft("instruction", *pair, part="pair")
    system, shown, learnt = correction.dialogue(name)
    yield Draft("chat", shown, learnt, system_prompt=system, part="dialogue")
