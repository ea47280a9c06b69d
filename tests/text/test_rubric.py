"""Rubrics: the contract's figures, at their boundaries, explained term by term."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from samloop.errors import RecipeError
from samloop.text.rubric import DISTILLATION, PIPELINE, RUBRICS, SOUND, UNIFIED, Rubric, rubric_named

PLAIN: dict[str, Any] = {
    "source": "dataset", "format": "instruction", "domain": "general", "complexity": 1, "characters": 60,
    "output_characters": 10, "code_blocks": 0, "repetition": 0.0, "flag:incomplete": False, "flag:repetition": False,
    "flag:refusal": False, "flags_without_own_term": 0, "valid_format": True, "human_reviewed": False,
    "reasoning_steps": 0, "correction": False, "principle": False, "direct": False, "flag:loop": False,
    "flag:wrong_language": False, "chance:misfit": 0.0, "chance:unfinished": 0.0,
}  # fmt: skip


def one(**changed: Any) -> dict[str, np.ndarray]:
    return {name: np.array([value]) for name, value in {**PLAIN, **changed}.items()}


def scored(rubric: Rubric, **changed: Any) -> tuple[float, str]:
    score = rubric.score(one(**changed), 1)
    return float(score[0]), str(rubric.tier(score)[0])


@pytest.mark.parametrize(
    ("changed", "score", "tier"),
    [
        ({}, 0.5, "bronze"),
        ({"output_characters": 200}, 0.5, "bronze"),
        ({"output_characters": 201}, 0.6, "silver"),
        ({"output_characters": 501}, 0.65, "silver"),
        ({"output_characters": 501, "source": "manual"}, 0.8, "gold"),
        ({"source": "user_correction", "format": "dpo"}, 0.75, "silver"),
        ({"code_blocks": 1}, 0.5, "bronze"),
        ({"code_blocks": 1, "domain": "code"}, 0.6, "silver"),
        ({"flags_without_own_term": 1}, 0.4, "bronze"),
        ({"flags_without_own_term": 2}, 0.3, "unverified"),
        ({"repetition": 0.4}, 0.5, "bronze"),
        ({"repetition": 0.41}, 0.2, "unverified"),
        ({"flag:incomplete": True}, 0.35, "unverified"),
        ({"repetition": 0.9, "flag:incomplete": True, "flags_without_own_term": 3}, 0.0, "unverified"),
    ],
)
def test_unified(changed: dict[str, Any], score: float, tier: str) -> None:
    assert scored(UNIFIED, **changed) == (score, tier)


@pytest.mark.parametrize(
    ("changed", "score", "tier"),
    [
        ({}, 0.75, "silver"),
        ({"output_characters": 900, "domain": "code", "code_blocks": 2, "format": "dpo"}, 0.75, "silver"),
        ({"source": "manual"}, 0.9, "gold"),
        ({"human_reviewed": True}, 0.9, "gold"),
        ({"chance:misfit": 0.4}, 0.75, "silver"),
        ({"chance:misfit": 0.7}, 0.625, "silver"),
        ({"chance:misfit": 1.0}, 0.5, "bronze"),
        ({"chance:unfinished": 0.3}, 0.75, "silver"),
        ({"chance:unfinished": 0.65}, 0.625, "silver"),
        ({"chance:unfinished": 1.0, "chance:misfit": 1.0}, 0.25, "unverified"),
        ({"flag:incomplete": True}, 0.55, "bronze"),
        ({"repetition": 0.1}, 0.75, "silver"),
        ({"repetition": 0.25}, 0.6, "silver"),
        ({"repetition": 0.9, "flag:loop": True}, 0.25, "unverified"),
        ({"flag:wrong_language": True}, 0.5, "bronze"),
        ({"flags_without_own_term": 2}, 0.55, "bronze"),
        ({"valid_format": False}, 0.3, "unverified"),
    ],
)
def test_sound(changed: dict[str, Any], score: float, tier: str) -> None:
    assert scored(SOUND, **changed) == (score, tier)


@pytest.mark.parametrize(
    ("changed", "score", "tier"),
    [
        ({}, 0.6, "bronze"),
        ({"characters": 100}, 0.7, "silver"),
        ({"characters": 4001}, 0.6, "bronze"),
        ({"characters": 100, "source": "distillation"}, 0.9, "gold"),
        ({"characters": 100, "source": "manual", "human_reviewed": True}, 1.0, "gold"),
        ({"valid_format": False}, 0.5, "bronze"),
    ],
)
def test_pipeline(changed: dict[str, Any], score: float, tier: str) -> None:
    assert scored(PIPELINE, **changed) == (score, tier)


@pytest.mark.parametrize(
    ("changed", "score", "tier"),
    [
        ({"output_characters": 100}, 0.5, "bronze"),
        ({"output_characters": 99}, 0.3, "unverified"),
        ({"output_characters": 300, "reasoning_steps": 2}, 0.6, "silver"),
        ({"output_characters": 300, "reasoning_steps": 2, "correction": True, "complexity": 5}, 0.8, "gold"),
        (
            {"output_characters": 300, "reasoning_steps": 2, "correction": True, "principle": True, "complexity": 5},
            0.9,
            "gold",
        ),
        (
            {"output_characters": 10, "direct": True, "flag:repetition": True, "flag:incomplete": True},
            0.0,
            "unverified",
        ),
    ],
)
def test_distillation(changed: dict[str, Any], score: float, tier: str) -> None:
    assert scored(DISTILLATION, **changed) == (score, tier)


def test_distillation_rejects_by_its_own_conditions() -> None:
    found = dict(DISTILLATION.rejected(one(output_characters=49, repetition=0.5, **{"flag:refusal": True}), 1))
    assert [bool(hit[0]) for hit in found.values()] == [True, True, True]
    kept = dict(DISTILLATION.rejected(one(output_characters=50, repetition=0.4), 1))
    assert not any(hit[0] for hit in kept.values())


@pytest.mark.parametrize("rubric", RUBRICS.values(), ids=lambda r: r.name)
def test_the_terms_of_an_example_sum_to_its_score(rubric: Rubric) -> None:
    worst = {
        "output_characters": 10,
        "direct": True,
        "flag:repetition": True,
        "flag:incomplete": True,
        "repetition": 0.9,
    }
    most = {
        "output_characters": 900,
        "source": "manual",
        "format": "dpo",
        "domain": "code",
        "code_blocks": 1,
        "reasoning_steps": 9,
        "correction": True,
        "principle": True,
        "complexity": 9,
        "human_reviewed": True,
    }
    for changed in ({}, worst, most):
        terms = rubric.terms_of(one(**changed))
        assert terms[0] == ("base", rubric.base)
        assert sum(value for _, value in terms) == pytest.approx(rubric.score(one(**changed), 1)[0])
    assert ("penalties capped at -0.5", 0.3) in DISTILLATION.terms_of(one(**worst))


def test_an_unknown_rubric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="sound, unified, pipeline, distillation, got 'unfied'"):
        rubric_named("unfied")
