"""Examples as rows of training_examples, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from samloop.errors import InputError
from samloop.example import Example, to_json
from samloop.store.tables import EXAMPLE_COLUMNS, training_examples

JSON_FIELDS: Final = ("conversation_history", "metadata", "flags")

_FIELDS: Final = [training_examples.c[name] for name in EXAMPLE_COLUMNS]
_HISTORY, _METADATA, _FLAGS = (EXAMPLE_COLUMNS.index(name) for name in JSON_FIELDS)


def fields() -> list[Any]:
    """The columns to select for `to_example`."""
    return _FIELDS


def from_example(example: Example) -> dict[str, Any]:
    """The row of a sealed example: all columns but the revision."""
    row = {name: getattr(example, name) for name in EXAMPLE_COLUMNS}
    for name in JSON_FIELDS:
        row[name] = to_json(row[name])
    return row


def to_example(row: Sequence[Any]) -> Example:
    """The example of a row that was selected with `fields()`."""
    values: dict[str, Any] = dict(zip(EXAMPLE_COLUMNS, row, strict=True))
    history, metadata, flags = row[_HISTORY], row[_METADATA], row[_FLAGS]
    values["conversation_history"] = () if history == "[]" else tuple(orjson.loads(history))
    values["metadata"] = {} if metadata == "{}" else orjson.loads(metadata)
    values["flags"] = () if flags == "[]" else tuple(orjson.loads(flags))
    return Example(**values)


def check_row(row: Mapping[str, Any]) -> None:
    """Say what is wrong with a row, for one that the database did not take.

    Raises:
        InputError: a column is missing or unknown.
    """
    missing = [name for name in EXAMPLE_COLUMNS if name not in row]
    if missing:
        raise InputError(f"expected a row with every column of an example, got one without {', '.join(missing)}")
    unknown = [name for name in row if name not in EXAMPLE_COLUMNS]
    if unknown:
        raise InputError(f"expected only columns of an example, got a row with {', '.join(unknown)}")
