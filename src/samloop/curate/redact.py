"""Redaction in bulk: one vectorised look at every row, and the exact patterns only where it saw something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from samloop.curate.batch import FEW, Columns
from samloop.example import to_json
from samloop.text.captured import redact_plain
from samloop.text.identifiers import PERSONAL, identifier_digest
from samloop.text.patterns import SECRET_FIELD, Placeholders, Redactor

TEXTS: Final = ("system_prompt", "context", "input_text", "output_text", "rejected_output", "preference_reason")
KEYS: Final = ("source_id", "group_key")
_BETWEEN = "\n\x1f\n"
"""Stands between the strings of one example's metadata while they are looked at."""


def redact(columns: Columns, redactor: Redactor, key: bytes | None = None) -> None:
    """Take personal data and secrets out of every text of `columns`, in place; counts go to `columns.redacted`.

    One value has one placeholder in all fields of its example.

    Args:
        key: if given, the keyed hash of each personal identifier goes to `columns.identifiers`, with its row.
    """
    suspects: dict[int, dict[str, int]] = {}
    for name, i, seen in _suspects(columns, redactor):
        fields = suspects.setdefault(i, {})
        fields[name] = fields.get(name, 0) | seen
    for i, fields in sorted(suspects.items()):
        found = _redact_row(columns, i, fields, redactor)
        if key is not None:
            digests = dict.fromkeys(identifier_digest(key, *one) for one in found if one[0] in PERSONAL)
            columns.identifiers += [(i, digest) for digest in digests]


def _suspects(columns: Columns, redactor: Redactor) -> Iterator[tuple[str, int, int]]:
    """The fields, and their rows, in which a pattern may match, and the bits of those that may."""
    places: list[tuple[str, int]] = []
    texts: list[str] = []
    for name in (*TEXTS, *KEYS):
        column = getattr(columns, name)
        rows = [row for row, text in enumerate(column) if text]
        places += [(name, row) for row in rows]
        texts += [column[row] for row in rows]
    alike: dict[int, list[int]] = {}  # most records of a file have the very same metadata
    for row, metadata in enumerate(columns.metadata):
        if metadata:
            alike.setdefault(id(metadata), []).append(row)
    for rows in alike.values():
        places.append(("metadata", rows[0]))
        texts.append(_BETWEEN.join(_strings(columns.metadata[rows[0]])))
    for row, history in enumerate(columns.history):
        if history:
            places += [("history", row)] * len(history)
            texts += [turn["content"] for turn in history]
    for k, seen in _seen(texts, redactor):
        name, row = places[k]
        for each in alike[id(columns.metadata[row])] if name == "metadata" else (row,):
            yield name, each, seen


def _seen(texts: Sequence[str], redactor: Redactor) -> Iterable[tuple[int, int]]:
    """Which texts a bulk look sees something in, and what."""
    if len(texts) <= FEW:
        return ((k, -1) for k in range(len(texts)))
    return redactor.seen(texts)


def _strings(value: Any, key: str = "") -> list[str]:
    """Every string in plain data; one under a key that says secret is written as an assignment to it."""
    if isinstance(value, str):
        return [f"{key}='{value}'" if SECRET_FIELD.search(key) else value]
    if isinstance(value, dict):
        return [text for k, v in value.items() for text in _strings(v, str(k))]
    if isinstance(value, (list, tuple)):
        return [text for v in value for text in _strings(v, key)]
    return []


def _redact_row(columns: Columns, i: int, fields: Mapping[str, int], redactor: Redactor) -> list[tuple[str, str]]:
    """Redact the `fields` of one example, each with the bits of what was seen in it; the others hold nothing.

    Returns:
        type and value of each thing taken out.
    """
    history, metadata = columns.history[i], columns.metadata[i]
    texts = [*(getattr(columns, name)[i] for name in TEXTS), *(turn["content"] for turn in history)]
    placeholders = Placeholders(t for t in [*texts, columns.metadata_json[i]] if t)
    for name in ("system_prompt", "context"):
        if name in fields:
            getattr(columns, name)[i] = redactor.redact(getattr(columns, name)[i], placeholders, fields[name])
    if "history" in fields:
        seen = fields["history"]
        columns.history[i] = tuple(
            {"role": turn["role"], "content": redactor.redact(turn["content"], placeholders, seen)}
            for turn in history
        )
    for name in TEXTS[2:]:
        if name in fields:
            getattr(columns, name)[i] = redactor.redact(getattr(columns, name)[i], placeholders, fields[name])
    if "metadata" in fields:
        columns.metadata[i] = redact_plain(metadata, redactor, placeholders)
        columns.metadata_json[i] = to_json(columns.metadata[i])
    found = placeholders.values
    # A key that groups examples must come out the same for each of them, whatever else they hold: numbered alone.
    for name in KEYS:
        if name in fields:
            key = getattr(columns, name)[i]
            alone = Placeholders([key])
            getattr(columns, name)[i] = redactor.redact(key, alone, fields[name])
            found += alone.values
    for kind, count in placeholders.counts.items():
        columns.redacted[kind] = columns.redacted.get(kind, 0) + count
    return found
