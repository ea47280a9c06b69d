"""Every block of the documentation works as it stands.

The ``python``, ``console`` and ``bash`` blocks of a page run in order, in a copy of the things a reader has: a home
of their own, and a checkout-like folder. A block marked ``no-run`` shows something that takes a machine of one's own.
``toml`` blocks have to parse, and relative links have to lead somewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox_here import REASON

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
    if page.name != "CHANGELOG.md"
)
SLOW = {
    *("README.md", "chats-to-adapter.md", "corrections.md", "duplicates.md", "erase.md", "evaluation.md"),
    *("first-turn.md", "take-an-adapter-along.md", "take-an-adapter-out.md", "train-in-four-bits.md"),
    *("train-overnight.md", "your-own-suite.md"),
}
"""Pages whose blocks take over ten seconds."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
RUN_CODE = ("your-own-suite.md",)
"""Pages that have a model's code run, which takes a sandbox."""
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")

IDENTITY = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, whether it runs, its text and the line it starts on."""

    language: str
    runs: bool
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        inside = textwrap.dedent(found["text"])
        yield Block(language, "no-run" not in marks, inside, text.count("\n", 0, found.start()) + 1)


def commands(text: str) -> list[str]:
    """The lines of a console block that follow a ``$``; the others are what was printed."""
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a checkout of samloop: its pages and examples, with a short history."""
    folder = tmp_path / "samloop"
    folder.mkdir()
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    for name in IDENTITY:
        monkeypatch.setenv(name, "a reader" if name.endswith("NAME") else "reader@example.org")
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    for message, path in (("Add the documentation for first readers", "docs"), ("Add examples and pages", ".")):
        subprocess.run(["git", "add", path], cwd=folder, check=True)
        subprocess.run(["git", "commit", "-q", "-m", message], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    # The programs of this environment go first, as in an activated one.
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs(tmp_path)), os.environ["PATH"]]))
    return folder


def programs(tmp_path: Path) -> Path:
    """A folder with `samloop` and `python` of the interpreter that runs this test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("samloop", "-m samloop"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o700)
    return folder


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.name in SLOW else []) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_runs(page: Path, checkout: Path) -> None:
    if page.name in RUN_CODE and REASON:
        pytest.skip(REASON)
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}, line {block.line}"
        if block.language == "toml":
            tomllib.loads(block.text)
        elif not block.runs:
            continue
        elif block.language == "python":
            check([sys.executable, "-W", "error", "-c", block.text], checkout, where)
        elif block.language == "console":
            for command in commands(block.text):
                check(["bash", "-euo", "pipefail", "-c", command], checkout, f"{where}: {command}")
        elif block.language == "bash":
            check(["bash", "-euo", "pipefail", "-c", block.text], checkout, where)


def check(command: list[str], folder: Path, where: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{where} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not broken


def test_blocks_are_found_and_told_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n```console\n$ one  # why\nprinted\n$ two\n```\n\n"
        "- x\n\n  ```python no-run\n  f()\n  ```\n```text\n$ no\n```\n"
    )
    first, second, third = blocks(page)
    assert (first.language, first.runs, first.line) == ("console", True, 2)
    assert commands(first.text) == ["one  # why", "two"]
    assert (second.language, second.runs, second.text) == ("python", False, "f()\n")
    assert third.language == "text"
