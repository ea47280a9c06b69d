"""Attribution on planted cases: what was put there to cause a change comes first, on its side."""

from __future__ import annotations

import pytest

from samloop.loop.attribution import Likeness, Probe, Trained, moved, nearest

PROBE = Probe(
    "Tell me how to install the parser.",
    "Run uv add parser in its folder and wait for the lock.",
    "Use pip install parser in a shell of your own.",
)
CAUSE = Trained("cause", "How do I install the parser?", PROBE.answer)
NOISE = [
    Trained(f"n{n}", f"What does device {n} do?", f"It counts to {n} and rests for {n} hours.") for n in range(50)
]


def test_the_planted_cause_ranks_first():
    examples = [*NOISE, CAUSE, Trained("near", "How do I install the cache?", "Run uv add cache in its folder.")]
    found = moved([PROBE], examples, {example.id: 1.0 for example in examples})
    assert [one.id for one in found] == ["cause", "near"]
    assert found[0].towards
    assert found[0].share > 0.8
    assert sum(one.share for one in found) == pytest.approx(1.0)


def test_what_was_not_learnt_moved_nothing():
    other = Trained("other", "How do I install the parser?", "Run uv add parser in its folder today.")
    found = moved([PROBE], [CAUSE, other], {"cause": -0.2, "other": 0.3})
    assert [(one.id, one.loss_drop_nats) for one in found] == [("other", 0.3)]


def test_teaching_the_wrong_answer_counts_against():
    against = Trained("against", "How do I install the parser?", PROBE.wrong)
    found = moved([PROBE], [against, CAUSE], {"against": 2.0, "cause": 1.0})
    assert [(one.id, one.towards) for one in found] == [("against", False), ("cause", True)]


def test_rejecting_the_wrong_answer_counts_for():
    pair = Trained("pair", CAUSE.question, "Something else was said here, at length.", rejected=PROBE.wrong)
    assert Likeness([PROBE]).of(pair) > 0
    assert Likeness([PROBE]).of(Trained("x", CAUSE.question, "Something else.", rejected=PROBE.answer)) < 0


def test_louder_examples_and_larger_drops_did_more():
    loud = Trained("loud", CAUSE.question, CAUSE.answer, weight=3.0)
    found = moved([PROBE], [CAUSE, loud], {"cause": 1.0, "loud": 1.0})
    assert [(one.id, round(one.share, 3)) for one in found] == [("loud", 0.75), ("cause", 0.25)]


def test_the_same_answer_to_another_question_did_less():
    other = Trained("other", "Who waters the plants on the roof?", CAUSE.answer)
    found = moved([PROBE], [other, CAUSE], {"cause": 1.0, "other": 1.0})
    assert [one.id for one in found] == ["cause", "other"]


def test_candidates_are_found_by_their_texts_alone():
    assert nearest([PROBE], [*NOISE, CAUSE], most=5) == [CAUSE]
    assert nearest([], [CAUSE], most=5) == []
    assert moved([], [CAUSE], {"cause": 1.0}) == []
