"""Held-out questions are found again, however they are written, and what only resembles them is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.example import Example
from samloop.text.held_out import Question, Questions, asked_by, words

HELD = Question("h1", "Tell me how to install the parser on the old server.", "How do I install the parser?")
FOUND = Questions([HELD, Question("h2", "Quick question: why?", "Why?")])


@pytest.mark.parametrize(
    "text",
    [
        HELD.text,
        "TELL me  how to install\nthe parser, on the old server!!",
        "Hello! Tell me how to install the parser on the old server.",
        "Tell me how to install the parser on the old server now",
        "please tell me how to install the parser on the old server, thanks",
    ],
)
def test_the_same_words_and_near_ones_meet(text):
    assert FOUND.met_by(text) == [HELD]


@pytest.mark.parametrize(
    "text",
    [
        "How do I install the parser?",
        "Tell me how to install the reader on the new machine.",
        "the old server",
        "",
        "Why?",
        "Tell me how to install the parser on the old server. " + "And much more is to be said about it all. " * 20,
    ],
)
def test_others_do_not_meet(text):
    assert FOUND.met_by(text) == []


def test_short_ones_meet_by_their_words_alone():
    assert [one.id for one in FOUND.met_by("quick question - WHY")] == ["h2"]


def test_the_wording_that_was_reworded_never_meets_however_alike():
    long = "Here is a long question about how the reader of the parser treats rows without any end at all"
    questions = Questions([Question("h", f"Quick question: {long}?", f"{long}?")])
    assert questions.met_by(f"{long}!") == []
    assert [one.id for one in questions.met_by(f"{long} now?")] == ["h"]


def test_none_meets_where_none_is_held_out():
    assert Questions().met_by("anything") == []


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8), st.text(max_size=60))
def test_a_text_always_meets_itself(texts, other):
    questions = Questions(Question(str(at), text, "") for at, text in enumerate(texts))
    for at, text in enumerate(texts):
        assert str(at) in {one.id for one in questions.met_by(text)}
    same = {str(at) for at, text in enumerate(texts) if words(text) == words(other)}
    assert same <= {one.id for one in questions.met_by(other)}


def test_every_user_turn_of_an_example_is_asked():
    history = ({"role": "user", "content": "one"}, {"role": "assistant", "content": "two"})
    example = Example(source="s", format="chat", input_text="three", output_text="four", conversation_history=history)
    assert asked_by(example) == ["one", "three"]
