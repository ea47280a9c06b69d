"""A repository made by git itself, for the tests of the git source."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from samloop.example import Example
from samloop.protocols import Record, Reject


class Repo:
    """A repository with a clock and an author of its own."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.path = path
        self.clock = 1_600_000_000
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *arguments)

    def git(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> str:
        env = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            "GIT_AUTHOR_DATE": f"{self.clock} +0000",
            "GIT_COMMITTER_DATE": f"{self.clock} +0000",
            **environment,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=env, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, name: str, text: str | bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        self.git("add", "-A")

    def commit(self, message: str, files: dict[str, str | bytes] | None = None, **environment: str) -> str:
        """Commit `files` (by default a line more in main.py); the new hash."""
        self.clock += 60
        for name, text in (files or {"main.py": f"value = {self.clock}\n"}).items():
            self.write(name, text)
        self.git(
            "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-F", "-", stdin=message.encode(), **environment
        )
        return self.git("rev-parse", "HEAD")


def examples(records: Iterator[Record] | list[Record]) -> list[Example]:
    return [record for record in records if isinstance(record, Example)]


def reasons(records: Iterator[Record]) -> dict[str, str]:
    return {str(record.id): record.reason for record in records if isinstance(record, Reject)}
