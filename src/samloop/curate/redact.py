"""Redaction in bulk: one vectorised look at every row, and the exact patterns only where it saw something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.batch import FEW, Columns
from samloop.example import to_json
from samloop.text.patterns import SECRET_FIELD, Placeholders, Redactor

TEXTS: Final = ("system_prompt", "context", "input_text", "output_text", "rejected_output", "preference_reason")
KEYS: Final = ("source_id", "group_key")
_BETWEEN = "\n\x1f\n"
"""Stands between the strings of one example's metadata while they are looked at."""


def redact(columns: Columns, redactor: Redactor) -> None:
    """Take personal data and secrets out of every text of `columns`, in place; counts go to `columns.redacted`.

    One value has one placeholder in all fields of its example.
    """
    suspects: dict[int, set[str]] = {}
    for name, i in _suspects(columns, redactor):
        suspects.setdefault(i, set()).add(name)
    for i, names in sorted(suspects.items()):
        _redact_row(columns, i, names, redactor)


def _suspects(columns: Columns, redactor: Redactor) -> Iterator[tuple[str, int]]:
    """The fields, and their rows, in which a pattern may match."""
    places: list[tuple[str, int]] = []
    texts: list[str] = []

    def add(name: str, row: int, text: str | None) -> None:
        if text:
            places.append((name, row))
            texts.append(text)

    for name in (*TEXTS, *KEYS):
        for row, text in enumerate(getattr(columns, name)):
            add(name, row, text)
    for row, (metadata, history) in enumerate(zip(columns.metadata, columns.history, strict=True)):
        if metadata:
            add("metadata", row, _BETWEEN.join(_strings(metadata)))
        for turn in history:
            add("history", row, turn["content"])
    return (places[k] for k in _seen(texts, redactor))


def _seen(texts: Sequence[str], redactor: Redactor) -> Sequence[int]:
    """Which texts a bulk look sees something in. One look at all of them: an expression takes long to compile."""
    if len(texts) <= FEW:
        return range(len(texts))
    column, seen = pa.array(texts, pa.large_string()), np.zeros(len(texts), dtype=bool)
    for prefilter in redactor.prefilters:
        found = pc.match_substring_regex(column, prefilter)
        seen |= found.to_numpy(zero_copy_only=False)
    return [int(k) for k in np.flatnonzero(seen)]


def _strings(value: Any, key: str = "") -> list[str]:
    """Every string in plain data; one under a key that says secret is written as an assignment to it."""
    if isinstance(value, str):
        return [f"{key}='{value}'" if SECRET_FIELD.search(key) else value]
    if isinstance(value, dict):
        return [text for k, v in value.items() for text in _strings(v, str(k))]
    if isinstance(value, (list, tuple)):
        return [text for v in value for text in _strings(v, key)]
    return []


def _redact_row(columns: Columns, i: int, names: set[str], redactor: Redactor) -> None:
    """Redact the fields called `names` of one example; the others hold nothing to take out."""
    history, metadata = columns.history[i], columns.metadata[i]
    texts = [*(getattr(columns, name)[i] for name in TEXTS), *(turn["content"] for turn in history)]
    placeholders = Placeholders(t for t in [*texts, columns.metadata_json[i]] if t)
    for name in ("system_prompt", "context"):
        if name in names:
            getattr(columns, name)[i] = redactor.redact(getattr(columns, name)[i], placeholders)
    if "history" in names:
        columns.history[i] = tuple(
            {"role": turn["role"], "content": redactor.redact(turn["content"], placeholders)} for turn in history
        )
    for name in TEXTS[2:]:
        if name in names:
            getattr(columns, name)[i] = redactor.redact(getattr(columns, name)[i], placeholders)
    if "metadata" in names:
        columns.metadata[i] = _redacted(metadata, "", redactor, placeholders)
        columns.metadata_json[i] = to_json(columns.metadata[i])
    # A key that groups examples must come out the same for each of them, whatever else they hold: numbered alone.
    for name in KEYS:
        if name in names:
            key = getattr(columns, name)[i]
            getattr(columns, name)[i] = redactor.redact(key, Placeholders([key]))
    for kind, count in placeholders.counts.items():
        columns.redacted[kind] = columns.redacted.get(kind, 0) + count


def _redacted(value: Any, key: str, redactor: Redactor, placeholders: Placeholders) -> Any:
    if isinstance(value, str):
        if not SECRET_FIELD.search(key):
            return redactor.redact(value, placeholders)
        done = redactor.redact(f"{key}='{value}'", placeholders)
        return done[len(key) + 2 : -1] if done.startswith(f"{key}='") else redactor.redact(value, placeholders)
    if isinstance(value, dict):
        return {k: _redacted(v, str(k), redactor, placeholders) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(v, key, redactor, placeholders) for v in value]
    return value
