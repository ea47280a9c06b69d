"""metrics.jsonl of a run: read back whole, however often the run was killed and resumed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, by step; empty where there is no file.

    A line that a crash cut off is left out. After a resume some steps stand in the file twice: the later line counts.
    """
    return latest(read_lines(path))


def read_events(path: Path) -> list[dict[str, Any]]:
    """What happened to a run besides its steps (pauses and their ends), in order; empty where there is no file."""
    return [line for line in read_lines(path) if isinstance(line.get("event"), str)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics.jsonl that are whole, in order, repeated steps and events included."""
    lines: list[Any] = []
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                lines.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                continue
    return [line for line in lines if isinstance(line, dict)]


def latest(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per step, the last that came, in order of steps; lines of other kinds are left out."""
    by_step = {line["step"]: line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int)}
    return [by_step[step] for step in sorted(by_step)]
