"""The code source on folders, repositories and single files written here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject
from samloop.sources.code_files import Entry, Folder, open_tree
from samloop.sources.code_languages import BASH, PYTHON, language_of_path, language_of_shebang
from samloop.sources.code_licences import own_licence
from samloop.sources.code_patterns import read
from samloop.sources.code_stamps import Stamps
from samloop.sources.code_tests import Index

LEVELS = '''\
def falling(levels):
    """Count how often the water was lower than on the day before."""
    pairs = zip(levels, levels[1:])
    return sum(after < before for before, after in pairs)
'''
RISING = LEVELS.replace("falling", "rising").replace("lower", "higher").replace("<", ">")
SPEED = """\
/** Says how fast water leaves a tank through a hole at its bottom. */
export function speed(level) {
  const gravity = 9.81;
  return Math.sqrt(2 * gravity * level);
}
"""


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def examples(records: Iterable[Record]) -> list[Example]:
    return [record for record in records if isinstance(record, Example)]


def names(records: Iterable[Record]) -> set[str]:
    return {str(example.metadata["name"]) for example in examples(records)}


def reasons(records: Iterable[Record]) -> dict[str, str]:
    return {Path(record.location).name: record.reason for record in records if isinstance(record, Reject)}


def last_mark(records: Iterable[Record]) -> dict[str, object]:
    return dict([record for record in records if isinstance(record, Mark)][-1].value)


def git(folder: Path, *arguments: str) -> str:
    person = ("-c", "user.name=A Reader", "-c", "user.email=reader@example.org")
    done = subprocess.run(["git", "-C", folder, *person, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_function_is_asked_for_and_asked_about(tmp_path: Path) -> None:
    root = write(tmp_path / "water", {"days.py": LEVELS, "LICENSE": "SPDX-License-Identifier: MIT\n"})
    found = examples(read(str(root), None))
    assert len(found) == 2
    code, note = found
    assert code.metadata["kind"] in ("write", "complete")
    assert note.metadata["kind"] in ("explain", "document")
    assert code.output_text == (
        "```python\n"
        "def falling(levels):\n"
        "    pairs = zip(levels, levels[1:])\n"
        "    return sum(after < before for before, after in pairs)\n"
        "```"
    )
    assert "Count how often the water was lower than on the day before." in code.input_text
    assert "Count how often the water was lower than on the day before." in note.output_text
    assert "Count how often" not in note.input_text
    for example in found:
        assert example.source == "code_patterns"
        assert example.language == "python"
        assert example.licence == "MIT"
        assert example.group_key == "code:water:days.py"
        assert str(example.source_id).startswith("days.py#falling@")
        assert example.created_at > 0


def test_what_was_read_is_not_read_again_and_what_changed_is(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": LEVELS, "b.js": SPEED, "node_modules/c.js": SPEED})
    first = list(read(str(root), None))
    since = last_mark(first)
    assert names(first) == {"falling", "speed"}
    assert [type(record) for record in read(str(root), since)] == [Mark]
    write(root, {"a.py": RISING, "d.py": LEVELS})
    (root / "b.js").unlink()
    second = list(read(str(root), since))
    assert names(second) == {"rising", "falling"}
    assert not reasons(second)
    write(root, {"b.js": SPEED})
    assert names(read(str(root), last_mark(second))) == {"speed"}


def test_a_file_that_was_only_touched_yields_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": LEVELS})
    since = last_mark(read(str(root), None))
    os.utime(root / "a.py", (1, 1))
    assert [type(record) for record in read(str(root), since)] == [Mark]


def test_other_settings_read_all_again(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": LEVELS})
    since = last_mark(read(str(root), None))
    assert names(read(str(root), since, max_function_characters=1000)) == {"falling"}


def test_marks_grow_apart_and_hold_a_few_bytes_a_file(tmp_path: Path) -> None:
    write(tmp_path, {f"f{number:04}.py": LEVELS.replace("falling", f"falling{number}") for number in range(600)})
    records = list(read(str(tmp_path), None))
    marks = [record for record in records if isinstance(record, Mark)]
    assert len(marks) == 3
    assert len(str(marks[-1].value["files"])) < 600 * 24
    half = next(at for at, record in enumerate(records) if isinstance(record, Mark))
    rest = examples(read(str(tmp_path), marks[0].value))
    assert [example.source_id for example in rest] == [example.source_id for example in examples(records[half:])]


def test_stamps_of_another_edition_are_forgotten() -> None:
    stamps = Stamps("no base64 at all")
    assert not stamps.seen("a")
    stamps.keep("a")
    assert Stamps(stamps.text(whole=True)).seen("a")
    assert not Stamps(stamps.text(whole=True), "another setting").seen("a")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.min.js", SPEED, "file is generated or of others"),
        ("bundle.js", "var a=1;" * 400, "file is minified"),
        ("mixed.js", "var a;\n" * 10 + "x" * 3000, "file is minified"),
        ("x_pb2.py", LEVELS, "file is generated or of others"),
        ("x.py", "# Automatically generated by a tool\n" + LEVELS, "file is generated"),
        (
            "x.js",
            '"use strict";\nObject.defineProperty(exports, "__esModule", { value: true });\n' + SPEED,
            "file is compiled from another",
        ),
        ("x.d.ts", "declare function f(): void;\n", "file holds declarations alone"),
        ("x.py", b"def f():\n    return '\xff\xfe'\n", "file is not UTF-8"),
        ("x.py", b"a = 1\n\0\0", "file is not text"),
        ("x.py", "\n\n", "file is empty"),
        ("x.py", "a = 1\n" * 100_000, "file is too large"),
    ],
)
def test_files_that_teach_nothing_are_left_out_with_a_reason(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    records = list(read(str(write(tmp_path, {name: content})), None))
    assert not examples(records)
    assert reasons(records) == {name: reason}


def test_folders_of_others_and_of_builds_are_left_out_once(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "a.py": LEVELS,
            "node_modules/deep/b.js": SPEED,
            "dist/b.js": SPEED,
            ".hidden/b.js": SPEED,
            "own/pyvenv.cfg": "",
            "own/lib/b.py": RISING,
        },
    )
    records = list(read(str(root), None))
    assert names(records) == {"falling"}
    assert reasons(records) == {
        "node_modules": "folder holds code of others",
        "dist": "folder holds what was built or installed",
        "own": "folder holds what was built or installed",
    }


def test_links_are_not_followed_and_loops_end(tmp_path: Path) -> None:
    root = write(tmp_path / "in", {"a.py": LEVELS})
    write(tmp_path / "out", {"b.py": RISING})
    (root / "self").symlink_to(root)
    (root / "other").symlink_to(tmp_path / "out")
    (root / "c.py").symlink_to(tmp_path / "out" / "b.py")
    os.mkfifo(root / "pipe.py")
    assert names(read(str(root), None)) == {"falling"}


def test_what_cannot_be_read_is_said_and_the_rest_goes_in(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    root = write(public_folder / "in", {"a.py": LEVELS, "b.py": RISING, "closed/c.py": SPEED})
    (root / "b.py").chmod(0)
    (root / "closed").chmod(0)
    with unprivileged():
        records = list(read(str(root), None))
    assert names(records) == {"falling"}
    assert reasons(records) == {"b.py": "file cannot be read", "closed": "folder cannot be read"}
    (root / "b.py").chmod(0o644)
    (root / "closed").chmod(0o755)
    assert names(read(str(root), last_mark(records))) == {"rising"}


def test_a_file_that_changed_while_it_was_read_is_left_for_the_next_time(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": LEVELS})
    tree = Folder(tmp_path, "x", "x")
    (entry,) = tree.entries()
    assert isinstance(entry, Entry)
    write(tmp_path, {"a.py": LEVELS + RISING})
    ((_, found),) = tree.contents([entry])
    assert isinstance(found, Reject)
    assert found.reason == "file changed while it was read"


def test_a_bare_repository_is_read_at_its_newest_commit(tmp_path: Path) -> None:
    work = write(
        tmp_path / "work", {"a.py": LEVELS, "vendor/v.py": RISING, "LICENSE": "SPDX-License-Identifier: ISC\n"}
    )
    script = '#!/bin/sh\n# Prints the five highest levels.\nlevels() {\n  cut -f 2 "$1" | sort -rn | head -n 5\n}\n'
    write(work, {"tool": script})
    (work / "tool").chmod(0o755)
    (work / "link.py").symlink_to("a.py")
    git(work, "init", "-q", "-b", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Count the days")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(tmp_path / "bare.git"))
    records = list(read(str(tmp_path / "bare.git"), None))
    assert names(records) == {"falling", "levels"}
    assert {example.licence for example in examples(records)} == {"ISC"}
    assert {example.group_key for example in examples(records)} == {"code:work:a.py", "code:work:tool"}
    assert reasons(records) == {"bare.git:vendor": "folder holds code of others"}
    assert [type(record) for record in read(str(tmp_path / "bare.git"), last_mark(records))] == [Mark, Mark]
    write(work, {"b.py": RISING})
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Count the other days")
    git(work, "push", "-q", str(tmp_path / "bare.git"), "main")
    assert names(read(str(tmp_path / "bare.git"), last_mark(records))) == {"rising"}


def test_repositories_that_are_called_nothing_have_groups_of_their_own(tmp_path: Path) -> None:
    groups = []
    for name in ("one", "other"):
        work = write(tmp_path / name / "checkout", {"a.py": LEVELS})
        git(work, "init", "-q", "-b", "main")
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", f"Count the days of {name}")
        git(tmp_path, "clone", "-q", "--bare", str(work), str(tmp_path / name / "repo"))
        git(tmp_path / name / "repo", "remote", "remove", "origin")
        found = [examples(read(str(place), None)) for place in (work, tmp_path / name / "repo")]
        assert {example.metadata["repository"] for example in found[0]} == {"this repository"}
        assert {e.group_key for e in found[0]} == {e.group_key for e in found[1]}, "checked out or bare, it is one"
        groups += [example.group_key for example in found[0]]
    assert len(set(groups)) == 2


def test_an_empty_bare_repository_says_what_to_do(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "empty.git")
    with pytest.raises(SourceError, match="has no commits; commit something first"):
        list(read(str(tmp_path / "empty.git"), None))


def test_a_folder_in_a_repository_keeps_its_group(tmp_path: Path) -> None:
    root = write(tmp_path / "water", {"src/a.py": LEVELS, "LICENSE": "SPDX-License-Identifier: MIT\n"})
    git(root, "init", "-q")
    whole, part = examples(read(str(root), None)), examples(read(str(root / "src"), None))
    assert {e.group_key for e in whole} == {e.group_key for e in part} == {"code:water:src/a.py"}
    assert {e.licence for e in part} == {"MIT"}


def test_one_file_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": LEVELS, "b.py": RISING})
    assert names(read(str(tmp_path / "b.py"), None)) == {"rising"}


@pytest.mark.parametrize(
    ("name", "text", "got"),
    [("notes.txt", "Nothing to run.", "'.txt'"), ("notes", "Nothing to run.", "one that tells no language")],
)
def test_a_named_file_that_is_no_code_is_an_error(tmp_path: Path, name: str, text: str, got: str) -> None:
    write(tmp_path, {name: text})
    with pytest.raises(SourceError, match=rf"a file with code \(\.py, .*{name}, got {got}; name such a file"):
        list(read(str(tmp_path / name), None))


@pytest.mark.parametrize("place", ["nowhere", "\0", "~nobody-of-that-name/x"])
def test_a_place_that_is_not_there_is_an_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceError, match="correct"):
        list(read(place if place[0] == "~" else str(tmp_path / place), None))


def test_the_nearest_licence_counts_and_a_header_before_all(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "LICENSE": "SPDX-License-Identifier: MIT\n",
            "a.py": LEVELS,
            "inner/package.json": '{\n  "license": "ISC"\n}\n',
            "inner/b.py": RISING,
            "inner/c.js": "// SPDX-License-Identifier: Apache-2.0\n" + SPEED,
        },
    )
    found = {str(e.metadata["path"]): e.licence for e in examples(read(str(root), None))}
    assert found == {"a.py": "MIT", "inner/b.py": "ISC", "inner/c.js": "Apache-2.0"}
    records = list(read(str(root), None, licences=["MIT", "Apache-2.0"]))
    assert names(records) == {"falling", "speed"}
    assert reasons(records) == {"b.py": "licence is not among those asked for"}
    (root / "LICENSE").unlink()
    assert names(read(str(root), None, licences=["unknown"])) == {"falling"}


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("# Licensed under the Apache License, Version 2.0 (the\n# License);", "Apache-2.0"),
        (
            "# under the terms of the GNU Lesser General Public License\n# as published, either version 2.1 of the "
            "License, or (at your option)\n# any later version.",
            "LGPL-2.1-or-later",
        ),
        ("// the GNU General Public License version 2 only", "GPL-2.0-only"),
        ("// Released under the MIT license", "MIT"),
        ("# permission to fly", None),
        ("print('hello')", None),
        ('"""Reads the MIT License."""\n', "MIT"),
        ("/*\n * Copyright 2020\n * SPDX-License-Identifier: ISC\n */\nint a;", "ISC"),
        ("NAMES = ['Released under the MIT license']", None),
    ],
)
def test_a_header_tells_the_licence(header: str, licence: str | None) -> None:
    assert own_licence(header.encode()) == licence


@pytest.mark.parametrize(
    ("line", "language"),
    [
        (b"#!/bin/bash -e\n", BASH),
        (b"#!/usr/bin/env bash\n", BASH),
        (b"#! /bin/sh\n", BASH),
        (b"#!/usr/bin/python3.11\n", PYTHON),
        (b"#!/usr/bin/env -S python3 -u\n", PYTHON),
        (b"#!/usr/bin/perl\n", None),
        (b"no script", None),
    ],
)
def test_a_script_tells_its_language_in_its_first_line(line: bytes, language: object) -> None:
    assert language_of_shebang(line) is language


def test_a_path_tells_its_language() -> None:
    assert [getattr(language_of_path(name), "name", None) for name in ("a.PY", "b.tsx", "c.vue", "d.txt", "e")] == [
        "python", "typescript", "vue", None, None,
    ]  # fmt: skip


# --- tests and the code they test ----------------------------------------------------------------------------------

PYTEST = """\
from water.days import falling


def helper():
    return [3, 2, 1]


def test_falling_of_a_rise():
    assert falling([1, 2, 3]) == 0


def test_something_else():
    assert sorted([2, 1]) == [1, 2]
"""


def test_a_test_belongs_to_the_function_that_it_calls(tmp_path: Path) -> None:
    root = write(tmp_path, {"water/days.py": LEVELS, "tests/unit/test_levels.py": PYTEST})
    (found,) = [e for e in examples(read(str(root), None)) if e.metadata["kind"] in ("test", "pass")]
    assert found.metadata["kind"] == "test"
    assert "pytest" in found.input_text
    assert "def falling" in found.input_text
    assert found.output_text == ("```python\ndef test_falling_of_a_rise():\n    assert falling([1, 2, 3]) == 0\n```")
    assert found.context == "In the file of the tests:\n\n```python\nfrom water.days import falling\n```"
    assert found.group_key == f"code:{tmp_path.name}:water/days.py"


def test_tests_of_nothing_that_is_here_are_turned_away(tmp_path: Path) -> None:
    records = list(read(str(write(tmp_path, {"tests/test_x.py": PYTEST})), None))
    assert not examples(records)
    assert reasons(records) == {"test_x.py": "file holds tests, and none of code that is here"}


def test_a_test_is_paired_again_when_its_code_changes(tmp_path: Path) -> None:
    root = write(tmp_path, {"days.py": LEVELS, "test_days.py": PYTEST.replace("water.", "")})
    since = last_mark(read(str(root), None))
    write(root, {"days.py": LEVELS.replace("pairs", "couples")})
    kinds = [example.metadata["kind"] for example in examples(read(str(root), since))]
    assert "test" in kinds


def test_tests_in_javascript_are_found_inside_their_suites(tmp_path: Path) -> None:
    suite = (
        "import { speed } from '../speed';\n"
        "describe('tanks', () => {\n"
        "  describe('speed', () => {\n"
        "    it('is nothing in an empty tank', () => {\n"
        "      expect(speed(0)).toBe(0);\n"
        "    });\n"
        "  });\n"
        "});\n"
    )
    root = write(tmp_path, {"src/speed.js": SPEED, "src/__tests__/tanks.test.js": suite})
    (found,) = [e for e in examples(read(str(root), None)) if e.metadata["kind"] == "test"]
    assert "Jest" in found.input_text
    assert found.output_text == (
        "```javascript\nit('is nothing in an empty tank', () => {\n  expect(speed(0)).toBe(0);\n});\n```"
    )
    assert not [e for e in examples(read(str(root), None, tests=False)) if e.metadata["kind"] == "test"]


@pytest.mark.parametrize(
    ("test", "text", "partner"),
    [
        ("tests/test_days.py", "", "b/days.py"),
        ("b/days_test.py", "", "b/days.py"),
        ("web/speed.spec.ts", "", "web/speed.js"),
        ("app/Tests/ValveTests.swift", "", "app/Valve.swift"),
        ("tests/test_all.py", "from b import days\n", "b/days.py"),
        ("tests/test_all.py", "import b.days as d\n", "b/days.py"),
        ("web/__tests__/all.test.js", "const s = require('../speed.js');", "web/speed.js"),
        ("tests/test_all.py", "import os\n", None),
    ],
)
def test_the_file_that_is_tested_is_found_by_name_or_by_import(test: str, text: str, partner: str | None) -> None:
    index = Index(["b/days.py", "web/speed.js", "web/other.js", "app/Valve.swift", test])
    assert index.partners(test, text) == ([partner] if partner else [])


def test_the_nearest_of_several_files_is_the_one_tested() -> None:
    index = Index(["a/days.py", "b/days.py", "b/tests/test_days.py"])
    assert index.by_name("b/tests/test_days.py") == "b/days.py"


def test_a_location_keeps_bytes_that_are_no_text_readable(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write(folder, {"a.py": LEVELS})
    tree, _ = open_tree(str(tmp_path))
    (entry,) = [each for each in tree.entries() if isinstance(each, Entry)]
    assert entry.path == "caf\\xe9/a.py"
    assert names(read(str(tmp_path), None)) == {"falling"}
