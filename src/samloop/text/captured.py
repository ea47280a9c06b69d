"""What is captured live, as rows: brought into shape, redacted, and named by their content.

A row of `captures` is an exchange with the local model or an escalation to a teacher; a row of `feedback` is what
somebody said about an answer. Nothing is stored before it went through `captured`.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import xxhash

from samloop.errors import InputError, UsageError
from samloop.example import ID_LENGTH, ROLES, normalise, to_json
from samloop.text.identifiers import PERSONAL, identifier_digest
from samloop.text.patterns import SECRET_FIELD, Placeholders, Redactor

Table = Literal["captures", "feedback"]

IDS: Final[dict[str, str]] = {"captures": "capture_id", "feedback": "feedback_id"}
"""The column that names a row."""

TRIGGERS: Final = ("low_confidence", "complexity", "error", "refusal", "asked")
"""Why a teacher was asked: the local model was unsure, found it hard, failed or refused, or the user wanted it."""

FEEDBACK: Final = ("correction", "preference", "rating", "routing")
"""What can be said about an answer: the right one, the better of two, how good it was, where the task belongs."""

SAYS: Final = ("correction", "preferred", "route", "rating")
"""The keys of a record of feedback that say something about the answer."""

_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "captures": ("local_answer", "teacher_answer", "teacher"),
    "feedback": ("input_text", "output_text", "better_text", "reason"),
}
_KEYS: Final = ("conversation_id", "adapter_id")
_NOT_CONTENT: Final = ("created_at", "metadata", "confidence")

MAX_ID_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Captured:
    """A row as it may be stored.

    Attributes:
        id: of the row: given, or derived from its content after redaction, so that the same feedback is one row.
        row: by column, `messages` and `metadata` as JSON text.
        counts: how many values of each type were taken out.
        digests: the keyed hashes of the personal identifiers among them.
    """

    id: str
    row: dict[str, Any]
    counts: dict[str, int]
    digests: tuple[str, ...]


def captured(table: Table, values: Mapping[str, Any], redactor: Redactor | None, key: bytes | None) -> Captured:
    """`values` as a row of `table`; one value has one placeholder in all its texts.

    Args:
        values: by column, plain: `messages` as a list, `metadata` as an object.
        redactor: None where the recipe redacts nothing.
        key: of the home, for the hashes; None where none are kept.
    """
    row = {name: value for name, value in values.items() if value is not None}
    row = {name: normalise(value) if isinstance(value, str) else value for name, value in row.items()}
    row["metadata"] = dict(row.get("metadata", {}))
    if table == "captures":
        row["messages"] = [{"role": m["role"], "content": normalise(m["content"])} for m in row["messages"]]
    counts, found = _redact(table, row, redactor) if redactor is not None else ({}, [])
    id = str(row.get(IDS[table]) or _id(row))[:MAX_ID_CHARACTERS]
    row |= {IDS[table]: id, "created_at": float(row.get("created_at", time.time()))}
    row |= {name: to_json(row[name]) for name in ("messages", "metadata") if name in row}
    digests = dict.fromkeys(identifier_digest(key, *one) for one in found if one[0] in PERSONAL) if key else {}
    return Captured(id, row, counts, tuple(digests))


def _redact(table: Table, row: dict[str, Any], redactor: Redactor) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Redact every text of `row`, in place; how many values of each type there were, and type and value of each."""
    messages, names = row.get("messages", ()), [name for name in _TEXTS[table] if name in row]
    texts = [*(message["content"] for message in messages), *(row[name] for name in names)]
    placeholders = Placeholders([*texts, to_json(row["metadata"])])
    for message in messages:
        message["content"] = redactor.redact(message["content"], placeholders)
    for name in names:
        row[name] = redactor.redact(row[name], placeholders)
    row["metadata"] = redact_plain(row["metadata"], redactor, placeholders)
    found = placeholders.values
    for name in (*_KEYS, IDS[table]):  # what groups rows has to come out the same in each: numbered alone
        if isinstance(row.get(name), str):
            alone = Placeholders([row[name]])
            row[name] = redactor.redact(row[name], alone)
            found = found + alone.values
    return dict(placeholders.counts), found


def redact_plain(value: Any, redactor: Redactor, placeholders: Placeholders, key: str = "") -> Any:
    """Plain data with every string in it redacted; one under a key that says secret as if it were assigned to it."""
    if isinstance(value, str):
        if not SECRET_FIELD.search(key):
            return redactor.redact(value, placeholders)
        done = redactor.redact(f"{key}='{value}'", placeholders)
        return done[len(key) + 2 : -1] if done.startswith(f"{key}='") else redactor.redact(value, placeholders)
    if isinstance(value, dict):
        return {k: redact_plain(v, redactor, placeholders, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_plain(v, redactor, placeholders, key) for v in value]
    return value


def _id(row: Mapping[str, Any]) -> str:
    content = {name: value for name, value in row.items() if name not in _NOT_CONTENT}
    digest = xxhash.xxh3_128_hexdigest(to_json(content).encode())[:ID_LENGTH]
    return f"{row['kind']}-{digest}"


# --- what people say, as values of a row -------------------------------------------------------------------------


def messages_from(query: Any) -> list[dict[str, str]]:
    """The messages of a request: a question, or the whole conversation up to it.

    Raises:
        InputError: it is neither, or asks nothing.
    """
    if isinstance(query, str):
        return [{"role": "user", "content": _text("query", query)}]
    if not isinstance(query, Sequence) or not all(isinstance(one, Mapping) for one in query):
        raise InputError("expected query to be a text or a list of messages {role, content}, got neither")
    messages = []
    for number, one in enumerate(query, 1):
        role, content = one.get("role"), one.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise InputError(
                f"expected message {number} of query to have a role ({', '.join(ROLES)}) and content of text, "
                f"got role {role!r:.40} and content of type {type(content).__name__}"
            )
        messages.append({"role": role, "content": content})
    if not any(one["role"] == "user" and one["content"].strip() for one in messages):
        raise InputError("expected a message of the role user in query, got none; say what was asked")
    return messages


def escalation(
    query: Any,
    local_attempt: str | None,
    teacher_response: str,
    *,
    trigger: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The values of a row for an escalation; `more` are columns of `captures`.

    Raises:
        InputError: the question or the teacher's answer is empty or no text.
        UsageError: the trigger is none of `TRIGGERS`.
    """
    if trigger is not None and trigger not in TRIGGERS:
        raise UsageError(f"expected trigger to be one of {', '.join(TRIGGERS)}, got {trigger!r:.60}")
    return {
        "kind": "escalation",
        "messages": messages_from(query),
        "local_answer": _text("local_attempt", local_attempt) if (local_attempt or "").strip() else None,
        "teacher_answer": _text("teacher_response", teacher_response),
        "trigger": trigger,
        **more,
    }


def exchange(query: Any, answer: str, **more: Any) -> dict[str, Any]:
    """The values of a row for an exchange with the local model; `more` are columns of `captures`.

    Raises:
        InputError: the question or the answer is empty or no text.
    """
    return {"kind": "exchange", "messages": messages_from(query), "local_answer": _text("answer", answer), **more}


def correction(
    query: str | None, response: str, right: str, what_was_wrong: str | None = None, **more: Any
) -> dict[str, Any]:
    """The values of a row for a correction; `query` may be unknown, `more` are columns of `feedback`.

    Raises:
        InputError: a text is missing, or the correction is what was answered.
    """
    values = {
        "kind": "correction",
        "input_text": _text("query", query) if query is not None else None,
        "output_text": _text("response", response),
        "better_text": _text("correction", right),
        "reason": _text("what_was_wrong", what_was_wrong) if (what_was_wrong or "").strip() else None,
        **more,
    }
    return _differing(values, "correction", "response")


def preference(query: str, chosen: str, rejected: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """The values of a row for a preference; `more` are columns of `feedback`.

    Raises:
        InputError: a text is missing, or both answers are the same.
    """
    values = {
        "kind": "preference",
        "input_text": _text("query", query),
        "output_text": _text("rejected", rejected),
        "better_text": _text("chosen", chosen),
        "reason": _text("reason", reason) if (reason or "").strip() else None,
        **more,
    }
    return _differing(values, "chosen", "rejected")


def rating(query: str, response: str, value: float, **more: Any) -> dict[str, Any]:
    """The values of a row for a rating from -1 (bad) to 1 (good); `more` are columns of `feedback`.

    Raises:
        InputError: a text is missing, or the rating is no number in that range.
    """
    texts = {"input_text": _text("query", query), "output_text": _text("response", response)}
    return {"kind": "rating", **texts, "rating": rating_of(value), **more}


def routing(task: str, route: str, wrong: str | None = None, **more: Any) -> dict[str, Any]:
    """The values of a row that says where a task belongs, and where it was wrongly sent.

    Raises:
        InputError: a text is missing.
    """
    went = _text("wrong route", wrong) if wrong else None
    texts = {"input_text": _text("query", task), "output_text": went, "better_text": _text("route", route)}
    return {"kind": "routing", **texts, **more}


def feedback_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row for what somebody said in one record, whatever its kind.

    Args:
        given: query and response, and one of correction, preferred, route or rating (which may stand beside the first
            two); what_was_wrong, conversation_id, adapter_id.

    Raises:
        UsageError: a key is unknown, or it is not told which of these is meant.
        InputError: a text is missing or a value is of the wrong kind.
    """
    known = ("query", "response", *SAYS, "what_was_wrong", "conversation_id", "adapter_id")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"feedback has no '{name!s:.40}'; {hint}")
    told = {name: value for name, value in given.items() if value is not None}
    said = [name for name in SAYS[:3] if name in told]
    if len(said) > 1 or not (said or "rating" in told):
        got = " and ".join(said) or "none"
        raise UsageError(f"expected one of {', '.join(SAYS)} beside the answer, got {got}")
    more: dict[str, Any] = {
        name: _text(name, told[name]) for name in ("conversation_id", "adapter_id") if name in told
    }
    if said and "rating" in told:
        more["rating"] = rating_of(told["rating"])
    query, response, why = told.get("query"), told.get("response"), told.get("what_was_wrong")
    if "route" in told:
        return routing(query or "", told["route"], response, **more)
    if response is None:
        raise InputError("expected response, what was answered, got none")
    if "correction" in told:
        return correction(query, response, told["correction"], why, **more)
    if "preferred" in told:
        return preference(query or "", told["preferred"], response, why, **more)
    return rating(query or "", response, told["rating"], **more)


def rating_of(value: Any) -> float:
    """A rating as a number from -1 to 1: "up" and "down" are its ends.

    Raises:
        InputError: it is none of these.
    """
    if value in ("up", "down"):
        return 1.0 if value == "up" else -1.0
    number = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    if not -1.0 <= number <= 1.0:
        raise InputError(f"expected a rating of up, down or a number from -1 to 1, got {value!r:.40}")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"expected {name} to be text, got {type(value).__name__}")
    if not value.strip():
        raise InputError(f"expected {name} to say something, got an empty text")
    return value


def _differing(values: dict[str, Any], better: str, worse: str) -> dict[str, Any]:
    if normalise(values["better_text"]) == normalise(values["output_text"]):
        raise InputError(f"expected {better} to differ from {worse}, got the same text twice")
    return values
