"""Reasons, styles, authors and odd repositories, through the git source and the store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from git_repository import Repo, examples, reasons

from samloop.home import Home
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.identifiers import examples_about
from samloop.protocols import Mark
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.sources import git_commits
from samloop.sources.git_commits import read
from samloop.sources.git_reasons import explanation
from samloop.store import Store


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "engine")


WHY = "The tank ran over in spring, because the level was read once an hour and rose faster than that."


def test_a_body_that_says_why_becomes_an_example_of_its_own(repo: Repo) -> None:
    commit = repo.commit(f"Read the level each minute\n\n{WHY}", {"level.py": "def read():\n    return 1\n"})
    message, why = examples(read(str(repo.path), None))
    assert message.output_text == "Read the level each minute"  # subject and reason are the whole message, once
    assert why.output_text == WHY
    assert "Read the level each minute" in why.input_text.splitlines()[0]
    assert "+def read():" in why.input_text
    assert (message.source_id, why.source_id) == (commit, f"{commit}/why")
    assert message.group_key == why.group_key
    assert [e.metadata["category"] for e in (message, why)] == ["commit_message", "commit_reason"]


def test_a_body_of_which_reasons_are_a_part_is_asked_for_whole_beside_them(repo: Repo) -> None:
    rest = "It also takes\n\n" + "\n".join(f"- the pipe number {n} out of the cellar" for n in range(9))
    repo.commit(f"Read the level each minute\n\n{WHY}\n\n{rest}", {"level.py": "def read():\n    return 1\n"})
    message, why = examples(read(str(repo.path), None))
    assert message.output_text.endswith(rest)
    assert why.output_text == WHY


def test_the_repository_s_style_decides_what_a_prefix_is(tmp_path: Path) -> None:
    said = {}
    for name, subject in (("parts", "valve: open it"), ("types", "feat(valve): open it")):
        repo = Repo(tmp_path / name)
        for n in range(12):
            repo.commit(f"{subject} {n} times")
        repo.commit("docs: explain the valve")
        said[name] = examples(read(str(repo.path), None))[-1]
    assert "begin with the part that changes" in said["parts"].input_text
    assert "follows Conventional Commits" in said["types"].input_text
    assert said["parts"].metadata["style"] == "component"
    assert said["types"].metadata["style"] == "conventional"


def test_the_style_is_not_looked_for_again_where_nothing_is_new(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("Add the first thing there is")
    (*_, mark) = read(str(repo.path), None)
    assert isinstance(mark, Mark)
    monkeypatch.setattr(git_commits, "convention_of", lambda _: pytest.fail("looked for"))
    assert list(read(str(repo.path), mark.value)) == [mark]


ADA, BEN = ("@".join((name, "waterworks-of-nowhere.net")) for name in ("ada", "ben"))


def test_all_that_somebody_wrote_is_found_again_by_their_address(repo: Repo, tmp_path: Path) -> None:
    by_ada = repo.commit(f"Read the level each minute\n\n{WHY}", GIT_AUTHOR_EMAIL=ADA)
    with_ben = repo.commit(f"Open both valves at once\n\nCo-authored-by: Ben <{BEN.upper()}>", GIT_AUTHOR_EMAIL=ADA)
    repo.commit("Paint the pump in another colour", GIT_AUTHOR_EMAIL="nobody@localhost")
    home = Home(tmp_path / "home").create()
    with Store.open(home) as store:
        context = Context(home, Recipe.parse({}), store, tmp_path)
        collect(context, [SourceSettings(kind="git", location=str(repo.path))])
        found = {
            person: {store.get_example(id).source_id for id in examples_about(context, person)}
            for person in (ADA, ADA.title(), BEN, "cleo@waterworks-of-nowhere.net")
        }
    assert found[ADA] == found[ADA.title()] == {by_ada, f"{by_ada}/why", with_ben}
    assert found[BEN] == {with_ben}
    assert not found["cleo@waterworks-of-nowhere.net"]
    kept = b"".join(path.read_bytes() for path in home.path.iterdir())
    assert not [name for name in (ADA, BEN, "nobody@localhost") if name.encode() in kept.lower()]


def test_an_author_has_one_tag_in_one_repository(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    for place in (repo, other):
        place.commit("Open the first valve there is", GIT_AUTHOR_EMAIL=ADA)
        place.commit("Open the second valve there is", GIT_AUTHOR_EMAIL=ADA.upper())
        place.commit("Open the third valve there is", GIT_AUTHOR_EMAIL=BEN)
    first, second, third = (e.metadata["author"] for e in examples(read(str(repo.path), None)))
    assert first == second != third
    assert first not in {e.metadata["author"] for e in examples(read(str(other.path), None))}


def test_a_clock_that_is_ahead_gives_the_time_of_reading(repo: Repo) -> None:
    repo.clock = 4_000_000_000
    repo.commit("Write this in the year 2096")
    before = time.time()
    (example,) = examples(read(str(repo.path), None))
    assert before <= example.created_at <= time.time()


def test_a_submodule_is_a_repository_and_nothing_of_its_parent(repo: Repo, tmp_path: Path) -> None:
    part = Repo(tmp_path / "valve")
    part.commit("Open the valve of the part", {"valve.py": "1\n"})
    repo.commit("Begin the engine without its part")
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(part.path), "valve")
    repo.commit("Build the valve into the engine", {"engine.py": "import valve\n"})
    part.commit("Close the valve of the part", {"valve.py": "2\n"})
    pull = ("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--remote")
    repo.git(*pull)
    moved = repo.commit("Take the newest valve there is", {".gitmodules": (repo.path / ".gitmodules").read_bytes()})
    records = list(read(str(repo.path), None))
    assert [e.output_text for e in examples(records)][-1] == "Build the valve into the engine"
    assert reasons(iter(records)) == {moved: "changes only lock, generated or binary files"}
    inner = examples(read(str(repo.path / "valve"), None))
    assert [e.output_text for e in inner] == ["Open the valve of the part", "Close the valve of the part"]
    assert inner[0].metadata["repository"] == "valve"


def test_a_detached_head_and_hashes_of_sha256_are_read(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "engine", "--object-format=sha256")
    repo.commit("Add the first thing there is")
    repo.commit("Add the second thing there is")
    repo.git("checkout", "-q", "--detach", "HEAD~1")
    (example,) = examples(read(str(repo.path), None))
    assert example.output_text == "Add the first thing there is"
    assert len(str(example.source_id)) == 64


def test_a_folder_that_is_called_repo_has_no_name(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.commit("Add the first thing there is")
    (example,) = examples(read(str(repo.path), None))
    assert "this repository" in example.input_text
    (named,) = examples(read(str(repo.path), None, name="engine"))
    assert "this repository" not in named.input_text


def test_a_reason_does_not_go_on_with_the_subject() -> None:
    why = "the gauge is read at noon because the pump was started too late in the morning, and the tank ran dry."
    assert explanation(f"And also, {why}") == f"T{why[1:]}"


def test_a_person_who_writes_small_is_one_too() -> None:
    why = "the gauge was read too late because the pump did not start before noon on Sundays, and nobody looked."
    assert explanation(f"i think {why}") is None
    assert explanation(why) is not None


def test_what_breaks_and_what_sighs_is_no_reason() -> None:
    breaking = (
        "BREAKING CHANGE: the class is exported otherwise now, because it was made with inherits previously, "
        "and callers that used it should not be surprised."
    )
    assert explanation(breaking) is None
    told = (
        "The tests failed on the server because the folder for them was not set, and the hook deleted all of it "
        "after the first test:"
    )
    assert explanation(f"{told}\n\nD'oh!") is None
    assert explanation(told) is None
    assert explanation(f"{told}\n\n    rm -rf $FOLDER_FOR_TESTS") is not None
