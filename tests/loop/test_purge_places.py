"""A repository, and an author in several of them, are erased and not mined again; others stay."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_world import ENVIRONMENT

from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context, open_context
from samloop.loop.counts import SourceReport
from samloop.loop.purge import plan, purge
from samloop.loop.purge_choice import Choice
from samloop.settings import SourceSettings

ANN, BOB = "ann.lee@mail.co.uk", "bob.ray@mail.co.uk"


def make_repository(folder: Path) -> None:
    """Six commits: three of each author, in a folder called as the other repository is."""
    inside = folder / "tool"
    inside.mkdir(parents=True)

    def git(*arguments: str, who: str = ANN) -> None:
        person = ["-c", "user.name=A", "-c", f"user.email={who}", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(folder), *person, *arguments]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **ENVIRONMENT})

    git("init", "-q", "-b", "main")
    for number in range(6):
        (inside / f"part{number}.py").write_text(f"def part(rows):\n    return rows[{number}:]  # {folder.name}\n")
        git("add", ".")
        message = f"Return the rows from number {number} on in {folder.name}\n\nThey were lost before."
        git("commit", "-q", "-m", message, who=ANN if number < 3 else BOB)


@pytest.fixture
def mined(tmp_path: Path) -> Iterator[Context]:
    for name in ("tool", "toolbox"):
        make_repository(tmp_path / name)
    with open_context(Home(tmp_path / "home")) as context:
        assert [report.added for report in mine(context, tmp_path)] == [6, 6]
        yield context


def mine(context: Context, folder: Path) -> list[SourceReport]:
    """Read both repositories from their beginning."""
    for location in context.store.locations():
        context.store.forget_watermark(*location)
    sources = [SourceSettings(kind="git", location=str(folder / name)) for name in ("tool", "toolbox")]
    return [collect(context, [source]).sources[0] for source in sources]


@pytest.mark.parametrize("place", ["git:tool", "{path}"])
def test_a_repository_goes_and_one_with_a_longer_name_stays(mined: Context, tmp_path: Path, place: str) -> None:
    given = place.format(path=tmp_path / "tool")
    assert len(plan(mined, Choice(source_id=given)).ids) == 6
    purge(mined, Choice(source_id=given))
    assert {(e.group_key or "").split("@")[0] for e in mined.store.select()} == {"git:toolbox"}
    one, other = mine(mined, tmp_path)
    assert (one.added, one.duplicate, one.reasons["erased before"]) == (0, 0, 6)
    assert (other.added, other.duplicate, other.rejected) == (0, 6, 0)


def test_an_author_goes_from_all_repositories(mined: Context, tmp_path: Path) -> None:
    assert purge(mined, Choice(person=ANN.upper()))["removed"]["examples"] == 6
    assert mined.store.count() == 6
    assert [(report.duplicate, report.reasons["erased before"]) for report in mine(mined, tmp_path)] == [(3, 3)] * 2


def test_one_commit_goes_alone(mined: Context) -> None:
    (first, *_) = mined.store.select()
    assert purge(mined, Choice(source_id=first.source_id))["removed"]["examples"] == 1
