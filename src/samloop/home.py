"""Where things lie: the samloop home and the paths in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from samloop.errors import StoreError
from samloop.files import private_folder


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything samloop keeps; folders are 0700, files 0600."""

    path: Path

    @classmethod
    def find(cls, given: str | os.PathLike[str] | None = None) -> Home:
        """`given`, else $SAMLOOP_HOME, else ~/.samloop. Nothing is created."""
        chosen = given or os.environ.get("SAMLOOP_HOME") or Path.home() / ".samloop"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def recipe(self) -> Path:
        return self.path / "samloop.toml"

    @property
    def database(self) -> Path:
        return self.path / "samloop.db"

    @property
    def datasets(self) -> Path:
        return self.path / "datasets"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def adapters(self) -> Path:
        return self.path / "adapters"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def lock(self) -> Path:
        return self.path / "turn.lock"

    def create(self) -> Home:
        """Make the folder, private to its owner, if it is not there.

        Raises:
            StoreError: it cannot be made or written.
        """
        try:
            private_folder(self.path)
        except OSError as error:
            raise StoreError(
                f"the samloop home {self.path} cannot be created ({error.strerror}); "
                "choose a writable folder with --home or SAMLOOP_HOME"
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StoreError(
                f"the samloop home {self.path} is read-only; make it writable or choose another with --home"
            )
        return self
