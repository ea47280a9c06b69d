"""What programs and people say is kept redacted, read by the next collection, and heeded from then on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

import samloop
from samloop.errors import InputError, UsageError
from samloop.example import Example
from samloop.home import Home
from samloop.loop.capture import record
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.identifiers import examples_about
from samloop.loop.validate import validate
from samloop.recipe import Recipe
from samloop.settings import SourceSettings
from samloop.store import Filters, Store
from samloop.text.captured import exchange, rating, routing

EMAIL = "@".join(("ada.keeper", "waterworks-of-nowhere.net"))
ASKED = "Which valve lets the water out of the upper basin?"
WRONG = "The red valve at the inlet lets the water out of the upper basin, as far as I know."
RIGHT = "The blue valve below the weir lets the water out of the upper basin. The red one fills it."


@pytest.fixture
def opened(home: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def open_with(**recipe: Any) -> Context:
            store = stack.enter_context(Store.open(Home(home)))
            return Context(Home(home), Recipe.parse(recipe), store, home)

        yield open_with


@pytest.fixture
def context(opened: Any) -> Context:
    made: Context = opened()
    return made


def stored(context: Context, **chosen: Any) -> list[Example]:
    return list(context.store.select(Filters(**chosen)))


def by_source_id(context: Context) -> list[Example]:
    """Of a correction: the preference, the plain pair, the dialogue."""
    return sorted(stored(context), key=lambda e: ["preference", "pair", "dialogue"].index(e.source_id.split("#")[1]))


def test_a_correction_becomes_three_examples_with_one_parent(opened: Any) -> None:
    context = opened(sam={"name": "Otto"})
    id = samloop.capture_correction(ASKED, WRONG, RIGHT, "it took the inlet for the outlet", context=context)
    (report,) = collect(context).sources
    assert (report.source, report.read, report.added) == ("feedback", 3, 3)
    pair, plain, dialogue = by_source_id(context)
    assert {e.source for e in (pair, plain, dialogue)} == {"user_correction"}
    assert len({e.parent_id for e in (pair, plain, dialogue)}) == len({e.group_key for e in (pair, plain)}) == 1
    assert all(e.source_id.startswith(id) and e.weight == 3.0 for e in (pair, plain, dialogue))
    assert (pair.format, pair.output_text, pair.rejected_output) == ("dpo", RIGHT, WRONG)
    assert (plain.format, plain.input_text, plain.output_text) == ("instruction", ASKED, RIGHT)
    assert dialogue.system_prompt == "You are Otto. The user will show you an error and correction."
    assert dialogue.input_text == (
        f"Otto said: {WRONG.rstrip('.')}. This was wrong because: it took the inlet for the outlet"
    )
    assert dialogue.output_text == f"I understand. The correct answer is: {RIGHT.rstrip('.')}. I'll remember this."


def test_without_a_question_the_dialogue_alone_is_learnt(context: Context) -> None:
    samloop.capture_correction(None, WRONG, RIGHT, context=context)
    collect(context)
    (dialogue,) = stored(context)
    assert dialogue.format == "chat"
    assert "This was wrong." in dialogue.input_text


def test_an_escalation_prefers_the_teacher_and_is_a_chat_without_an_attempt(context: Context) -> None:
    samloop.capture_escalation(ASKED, WRONG, RIGHT, "plumbing", "it was not sure", teacher="t", context=context)
    samloop.capture_escalation("What does the green lamp mean?", "", "That the pump runs.", context=context)
    samloop.capture_preference("Why does the pump stop?", "A timer stops it at ten.", "Who knows?", context=context)
    assert [report.source for report in collect(context).sources] == ["feedback", "captures"]
    chat, pair, liked = sorted(stored(context), key=lambda e: (e.source, e.format))
    assert (liked.source, liked.format, liked.rejected_output) == ("user_preference", "dpo", "Who knows?")
    assert (pair.source, pair.format, pair.rejected_output) == ("claude_capture", "dpo", WRONG)
    assert pair.preference_reason == "it was not sure"
    assert (pair.metadata["teacher"], pair.metadata["domain"]) == ("t", "plumbing")
    assert (chat.format, chat.output_text) == ("chat", "That the pump runs.")


def test_the_whole_conversation_up_to_the_question_can_be_given(context: Context) -> None:
    messages = [
        {"role": "system", "content": "You keep the waterworks."},
        {"role": "user", "content": "My pump is loud."},
        {"role": "assistant", "content": "Then its bearing may be worn, or it draws air with the water."},
        {"role": "user", "content": "It draws air. What do I do?"},
    ]
    answer = "Raise the water above the pump's mouth, and tighten the flange where the pipe meets the pump."
    samloop.capture_escalation(messages, None, answer, conversation_id="c1", context=context)
    collect(context)
    (example,) = stored(context)
    assert (example.format, example.group_key) == ("multi_turn", "conversation:c1")
    assert example.system_prompt == "You keep the waterworks."
    assert [turn["content"] for turn in example.conversation_history] == [m["content"] for m in messages[1:3]]


def test_the_same_said_twice_is_one_row_and_nothing_is_read_twice(context: Context) -> None:
    first = samloop.capture_correction(ASKED, WRONG, RIGHT, context=context)
    assert samloop.capture_correction(ASKED, WRONG + " ", RIGHT, context=context) == first
    assert context.store.newest_rows("feedback")[0] == 1
    collect(context)
    assert collect(context).sources == []
    assert samloop.capture_correction(ASKED, WRONG, RIGHT, "why", context=context) != first


def test_helpers_open_the_home_that_commands_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMLOOP_HOME", str(home))
    id = samloop.capture_preference(ASKED, RIGHT, WRONG)
    with Store.open(Home(home)) as store:
        assert [row["feedback_id"] for row in store.rows_of("feedback")] == [id]


def test_no_value_is_stored_and_who_it_is_about_is_found_again(context: Context, home: Path) -> None:
    secret = "hunter" + "2-of-the-pump"
    samloop.capture_correction(
        f"Who has the key? Is it {EMAIL}?",
        f"Nobody. DB_PASSWORD={secret}",
        f"It lies with {EMAIL}, who hands it out from nine in the morning on.",
        conversation_id=f"talk with {EMAIL}",
        context=context,
    )
    collect(context)
    found = examples_about(context, EMAIL)
    assert sorted(found) == sorted(example.id for example in stored(context))
    (row,) = context.store.rows_of("feedback")
    assert row["feedback_id"] in context.store.digests_of([row["feedback_id"]])
    assert row["conversation_id"] == "talk with [REDACTED_EMAIL]"
    written = [path for path in home.rglob("*") if path.is_file()]
    assert not [path.name for path in written for value in (EMAIL, secret) if value.encode() in path.read_bytes()]


def test_one_value_has_one_placeholder_in_all_texts_of_a_row(context: Context) -> None:
    other = "@".join(("bob", "waterworks-of-nowhere.net"))
    samloop.capture_preference(f"{EMAIL} or {other}?", f"{other}.", f"{EMAIL}.", context=context)
    (row,) = context.store.rows_of("feedback")
    assert row["input_text"] == "[REDACTED_EMAIL] or [REDACTED_EMAIL_2]?"
    assert (row["better_text"], row["output_text"]) == ("[REDACTED_EMAIL_2].", "[REDACTED_EMAIL].")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: samloop.capture_escalation("", None, RIGHT, context=c), InputError),
        (lambda c: samloop.capture_escalation(ASKED, None, " ", context=c), InputError),
        (
            lambda c: samloop.capture_escalation([{"role": "robot", "content": "x"}], None, RIGHT, context=c),
            InputError,
        ),
        (lambda c: samloop.capture_escalation(ASKED, None, RIGHT, trigger="mood", context=c), UsageError),
        (lambda c: samloop.capture_correction(ASKED, WRONG, WRONG + "\n", context=c), InputError),
        (lambda c: samloop.capture_correction(ASKED, 3, RIGHT, context=c), InputError),
        (lambda c: samloop.capture_preference(None, RIGHT, WRONG, context=c), InputError),
    ],
)
def test_what_says_nothing_is_refused(context: Context, call: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        call(context)
    assert context.store.last_row("captures") == context.store.last_row("feedback") == 0


def test_a_captured_text_cannot_claim_a_review(context: Context) -> None:
    row = exchange(ASKED, RIGHT, metadata={"human_reviewed": True, "state": "accepted", "reason": "liked"})
    record(context, "captures", [row])
    collect(context)
    (example,) = stored(context)
    assert not {"human_reviewed", "state"} & set(example.metadata)


def test_live_rows_come_before_the_sources_of_the_recipe_and_can_be_switched_off(opened: Any, tmp_path: Path) -> None:
    place = tmp_path / "more.jsonl"
    place.write_text(
        '{"instruction": "What is a weir?", "output": "A low wall that water flows over, across a river."}'
    )
    sources = [{"kind": "dataset", "location": str(place)}]
    context = opened(collect={"sources": sources, "live": False})
    record(context, "feedback", [rating(ASKED, RIGHT, 1)])
    assert [report.source for report in collect(context).sources] == ["datasets"]
    assert [report.source for report in collect(opened(collect={"sources": sources})).sources] == [
        "feedback",
        "datasets",
    ]
    named = opened(collect={"sources": [{"kind": "feedback", "rating_weight": 0.2}]})
    record(named, "feedback", [rating("Why is the lamp red?", "Because the basin is low on water.", 0.5)])
    collect(named)
    assert [e.weight for e in stored(named, sources=("feedback",))] == [0.5, 0.1]


def test_a_location_is_refused(context: Context, tmp_path: Path) -> None:
    with pytest.raises(samloop.SourceError, match="reads the store of this home"):
        collect(context, [SourceSettings(kind="captures", location=str(tmp_path))])


def test_rows_cannot_be_set_in_a_recipe(context: Context) -> None:
    with pytest.raises(samloop.RecipeError, match="no option 'rows'"):
        collect(context, [SourceSettings(kind="captures", rows=3)])


# --- what turned out wrong ---------------------------------------------------------------------------------------


def talk(*said: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]


def states(context: Context) -> dict[str, tuple[str, str | None]]:
    return {e.output_text: (e.state, e.reason) for e in stored(context) if e.format != "dpo"}


@pytest.mark.parametrize("conversation", [None, "c9"])
def test_an_answer_that_is_corrected_later_is_withdrawn_for_good(context: Context, conversation: str | None) -> None:
    before = talk("The basin is full.", "Then let some water out before the rain.") if conversation else []
    row = exchange([*before, {"role": "user", "content": ASKED}], WRONG, conversation_id=conversation)
    record(context, "captures", [row])
    collect(context)
    assert states(context)[WRONG] == ("accepted", None)
    samloop.capture_correction(ASKED, WRONG, RIGHT, conversation_id=conversation, context=context)
    (report,) = collect(context).sources
    assert report.to_dict()["withdrawn"] == 1
    assert states(context)[WRONG] == ("rejected", "withdrawn: the user corrected this answer")
    assert states(context)[RIGHT] == ("accepted", None)
    validate(context)
    assert states(context)[WRONG][0] == "rejected"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_corrected_correction_goes_with_its_dialogue(context: Context, at_once: bool) -> None:
    worse = "The blue valve at the mill lets the water out of the upper basin, and nothing else does."
    samloop.capture_correction(ASKED, WRONG, worse, context=context)
    if not at_once:
        assert collect(context).sources[0].added == 3
    samloop.capture_correction(ASKED, worse, RIGHT, context=context)
    collect(context)
    kept = [e for e in stored(context) if e.state == "accepted"]
    assert sorted(e.format for e in kept) == ["chat", "dpo", "dpo", "instruction"]
    assert not [e for e in kept if e.format != "dpo" and worse[:30] in e.output_text]


def test_what_the_user_says_next_withdraws_an_answer_too(context: Context) -> None:
    record(context, "captures", [exchange(ASKED, WRONG)])
    collect(context)
    record(context, "captures", [exchange(talk(ASKED, WRONG, "No, that one fills it."), RIGHT)])
    collect(context)
    assert states(context)[WRONG] == ("rejected", "withdrawn: the user turned this answer down")
    assert states(context)[RIGHT][0] == "accepted"


def test_liked_first_and_disliked_in_the_same_breath_is_not_learnt(context: Context) -> None:
    record(context, "feedback", [rating(ASKED, WRONG, 1), rating(ASKED, WRONG, -1)])
    (report,) = collect(context).sources
    assert (report.read, report.added, report.rejected) == (2, 0, 2)
    assert report.reasons == {"withdrawn: the user rated this answer down": 1, "not rated up": 1}


def test_what_a_person_reviewed_is_not_withdrawn(context: Context) -> None:
    record(context, "captures", [exchange(ASKED, WRONG)])
    collect(context)
    (example,) = stored(context)
    context.store.update_example(example.id, metadata={"human_reviewed": True})
    record(context, "feedback", [rating(ASKED, WRONG, -1)])
    collect(context)
    assert states(context)[WRONG][0] == "accepted"


def test_a_corrected_route_replaces_the_wrong_one(context: Context) -> None:
    task = "Tell me what the weir at the mill is for"
    only = [SourceSettings(kind="routing", examples=0, teachers={"big": "claude-code"})]
    samloop.capture_escalation(task, None, "It keeps the water of the mill high.", teacher="big-1", context=context)
    collect(context, only)
    assert states(context) == {"claude-code": ("accepted", None)}
    record(context, "feedback", [routing(task, "chatgpt", "claude-code")])
    collect(context, only)
    assert states(context) == {
        "claude-code": ("rejected", "withdrawn: the user corrected this route"),
        "chatgpt": ("accepted", None),
    }


# --- nothing lost ------------------------------------------------------------------------------------------------

CHILD = """
import sys
import samloop
for n in range(100000):
    samloop.capture_correction(f"Question {n}?", "This is wrong.", f"This is answer {n}.")
    print(n, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(home: Path) -> None:
    environment = {**os.environ, "SAMLOOP_HOME": str(home)}
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    with child:
        acknowledged = [int(child.stdout.readline()) for _ in range(5)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout if line.endswith("\n")]
    with closing(sqlite3.connect(home / "samloop.db")) as database:
        kept = {row[0] for row in database.execute("SELECT input_text FROM feedback")}
    assert {f"Question {n}?" for n in acknowledged} <= kept
