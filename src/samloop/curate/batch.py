"""Examples as columns: cleaned, and as the Arrow batch that rules read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.errors import InputError
from samloop.example import Example, Message, normalise, to_json

MAX_DEPTH: Final = 64
"""Metadata nested deeper than this is cut: no reader needs it, and recursion must end."""

FEW: Final = 4
"""Up to so many rows, compiling an expression for a bulk look costs more than looking at each row."""

_UNUSUAL: Final = (
    r"[^\t\n -~\x{a1}-\x{2ff}\x{400}-\x{482}\x{2010}-\x{2027}\x{2030}-\x{205e}\x{3041}-\x{3096}\x{30a1}-\x{30fa}"
    r"\x{4e00}-\x{9fff}\x{ac00}-\x{d7a3}]|[ \t]\n"
)
"""What a text needs so that `normalise` may change its inside.

The listed characters are stable under NFC, alone and side by side (Unicode's quick check says yes and none of them
composes with its neighbour), no control character is among them, and no line ends in blanks. All else is given to
`normalise`; the fast way never changes the outcome.
"""

_TURN = pa.struct([("role", pa.large_string()), ("content", pa.large_string())])

SCHEMA: Final = pa.schema(
    [
        ("source", pa.large_string()),
        ("format", pa.large_string()),
        ("input_text", pa.large_string()),
        ("output_text", pa.large_string()),
        ("system_prompt", pa.large_string()),
        ("context", pa.large_string()),
        ("rejected_output", pa.large_string()),
        ("conversation_history", pa.large_list(_TURN)),
        ("language", pa.large_string()),
    ]
)
"""The columns a rule may read."""


@dataclass(slots=True)
class Columns:
    """The content of n examples, one list per field; `examples` are the originals, in the same order.

    Examples may share one dictionary of metadata: replace it, never change it.
    """

    examples: Sequence[Example]
    input_text: list[str]
    output_text: list[str]
    system_prompt: list[str | None]
    context: list[str | None]
    rejected_output: list[str | None]
    preference_reason: list[str | None]
    history: list[tuple[Message, ...]]
    metadata: list[dict[str, Any]]
    metadata_json: list[str]
    source_id: list[str | None]
    group_key: list[str | None]
    redacted: dict[str, int] = field(default_factory=dict)
    identifiers: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def column(self, name: str) -> list[Any]:
        """A field that curation never changes, straight from the examples."""
        return [getattr(example, name) for example in self.examples]

    def to_batch(self) -> pa.RecordBatch:
        """The Arrow batch that rules read, with the columns of `SCHEMA`."""
        text = pa.large_string()
        arrays = [
            pa.array(self.column("source"), text),
            pa.array(self.column("format"), text),
            pa.array(self.input_text, text),
            pa.array(self.output_text, text),
            pa.array(self.system_prompt, text),
            pa.array(self.context, text),
            pa.array(self.rejected_output, text),
            _turns(self.history),
            pa.array(self.column("language"), text),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def cleaned(examples: Sequence[Example], keep_review_keys: Callable[[str], bool]) -> Columns:
    """The examples as columns, every text normalised, metadata made into what JSON can hold.

    Args:
        keep_review_keys: whether a source may say that a person has reviewed its examples; the keys that say so
            are dropped from the metadata of all others, because an imported record cannot review itself.
    """
    metadata, metadata_json = [], []
    known: dict[tuple[int, str], tuple[dict[str, Any], str]] = {}
    for example in examples:
        key = (id(example.metadata), example.source)
        made = known.get(key)
        if made is None:
            made = known[key] = _metadata(example, keep_review_keys(example.source))
        metadata.append(made[0])
        metadata_json.append(made[1])
    return Columns(
        examples=examples,
        input_text=[t or "" for t in _normalised([e.input_text for e in examples])],
        output_text=[t or "" for t in _normalised([e.output_text for e in examples])],
        system_prompt=_normalised([e.system_prompt for e in examples]),
        context=_normalised([e.context for e in examples]),
        rejected_output=_normalised([e.rejected_output for e in examples]),
        preference_reason=_normalised([e.preference_reason for e in examples]),
        history=_normalised_turns([e.conversation_history for e in examples]),
        metadata=metadata,
        metadata_json=metadata_json,
        source_id=_normalised([e.source_id for e in examples]),
        group_key=_normalised([e.group_key for e in examples]),
    )


REVIEW_KEYS: Final = ("human_reviewed", "validated", "verified", "state")
"""Metadata that only a person's review may state."""


def _normalised(texts: list[str | None]) -> list[str | None]:
    """Each text as `normalise` gives it; empty ones become None, so that absent and empty have one hash."""
    if not any(texts):
        return [None] * len(texts)
    if len(texts) <= FEW and all(t is None or isinstance(t, str) for t in texts):
        return [normalise(t) or None if t else None for t in texts]
    rows = _maybe_unusual(texts)
    try:
        unusual = pc.match_substring_regex(pa.array([texts[i] for i in rows], pa.large_string()), _UNUSUAL)
    except UnicodeEncodeError:  # lone surrogates: Arrow holds valid UTF-8 only
        return [normalise(t) or None if t else None for t in texts]
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        kinds = sorted({type(t).__name__ for t in texts if t is not None and not isinstance(t, str)})
        raise InputError(f"expected every text of an example to be a string, got {', '.join(kinds)}") from None
    out = [t.strip() or None if t else None for t in texts]
    for at in np.flatnonzero(pc.fill_null(unusual, False).to_numpy(zero_copy_only=False)).tolist():
        out[rows[at]] = normalise(texts[rows[at]] or "") or None
    return out


def _maybe_unusual(texts: Sequence[str | None]) -> Sequence[int]:
    """Where `_UNUSUAL` has to be looked for: everywhere, or only beyond ASCII where the ASCII texts, all in one look
    that takes a fifth of the time, have no control character and no line that ends in blanks."""
    try:
        beyond = [i for i, text in enumerate(texts) if text and not text.isascii()]
        data = ";".join([*(text for text in texts if text and text.isascii()), ""]).encode()
    except (AttributeError, TypeError):  # not a text: told as such by who looks at all
        return range(len(texts))
    raw = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(raw < ord(" "))
    low, before = raw[at], raw[at - 1]  # the text before ends with a sign: no blank stands before the first byte
    ends = low == ord("\n")
    plain = (ends | (low == ord("\t"))).all() and not np.isin(before[ends], (ord(" "), ord("\t"))).any()
    return beyond if plain and raw.max(initial=0) < 127 else range(len(texts))  # 127 is DEL


def _normalised_turns(histories: list[tuple[Message, ...]]) -> list[tuple[Message, ...]]:
    if not any(histories):
        return histories
    contents = _normalised([turn["content"] for history in histories for turn in history])
    texts = iter(contents)
    return [tuple({"role": turn["role"], "content": next(texts) or ""} for turn in history) for history in histories]


def _turns(histories: list[tuple[Message, ...]]) -> pa.Array:
    offsets = np.zeros(len(histories) + 1, dtype=np.int64)
    np.cumsum([len(history) for history in histories], out=offsets[1:])
    roles = pa.array([turn["role"] for history in histories for turn in history], pa.large_string())
    contents = pa.array([turn["content"] for history in histories for turn in history], pa.large_string())
    turns = pa.StructArray.from_arrays([roles, contents], fields=list(_TURN))
    return pa.LargeListArray.from_arrays(pa.array(offsets), turns)


def _metadata(example: Example, keep_review_keys: bool) -> tuple[dict[str, Any], str]:
    if not example.metadata:
        return {}, "{}"
    plain = dict(example.metadata)
    if not keep_review_keys:
        for key in REVIEW_KEYS:
            plain.pop(key, None)
    try:
        return plain, to_json(plain)
    except TypeError:  # orjson's errors are TypeErrors: surrogates, huge integers, foreign objects, depth
        plain = _plain(plain, MAX_DEPTH)
        return plain, to_json(plain)


def _plain(value: Any, depth: int) -> Any:
    if depth == 0:
        return None
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, dict):
        return {normalise(str(k)): _plain(v, depth - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v, depth - 1) for v in value]
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return normalise(str(value)[:1000])
