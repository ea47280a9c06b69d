"""The suite `corrections` on models that are planted to know the right or the wrong answer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from samloop import plugins
from samloop.evaluate.corrections import ANSWER_TOKENS, grade, says, token_f1

RIGHT, WRONG = "Run make test in the folder.", "Use pytest, I would say."


def item(number: int, slice_name: str = "held out", **more: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}-{slice_name}",
        "messages": [{"role": "user", "content": f"How do I test it, case {number}?"}],
        "answer": RIGHT,
        "wrong": WRONG,
        "slice": slice_name,
        "group_key": f"correction:{number}",
        **more,
    }


SOURCE = {
    "id": "source:e1",
    "slice": "source",
    "group_key": "e1",
    "messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": RIGHT}],
}


def means(model: Any, items: list[dict[str, Any]]) -> dict[str, float]:
    return {score.name: score.mean for score in grade(model, items)}


def knowing(planted: Any, right_nats: float, wrong_nats: float, said: str) -> Any:
    model = planted(base=lambda prompt, answer: right_nats if answer == RIGHT else wrong_nats)
    model.reply = lambda adapter, prompt: said
    return model


def test_it_is_a_plug_in():
    assert plugins.load("suites", "corrections") is grade
    assert grade.suite_name == "corrections"


def test_a_model_that_knows_the_right_answer_has_a_margin_per_token_and_says_it(planted):
    found = means(knowing(planted, 0.5, 2.0, RIGHT), [item(1), item(2)])
    assert found == pytest.approx(
        {"corrections_margin": 1.5, "corrections_preferred": 1.0, "corrections_produced": 1.0}
    )


def test_a_model_that_knows_the_wrong_answer_has_none_and_says_the_wrong_one(planted):
    found = means(knowing(planted, 2.0, 0.5, WRONG), [item(1), item(2)])
    assert found == pytest.approx(
        {"corrections_margin": -1.5, "corrections_preferred": 0.0, "corrections_produced": 0.0}
    )


def test_length_alone_makes_no_margin(planted):
    long = item(1, answer=RIGHT + " " + "It prints a report about each case. " * 5)
    assert means(planted(base=lambda prompt, answer: 0.7), [long])["corrections_margin"] == pytest.approx(0.0)
    assert means(planted(base=lambda prompt, answer: 0.7), [long])["corrections_preferred"] == 0.5


def test_earlier_answers_of_a_conversation_count_nowhere(planted):
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there, " * 9}]
    talked = item(1, messages=[*before, *item(1)["messages"]])
    assert means(knowing(planted, 0.5, 2.0, ""), [talked])["corrections_margin"] == pytest.approx(1.5)


def test_slices_are_apart_and_what_was_learnt_earlier_is_counted_once_more(planted):
    def speak(prompt: str, answer: str) -> float:
        right = ("case 1?" in prompt) == (answer == RIGHT)
        return 0.5 if right else 1.5

    items = [
        item(1, kept=True),
        item(2, kept=True),
        item(3),
        item(1, "trained wording"),
        SOURCE,
    ]
    scores = {score.name: score for score in grade(planted(base=speak), items)}
    assert scores["corrections_margin"].numerators == pytest.approx((1.0, -1.0, -1.0))
    assert scores["corrections_margin"].groups == ("correction:1", "correction:2", "correction:3")
    assert scores["corrections_kept"].ids == ("p1-held out", "p2-held out")
    assert scores["corrections_kept"].mean == 0.5
    assert scores["corrections_margin_trained_wordings"].ids == ("p1-trained wording",)
    assert scores["corrections_produced_trained_wordings"].mean == 0.0
    assert scores["corrections_source_loss"].mean == pytest.approx(1.5)
    assert scores["corrections_source_loss"].better == "lower"


def test_damaged_weights_give_no_number_and_no_items_no_score(planted):
    found = means(planted(base=lambda prompt, answer: math.nan), [item(1)])
    assert math.isnan(found["corrections_margin"])
    assert math.isnan(found["corrections_preferred"])
    assert grade(planted(base=lambda prompt, answer: 1.0), []) == []


@pytest.mark.parametrize(
    ("said", "right", "wrong", "expected"),
    [
        ("run MAKE test, in the folder", RIGHT, WRONG, True),
        (WRONG, RIGHT, WRONG, False),
        ("", RIGHT, WRONG, False),
        ("The cat sat on the mat.", RIGHT, WRONG, False),
        ("Open port 8080.", "Open port 9090.", "Open port 8080.", False),
        ("Open port 9090.", "Open port 9090.", "Open port 8080.", True),
        ("Open port 7070.", "Open port 9090.", "Open port 8080.", False),
        ("if x != y:", "if x != y:", "if x == y:", True),
        ("if x == y:", "if x != y:", "if x == y:", False),
    ],
)
def test_what_counts_as_the_right_answer(tokenizer, said, right, wrong, expected):
    assert says(said, right, wrong, tokenizer) is expected


def test_a_long_answer_is_judged_by_its_beginning(tokenizer):
    right = "Run make test in the folder of the project, and read what it prints. " + "More of it follows. " * 40
    assert says(right[:ANSWER_TOKENS], right, WRONG, tokenizer)


def test_token_f1_is_that_of_squad():
    assert token_f1("the red valve", "the blue valve") == pytest.approx(2 / 3)
    assert token_f1("a", "a a a") == pytest.approx(0.5)
    assert token_f1("", "") == 0.0
