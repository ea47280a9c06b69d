"""Explaining: the terms sum to the score, thresholds in force stand beside measurements, reasons are sentences."""

from __future__ import annotations

import pytest

from samloop.curate.engine import Curator
from samloop.curate.explain import explain, tier_reason
from samloop.example import Example
from samloop.settings import Curate
from samloop.text.rubric import RUBRICS, UNIFIED

LOOPING = "The queue is full, so the worker waits until another one has taken a message out of it. "


def example(answered: str, source: str = "dataset") -> Example:
    return Example(source=source, format="instruction", input_text="When does a worker of the queue wait?",
                   output_text=answered, created_at=0.0, updated_at=0.0)  # fmt: skip


@pytest.mark.parametrize("rubric", sorted(RUBRICS))
@pytest.mark.parametrize("answered", [LOOPING, LOOPING * 9, "It waits…", "As an AI language model, I cannot say."])
def test_terms_sum_to_the_score_under_every_rubric(rubric: str, answered: str) -> None:
    why = explain(Curator(Curate(rubric=rubric)), example(answered))
    assert round(sum(amount for _, amount in why.terms), 6) == why.score
    assert why.terms[0] == ("base", RUBRICS[rubric].base)
    assert f"{why.score:g}" in why.tier_reason


def test_a_flag_comes_with_what_was_measured_against_what() -> None:
    rules = {"repetition": {"share": 0.2}}
    why = explain(Curator(Curate(rubric="unified", rules=rules)), example(LOOPING * 9))
    flags = {flag.rule: flag for flag in why.flags}
    assert flags["repetition"].options == {"share": 0.2, "ngram": 10}
    assert flags["repetition"].measure > 0.8
    assert flags["repetition"].about == "The answer repeats itself."
    assert flags["loop"].options == {"times": 3}
    assert ("repetition over 40 %", -0.3) in why.terms
    assert why.to_dict()["terms"][0] == {"name": "base", "amount": 0.5}


def test_a_learnt_chance_is_a_term_with_its_measure() -> None:
    why = explain(
        Curator(Curate()), example("Preheat the oven to 180 degrees, butter the tin and beat the eggs with sugar,")
    )
    amounts = dict(why.terms)
    assert amounts["answer may belong to another question"] < -0.1
    assert amounts["answer may stop in the middle"] < -0.2
    flags = {flag.rule: flag for flag in why.flags}
    assert flags["unfinished"].measure >= flags["unfinished"].options["chance"] == 0.95
    assert flags["unfinished"].about == "The answer seems to stop in the middle."
    off = {"misfit": {"enabled": False}, "unfinished": {"enabled": False}}
    without = explain(Curator(Curate(rules=off)), example(LOOPING))
    assert "answer may belong to another question" not in dict(without.terms)


def test_reasons_name_the_bounds() -> None:
    assert tier_reason(UNIFIED, 0.65, "silver") == "0.65 reaches 0.6, where silver begins; gold begins at 0.8"
    assert tier_reason(UNIFIED, 0.8, "gold") == "0.8 reaches 0.8, where gold begins"
    assert tier_reason(UNIFIED, 0.35, "unverified") == "0.35 is under 0.4, where bronze begins"
    refused = explain(Curator(Curate()), example("I'm sorry, but I can't assist with that request of yours."))
    assert (refused.state, refused.state_reason) == ("review", "answer refuses")
    fine = explain(Curator(Curate()), example(LOOPING))
    assert (fine.state, fine.state_reason) == ("accepted", "no rule rejects it and none asks for a person")


def test_every_rule_says_in_one_sentence_what_it_looks_for() -> None:
    for name, chosen in Curator(Curate(rubric="distillation")).rules.items():
        assert chosen.rule.__doc__, name
        assert "Measure" in chosen.rule.__doc__, name
