"""The example: the one record that travels from a source to an adapter.

Frozen, plain, without I/O. `Example` is what sources yield and users build; the store keeps the same fields under
the same names.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Final, Literal, TypedDict, get_args

import orjson
import xxhash

from samloop.errors import InputError

Format = Literal["instruction", "chat", "dpo", "completion", "multi_turn"]
Domain = Literal["code", "reasoning", "creative", "factual", "planning", "conversation", "general"]
Tier = Literal["gold", "silver", "bronze", "unverified"]
State = Literal["accepted", "review", "rejected"]
Role = Literal["system", "user", "assistant", "tool"]

FORMATS: Final[tuple[str, ...]] = get_args(Format)
DOMAINS: Final[tuple[str, ...]] = get_args(Domain)
TIERS: Final[tuple[str, ...]] = get_args(Tier)
STATES: Final[tuple[str, ...]] = get_args(State)
ROLES: Final[tuple[str, ...]] = get_args(Role)

ID_LENGTH: Final = 24
"""Hex digits of an id: 96 bits, so that a billion examples collide with probability below 10⁻¹¹."""


class Message(TypedDict):
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training example.

    A source fills in the content and where it came from; curation fills in the rest. `sealed()` computes id and
    hashes from the content, after redaction, so that no identifier of an example depends on a redacted value.

    Attributes:
        source: the name of the source, e.g. ``git_commits``.
        format: one of `FORMATS`.
        input_text: what is asked.
        output_text: what should be answered; the chosen answer for ``dpo``.
        rejected_output: the worse answer, for ``dpo`` only.
        conversation_history: earlier turns, oldest first, without `system_prompt` and `input_text`.
        metadata: free JSON object.
        complexity: 1 (trivial) to 10.
        quality_score: 0..1.
        created_at, updated_at: Unix seconds.
        source_id: where it came from: a commit hash, a message id.
        parent_id: the example it was derived from.
        group_key: what must never straddle a split: a conversation, a repository and file, a document.
        licence: SPDX id where known.
        language: BCP-47 tag or programming language.
        reason: why `state` is what it is.
        flags: every rule that fired, as ``{"rule", "outcome", "measure"}``.
        weight: how strongly it counts in training.
    """

    source: str
    format: Format
    input_text: str
    output_text: str
    system_prompt: str | None = None
    context: str | None = None
    rejected_output: str | None = None
    preference_reason: str | None = None
    conversation_history: tuple[Message, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    domain: Domain = "general"
    complexity: int = 1
    quality_score: float = 0.0
    quality_tier: Tier = "unverified"
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    source_id: str | None = None
    parent_id: str | None = None
    group_key: str | None = None
    licence: str | None = None
    language: str | None = None
    state: State = "review"
    reason: str | None = "not curated yet"
    flags: tuple[Mapping[str, Any], ...] = ()
    weight: float = 1.0
    validated: bool = False
    used_in_training: bool = False
    training_run_id: str | None = None
    id: str = ""
    content_hash: str = ""
    input_hash: str = ""

    def sealed(self) -> Example:
        """This example with `id`, `content_hash` and `input_hash` computed from its content."""
        whole = content_hash(
            self.system_prompt,
            self.context,
            self.conversation_history,
            self.input_text,
            self.output_text,
            self.rejected_output,
        )
        return replace(
            self,
            id=whole[:ID_LENGTH],
            content_hash=whole,
            input_hash=input_hash(self.conversation_history, self.input_text),
        )

    def to_dict(self) -> dict[str, Any]:
        """A plain JSON-ready dictionary with every field, under the names of the contract."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["conversation_history"] = [dict(m) for m in self.conversation_history]
        plain["metadata"] = dict(self.metadata)
        plain["flags"] = [dict(f) for f in self.flags]
        return plain

    # Batches travel between processes: this takes half the time of what `dataclass` would write for a frozen class.
    def __getstate__(self) -> tuple[Any, ...]:
        state: tuple[Any, ...] = _values(self)
        return state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for put, value in zip(_setters, state, strict=True):
            put(self, value)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Example:
        """The inverse of `to_dict`; unknown keys go to metadata, tier "raw" is read as unverified.

        Raises:
            InputError: a required field is missing or a value is outside its set.
        """
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in plain.items() if k in known and v is not None}
        extra = {k: v for k, v in plain.items() if k not in known and v is not None}
        for name in ("source", "format", "input_text", "output_text"):
            if name not in values:
                raise InputError(f"expected an example with '{name}', got one without it")
        if values.get("quality_tier") == "raw":
            values["quality_tier"] = "unverified"
        for name, allowed in _CLOSED.items():
            if name in values and values[name] not in allowed:
                raise InputError(f"expected {name} to be one of {', '.join(allowed)}, got {values[name]!r}")
        values["conversation_history"] = tuple(values.get("conversation_history", ()))
        values["flags"] = tuple(values.get("flags", ()))
        if extra:
            values["metadata"] = {**values.get("metadata", {}), **extra}
        return cls(**values)


_values = attrgetter(*[f.name for f in fields(Example)])
_setters: Final = tuple(Example.__dict__[f.name].__set__ for f in fields(Example))

_CLOSED: Final = {"format": FORMATS, "domain": DOMAINS, "quality_tier": TIERS, "state": STATES}

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
_ASCII_CONTROL: Final = bytes((*range(9), 11, 12, *range(14, 32), 127))
_OTHER_CONTROL: Final = ("\ufeff", "\ufffe", "\uffff")
_TRAILING = re.compile(r"[ \t]+\n")
_SPACE = re.compile(r"\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_MARKS: Final = 30
_MARKS_MAYBE = re.compile(f"[^\x00-\u02ff\u0370-\u0482\u3041-\u3098\u30a0-\u9fff\uac00-\ud7a3]{{{_MAX_MARKS + 1}}}")


def normalise(text: str) -> str:
    """`text` as samloop stores it: NFC, ``\\n`` line ends, no control characters, no blanks around it.

    Meaning is never touched: case, inner spacing and indentation stay. Lone surrogates become U+FFFD, because no
    UTF-8 file can hold them. Of a run of combining marks the first 30 stay (the bound of Unicode's stream-safe text,
    UAX #15): no script needs more, and the time NFC takes grows with the square of the run.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        # Most texts hold neither: looking for them so takes a quarter of the time of the two searches.
        raw = text.encode("utf-8", "replace")
        if len(raw.translate(None, _ASCII_CONTROL)) < len(raw) or any(mark in text for mark in _OTHER_CONTROL):
            text = _CONTROL.sub("", text)
        if " \n" in text or "\t\n" in text:
            text = _TRAILING.sub("\n", text)
    if not text.isascii():  # after control characters are gone: one between a letter and its mark would part them
        if _SURROGATE.search(text):
            text = _SURROGATE.sub("\ufffd", text)
        if _MARKS_MAYBE.search(text):
            text = _bounded_marks(text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    return text.strip()


def _bounded_marks(text: str) -> str:
    """`text` with every run of combining marks cut to `_MAX_MARKS`."""
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def collapse(text: str) -> str:
    """`text` with every run of white space as one blank: the form that content hashes see."""
    return " ".join(text.split())


AS_BLANK: Final = bytes(0x20 if chr(byte).isspace() else byte for byte in range(128)) + bytes(range(128, 256))
"""Translates UTF-8 so that every ASCII white space is a blank."""

NO_PART: Final = b"\x1f"
PART: Final = b"\x1e"
"""What stands in a hash for a part that is absent, and before one that is there."""

ENDINGS: Final = b" .?!:;"
"""What may end a question without making it another one."""


def _collapsed(text: str) -> bytes:
    """`collapse(text)` in UTF-8; five times as fast for ASCII, where each character is a byte of its own."""
    if not text.isascii():
        return collapse(text).encode("utf-8", "replace")
    raw = text.encode()
    while b"\n\n" in raw:  # most blanks that follow one another are empty lines, and these are found fast
        raw = raw.replace(b"\n\n", b"\n")
    blanked = raw.translate(AS_BLANK)
    while b"  " in blanked:
        blanked = blanked.replace(b"  ", b" ")
    return blanked.strip(b" ")


def content_hash(
    system_prompt: str | None,
    context: str | None,
    history: Iterable[Message],
    input_text: str,
    output_text: str,
    rejected_output: str | None,
) -> str:
    """128-bit xxh3 of the whole content, insensitive to spacing and to the format it travels in. 32 hex digits."""
    parts = [system_prompt, context, *_turns(history), input_text, output_text, rejected_output]
    return xxhash.xxh3_128_hexdigest(
        b"".join([NO_PART if part is None else PART + _collapsed(part) for part in parts])
    )


def input_hash(history: Iterable[Message], input_text: str) -> str:
    """128-bit xxh3 of what is asked, insensitive to spacing, case and final punctuation. 32 hex digits."""
    parts = [*_turns(history), input_text] if history else [input_text]
    return xxhash.xxh3_128_hexdigest(b"".join([PART + _asked(part) for part in parts]))


def _asked(part: str) -> bytes:
    if part.isascii():
        return _collapsed(part).lower().rstrip(ENDINGS)
    return collapse(part).casefold().rstrip(ENDINGS.decode()).encode("utf-8", "replace")


def _turns(history: Iterable[Message]) -> Iterable[str]:
    return [f"{turn['role']}\x1d{turn['content']}" for turn in history] if history else ()


def to_json(value: Any) -> str:
    """Canonical JSON text (sorted keys) of plain data, as the store and the digests use it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
