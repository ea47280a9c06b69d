"""Where things lie: the samloop home and the paths in it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from samloop.errors import StoreError
from samloop.files import absolute, private_folder, readable, storing

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything samloop keeps; folders are 0700, files 0600."""

    path: Path

    @classmethod
    def find(cls, given: str | os.PathLike[str] | None = None) -> Home:
        """`given`, else $SAMLOOP_HOME, else ~/.samloop. Nothing is created."""
        return cls(absolute(given or os.environ.get("SAMLOOP_HOME") or "~/.samloop"))

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
    def answers(self) -> Path:
        return self.path / "answers.db"

    @property
    def near(self) -> Path:
        return self.path / "near"

    @property
    def inventory(self) -> Path:
        return self.path / "inventory.db"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def forms(self) -> Path:
        return self.path / "forms"

    @property
    def teacher(self) -> Path:
        return self.path / "teacher.json"

    @property
    def lock(self) -> Path:
        return self.path / "turn.lock"

    @property
    def training_lock(self) -> Path:
        return self.path / "training.lock"

    @property
    def key(self) -> Path:
        return self.path / "identifiers.key"

    def identifier_key(self) -> bytes:
        """The key under which redacted identifiers are hashed; made when it is first asked for, for its owner alone.

        Raises:
            StoreError: it cannot be read or written, or is no key.
        """
        with storing("the key for redacted identifiers", self.key):
            if not self.key.exists():
                self._make_key()
            key = self.key.read_bytes()
            if self.key.stat().st_mode & 0o077:
                self.key.chmod(0o600)
        if len(key) != KEY_BYTES:
            raise StoreError(
                f"expected a key of {KEY_BYTES} bytes in {self.key}, got {len(key)}; bring it back from a backup, or "
                "remove it, and what was redacted so far can no longer be found by person"
            )
        return key

    def _make_key(self) -> None:
        # Written beside and linked, so that of several at once one wins and all read a whole key.
        beside = self.key.with_name(f".{self.key.name}.{secrets.token_hex(4)}.{os.getpid()}.part")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, self.key)
        except FileExistsError:
            return
        finally:
            beside.unlink(missing_ok=True)

    def create(self) -> Home:
        """Make the folder, private to its owner, if it is not there.

        Raises:
            StoreError: it cannot be made or written.
        """
        if readable(self.path) != str(self.path):
            raise StoreError(
                f"expected a samloop home whose path is UTF-8, got {readable(self.path)}; choose another with --home"
            )
        try:
            private_folder(self.path)
        except FileExistsError:
            raise StoreError(
                f"expected a folder as samloop home at {self.path}, found a file; "
                "choose another with --home or SAMLOOP_HOME"
            ) from None
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
