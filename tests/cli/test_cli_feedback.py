"""`samloop feedback`: said once, kept redacted, learnt with the next collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ASKED = "Which valve empties the upper basin?"
WRONG = "The red valve at the inlet empties the upper basin."
RIGHT = "The blue valve below the weir empties the upper basin. The red one fills it."
EMAIL = "@".join(("ada.keeper", "waterworks-of-nowhere.net"))


@pytest.mark.parametrize(
    ("options", "kind", "source"),
    [
        (("--correction", RIGHT, "--what-was-wrong", "it took the inlet"), "correction", "user_correction"),
        (("--preferred", RIGHT), "preference", "user_preference"),
        (("--rating", "up"), "rating", "feedback"),
        (("--rating", "0.5"), "rating", "feedback"),
    ],
)
def test_what_is_said_is_learnt_with_the_next_collection(
    run: Any, options: tuple[str, ...], kind: str, source: str
) -> None:
    said = run("--json", "feedback", "add", ASKED, WRONG, *options).data
    assert (said["added"], said["feedback"][0]["kind"]) == (1, kind)
    assert run("--json", "collect").data["totals"]["added"] >= 1
    examples = run("--json", "examples", "list").data["examples"]
    assert {example["source"] for example in examples} == {source}
    assert run("--json", "collect").data["totals"]["read"] == 0


def test_what_is_withdrawn_is_told(run: Any) -> None:
    run("feedback", "add", ASKED, WRONG, "--rating", "up")
    assert "Withdrawn" not in run("collect").out
    run("feedback", "add", ASKED, WRONG, "--correction", RIGHT)
    assert "Withdrawn: 1 example of earlier" in run("collect").out


def test_a_route_is_read_by_routing(run: Any) -> None:
    run("feedback", "add", "Wake me at six", "chatgpt", "--route", "local")
    assert run("--json", "collect", "feedback").data["totals"]["read"] == 0
    assert run("--json", "collect", "routing").data["totals"]["read"] == 1600
    (entry,) = run("--json", "examples", "list", "--text", "Wake me at six").data["examples"]
    assert entry["output_text"] == "local"


def test_said_twice_is_there_once_and_nothing_private_stays(run: Any, home: Path) -> None:
    arguments = ("feedback", "add", f"Who is {EMAIL}?", "Nobody.", "--correction", f"{EMAIL} keeps the pump.")
    first = run("--json", *arguments).data["feedback"][0]
    assert first["redacted"] == {"EMAIL": 2}
    assert "Already there" in run(*arguments).out
    listed = run("--json", "feedback", "list").data
    assert (listed["total"], listed["feedback"][0]["better_text"]) == (1, "[REDACTED_EMAIL] keeps the pump.")
    assert not [path for path in home.rglob("*") if path.is_file() and EMAIL.encode() in path.read_bytes()]


def test_many_come_from_a_file_or_standard_input_all_or_nothing(program: Any, run: Any, tmp_path: Path) -> None:
    lines = [
        {"query": ASKED, "response": WRONG, "correction": RIGHT, "rating": "down"},
        {"query": ASKED, "response": RIGHT, "rating": 1, "conversation_id": "c1"},
        {"response": WRONG, "correction": RIGHT},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\n"
    assert program("--json", "feedback", "add", stdin=text).data["added"] == 3
    place = tmp_path / "more.jsonl"
    place.write_text(text + json.dumps({"query": "New?", "response": "Yes.", "rating": 1}))
    assert "Added 1 entry, 3 were there" in run("feedback", "add", "--file", place).out
    place.write_text(json.dumps({"query": "Newer?", "response": "Yes.", "rating": 1}) + "\n{broken\n")
    ran = run("--json", "feedback", "add", "--file", place)
    assert ran.code == 1
    assert "line 2" in ran.error["message"]
    assert run("--json", "feedback", "list").data["total"] == 4


def test_the_list_is_newest_first_and_by_kind(run: Any) -> None:
    assert "No feedback yet" in run("feedback", "list").out
    run("feedback", "add", ASKED, WRONG, "--correction", RIGHT)
    run("feedback", "add", ASKED, RIGHT, "--rating", "up")
    out = run("feedback", "list", "--limit", "1").out
    assert "rating" in out and "+1: The blue valve" in out and "1 of 2 entries" in out
    kinds = [row["kind"] for row in run("--json", "feedback", "list", "--kind", "correction").data["feedback"]]
    assert kinds == ["correction"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ((ASKED, WRONG), 2, "expected one of correction, preferred, route, rating"),
        ((ASKED, WRONG, "--correction", RIGHT, "--preferred", RIGHT), 2, "got correction and preferred"),
        ((ASKED, WRONG, "--correction", WRONG), 1, "expected correction to differ from response"),
        ((ASKED, WRONG, "--rating", "7"), 1, "expected a rating of up, down or a number from -1 to 1"),
        ((ASKED, WRONG, "--rating", "nan"), 1, "expected a rating"),
        ((ASKED, "--rating", "up"), 1, "expected response"),
        ((" ", WRONG, "--preferred", RIGHT), 1, "expected query to say something"),
        (("-", "--rating", "up"), 2, "reads whole records"),
        (("--file", "nowhere.jsonl"), 1, "cannot be read"),
        (("--file", "nowhere.jsonl", "--rating", "up"), 2, "got both"),
    ],
)
def test_what_cannot_be_meant_is_refused(refused: Any, arguments: tuple[str, ...], code: int, part: str) -> None:
    assert part in refused("feedback", "add", *arguments, code=code)


def test_an_unknown_key_names_the_nearest(refused: Any, tmp_path: Path) -> None:
    place = tmp_path / "said.jsonl"
    place.write_text(json.dumps({"query": ASKED, "response": WRONG, "corection": RIGHT}))
    assert "did you mean 'correction'?" in refused("feedback", "add", "--file", place)
    assert "--kind to be one of" in refused("feedback", "list", "--kind", "praise", code=2)
