"""Files of forms: what is wrong with one is one line, and data files are read as they are elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samloop.example import Example
from samloop.protocols import Reject
from samloop.sources.manual import read

FORM = "--- asked ---\nWhat is a valve?\n--- answer ---\nIt lets water pass, or holds it back.\n"


def collect(location: Path, **options: object) -> tuple[list[Example], list[Reject]]:
    found = list(read(str(location), None, **options))
    return [r for r in found if isinstance(r, Example)], [r for r in found if isinstance(r, Reject)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (FORM.encode() + b"\xff", "not valid UTF-8"),
        (FORM.replace("answer", "answr").encode(), "form not filled in as expected"),
        (b"--- asked ---\nx\n" + FORM.encode(), "form not filled in as expected"),
        (FORM.encode() * 40, "file too long"),
        (FORM.replace("What is a valve?", "").encode(), "empty text"),
    ],
)
def test_what_is_wrong_with_a_form_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "made_up.txt"
    path.write_bytes(content)
    examples, (reject,) = collect(path, max_line_bytes=2_000)
    assert (examples, reject.reason) == ([], reason)
    assert "valve" not in reject.detail


def test_a_folder_of_forms_and_data_files(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("\ufeff" + FORM)
    (tmp_path / "notes.txt").write_text("A note of a person, which is no form.\n")
    (tmp_path / "two.jsonl").write_text(json.dumps({"instruction": "What is a tap?", "output": "What one turns."}))
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: CC0-1.0\n")
    examples, rejects = collect(tmp_path)
    assert [(e.source, e.source_id, e.group_key, e.licence) for e in examples] == [
        ("manual", "one.txt:1", "manual:one.txt:1", "CC0-1.0"),
        ("manual", "two.jsonl:1", "manual:two.jsonl:1", "CC0-1.0"),
    ]
    assert rejects == []


def test_templates_of_other_languages_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "vue.txt"
    path.write_text("--- next example ---\n".join([FORM.replace("water", "{{ name }}")] * 5))
    assert all("{{ name }}" in example.output_text for example in collect(path)[0])
