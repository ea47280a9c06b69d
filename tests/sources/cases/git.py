"""A repository with a few commits, made by git itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cases import EMAIL, KEY, Case

FIRST_DATE = 1_600_000_000
LOG = f"""\
OWNER = "{EMAIL}"
TOKEN = "{KEY}"


def send(valve):
    return valve.log if valve.stuck else None
"""


def git(folder: Path, *arguments: str, at: int = 0, stdin: str | None = None) -> str:
    """Run git with a clock and an author of its own; what it printed."""
    person = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", "Grace Waters"), ("EMAIL", EMAIL), ("DATE", f"{FIRST_DATE + 60 * at} +0000"),
    )}  # fmt: skip
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **person}
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        env={**os.environ, **own},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(repository: Path, message: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    at = int(git(repository, "rev-list", "--all", "--count"))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-F", "-", at=at, stdin=message)


def make(folder: Path) -> Path:
    repository = folder / "pump"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    commit(
        repository, "Start the pump when the tank is empty", {"pump.py": "def start(tank):\n    return tank.empty\n"}
    )
    commit(
        repository,
        "Stop the pump before the tank runs over\n\n"
        "The level was read once an hour. In spring, when the well is full, the tank fills up in half of that.",
        {"pump.py": "def start(tank):\n    return tank.empty\n\n\ndef stop(tank):\n    return tank.level > 0.9\n"},
    )
    commit(repository, "wip", {"notes.txt": "valve\n"})
    commit(
        repository,
        "Send the log to the owner when a valve is stuck",
        {"log.py": LOG},
    )
    return repository


def add_one(location: Path) -> None:
    commit(location, "Wash the filter when the pressure falls", {"filter.py": "def due(bar):\n    return bar < 1\n"})


def grow(folder: Path, size_bytes: int) -> Path:
    """Commits of 64 KiB each, written as one stream."""
    repository = folder / "many"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    stream = []
    for number in range(size_bytes // 2**16):
        text = "".join(f"part_{number}_{line} = {line * number}\n" for line in range(2**16 // 24))
        message = f"Count the parts of delivery {number} anew"
        stream.append(f"commit refs/heads/main\ncommitter Grace <{EMAIL}> {FIRST_DATE + number} +0000\n")
        stream.append(f"data {len(message)}\n{message}\nM 100644 inline parts.py\ndata {len(text)}\n{text}\n")
    git(repository, "fast-import", "--quiet", stdin="".join(stream))
    return repository


CASE = Case(name="git", make=make, add_one=add_one, grow=grow)
