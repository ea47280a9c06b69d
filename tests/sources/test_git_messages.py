"""What is kept of commit messages, which say nothing, how they are written, and which give reasons."""

from __future__ import annotations

import textwrap

import pytest

from samloop.sources.git_messages import MAX_MESSAGE_CHARACTERS, clean
from samloop.sources.git_reasons import explanation
from samloop.sources.git_style import Convention, Style, convention_of, in_words, style_of
from samloop.sources.git_worth import is_bot, turned_away

SQUASHED = """Grease the valves on both sides

* Grease the valves on both sides

* updating DIRECTORY.md

* [pre-commit.ci] auto fixes from pre-commit.com hooks

for more information, see https://pre-commit.ci

---------

Co-authored-by: Ada <ada@example.org>"""


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Open both valves (#12)\n\nAs in #11, only faster.", "Open both valves\n\nAs in #11, only faster."),
        ("Open both valves [#12]", "Open both valves"),
        ("Open both valves. Closes 126.", "Open both valves"),
        ("* Open both valves", "Open both valves"),
        ("Open both  valves", "Open both valves"),
        ("Add a test for #12", "Add a test"),
        ("Open both\n\nOne was shut (see #3, #4). It hurt (#5)", "Open both\n\nOne was shut. It hurt"),
        ("Open both valves\n\nHi, I made this. One was shut.", "Open both valves\n\nOne was shut."),
        ("valve: valve: open both", "valve: open both"),
        ("Open both val…\n\n…ves at once", "Open both valves at once"),
        ("Open both valves\n\nDone-Session: https://example.org/1", "Open both valves"),
        ("Open both valves\n\ncloses #3. The second one was shut.", "Open both valves\n\nThe second one was shut."),
        (SQUASHED, "Grease the valves on both sides"),
        ("Grease the valves\n\nAdd the can\n\nFix the can\n\nOil the lid", "Grease the valves"),
        (
            "Move the pump (#4)\n\n* Move the pump\n\nThe cellar is flooded each spring, the roof is not."
            "\n\n* fix lint",
            "Move the pump\n\nThe cellar is flooded each spring, the roof is not.",
        ),
        ("Test the pump on Mars\n\nTested the pump on Mars.", "Test the pump on Mars"),
        ("Open both valves\n\nThanks to @ada for the hint!", "Open both valves"),
        ("Open both valves\n\nOMG that was hard :)", "Open both valves"),
        ("Open both valves\n\nI am not sure why nobody did.", "Open both valves"),
        ("Open both valves\n\nThey were shut. Let me know if you prefer one.", "Open both valves\n\nThey were shut."),
        (
            "Open both valves\n\nThe pump ran dry. This should have been in 2d2d724e32824095b0bf267a already.",
            "Open both valves\n\nThe pump ran dry.",
        ),
        ("Open both valves\n\nThe pump ran dry. It was seen here:\n\nhttps://example.org/a/issues/7",
         "Open both valves\n\nThe pump ran dry."),
        ("Open both valves\n\nThe pump runs dry[1] in summer.\n\n[1] https://example.org/a/issues/7",
         "Open both valves\n\nThe pump runs dry in summer."),
        ("Open both valves\n\nUpdate README.md", "Open both valves"),
        ("Open both valves\n\nThe pump ran dry.\n\nThe pump, ran dry.", "Open both valves\n\nThe pump ran dry."),
        ("\n\n", ""),
    ],
)  # fmt: skip
def test_what_a_reader_of_the_change_cannot_know_is_taken_out(message: str, kept: str) -> None:
    assert clean(message) == kept


def test_a_list_and_code_in_a_body_stay_as_they_are() -> None:
    body = "It now takes\n\n- one valve\n- two valves\n\nas in\n\n    pump(valve, valve)"
    assert clean(f"Take two valves\n\n{body}") == f"Take two valves\n\n{body}"


def test_a_message_longer_than_any_is_left_alone() -> None:
    message = "x\n\n" * MAX_MESSAGE_CHARACTERS
    assert clean(message) == message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Travis build: 1692 [cron]", "message says nothing"),
        ("ran npm run builder", "message says nothing"),
        ("Regenerated docs", "message says nothing"),
        ("created least-common-(LCM) sol1.py", "message says nothing"),
        ("application.js", "message says nothing"),
        ("Create a.md", "message says nothing"),
        ("Added Express.server.callback", None),
        ("removed api.html", None),
        ("xdotool: fix typo", None),
        ("xdotool: various tweaks", "message says nothing"),
        ("tests: add more tests", "message says nothing"),
        ("Hotfix/current url", "message says nothing"),
        ("fix/scripts: replace the assets", None),
        ("Open the valve lol", "message is an aside"),
        ("never mind, really", "message says nothing"),
        ("minor changes\n\nrequested changes are addressed", "message says nothing"),
        ("docs: Update README.md", "message says nothing"),
        ("Add a doctest to binary_search.py", None),
        ("Fix a leak in the pump of main.c", None),
        ("Add specs for", "message is cut off"),
        ("Let the pump look for water", None),
        ("Fix this shitty pump once more", "message swears"),
        ("Pump the shiitake farm", None),
        ("feat(deps): body-parser@^2.1.0", "is a dependency update"),
        ("deps: bump to grep-regex 0.1.14", "is a dependency update"),
        ("connect >= 0.2.7 needed", None),
        ("connect >= 0.2.7", "is a dependency update"),
        ("chore: revert the second valve", "is a revert"),
        ("fix: do not revert the second valve", None),
        ("Merge conflicts of the second valve", "is a merge"),
    ],
)
def test_messages_that_teach_nothing_are_told_apart(message: str, reason: str | None) -> None:
    assert turned_away(clean(message), message) == reason


@pytest.mark.parametrize(
    ("name", "address", "bot"),
    [
        ("dependabot[bot]", "x@example.org", True),
        ("Ada", "41898282+github-actions@users.example", True),
        ("Renovate Bot", "x@example.org", True),
        ("Jo Talbot", "jo@example.org", False),
        ("Robota", "robota@example.org", False),
    ],
)
def test_programs_are_told_from_people(name: str, address: str, bot: bool) -> None:
    assert is_bot(name, address) is bot


# --- style ----------

COMPONENTS = [f"valve: open it {n} times" for n in range(9)] + ["docs: explain the valve"] * 3
CONVENTIONAL = [f"fix(valve): close it {n} times" for n in range(9)] + ["docs: explain the valve"] * 3
PAST = [f"Opened the valve {n} times" for n in range(12)]


def test_the_style_of_a_repository_is_what_most_of_its_subjects_do() -> None:
    assert convention_of(COMPONENTS) == Convention("component", "imperative")
    assert convention_of(CONVENTIONAL) == Convention("conventional", "imperative")
    assert convention_of(PAST) == Convention("plain", "past")
    assert convention_of([*PAST, *CONVENTIONAL]) == Convention(None, None)
    assert convention_of(PAST[:3]) == Convention(None, None)


@pytest.mark.parametrize(
    ("subject", "history", "said"),
    [
        ("docs: explain the valve", COMPONENTS, "begin with the part"),
        ("docs: explain the valve", CONVENTIONAL, "The repository follows Conventional Commits"),
        ("docs: explain the valve", PAST, "Follow Conventional Commits"),
        ("fix(valve)!: close it", COMPONENTS, "Follow Conventional Commits"),
        ("Close the valve", CONVENTIONAL, "Put no prefix"),
        ("Close the valve", PAST, "Use the imperative"),
        ("Closed the valve", COMPONENTS, "Use the past tense"),
        ("Closing the valve", [], "in -ing"),
        ("valve: closes at night", [], "third person"),
        ("close the valve.", [], "Begin in lower case. End the subject with a full stop"),
        (":bug: Close the valve", [], "emoji"),
    ],
)
def test_a_request_says_how_its_answer_is_written(subject: str, history: list[str], said: str) -> None:
    convention = convention_of(history)
    assert said in in_words(style_of(subject, convention), convention)


def test_a_plain_subject_in_the_imperative_needs_no_words() -> None:
    assert in_words(style_of("Close the valve", Convention()), Convention()) == ""
    assert style_of("Close the valve\n\nBecause it leaks.", Convention()) == Style("plain", "imperative")


# --- reasons ----------

WHY = "The tank ran over in spring, because the level was read once an hour and rose faster than that."


def test_a_body_that_gives_reasons_is_an_answer_to_why() -> None:
    body = f"About the tank.\n\n{WHY}\n\nAlso rename a pipe."
    assert explanation(body) == WHY
    assert explanation(f"About the tank.\n\nBut {WHY[0].lower()}{WHY[1:]}").startswith("About the tank.\n\nBut")
    wrapped = "\n".join(textwrap.wrap(WHY, 60))
    assert explanation(wrapped) == WHY
    listed = f"Open the valve.\nClose it.\n{WHY}"
    assert explanation(listed) == listed


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Because it leaks.",
        "The valve can be used to open the tank, and there is a second one for the pump on the other side of it.",
        "- because the level was read once an hour and rose faster than that\n- because the tank is old and leaks",
        f"I saw it myself: {WHY[0].lower()}{WHY[1:]}",
    ],
)
def test_what_only_describes_is_no_reason(body: str) -> None:
    assert explanation(body) is None


def test_what_stands_between_two_reasons_belongs_to_the_answer() -> None:
    body = f"{WHY}\n\n    level()  # once an hour\n\nOtherwise the cellar would be flooded each spring."
    assert explanation(body) == body
    assert (
        explanation(
            f"db.open() fails. {WHY}",
        )
        == f"db.open() fails. {WHY}"
    )


READ = "It reads the level."
AT = "https://example.org"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (f"{READ} See #1488 for more details.", READ),
        (f"{READ} See other/repo#17 for what led to this.", READ),
        (f"{READ} See [1] for more\ninformation.\n\n[1] {AT}/a", READ),
        (f"{READ}\n\nSee\n\n* {AT}/a\n* {AT}/b\n\nfor details on the pump, which is new.", READ),
        (f"{READ}\n\nThis mirrors [1]. See also [2].\n\n[1]: {AT}/1\n[2]: {AT}/2", READ),
        (
            f"The pump sends twice [1], so one goes.\n\n[1]: {AT}/1",
            "The pump sends twice, so one goes.",
        ),
        (f"{READ} The bug is recorded upstream:\n{AT}/1", f"{READ} The bug is recorded upstream."),
        (f"{READ}\n\nOriginally reported downstream:\n\n{AT}/1", READ),
        (f"{READ} These are done:\n\n{AT}/1\n- the pump", f"{READ} These are done:\n\n- the pump"),
        ("See how the level falls before noon.", "See how the level falls before noon."),
        ("For details that nobody reads, the log is off.", "For details that nobody reads, the log is off."),
    ],
)
def test_sentences_that_only_point_elsewhere_leave_nothing_behind(body: str, left: str) -> None:
    cleaned = clean(f"Pump: empty the tank at noon\n\n{body}\n").partition("\n\n")[2]
    assert " ".join(cleaned.split()) == " ".join(left.split())
