"""The git source on real repositories, made here with git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from git_repository import Repo, examples, reasons

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark
from samloop.sources import git_commits
from samloop.sources.git_commits import read
from samloop.sources.git_messages import clean
from samloop.sources.git_objects import parse_commit
from samloop.sources.git_worth import turned_away

MIT = (
    "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software. "
    "The above copyright notice and this permission notice shall be included in all copies.\n"
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "engine")


def test_a_commit_becomes_a_request_with_its_diff_and_the_message(repo: Repo) -> None:
    repo.commit("Add the engine with its licence", {"LICENSE": MIT, "src/engine.py": "def start():\n    return 1\n"})
    commit = repo.commit(
        "Start the engine twice when cold\n\nA cold engine needs a second spark, see the\nmanual for why.\n\n"
        "Signed-off-by: Ada <ada@example.org>\nChange-Id: I0123",
        {"src/engine.py": "def start():\n    spark()\n    return 1\n", "poetry.lock": "x = 1\n" * 50},
    )
    last = examples(read(str(repo.path), None))[-1]
    assert last.source == "git_commits"
    assert last.format == "instruction"
    assert last.output_text == (
        "Start the engine twice when cold\n\nA cold engine needs a second spark, see the\nmanual for why."
    )
    assert "engine" in last.input_text.splitlines()[0]
    assert "src/engine.py | +1" in last.input_text
    assert "+    spark()" in last.input_text
    assert "x = 1" not in last.input_text
    assert "poetry.lock | new +50" in last.input_text
    assert last.source_id == commit
    assert last.created_at == repo.clock
    assert last.licence == "MIT"
    assert last.language == "python"
    assert last.metadata["files"] == 2
    assert last.metadata["insertions"] == 51
    assert last.metadata["deletions"] == 0
    assert "ada" not in str(dict(last.metadata)).lower()
    root = repo.git("rev-list", "--max-parents=0", "HEAD")
    assert last.group_key == f"git:engine@{root[:12]}:src/engine.py"


def test_a_message_with_a_body_is_asked_for_with_one(repo: Repo) -> None:
    repo.commit("Explain the first thing\n\nBecause nobody knows what it is good for.")
    repo.commit("Explain the second thing")
    long, short = examples(read(str(repo.path), None))
    asked = [example.input_text.splitlines()[0] for example in (long, short)]
    assert any(word in asked[0] for word in ("body", "explan", "detail"))
    assert not any(word in asked[1] for word in ("body", "explan", "detail"))


def test_what_teaches_nothing_is_turned_away_with_its_reason(repo: Repo) -> None:
    expected = {
        repo.commit("Add a first file worth reading", {"a.py": "1\n"}): None,
        repo.commit("wip"): "message is too short",
        repo.commit("fix the typo again"): "message says nothing",
        repo.commit("Update README.md"): "message says nothing",
        repo.commit('Revert "Add a first file worth reading"'): "is a revert",
        repo.commit("Undo it\n\nThis reverts commit 0123456789."): "is a revert",
        repo.commit("Release 1.2.3"): "is a release",
        repo.commit("engine-core-0.4.1"): "is a release",
        repo.commit("1.2.2 release notes"): "is a release",
        repo.commit("Bump lodash from 4.17.20 to 4.17.21"): "is a dependency update",
        repo.commit("Lock everything that can be locked", {"yarn.lock": "x\n"}): (
            "changes only lock, generated or binary files"
        ),
        repo.commit("Draw a nicer picture for it", {"a.png": b"\x89PNG\0\0\1"}): (
            "changes only lock, generated or binary files"
        ),
        repo.commit("Repair the broken wheel", GIT_AUTHOR_NAME="dependabot[bot]"): "is by a bot",
        repo.commit(
            "Repair the broken wing", GIT_AUTHOR_EMAIL="41898282+github-actions@users.example"
        ): "is by a bot",
        repo.commit("Ask a friend called Talbot to look", GIT_AUTHOR_NAME="Jo Talbot"): None,
        repo.commit("Say much about nothing\n\n" + "word " * 1000): "message is too long",
    }
    repo.git("commit", "-q", "--allow-empty", "-m", "Change nothing but claim it")
    expected[repo.git("rev-parse", "HEAD")] = "changes nothing"
    records = list(read(str(repo.path), None))
    found = reasons(iter(records))
    assert found == {commit: reason for commit, reason in expected.items() if reason}
    assert len(examples(records)) == sum(reason is None for reason in expected.values())


def branched(repo: Repo) -> None:
    """Two branches of several commits, merged twice, with clocks that disagree."""
    repo.commit("Begin the work on both sides", {"base.py": "0\n"})
    repo.git("checkout", "-q", "-b", "side")
    for n in range(4):
        repo.clock -= 90
        repo.commit(f"Extend the side by part {n} of it", {"side.py": f"{n}\n"})
    repo.git("checkout", "-q", "main")
    for n in range(4):
        repo.commit(f"Extend the main line by part {n}", {"line.py": f"{n}\n"})
        if n == 1:
            repo.git("merge", "-q", "--no-ff", "-m", "Merge branch 'side'", "side")
    repo.git("checkout", "-q", "side")
    repo.commit("Extend the side once more, late", {"side.py": "late\n"})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "Join what belongs together", "side")


def test_merges_are_turned_away_and_every_commit_is_accounted_for(repo: Repo) -> None:
    branched(repo)
    records = list(read(str(repo.path), None))
    assert list(reasons(iter(records)).values()) == ["is a merge", "is a merge"]
    ids = [r.source_id if isinstance(r, Example) else r.id for r in records if not isinstance(r, Mark)]
    assert sorted(map(str, ids)) == sorted(repo.git("rev-list", "HEAD").split())
    assert len(set(ids)) == len(ids)
    place = {commit: at for at, commit in enumerate(ids)}
    for line in repo.git("rev-list", "--parents", "HEAD").splitlines():
        commit, *parents = line.split()
        assert all(place[parent] < place[commit] for parent in parents)


def test_reading_on_from_any_mark_gives_exactly_the_rest(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    branched(repo)
    monkeypatch.setattr(git_commits, "PORTION_COMMITS", 2)
    whole = list(read(str(repo.path), None))
    marks = [at for at, record in enumerate(whole) if isinstance(record, Mark)]
    assert len(marks) > 4
    for at in marks:
        mark = whole[at]
        assert isinstance(mark, Mark)
        rest = [r for r in read(str(repo.path), mark.value) if not isinstance(r, Mark)]
        assert rest == [r for r in whole[at + 1 :] if not isinstance(r, Mark)]


def test_a_mark_in_the_middle_holds_when_the_head_has_moved_on(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    branched(repo)
    monkeypatch.setattr(git_commits, "PORTION_COMMITS", 3)
    first = next(r for r in read(str(repo.path), None) if isinstance(r, Mark))
    repo.git("checkout", "-q", "-b", "old", "HEAD~2")
    repo.commit("Change something on an old branch", {"old.py": "1\n"})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "Join the old branch", "old")
    rest = [r for r in read(str(repo.path), first.value) if not isinstance(r, Mark)]
    assert len(rest) + 3 == int(repo.git("rev-list", "--count", "HEAD"))
    ids = {r.source_id if isinstance(r, Example) else r.id for r in rest}
    assert len(ids) == len(rest)


def test_only_new_commits_are_read_and_a_second_call_reads_none(repo: Repo) -> None:
    repo.commit("Add the first thing there is")
    mark = list(read(str(repo.path), None))[-1]
    assert isinstance(mark, Mark)
    assert list(read(str(repo.path), mark.value)) == [mark]
    new = repo.commit("Add the second thing there is")
    assert [e.source_id for e in examples(read(str(repo.path), mark.value))] == [new]


def test_a_rewritten_history_is_read_again_with_the_same_ids(repo: Repo) -> None:
    repo.commit("Add the first thing there is")
    repo.commit("Add a thing to be rewritten")
    before = list(read(str(repo.path), None))
    repo.git("commit", "-q", "--amend", "-m", "Add a thing that was rewritten")
    mark = before[-1]
    assert isinstance(mark, Mark)
    after = examples(read(str(repo.path), mark.value))
    assert [e.output_text for e in after] == ["Add the first thing there is", "Add a thing that was rewritten"]
    assert after[0].sealed().id == examples(before)[0].sealed().id


@pytest.mark.parametrize(
    "since",
    [{"head": "0" * 40}, {"head": "--all"}, {"head": None}, {}, {"head": "HEAD", "done": 1, "digest": "wrong"}],
)
def test_a_mark_that_leads_nowhere_reads_all(repo: Repo, since: dict[str, object]) -> None:
    repo.commit("Add the first thing there is")
    repo.commit("Add the second thing there is")
    assert len(examples(read(str(repo.path), since))) == 2


def test_the_same_history_gives_the_same_examples_from_any_door(repo: Repo, tmp_path: Path) -> None:
    branched(repo)
    (repo.path / "deep" / "er").mkdir(parents=True)
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), "main")
    subprocess.run(["git", "clone", "-q", "--bare", str(repo.path), str(tmp_path / "engine.git")], check=True)
    whole = [e.sealed() for e in examples(read(str(repo.path), None))]
    for door in (repo.path / "deep" / "er", repo.path / ".git", tmp_path / "linked", tmp_path / "engine.git"):
        assert [e.sealed() for e in examples(read(str(door), None))] == whole, door


def test_the_name_comes_from_the_origin_without_its_secrets(repo: Repo) -> None:
    repo.commit("Add the first thing there is")
    token = "x" * 8
    repo.git("remote", "add", "origin", f"https://me:{token}@example.org/people/motor.git")
    example = examples(read(str(repo.path), None))[0]
    assert example.metadata["repository"] == "motor"
    assert token not in str(example.to_dict())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "found nothing"),
        (lambda p: p.write_text("x"), "found a file"),
        (lambda p: p.mkdir(), "found a folder without one"),
        (lambda p: Repo(p), "has no commits"),
        (lambda p: Repo(p, "--bare"), "has no commits"),
    ],
)
def test_a_location_that_is_no_repository_fails_in_one_sentence(tmp_path: Path, make: object, said: str) -> None:
    place = tmp_path / "place"
    make(place)  # type: ignore[operator]
    with pytest.raises(SourceError, match=said) as caught:
        next(read(str(place), None))
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_branch_and_a_missing_git_fail_in_one_sentence(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("Add the first thing there is")
    for branch in ("nowhere", "--output=x"):
        with pytest.raises(SourceError, match="no commit called"):
            next(read(str(repo.path), None, branch=branch))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="install git"):
        next(read(str(repo.path), None))


def test_a_repository_of_somebody_else_is_not_read(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("Add the first thing there is")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with pytest.raises(SourceError, match=r"git config --global --add safe\.directory"):
        next(read(str(repo.path), None))


def test_a_location_that_looks_like_an_option_is_a_path(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("Add the first thing there is")
    shutil.move(repo.path, tmp_path / "--upload-pack=x")
    monkeypatch.chdir(tmp_path)
    assert len(examples(read("--upload-pack=x", None))) == 1


def test_a_broken_blob_costs_its_commit_alone(repo: Repo) -> None:
    repo.commit("Add the first thing there is", {"a.py": "1\n"})
    broken = repo.commit("Add what will be broken soon", {"b.py": "broken\n"})
    repo.commit("Add the last thing there is", {"c.py": "3\n"})
    blob = repo.git("rev-parse", "HEAD:b.py")
    path = repo.path / ".git" / "objects" / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.write_bytes(b"garbage")
    records = list(read(str(repo.path), None))
    assert reasons(iter(records)) == {broken: "changes cannot be read"}
    assert [e.output_text for e in examples(records)] == [
        "Add the first thing there is",
        "Add the last thing there is",
    ]


def test_a_history_with_a_hole_fails_before_anything_is_yielded(repo: Repo) -> None:
    gone = repo.commit("Add the first thing there is")
    repo.commit("Add the second thing there is")
    (repo.path / ".git" / "objects" / gone[:2] / gone[2:]).unlink()
    with pytest.raises(SourceError, match="git fsck"):
        next(read(str(repo.path), None))


def test_nothing_that_the_repository_names_is_run(repo: Repo, tmp_path: Path) -> None:
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{sprung}'\ncat\n")
    trap.chmod(0o755)
    hooks = repo.path / ".git" / "hooks"
    repo.write(".gitattributes", "*.py diff=trap filter=trap\n")
    repo.commit("Add the first thing there is")
    repo.commit("Add the second thing there is")
    for key in (
        "core.fsmonitor", "core.pager", "pager.diff-tree", "pager.rev-list", "pager.cat-file", "diff.external",
        "diff.trap.command", "diff.trap.textconv", "filter.trap.clean", "filter.trap.smudge", "filter.trap.process",
        "core.editor", "core.sshCommand", "core.askPass", "credential.helper", "gpg.program",
        "core.alternateRefsCommand",
        "alias.rev-list", "alias.diff-tree", "uploadpack.packObjectsHook", "remote.origin.uploadpack",
    ):  # fmt: skip
        repo.git("config", key, str(trap))
    repo.git("config", "core.hooksPath", str(hooks))
    repo.git("config", "remote.origin.url", f"ext::{trap}")
    repo.git("config", "log.showSignature", "true")
    for name in ("post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change"):
        hooks.mkdir(exist_ok=True)
        shutil.copy(trap, hooks / name)
    (repo.path / ".git" / "info").mkdir(exist_ok=True)
    (repo.path / ".git" / "info" / "attributes").write_text("*.py diff=trap filter=trap\n")
    assert len(examples(read(str(repo.path), None))) == 2
    assert not sprung.exists(), sprung.read_text()


def test_variables_of_the_caller_do_not_lead_elsewhere(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("Add the first thing there is")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert len(examples(read(str(repo.path), None))) == 1


def test_old_encodings_and_odd_names_are_lived_with(repo: Repo) -> None:
    repo.commit("Begin with something plain here", {"a.py": "1\n"})
    repo.write("a.py", "2\n")
    repo.git(
        "-c",
        "i18n.commitEncoding=iso-8859-1",
        "commit",
        "-q",
        "-F",
        "-",
        stdin="Grüße an alle Köche".encode("latin-1"),
    )
    repo.commit("Broken BYTES in a message", {"a.py": "3\n"})
    data = repo.git("cat-file", "commit", "HEAD").encode().replace(b"BYTES", b"\xff\xfe") + b"\n"
    repo.git("reset", "-q", "--soft", repo.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=data))
    repo.commit("Name files as nobody should", {'new\nline "quoted"\t.py': "x = 1\n", "ünï → code.py": "y = 2\n"})
    (repo.path / os.fsdecode(b"latin-\xe9.py")).write_text("z = 3\n")
    repo.commit("Name one file in an old encoding", {"z.py": b"caf\xe9 = 1\n"})
    found = examples(read(str(repo.path), None))
    assert found[1].output_text == "Grüße an alle Köche"
    assert "\ufffd" in found[2].output_text
    assert "ünï → code.py | new +1" in found[3].input_text
    assert found[3].metadata["files"] == 2
    assert "latin-\ufffd.py | new +1" in found[4].input_text
    for example in found:
        example.to_dict()["input_text"].encode()


def test_a_huge_change_is_bounded(repo: Repo) -> None:
    repo.commit("Begin with something plain here", {"a.py": "1\n"})
    long = repo.commit("Write a very long file by hand", {"long.py": "x = 1  # line\n" * 60_000})
    wide = repo.commit("Write one endless line by hand", {"wide.py": "x" * 900_000})
    many = repo.commit("Move the world to another place", {f"d/{n}.py": "1\n" for n in range(450)})
    big = repo.commit("Add something bigger than allowed", {"big.txt": "line of text\n" * 200_000})
    records = list(read(str(repo.path), None, max_diff_characters=1000))
    kept = {e.source_id: e for e in examples(records)}
    assert len(kept[long].input_text) < 1500
    assert kept[long].metadata["insertions"] == 60_000
    assert reasons(iter(records)) == {
        wide: "changes only lock, generated or binary files",
        many: "changes too many files",
        big: "changes only lock, generated or binary files",
    }


def test_the_budget_goes_to_what_tells_most(repo: Repo) -> None:
    lines = [f"line_{n} = {n}" for n in range(60)]
    repo.commit("Begin with something plain here", {"a.py": "\n".join(lines), "README.md": "text\n" * 30})
    lines[0] = "import os"
    lines[50:50] = ["def answer():", "    first = 1", "    second = 2", "    return first + second"]
    repo.commit("Answer with a function of its own", {"a.py": "\n".join(lines), "README.md": "word\n" * 30})
    shown = examples(read(str(repo.path), None, max_diff_characters=200))[-1].input_text
    assert "+def answer():" in shown
    assert "-text" not in shown
    assert "import os" not in shown


def test_a_fence_inside_a_diff_does_not_end_it(repo: Repo) -> None:
    repo.commit("Show how the engine is started", {"README.md": "# Engine\n\n```sh\nstart now\n```\n"})
    shown = examples(read(str(repo.path), None))[0].input_text
    assert shown.count("````") == 2
    assert "````diff\n" in shown


@pytest.mark.parametrize(
    ("authored", "committed", "expected"),
    [
        (1_600_000_000, 1_600_000_500, 1_600_000_000),
        (-5, 1_600_000_500, 1_600_000_500),
        (0, 0, 0.0),
        (9_999_999_999_999, 1_600_000_500, 1_600_000_500),
        (1_700_000_000, 1_600_000_000, 1_600_000_000),
    ],
)
def test_an_absurd_author_date_gives_way_to_the_committer_s(authored: int, committed: int, expected: float) -> None:
    data = f"tree 0\nauthor A <a@b> {authored} +0000\ncommitter A <a@b> {committed} +0000\n\nmessage\n"
    assert parse_commit("0" * 40, data.encode()).created_at == expected


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"author\n\nx", b"author <\ncommitter >\n\n\0", b"encoding nowhere\n\n\xff"]
)
def test_a_commit_object_without_sense_is_still_read(data: bytes) -> None:
    assert parse_commit("0" * 40, data).created_at == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "x\n\n" * 5_000,
        "* x\n\n" * 3_000,
        "[1]" * 5_000,
        "a. B" * 4_000,
        "Co-authored-by: <" * 900,
        "#1" * 140,
        "https://a" + "#1" * 140,
        "see also " * 30 + "x",
        "#1, fix " * 36 + "x",
        "1.1" * 90 + "!",
    ],
)
def test_a_message_made_to_keep_a_pattern_busy_does_not(text: str) -> None:
    # With nested repetition in a pattern these would take longer than the test run.
    message = clean(f"{text}\n\n{text}")
    turned_away(message, text)


def test_references_go_and_prose_stays() -> None:
    message = (
        "Open both valves (#12)\n\nCloses #12, see also gh-13 and https://example.org/x\n\nAs in #11, only faster."
    )
    assert clean(message) == "Open both valves\n\nAs in #11, only faster."


def test_leaving_early_leaves_no_process_behind(repo: Repo) -> None:
    for n in range(3):
        repo.commit(f"Add thing number {n} to the pile")
    records = read(str(repo.path), None)
    next(records)
    records.close()  # type: ignore[attr-defined]


def test_certificates_are_written_by_nobody(repo: Repo) -> None:
    commit = repo.commit("Bring the certificates up to date", {"cacert.pem": "MIICWjCCAcMCAgGl\n" * 30})
    assert reasons(read(str(repo.path), None)) == {commit: "changes only lock, generated or binary files"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("feat: release Bats v1.6.0", "is a release"),
        ("fix(ci)!: publish 1.2", "is a release"),
        ("feat: release memory early", None),
        ("feat: python 3.12", None),
    ],
)
def test_a_release_behind_any_type_is_one(message: str, reason: str | None) -> None:
    assert turned_away(message, message) == reason
