"""What a parser of one record format makes: drafts of examples, or the reason why a record is not one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import xxhash

from samloop.example import Example, Format, Message

Json = Mapping[str, Any]

PART: Final = "#"
"""Stands in `source_id` between a record's id and which of its examples this is."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class Unfit(Exception):  # noqa: N818 - an outcome, not an error: it becomes a Reject
    """A record is turned away.

    Args:
        reason: one short phrase that is the same for all records with this defect, so that they can be counted.
        detail: what was found, without the record's text.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(slots=True)
class Draft:
    """The content of one example, before it is told where it came from.

    Attributes:
        group: what must not straddle a split, beyond the record itself.
        part: which part of the record this is, where there are several: joins the record's id in `source_id`.
        language: BCP-47 tag or programming language.
    """

    format: Format
    input_text: str
    output_text: str
    system_prompt: str | None = None
    context: str | None = None
    history: Sequence[Message] = ()
    rejected: str | None = None
    preference_reason: str | None = None
    group: str | None = None
    part: str | None = None
    metadata: dict[str, Any] | None = None
    language: str | None = None

    def example(self, *, source_id: str, metadata: dict[str, Any], created_at: float, **more: Any) -> Example:
        """The example of this content; `more` are further fields of it, before what the draft itself says.

        Args:
            source_id: of the whole record; a part of it gets its own.
            metadata: of the record; what the draft has is added.
            created_at: Unix seconds.
        """
        return Example(
            **{"format": self.format, **more},
            input_text=self.input_text,
            output_text=self.output_text,
            system_prompt=self.system_prompt,
            context=self.context,
            rejected_output=self.rejected,
            preference_reason=self.preference_reason,
            conversation_history=tuple(self.history),
            metadata={**metadata, **self.metadata} if self.metadata else metadata,
            created_at=created_at,
            updated_at=created_at,
            source_id=f"{source_id}{PART}{self.part}" if self.part else source_id,
        )


END_MARKS: Final = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "</s>")
"""Tokens of other models' templates that files carry at the end of an answer."""


def text_of(value: Any, key: str) -> str:
    """`value` as text; numbers are written out.

    Raises:
        Unfit: it is missing, empty, or something that is not text.
    """
    if type(value) is not str:
        if value is None:
            raise Unfit("missing field", f"expected '{key}', got none")
        if isinstance(value, (bool, list, dict)) or (isinstance(value, float) and not math.isfinite(value)):
            raise Unfit("wrong type", f"expected '{key}' to be text, got {kind_of(value)}")
        return str(value)
    if not value or value.isspace():
        raise Unfit("empty text", f"'{key}' is empty")
    return value


def answer_of(value: Any, key: str) -> str:
    """`text_of`, without the end marks of other models' templates."""
    text = text_of(value, key)
    if text[-1] == ">":
        for mark in END_MARKS:
            if text.endswith(mark):
                return text_of(text.removesuffix(mark).rstrip(), key)
    return text


def optional_text(value: Any, key: str) -> str | None:
    """`value` as text, None where there is nothing in it."""
    if value is None or value == "" or (isinstance(value, (list, dict)) and not value):
        return None
    if type(value) is str:
        return None if value.isspace() else value
    return text_of(value, key)


def kind_of(value: Any) -> str:
    """The JSON name of `value`'s type, with its article."""
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")


def name_of(value: Any) -> str:
    """`value` where it looks like the name of a thing, else its type: safe to show in a message."""
    return f"'{value}'" if isinstance(value, str) and _NAME.fullmatch(value) else kind_of(value)


def digest_of(*parts: str) -> str:
    """24 hex digits of a hash of `parts`, for group keys."""
    hasher = xxhash.xxh3_128()
    for part in parts:
        hasher.update(part.encode("utf-8", "replace"))
        hasher.update(b"\x1f")
    return hasher.hexdigest()[:24]
