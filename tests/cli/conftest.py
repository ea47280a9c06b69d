"""Run the command line as a user does, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
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
