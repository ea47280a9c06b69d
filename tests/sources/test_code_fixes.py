"""Mended bugs from the histories of repositories made here by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from samloop.example import Example
from samloop.protocols import Mark, Record, Reject
from samloop.sources.code_patterns import read

START = """\
class Pump:
    def level(self, tanks):
        return sum(tank.level for tank in tanks) / len(tanks)


def stop(pump):
    pump.running = False
    return pump
"""
MENDED = START.replace("        return sum", "        if not tanks:\n            return 0.0\n        return sum")


def git(folder: Path, *arguments: str, author: str = "Reader") -> str:
    person = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
        ("NAME", author), ("EMAIL", "reader@example.org"), ("DATE", "1600000000 +0000"),
    )}  # fmt: skip
    done = subprocess.run(
        ["git", "-C", folder, *arguments], env={**os.environ, **person}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str, files: dict[str, str | None], author: str = "Reader") -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message, author=author)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "water"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "Start the pump", {"pump.py": START, "LICENSE": "SPDX-License-Identifier: MIT\n"})
    return folder


def fixes(records: Iterable[Record]) -> list[Example]:
    return [r for r in records if isinstance(r, Example) and r.metadata["kind"] == "fix"]


def why_not(records: Iterable[Record]) -> list[str]:
    return [r.reason for r in records if isinstance(r, Reject) and r.reason.startswith("fix")]


def test_a_mended_bug_becomes_the_function_before_and_after(repository: Path) -> None:
    message = (
        "fix(pump): division by zero without any tank (#12)\n\n"
        "An empty list of tanks has no mean level,\nand counts as nothing."
    )
    done = commit(repository, message, {"pump.py": MENDED, "tests/test_pump.py": "def test_x():\n    assert 1\n"})
    (found,) = fixes(read(str(repository), None))
    assert "ivision by zero without any tank" in found.input_text
    assert "#12" not in found.input_text
    assert "return sum(tank.level for tank in tanks) / len(tanks)" in found.input_text
    assert "return 0.0" not in found.input_text
    assert found.context == "In the same file:\n\n```python\nclass Pump:\n```"
    assert found.output_text == (
        "```python\n"
        "def level(self, tanks):\n"
        "    if not tanks:\n"
        "        return 0.0\n"
        "    return sum(tank.level for tank in tanks) / len(tanks)\n"
        "```\n\n"
        "An empty list of tanks has no mean level, and counts as nothing."
    )
    assert found.source_id == f"{done}:pump.py#Pump.level:fix"
    assert found.group_key == "code:water:pump.py"
    assert found.licence == "MIT"
    assert found.created_at == 1_600_000_000


@pytest.mark.parametrize(
    "why",
    ["I am not sure why I did this.", "See #77 for what led to this.", "It is told at https://example.org/why."],
)
def test_what_only_the_author_can_say_is_left_out(repository: Path, why: str) -> None:
    commit(repository, f"Fix a crash without any tank\n\n{why}", {"pump.py": MENDED})
    (found,) = fixes(read(str(repository), None))
    assert found.output_text.endswith("```")
    assert "ix a crash without any tank" in found.input_text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"README.md": "More.\n"}, "fix changes no code"),
        ({"pump.py": MENDED, "tank.py": "a = 1\n"}, "fix changes several files"),
        ({"tank.py": START}, "fix adds or removes a file"),
        ({"pump.py": None}, "fix adds or removes a file"),
        ({"pump.py": MENDED.replace("False", "None")}, "fix changes several functions"),
        ({"pump.py": MENDED + "\n\ndef new():\n    return 1\n"}, "fix adds or removes a function"),
        ({"pump.py": START + "\nLIMIT = 3\n"}, "fix changes no function"),
        ({"pump.py": START.replace("    return pump", "    # so\n    return  pump")}, "fix changes no code"),
        ({f"f{number}.py": "a = 1\n" for number in range(20)}, "fix changes too many files"),
    ],
)
def test_fixes_that_cannot_be_told_by_one_function_are_left_out(
    repository: Path, files: dict[str, str | None], reason: str
) -> None:
    commit(repository, "Fix the crash of an empty list of tanks", files)
    records = list(read(str(repository), None))
    assert not fixes(records)
    assert why_not(records) == [reason]


@pytest.mark.parametrize(
    "message",
    [
        "Fix typo in the pump",
        "Fix the docs of the pump",
        "Add the mean of all tanks",
        "fix bug",
        "Fix lint warnings here",
    ],
)
def test_commits_that_mend_no_bug_are_not_read(repository: Path, message: str) -> None:
    commit(repository, message, {"pump.py": MENDED})
    records = list(read(str(repository), None))
    assert not fixes(records)
    assert not why_not(records)


def test_programs_mend_nothing_worth_learning(repository: Path) -> None:
    commit(repository, "Fix a crash without any tank", {"pump.py": MENDED}, author="dependabot[bot]")
    assert not fixes(read(str(repository), None))


def test_only_new_commits_are_read_the_next_time(repository: Path) -> None:
    first = commit(repository, "Fix a crash without any tank", {"pump.py": MENDED})
    records = list(read(str(repository), None))
    mark = next(record for record in reversed(records) if isinstance(record, Mark))
    assert [example.metadata["name"] for example in fixes(records)] == ["Pump.level"]
    assert not [record for record in read(str(repository), mark.value) if not isinstance(record, Mark)]
    after = MENDED.replace("pump.running = False", "pump.running = pump.broken = False")
    second = commit(repository, "Fix a hang after the pump broke down", {"pump.py": after})
    assert [str(example.source_id)[:40] for example in fixes(read(str(repository), mark.value))] == [second]
    assert [str(example.source_id)[:40] for example in fixes(read(str(repository), None))] == [first, second]


def test_a_history_is_taken_up_behind_its_last_mark(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samloop.sources.code_fixes.PORTION_COMMITS", 1)
    text = START
    for number in range(4):
        text = (
            text.replace("return pump", f"pump.tries = {number}\n    return pump", 1)
            if number == 0
            else text.replace(f"pump.tries = {number - 1}", f"pump.tries = {number}")
        )
        commit(repository, f"Fix the hang number {number} of the pump", {"pump.py": text})
    records = list(read(str(repository), None))
    whole = [example.source_id for example in fixes(records)]
    assert len(whole) == 4
    marks = [(at, record) for at, record in enumerate(records) if isinstance(record, Mark)]
    for at, mark in marks:
        rest = [example.source_id for example in fixes(read(str(repository), mark.value))]
        assert rest == [example.source_id for example in fixes(records[at:])]


def test_a_rewritten_history_is_read_again(repository: Path) -> None:
    commit(repository, "Fix a crash without any tank", {"pump.py": MENDED})
    *_, mark = [record for record in read(str(repository), None) if isinstance(record, Mark)]
    git(repository, "commit", "-q", "--amend", "-m", "Fix a crash where there is no tank")
    (found,) = fixes(read(str(repository), mark.value))
    assert "where there is no tank" in found.input_text


def test_a_repository_without_commits_is_a_folder(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "pump.py").write_text(START, encoding="utf-8")
    records = list(read(str(tmp_path), None))
    assert {record.reason for record in records if isinstance(record, Reject)} == {"function has no comment"}


def test_fixes_can_be_left_out(repository: Path) -> None:
    commit(repository, "Fix a crash without any tank", {"pump.py": MENDED})
    assert not fixes(read(str(repository), None, fixes=False))
    records = list(read(str(repository), None, licences=["ISC"]))
    assert not fixes(records)
    assert "licence is not among those asked for" in {r.reason for r in records if isinstance(r, Reject)}


def test_broken_objects_cost_only_what_stands_in_them(repository: Path) -> None:
    other = START.replace("Pump", "Tank").replace("stop", "fill")
    commit(
        repository, "Add tanks", {"a.py": other, "tank.py": other + "\nLIMIT = 3\n", "z.py": other + "\nLIMIT = 4\n"}
    )
    commit(repository, "Fix a crash without any tank", {"pump.py": MENDED})
    commit(repository, "Fix a hang when a tank is full", {"z.py": other.replace("return pump", "return pump, 1")})
    git(repository, "clone", "-q", "--bare", str(repository), str(repository.parent / "bare.git"))
    for name in ("HEAD:tank.py", "HEAD:z.py"):
        blob = git(repository, "rev-parse", name)
        path = repository.parent / "bare.git" / "objects" / blob[:2] / blob[2:]
        path.chmod(0o600)
        path.write_bytes(b"" if name.endswith("z.py") else b"no object")
    records = list(read(str(repository.parent / "bare.git"), None))
    broken = [r for r in records if isinstance(r, Reject) and r.reason == "file cannot be read"]
    assert [Path(record.location).name for record in broken[:2]] == ["bare.git:tank.py", "bare.git:z.py"]
    assert {r.id.split("#")[0] for r in records if isinstance(r, Reject) and r.id and "#" in r.id} == {
        "a.py",
        "pump.py",
    }
    assert [example.metadata["name"] for example in fixes(records)] == ["Pump.level"]


def test_a_commit_whose_tree_is_missing_is_said_and_the_others_go_in(repository: Path) -> None:
    commit(repository, "Fix a crash without any tank", {"pump.py": MENDED})
    lost = commit(repository, "Fix a hang when a tank is full", {"lost/a.py": "a = 1\n"})
    tree = git(repository, "rev-parse", f"{lost}:lost")
    commit(repository, "Remove what was lost", {"lost/a.py": None})
    (repository / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    records = list(read(str(repository), None))
    assert [example.metadata["name"] for example in fixes(records)] == ["Pump.level"]
    assert [r.id for r in records if isinstance(r, Reject) and r.reason == "changes cannot be read"] == [lost]


def test_a_history_that_git_does_not_read_is_said_and_the_files_go_in(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    records = list(read(str(repository), None))
    assert [r.reason for r in records if isinstance(r, Reject)] == [
        "function has no comment", "function has no comment", "history cannot be read",
    ]  # fmt: skip
