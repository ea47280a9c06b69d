"""`samloop purge` on the command line: nothing without --yes, one document, one sentence where it is wrong."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from samloop.home import Home
from samloop.store import Store

FACT = "The brindlewick valve opens to the left, and it is oiled in spring with two drops."


@pytest.fixture
def filled(run, home, tmp_path):
    """Three examples in the store, one of which is to go; and an export."""
    lines = [
        {"instruction": "Which way does the brindlewick valve open, and when is it oiled?", "output": FACT},
        {
            "instruction": "Which tests shall run before a release is made?",
            "output": "All of them, and the slow ones too.",
        },
        {
            "instruction": "Where does the server write its log by default?",
            "output": "Into the journal of the system, always.",
        },
    ]
    (tmp_path / "told.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("collect", "dataset", tmp_path / "told.jsonl").code == 0
    assert run("examples", "export", "-o", tmp_path / "out.jsonl").code == 0
    return tmp_path


def stored(home: Path) -> int:
    with Store.open(Home(home)) as store:
        return store.count()


def test_without_yes_it_tells_and_changes_nothing(run, home, filled):
    told = run("purge", "--text", "brindlewick")
    assert told.code == 0 and "examples" in told.out and "Nothing was changed. Do it with --yes" in told.out
    assert "valve" not in told.out
    data = run("--json", "purge", "--text", "brindlewick").data
    assert data["dry_run"] is True and data["would_remove"]["examples"] == 1
    assert stored(home) == 3


def test_with_yes_it_goes_and_a_receipt_stays(run, home, filled):
    done = run("--json", "purge", "--text", "brindlewick", "--yes").data
    assert done["removed"]["examples"] == 1 and done["files"]["exports_rewritten"] == 1
    assert stored(home) == 2
    assert "brindlewick" not in (filled / "out.jsonl").read_text()
    listed = run("--json", "purge", "--list").data["purges"]
    assert [(row["purge_id"], row["state"], row["records"]) for row in listed] == [(done["purge_id"], "done", 1)]
    shown = run("purge", "--show", "latest")
    assert shown.code == 0 and done["purge_id"] in shown.out and "brindlewick" not in shown.out
    assert done["digest"] in shown.out
    assert "done" in run("purge", "--list").out


def test_what_was_erased_comes_in_again_only_when_that_is_lifted(run, home, filled):
    run("purge", "--text", "brindlewick", "--yes")
    (filled / "again.jsonl").write_bytes((filled / "told.jsonl").read_bytes())
    report = run("--json", "collect", "dataset", filled / "again.jsonl").data["sources"][0]
    assert report["rejected"] == 1 and report["reasons"] == {"erased before": 1} and report["duplicate"] == 2
    assert run("purge", "--lift", "latest").code == 0
    assert run("--json", "collect", "dataset", filled / "told.jsonl").data["totals"]["added"] == 1
    assert "lifted" in run("purge", "--list").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "expected something to choose by, got nothing"),
        (("--yes",), 2, "expected something to choose by, got nothing"),
        (("--text", "th"), 2, "at least 4 characters, got 2, which stand in 3 of 3 examples"),
        (("--text", "  "), 2, "expected --text to say something"),
        (("--person", "ab"), 2, "at least 3 characters that name a person"),
        (("--source-id", "nothing-like-it", "--yes"), 1, "nothing in this home is meant by that"),
        (("--since", "yesterday-ish"), 2, "expected --since to be a time like"),
        (("--since", "2026-13-45", "--yes"), 2, "expected --since to be a time like"),
        (("--list", "--text", "brindlewick"), 2, "--list stands alone"),
        (("--show", "latest"), 1, "nothing was ever purged"),
        (("--resume", "purge-none"), 1, "there is no purge 'purge-none'"),
        (("--lift", "purge-none"), 1, "there is no purge 'purge-none'"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(run, home, filled, arguments, code, says):
    ran = run("--json", "purge", *arguments)
    assert ran.code == code and says in ran.error["message"]
    assert stored(home) == 3


def test_times_choose(run, home, filled):
    assert run("--json", "purge", "--until", "1999-01-01").data["would_remove"].get("examples", 0) in (0, 3)
    assert run("--json", "purge", "--since", "12h").code == 0
    assert run("--json", "purge", "--since", "2020-01-01T10:00:00+02:00").code == 0


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("n\n", 3)])
def test_a_terminal_is_asked(home, filled, answer, left):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "samloop", "--home", str(home), "purge", "--text", "brindlewick"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, answer.encode())
    out, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "Erase it, for good?" in errors
    assert ("Receipt" in out) is (left == 2)
    assert stored(home) == left
