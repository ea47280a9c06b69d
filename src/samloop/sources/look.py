"""What an inventory says of one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from samloop.example import Example

DATABASE: Final = b"SQLite format 3\x00"


class NothingHere(Exception):  # noqa: N818 - an outcome: most files on a drive hold no training data
    """A file holds nothing to train on."""


class Unreadable(Exception):  # noqa: N818 - an outcome as well: one line in the inventory
    """A file that cannot be looked into, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a file holds.

    Attributes:
        kind: the source that collects it; None where none should, or none can.
        format: the format of most of its records: "conversation", "ChatGPT export", …
        container: what holds them: "JSON Lines gzip", "SQLite", …
        records: how many; None where they were not counted.
        broken: how many of these cannot be told apart or are too long.
        licence: SPDX id, "several", or None where nothing tells.
        problem: one line about the whole file, where there is something to say.
        examples: those in the sampled records.
        sampled: how many records were sampled; all where it equals `records`.
    """

    kind: str | None
    format: str
    container: str
    records: int | None
    broken: int = 0
    licence: str | None = None
    problem: str | None = None
    examples: tuple[Example, ...] = ()
    sampled: int = 0
