"""The suites that read what a model says, on answers that are planted right and wrong."""

from __future__ import annotations

import math

import pytest

from samloop.evaluate import parity, repetition, retention
from samloop.evaluate.answers import ANSWER_TOKENS
from samloop.evaluate.cache import Cache
from samloop.evaluate.remember import Remembering
from samloop.loop import quality
from samloop.prepare import replay

QUESTIONS = ["What is a fjord?", "Name a colour.", "Say it.", "Why?"]
ITEMS = [
    {
        "id": f"i{n}",
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": "A long, narrow inlet."},
        ],
        "metadata": {"group_key": f"g{n // 2}"},
    }
    for n, question in enumerate(QUESTIONS)
]
HONEST = "A fjord is a long inlet of the sea between cliffs."
LOOP = "so it is, " * 20


def graded(suite, planted, *answers):
    """The scores by name, of a model that gives these answers."""
    model = planted(base=lambda prompt, answer: 0.5)
    replies = dict(zip(QUESTIONS, answers, strict=True))
    model.reply = lambda adapter, prompt: next(said for asked, said in replies.items() if asked in prompt)
    return {score.name: score for score in suite.grade(model, ITEMS)}


def test_an_honest_answer_repeats_nothing_and_a_loop_nearly_all(planted):
    found = graded(repetition, planted, HONEST, HONEST, HONEST, HONEST)
    assert {name: score.mean for name, score in found.items()} == {
        "repetition_rate": 0.0,
        "loop_rate": 0.0,
        "distinct_2": 1.0,
    }
    found = graded(repetition, planted, LOOP, LOOP, LOOP, LOOP)
    assert found["repetition_rate"].mean > 0.7
    assert found["loop_rate"].mean == 1.0
    assert found["distinct_2"].mean < 0.3
    assert (found["repetition_rate"].better, found["distinct_2"].better) == ("lower", "higher")


def test_repetition_is_told_per_item_with_what_was_said(planted):
    found = graded(repetition, planted, HONEST, LOOP, "", "yes")
    rate, loop = found["repetition_rate"], found["loop_rate"]
    assert rate.ids == ("i0", "i1", "i2", "i3")
    assert rate.groups == ("g0", "g0", "g1", "g1")
    assert [bool(value) for value in rate.numerators] == [False, True, False, False]
    assert loop.mean == 0.25
    assert rate.said[0] == HONEST[:ANSWER_TOKENS].strip()
    assert rate.said[3] == "yes"
    assert all(map(math.isfinite, (score.mean for score in found.values())))


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("no no no no no no no no", True),
        ("the cat . " * 4, True),
        ("the cat . " * 3, False),
        ("first this is said and then it goes " + "round and " * 4, True),
        ("round and round and round and then it ends well", False),
        ("| --- | --- | --- |", False),
        ("", False),
    ],
)
def test_what_a_loop_is(text, looping):
    assert repetition.loops(text.split()) is looping


def test_the_teachers_own_words_agree_with_it_and_others_do_not(planted):
    wanted = ITEMS[0]["messages"][1]["content"]
    found = graded(parity, planted, wanted, wanted, wanted, wanted)
    assert found["parity_chrf"].mean == pytest.approx(1.0)
    found = graded(parity, planted, "XQZ 0123", "", wanted[:11], wanted)
    per_item = found["parity_chrf"].numerators
    assert per_item[0] == per_item[1] == 0.0
    assert 0.2 < per_item[2] < 0.6
    assert per_item[3] == pytest.approx(1.0)
    bits = found["parity_bits_per_byte"]
    assert bits.mean == pytest.approx(0.5 * (len(wanted) + 1) / len(wanted) / math.log(2))
    assert {score.suite for score in found.values()} == {"parity"}


def test_chrf_is_the_figure_of_the_formula():
    # Orders 1 and 2 count: precision 1 and 1, recall 2/3 and 1/2.
    recall = (2 / 3 + 1 / 2) / 2
    assert parity.chrf("ab", "a b c") == pytest.approx(5 * recall / (4 + recall))
    assert parity.chrf("", "") == 1.0
    assert parity.chrf("", "x") == parity.chrf("y", "x") == 0.0


def test_a_long_answer_of_the_teacher_counts_as_far_as_one_may_speak(planted, tokenizer):
    long = "The inlet was carved by ice. " * 20
    items = [{"id": "x", "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": long}]}]
    model = planted(base=lambda prompt, answer: 0.5)
    model.reply = lambda adapter, prompt: long
    agreement, _ = parity.grade(model, items)
    assert agreement.mean == pytest.approx(1.0)


def test_quality_tells_sound_answers_from_loops_refusals_and_silence(planted):
    found = graded(quality, planted, HONEST, LOOP, "I'm sorry, but I can't help with that.", "")
    (score,) = found.values()
    sound, loop, refusal, silent = score.numerators
    assert sound > max(loop, refusal)
    assert silent == 0.0
    assert (score.name, score.better, score.unit) == ("answer_quality", "higher", "share")
    assert score.said[3] == ""


def test_suites_that_ask_the_same_share_what_was_said(planted):
    model = planted(base=lambda prompt, answer: 0.5)
    asked = []
    model.reply = lambda adapter, prompt: asked.append(prompt) or HONEST
    shared = Remembering(model, Cache(None, 10**6), {None: "base"})
    shared.use(None)
    first = repetition.grade(shared, ITEMS)
    second = quality.grade(shared, ITEMS)
    parity.grade(shared, ITEMS)
    assert len(asked) == len(ITEMS)
    assert first[0].said == second[0].said


def test_retention_is_perplexity_on_general_texts(planted):
    (score,) = retention.grade(planted(base=lambda prompt, answer: 0.5), retention.packaged())
    assert (score.suite, score.name, score.better) == ("retention", "retention_perplexity", "lower")
    assert score.mean == pytest.approx(math.exp(0.5))
    assert len(score.ids) == len(set(score.ids)) >= 60


def test_nothing_that_is_replayed_is_a_retention_item():
    def texts(messages):
        return {"".join(c for c in turn["content"].lower() if c.isalnum()) for turn in messages}

    replayed = set().union(*(texts(messages) for _, messages in replay.exchanges()))
    for item in retention.packaged():
        assert not texts(item["messages"]) & replayed
