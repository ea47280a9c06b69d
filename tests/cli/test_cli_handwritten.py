"""Examples by hand: flags, an editor, standard input, files; and edits that keep the chain of parents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ASKED = "How do I undo the last commit but keep my changes?"
ANSWER = "Run `git reset --soft HEAD~1`: the commit is gone, the changes stay staged."
FORMS = (
    f"--- asked ---\n{ASKED}\n\n--- answer ---\n{ANSWER}\n\n--- next example ---\n--- asked ---\nWhat is a tag?\n"
    + ("--- answer ---\nA name for one commit that stays where it is.\n")
)


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes $EDITOR a program that runs a script over the form, as a person would type."""

    def use(script: str) -> None:
        program = tmp_path / "editor"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", str(program))

    return use


@pytest.fixture
def stored(run: Any) -> str:
    """The id of one stored example."""
    return str(run("--json", "examples", "add", ASKED, ANSWER).data["example"]["id"])


def write_form(answer: str) -> str:
    return f"cat > \"$1\" <<'EOT'\n--- asked ---\n{ASKED}\n--- answer ---\n{answer}\nEOT"


def forms(home: Path) -> list[Path]:
    return list((home / "forms").glob("*")) if (home / "forms").exists() else []


def test_a_form_in_the_editor_becomes_an_example(run: Any, editor: Any, home: Path) -> None:
    editor(write_form(ANSWER))
    example = run("--json", "examples", "add", "--editor").data["example"]
    assert (example["source"], example["input_text"], example["output_text"]) == ("manual", ASKED, ANSWER)
    assert example["state"] == "accepted"
    assert forms(home) == []


@pytest.mark.parametrize("script", ["true", ': > "$1"'])
def test_an_empty_form_adds_nothing(run: Any, editor: Any, home: Path, script: str) -> None:
    editor(script)
    assert "nothing was added" in run("examples", "add", "--editor").out
    assert run("--json", "examples", "list").data["total"] == 0
    assert forms(home) == []


def test_a_form_that_is_refused_is_kept_and_can_be_added_as_a_file(run: Any, editor: Any, home: Path) -> None:
    editor(write_form(""))
    ran = run("examples", "add", "--editor")
    assert ran.code == 1
    assert "section 'answer'" in ran.err
    (kept,) = forms(home)
    assert str(kept) in ran.err
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_text(kept.read_text() + ANSWER)
    assert run("--json", "examples", "add", "--file", kept).data["totals"]["added"] == 1


def test_an_editor_that_fails_changes_nothing(run: Any, editor: Any, home: Path, stored: str) -> None:
    editor("exit 3")
    ran = run("examples", "edit", stored)
    assert (ran.code, ran.err) == (
        1,
        f"samloop: the editor '{home.parent / 'editor'}' ended with 3; nothing was changed\n",
    )
    assert forms(home) == []


@pytest.mark.parametrize("command", ["'", "no-such-editor --wait"])
def test_an_editor_that_cannot_be_started_is_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", command)
    ran = run("examples", "add", "--editor")
    assert ran.code in (1, 2)
    assert "$EDITOR" in ran.err
    assert ran.err.count("\n") == 1


def test_without_an_editor_one_is_asked_for(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = run("examples", "add", "--editor")
    assert ran.code == 2
    assert "$EDITOR" in ran.err


def test_examples_on_standard_input(program: Any) -> None:
    line = json.dumps(
        {"instruction": "What is a branch in git?", "output": "A name for a commit that moves on with each new one."}
    )
    for text, count in ((FORMS, 2), (line, 1)):
        data = program("--json", "examples", "add", stdin=text).data
        assert (data["totals"]["added"], data["sources"][0]["location"]) == (count, "standard input")
        again = program("--json", "examples", "add", "-", stdin=text).data["totals"]
        assert (again["read"], again["duplicate"]) == (count, count)
    assert program("--json", "examples", "add", stdin="").error["code"] == "usage"
    plain = program("--json", "examples", "add", stdin="neither a form nor data\n").error
    assert plain["message"].startswith("expected a data file, got standard input: it looks like plain text")


def test_a_file_of_forms_is_collected_like_any_other(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(FORMS)
    assert run("--json", "collect", "manual", path).data["totals"]["added"] == 2
    assert run("--json", "collect", "manual", path).data["totals"]["read"] == 0
    path.write_text(
        FORMS
        + "--- next example ---\n--- asked ---\nWhat is a remote?\n"
        + "--- answer ---\nAnother repository that this one knows by name.\n"
    )
    data = run("--json", "examples", "add", "--file", path).data["totals"]
    assert (data["added"], data["duplicate"]) == (1, 2)
    assert {e["source"] for e in run("--json", "examples", "list").data["examples"]} == {"manual"}


def test_a_file_cannot_say_that_it_was_reviewed(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    claim = {"human_reviewed": True, "state": "accepted", "quality_tier": "gold", "timestamp": 1}
    path.write_text(json.dumps({"instruction": ASKED, "output": ANSWER, "metadata": claim}) + "\n")
    assert run("collect", "manual", path).code == 0
    (example,) = run("--json", "examples", "list").data["examples"]
    assert not {"human_reviewed", "state"} & set(example["metadata"])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["one", "--editor"], "got both"),
        (["one"], "expected OUTPUT"),
        (["one", "two", "--reason", "because"], "expected --rejected beside --reason"),
        (["one", "two", "--domain", "nonsense"], "expected --domain to be one of"),
        (["-", "-"], "got '-' for both"),
        (["one", "two", "--licence", "\udcff"], "expected a licence such as MIT"),
        (["one", "two", "--language", "no language"], "expected a language such as en"),
    ],
)
def test_wrong_usage_is_one_line(run: Any, arguments: list[str], part: str) -> None:
    ran = run("examples", "add", *arguments)
    assert ran.code == 2
    assert part in ran.err
    assert ran.err.count("\n") == 1


def test_an_edit_takes_the_place_of_the_old_one(run: Any, stored: str) -> None:
    data = run("--json", "examples", "edit", stored[:8], "--output", ANSWER + " Nothing is lost.").data
    new = data["example"]
    assert (data["replaced"], new["parent_id"], new["state"], new["reason"]) == (stored, stored, "accepted", None)
    old = run("--json", "examples", "show", stored).data
    assert (old["state"], old["reason"]) == ("rejected", f"replaced by {new['id']}")
    third = run("--json", "examples", "edit", new["id"], "--system", "You know git.").data["example"]
    assert (third["parent_id"], third["system_prompt"], third["output_text"]) == (
        new["id"],
        "You know git.",
        new["output_text"],
    )
    # Neither judging again nor adding the old text again brings it back.
    assert run("validate").code == 0
    assert run("--json", "examples", "add", ASKED, ANSWER).data["example"]["state"] == "rejected"
    assert run("--json", "examples", "list", "--state", "accepted").data["total"] == 1
    ran = run("examples", "edit", stored, "--output", "Another answer, long enough for the rules.")
    assert ran.code == 2
    assert new["id"] in ran.err


def test_an_edit_in_the_editor_shows_all_there_is(run: Any, editor: Any, stored: str, tmp_path: Path) -> None:
    editor(f'cp "$1" {tmp_path}/seen; sed -i "s/staged/in the index/" "$1"')
    example = run("--json", "examples", "edit", stored).data["example"]
    assert example["output_text"] == ANSWER.replace("staged", "in the index")
    assert ASKED in (tmp_path / "seen").read_text()
    assert run("examples", "edit", example["id"]).code == 2  # the same text again: nothing to change


def test_what_is_not_content_is_changed_in_place(run: Any, stored: str) -> None:
    data = run("--json", "examples", "edit", stored, "--licence", "MIT", "--domain", "planning").data
    assert (data["added"], data["example"]["id"]) == (False, stored)
    assert (data["example"]["licence"], data["example"]["domain"]) == ("MIT", "planning")


def test_an_edit_that_the_rules_turn_away_changes_nothing(run: Any, stored: str, refused: Any) -> None:
    assert "nothing was changed" in refused("examples", "edit", stored, "--input", "x", "--output", "y")
    assert run("--json", "examples", "show", stored).data["state"] == "accepted"


def test_a_preference_can_be_turned_round(run: Any) -> None:
    good, bad = "Seventeen times three is 51.", "Seventeen times three is 41."
    id = run("--json", "examples", "add", "What is 17 times 3?", bad, "--rejected", good).data["example"]["id"]
    new = run("--json", "examples", "edit", id, "--output", good, "--rejected", bad).data["example"]
    assert (new["state"], new["output_text"], new["rejected_output"]) == ("accepted", good, bad)
    plain = run("--json", "examples", "edit", new["id"], "--rejected", "").data["example"]
    assert (plain["format"], plain["rejected_output"], plain["parent_id"]) == ("instruction", None, new["id"])


def test_whom_the_old_one_was_about_the_edited_one_is_about_too(run: Any, home: Path) -> None:
    import sqlite3
    from contextlib import closing

    address = "@".join(["someone", "acme-mail.org"])
    id = run("--json", "examples", "add", "Whom do I write to?", f"Write to {address}, always.").data["example"]["id"]
    new = run("--json", "examples", "edit", id, "--output", "Write to the address on the door.").data["example"]["id"]
    with closing(sqlite3.connect(home / "samloop.db")) as database:
        rows = database.execute("SELECT example_id, digest FROM redacted_identifiers").fetchall()
    assert {example for example, _ in rows} == {id, new}
    assert len({digest for _, digest in rows}) == 1
