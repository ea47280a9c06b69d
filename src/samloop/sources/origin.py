"""Where an example of a data file came from: its ids, group, licence, time and metadata."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from samloop.example import FORMATS, Example
from samloop.sources.drafts import Draft, Json
from samloop.sources.sidecars import spdx_of
from samloop.text.lines import TRUST_KEYS

ID_KEYS: Final = ("id", "uuid", "message_tree_id", "conversation_id", "prompt_id", "task_id", "idx", "source_id")
TIME_KEYS: Final = ("created_at", "timestamp", "create_time", "date")
LANGUAGE_KEYS: Final = ("language", "lang", "programming_language")
LICENCE_KEYS: Final = ("licence", "license")
GROUP_KEYS: Final = (
    "group_key", "conversation_id", "conversation_hash", "dialogue_id", "dialog_id", "thread_id",
    "document_id", "doc_id", "article_id",
)  # fmt: skip
"""What a record is a part of: its other parts must not stand on another side of a split. A record that names nothing
gets no group: questions that are the same, or nearly, then go to one side by themselves, while groups of their own
would lie on two, and cost the later of them."""

CARRIED: Final = frozenset(
    {*ID_KEYS, *TIME_KEYS, *LANGUAGE_KEYS, *LICENCE_KEYS, *GROUP_KEYS, *TRUST_KEYS, "metadata", "source", "parent_id"}
)
"""Keys of any record that become fields of the example, or are never believed: none goes to metadata as it is."""

LONGEST_VALUE: Final = 1_000
MOST_VALUES: Final = 32
"""Unknown fields are kept up to this size (bytes as JSON) and number, so that a record's ballast stays small."""

SLACK_SECONDS: Final = 86_400.0
"""Clocks differ, and a date without a time zone may lie ahead by a day at most."""

_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9+#.-]{0,23}")
_SHAREGPT_PART = re.compile(r"[A-Za-z0-9]{7}_[0-9]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that records come from.

    Attributes:
        source: the name of the source.
        location: the file as messages name it.
        dataset: the file as examples name it.
        licence: SPDX id of the file, None where unknown.
    """

    source: str
    location: str
    dataset: str
    licence: str | None = None
    about: dict[str, Any] = field(init=False, compare=False)
    """The metadata of a record that brings none of its own; one dictionary for all of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", {"dataset": self.dataset})

    def examples(
        self, drafts: Iterable[Draft], record: Json, number: int, extras: tuple[str, ...], carried: bool
    ) -> list[Example]:
        """`drafts` with where they came from; `extras` are the record's keys that no parser consumed."""
        metadata = {**self.about} if extras or carried else self.about
        if extras:
            _keep(metadata, record, extras)
        if not carried:
            source_id, licence, language, created_at, group = (
                f"{self.dataset}:{number}",
                self.licence,
                None,
                0.0,
                None,
            )
            parent_id = format_ = None
        else:
            told = _told(record, metadata)
            source_id = self._source_id(told, number)
            licence = spdx_of(_first(told, LICENCE_KEYS)) or self.licence
            language = _language(_first(told, LANGUAGE_KEYS))
            created_at = seconds_of(_first(told, TIME_KEYS))
            group, parent_id, format_ = self._group(told), _text(told.get("parent_id")), told.get("format")
        examples = []
        for draft in drafts:
            in_conversation = draft.format in ("chat", "multi_turn") and carried
            examples.append(
                draft.example(
                    source=self.source,
                    source_id=source_id,
                    metadata=metadata,
                    created_at=created_at,
                    format=_format(draft, format_) if format_ else draft.format,
                    parent_id=parent_id,
                    group_key=group or draft.group or (self._conversation(told) if in_conversation else None),
                    licence=licence,
                    language=draft.language or language,
                )
            )
        return examples

    def _source_id(self, told: Json, number: int) -> str:
        value = _first(told, ID_KEYS)
        if isinstance(value, str) and value and not value.isdigit():
            return value[:200]
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return f"{self.dataset}#{value}"[:200]
        return f"{self.dataset}:{number}"

    def _group(self, told: Json) -> str | None:
        value = _first(told, GROUP_KEYS)
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{self.dataset}#{value}"  # a number tells the groups of one file apart, and no others
        return _text(value)

    def _conversation(self, told: Json) -> str | None:
        """The id of a conversation as its group; ShareGPT numbers the parts of one conversation after its name."""
        value = _first(told, ID_KEYS)
        if isinstance(value, str) and _SHAREGPT_PART.fullmatch(value):
            return f"conversation:{value[:7]}"
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return f"conversation:{self._source_id(told, 0)}"
        return None


def is_ours(record: Json) -> bool:
    """Whether samloop wrote this line: its content is taken as it stands, its judgements are not."""
    inner = record.get("metadata")
    return type(inner) is dict and "quality_tier" in inner and "timestamp" in inner


def _told(record: Json, metadata: dict[str, Any]) -> Json:
    """What the record tells of itself, at its top or under ``metadata``; the rest of the latter is kept."""
    if (source := record.get("source")) is not None:
        _keep(metadata, {"origin": source}, ("origin",))
    inner = record.get("metadata")
    if type(inner) is not dict:
        return record
    if "origin" not in metadata and "source" in inner and inner["source"] != "datasets":
        _keep(metadata, {"origin": inner["source"]}, ("origin",))
    ours = is_ours(record)
    gone = CARRIED | {"format", "domain", "complexity"} if ours else CARRIED
    _keep(metadata, inner, tuple(key for key in inner if key not in gone))
    if ours and "source_id" in inner:
        return {**inner, **{key: record[key] for key in ID_KEYS if key in record}, "id": inner["source_id"]}
    return {**inner, **record}


def _keep(metadata: dict[str, Any], record: Json, keys: Iterable[str]) -> None:
    for key in keys:
        value = record[key]
        if value is None or value == "" or len(metadata) >= MOST_VALUES:
            continue
        if type(value) is str:
            if len(value) > LONGEST_VALUE:
                continue
        elif type(value) not in (int, bool):
            try:
                if len(orjson.dumps(value)) > LONGEST_VALUE or (type(value) is float and not math.isfinite(value)):
                    continue
            except orjson.JSONEncodeError:
                value = str(value)[:LONGEST_VALUE]
        metadata[key if key != "dataset" else "dataset_name"] = value


def _first(told: Json, keys: Iterable[str]) -> Any:
    for key in keys:
        if (value := told.get(key)) is not None:
            return value
    return None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _format(draft: Draft, told: Any) -> Any:
    """The format that samloop itself wrote on a line, where the line can be of that format."""
    return told if told in FORMATS and (told == "dpo") == (draft.rejected is not None) else draft.format


def _language(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) and _LANGUAGE.fullmatch(value) else None


def seconds_of(value: Any) -> float:
    """`value` (Unix seconds or milliseconds, or an ISO date) as Unix seconds; 0.0 where it is none of these.

    A clock that was wrong is no reason to be the newest for years: what lies in the future counts as unknown.
    """
    seconds = 0.0
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return 0.0
    elif isinstance(value, datetime):
        seconds = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < 1e18 else 0.0
        if seconds > 1e11:
            seconds /= 1000
    return seconds if 0.0 < seconds < time.time() + SLACK_SECONDS else 0.0
