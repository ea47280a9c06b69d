"""Capture: what a program or a person has to say about an answer, kept as a row that sources read later.

For code that has no gateway in front of it. Each call is redacted and on disk when it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from samloop.example import Message, normalise
from samloop.home import Home
from samloop.loop.context import Context, open_context
from samloop.loop.identifiers import identifier_key
from samloop.text import captured as shapes
from samloop.text.captured import Captured, Table, captured
from samloop.text.patterns import Redactor


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a row: its id, whether it is new, and how many values of each type were taken out."""

    id: str
    new: bool
    redacted: Mapping[str, int]


def record(context: Context, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Recorded]:
    """Redact `rows` and store those that are new, in one transaction; when it returns they are on disk.

    Args:
        rows: values by column, see `samloop.text.captured`.

    Raises:
        StoreError: the store cannot be written; none of the rows was kept.
    """
    settings = context.recipe.curate.redact
    redactor = Redactor(settings.names) if settings.enabled else None
    key = identifier_key(context)
    made: list[Captured] = [captured(table, row, redactor, key) for row in rows]
    new = context.store.add_captured(table, made)
    return [Recorded(one.id, is_new, one.counts) for one, is_new in zip(made, new, strict=True)]


def capture_escalation(
    query: str | Sequence[Message],
    local_attempt: str | None,
    teacher_response: str,
    domain: str | None = None,
    reason: str | None = None,
    *,
    teacher: str | None = None,
    trigger: str | None = None,
    confidence: float | None = None,
    conversation_id: str | None = None,
    context: Context | None = None,
) -> str:
    """Keep what a stronger model answered where the local one was not good enough.

    Args:
        query: the question, or the messages up to it.
        local_attempt: what the local model said; None or "" where it said nothing.
        domain: what it is about, for your own use: curation tells domains by itself.
        reason: why the attempt would not do; why the teacher's answer is preferred to it.
        teacher: the name of the model that answered.
        trigger: low_confidence, complexity, error, refusal or asked.
        confidence: the local model's, 0..1.
        conversation_id: groups what belongs together, so that no split cuts through it.
        context: an open home; the one that the commands use, if None.

    Returns:
        the id of the row; the same call twice is one row.

    Raises:
        InputError: the question or the teacher's answer is empty or no text.
        UsageError: the trigger is unknown.
        StoreError: it could not be kept.
    """
    about = {"domain": domain, "reason": reason}
    values = shapes.escalation(
        query,
        local_attempt,
        teacher_response,
        trigger=trigger,
        teacher=teacher,
        confidence=confidence,
        conversation_id=conversation_id,
        metadata={name: normalise(value) for name, value in about.items() if value},
    )
    return _keep("captures", values, context)


def capture_correction(
    query: str | None,
    response: str,
    correction: str,
    what_was_wrong: str | None = None,
    *,
    conversation_id: str | None = None,
    adapter_id: str | None = None,
    context: Context | None = None,
) -> str:
    """Keep that `response` was wrong and `correction` is right.

    Args:
        query: what was asked; None where it is not known, and only the dialogue about the error can be learnt.
        what_was_wrong: why, in a few words.
        conversation_id: groups what belongs together; what was captured of it is not learnt with the wrong answer.
        adapter_id: who gave the wrong answer.
        context: an open home; the one that the commands use, if None.

    Returns:
        the id of the row; the same call twice is one row.

    Raises:
        InputError: a text is empty, or both answers are the same.
        StoreError: it could not be kept.
    """
    more = {"conversation_id": conversation_id, "adapter_id": adapter_id}
    return _keep("feedback", shapes.correction(query, response, correction, what_was_wrong, **more), context)


def capture_preference(
    query: str,
    chosen: str,
    rejected: str,
    reason: str | None = None,
    *,
    conversation_id: str | None = None,
    adapter_id: str | None = None,
    context: Context | None = None,
) -> str:
    """Keep that the answer `chosen` is better than `rejected`.

    Args:
        query: what was asked.
        reason: why, in a few words.
        conversation_id: groups what belongs together, so that no split cuts through it.
        adapter_id: who gave the rejected answer.
        context: an open home; the one that the commands use, if None.

    Returns:
        the id of the row; the same call twice is one row.

    Raises:
        InputError: a text is empty, or both answers are the same.
        StoreError: it could not be kept.
    """
    more = {"conversation_id": conversation_id, "adapter_id": adapter_id}
    return _keep("feedback", shapes.preference(query, chosen, rejected, reason, **more), context)


def _keep(table: Table, values: Mapping[str, Any], context: Context | None) -> str:
    with nullcontext(context) if context is not None else open_context(Home.find()) as opened:
        return record(opened, table, [values])[0].id
