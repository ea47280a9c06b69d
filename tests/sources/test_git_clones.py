"""Clones that do not hold all of a history, made here with git itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from git_repository import Repo, examples, reasons

from samloop.protocols import Mark
from samloop.sources.git_commits import read

MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software. "
    "The above copyright notice and this permission notice shall be included in all copies.\n"
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "engine")


def test_a_shallow_clone_loses_only_its_cut_commit(repo: Repo, tmp_path: Path) -> None:
    for n in range(4):
        repo.commit(f"Add thing number {n} to the pile", {f"{n}.py": "1\n"})
    clone = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=2", f"file://{repo.path}", str(clone)], check=True)
    records = list(read(str(clone), None))
    assert list(reasons(iter(records)).values()) == ["its parent is missing (shallow clone)"]
    assert [e.output_text for e in examples(records)] == ["Add thing number 3 to the pile"]


def test_what_a_deepened_clone_has_more_comes_in(repo: Repo, tmp_path: Path) -> None:
    for number in range(6):
        repo.commit(f"Open valve number {number} in the cellar")
    clone = tmp_path / "shallow"
    repo.git("clone", "-q", "--depth", "2", f"file://{repo.path}", str(clone))
    records = list(read(str(clone), None))
    mark = records[-1]
    assert isinstance(mark, Mark)
    assert not examples(read(str(clone), mark.value))
    repo.git("-C", str(clone), "fetch", "-q", "--unshallow")
    again = list(read(str(clone), mark.value))
    assert {one.output_text for one in examples(again)} == {f"Open valve number {n} in the cellar" for n in range(6)}
    assert not reasons(iter(again))
    assert list(read(str(clone), again[-1].value)) == [again[-1]]


def test_a_partial_clone_gives_what_it_has_and_the_rest_once_it_is_there(repo: Repo, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.commit("Write the small part of the pump", {"LICENSE": MIT, "small.py": "a = 1\n"})
    large = repo.commit("Write the large part of the pump", {"large.py": "b = 22\n" * 2000})
    repo.commit("Change the small part of the pump", {"small.py": "a = 2\n"})
    changed = repo.commit("Change the large part of the pump", {"large.py": "b = 22\n" * 1999})
    clone = tmp_path / "partial"
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:limit=5k", f"file://{repo.path}", str(clone))
    records = list(read(str(clone), None))
    assert reasons(iter(records)) == dict.fromkeys((large, changed), "its files are missing (partial clone)")
    assert len(examples(records)) == 2
    repo.git("-C", str(clone), "fetch", "-q", "--refetch", "--no-filter")
    again = list(read(str(clone), records[-1].value))
    assert len(examples(again)) == 4
    assert not reasons(iter(again))


def test_a_partial_clone_without_any_files_is_read_all_the_same(repo: Repo, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.commit("Write the pump and its licence", {"LICENSE": MIT, "pump.py": "a = 1\n"})
    clone = tmp_path / "partial"
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo.path}", str(clone))
    assert list(reasons(read(str(clone), None)).values()) == ["its files are missing (partial clone)"]
