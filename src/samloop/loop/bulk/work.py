"""A piece of work that any process on any machine may do, and who has it done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from samloop.loop.bulk.unit import Settings


class Work(Protocol):
    """Plain data that says what is to do. Done twice it leaves the same files, and none before they are whole."""

    def do(self, settings: Settings, folder: Path) -> None:
        """Do it; `folder` is where the units lie."""


W = TypeVar("W", bound=Work)


class Run(Protocol):
    """Has work done, and gives each piece back when it is done, in any order."""

    def __call__(self, works: Iterable[W], /) -> Iterator[W]:
        """Have `works` done."""
