"""What came from where: one line per file or table of a source, on a terminal of 80 columns and in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty files of one example each, one of them a copy, and one that is no data."""
    folder = tmp_path / "made_up_files"
    (folder / "with-a-name-that-is-longer-than-a-table-is-wide").mkdir(parents=True)
    for number in range(40):
        record = {
            "instruction": f"What is file {number % 39}?",
            "output": f"It is the file number {number % 39}, of 39.",
        }
        name = f"with-a-name-that-is-longer-than-a-table-is-wide/{number:02}.jsonl"
        (folder / name).write_text(json.dumps(record) + "\n")
    (folder / "broken.json").write_text("{")
    return folder


def test_each_file_is_counted(run: Any, folder: Path) -> None:
    (source,) = run("--json", "collect", "dataset", folder).data["sources"]
    parts = source["parts"]
    assert len(parts) == 41
    for name in ("read", "added", "duplicate", "rejected", "review"):
        assert sum(part[name] for part in parts.values()) == source[name]
    assert parts["broken.json"]["rejected"] == 1
    assert parts["with-a-name-that-is-longer-than-a-table-is-wide/39.jsonl"]["duplicate"] == 1


def test_the_table_of_files_is_bounded_and_fits_a_terminal(run: Any, folder: Path) -> None:
    out = run("collect", "dataset", folder).out
    assert "11 more" in out
    assert "-a-table-is-wide/00.jsonl" in out
    assert max(map(len, out.splitlines())) <= 80


def test_one_file_needs_no_table_of_files(run: Any, folder: Path) -> None:
    path = next(folder.glob("*/00.jsonl"))
    assert "from  " not in run("collect", "dataset", path).out
