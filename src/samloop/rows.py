"""Rows of training_examples, held column by column.

Thousands of them travel from the process that judges them into the database. As columns they take half the time of
as many dictionaries: to make, to send and to insert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload


class Rows(Sequence[dict[str, Any]]):
    """A sequence of rows. Each is made into a dictionary when it is asked for; to change that changes nothing here.

    Attributes:
        columns: name → the values of all rows, in order; every list is as long as the others.
    """

    __slots__ = ("columns",)

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self.columns = columns

    def put(self, at: int, values: Mapping[str, Any]) -> None:
        """Change some values of one row."""
        for name, value in values.items():
            self.columns[name][at] = value

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Rows: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | Rows:
        chosen = {name: values[at] for name, values in self.columns.items()}
        return Rows(chosen) if isinstance(at, slice) else chosen

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = tuple(self.columns)
        return (dict(zip(names, values, strict=True)) for values in zip(*self.columns.values(), strict=True))

    def __eq__(self, other: object) -> bool:
        return self.columns == other.columns if isinstance(other, Rows) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be changed
