"""What a person asks of a run from another terminal: one small file in the run's folder, looked at between two steps.

The file holds one word and appears whole; without it the run goes on. It outlives the terminal that wrote it, and a
run that begins or goes on starts without one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, cast, get_args

from samloop.files import write_atomic

Wish = Literal["pause", "stop"]
WISHES: Final[tuple[str, ...]] = get_args(Wish)

NAME: Final = "wish"
"""The file's name in the run's folder."""


class Control:
    """The wish that is laid before one run."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's."""
        self._path = folder / NAME

    def ask(self, wish: Wish) -> None:
        """Ask the run to pause or to stop; it does so after the step it is at.

        Raises:
            OSError: the folder is not there or cannot be written.
        """
        write_atomic(self._path, f"{wish}\n".encode())

    def wish(self) -> Wish | None:
        """What is asked now; None: go on. A file that holds no word we know asks for nothing."""
        try:
            word = self._path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None
        return cast("Wish", word) if word in WISHES else None

    def clear(self) -> None:
        """Ask for nothing any more."""
        self._path.unlink(missing_ok=True)
