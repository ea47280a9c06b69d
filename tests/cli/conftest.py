"""Run the command line as a user does, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from samloop.cli.main import main


@dataclass(frozen=True)
class Ran:
    """What one invocation left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of a successful --json document."""
        document = json.loads(self.out)
        assert document["success"] is True, document
        return document["data"]

    @property
    def error(self) -> dict[str, str]:
        """The error of a failed --json document."""
        document = json.loads(self.out)
        assert document["success"] is False, document
        return document["error"]


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    """Call the command line in this process, on a home of the test's own."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main(["--home", str(home), *map(str, arguments)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def program(home: Path) -> Run:
    """Call the command line as a process of its own; `stdin` is what it is told."""

    def call(*arguments: object, stdin: str = "", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "samloop", "--home", str(home), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


def contents(home: Path) -> list[str]:
    """Every row of the store, as SQL; a store that was only just made holds none worth a word."""
    if not (home / "samloop.db").is_file():
        return []
    with closing(sqlite3.connect(home / "samloop.db")) as connection:
        rows = [entry for entry in connection.iterdump() if entry.startswith("INSERT")]
    return [row for row in rows if not re.match(r'INSERT INTO "?(alembic_version|store_meta)', row)]


@pytest.fixture
def refused(run: Run, home: Path) -> Callable[..., str]:
    """Call the command line with what it must refuse: the store is as it was, and the answer one error document.

    Returns its one sentence.
    """

    def call(*arguments: object, code: int = 1) -> str:
        before = contents(home)
        ran = run("--json", *arguments)
        assert (ran.code, ran.err) == (code, ""), (ran.out, ran.err)
        assert contents(home) == before
        message = ran.error["message"]
        assert "\n" not in message.replace(str(arguments[-1]), "")  # but for a path that holds one
        assert "Traceback" not in message
        assert not message.startswith("unexpected"), message
        return message

    return call
