"""Code that is read by processes beside this one: the same records, in the same order, with marks to be kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from samloop.errors import SamloopError
from samloop.example import Example
from samloop.protocols import Mark, Record
from samloop.sources import code_patterns
from samloop.sources.code_files import open_tree
from samloop.sources.code_patterns import read
from samloop.sources.code_records import Files, Limits
from samloop.sources.code_workers import CodeWorkers

CODE = '''\
def falling_{n}(levels):
    """Count how often the water in basin {n} was lower than on the day before."""
    pairs = zip(levels, levels[1:])
    return sum(after < before for before, after in pairs)


def undocumented_{n}(levels):
    return [level for level in levels if level > {n}]
'''
TEST = """\
from basins.part{part}.basin{n} import falling_{n}


def test_falling_{n}_of_a_rise():
    levels = [1.0, 2.0, 3.0, 4.0]
    assert falling_{n}(levels) == 0
"""
FILES = 120


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes from the first byte on, and marks close to one another."""
    monkeypatch.setattr(code_patterns, "BESIDE_BYTES", 0)
    monkeypatch.setattr(code_patterns, "MARK_FILES", 7)
    ready = property(lambda self: all(begun.result() is None for begun in self._begun))
    monkeypatch.setattr(CodeWorkers, "ready", ready)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "waterworks"
    for n in range(FILES):
        code = root / f"basins/part{n % 7}/basin{n}.py"
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text(CODE.format(n=n) * (1 + n % 3))
        if n % 2:
            test = root / f"tests/test_basin{n}.py"
            test.parent.mkdir(exist_ok=True)
            test.write_text(TEST.format(n=n, part=n % 7))
    (root / "basins/empty.py").write_text("")
    (root / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    (root / "basins/notes").write_text("no script")
    return root


@pytest.fixture
def bare(folder: Path) -> Path:
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "Keep all basins"],
        ["clone", "-q", "--bare", ".", "../waterworks.git"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder.parent / "waterworks.git"


@pytest.mark.parametrize("place", ["folder", "bare"])
def test_other_processes_read_the_same_in_the_same_order(place: str, request: pytest.FixtureRequest) -> None:
    location = str(request.getfixturevalue(place))
    alone = list(read(location, None, workers=0))
    beside = list(read(location, None, workers=2))
    assert beside == alone
    assert {record.metadata["kind"] for record in alone if isinstance(record, Example)} >= {"test", "write"}
    assert _kept(list(read(location, beside[-1].value, workers=2))) == []  # type: ignore[union-attr]


def test_a_mark_tells_of_no_file_whose_records_are_still_to_come(folder: Path) -> None:
    records = list(read(str(folder), None, workers=2))
    marks = [at for at, record in enumerate(records) if isinstance(record, Mark)]
    assert len(marks) > 10
    for at in marks[::5]:
        again = read(str(folder), records[at].value, workers=0)  # type: ignore[union-attr]
        assert _kept(list(again)) == _kept(records[at:])


def test_a_process_that_dies_is_told_in_one_sentence(folder: Path) -> None:
    tree, _ = open_tree(str(folder))
    files = Files(tree, {}, Limits(2400, None), tests=False)
    entry = next(iter(tree.entries()))
    with CodeWorkers(files, 1) as workers:
        assert workers.ready
        for process in workers._processes:
            process.kill()
            process.wait()
        with pytest.raises(SamloopError, match="a process that reads code ended before it answered") as caught:
            list(workers.read(iter([((entry, b""), 100)])))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_no_process_stays_when_reading_is_left_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[CodeWorkers] = []
    start = CodeWorkers.__init__

    def noted(self: CodeWorkers, files: Files, count: int) -> None:
        start(self, files, count)
        started.append(self)

    monkeypatch.setattr(CodeWorkers, "__init__", noted)
    records = read(str(folder), None, workers=2)
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert len(started) == 1
    assert all(process.poll() is not None for process in started[0]._processes)


def _kept(records: list[Record]) -> list[Record]:
    return [record for record in records if not isinstance(record, Mark)]
