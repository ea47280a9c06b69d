"""Overfitting on planted curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samloop.train.overfitting import overfitting


def curve(train, valid, every=10):
    """Metric lines with a training loss at each step and a validation loss at every tenth."""
    lines = [{"step": step, "loss": loss} for step, loss in enumerate(train, start=1)]
    for number, loss in enumerate(valid, start=1):
        lines[number * every - 1]["validation_loss"] = loss
    return lines


FALLING = list(np.linspace(2.0, 0.5, 60))


def test_curves_that_part_are_told_with_the_step_to_go_back_to():
    found = overfitting(curve(FALLING, [1.8, 1.5, 1.4, 1.45, 1.55, 1.7]))
    assert (found.step, found.last_step) == (30, 60)
    assert found.validation_loss == (1.4, 1.7)
    assert found.rise == pytest.approx(0.3 / 1.4)
    assert found.training_loss == pytest.approx((FALLING[29], FALLING[59]))
    assert found.sentence() == (
        "from step 30 to 60 validation loss rose by 21.4% (1.400 to 1.700) while training loss fell "
        "(1.263 to 0.500); go back to step 30"
    )


@pytest.mark.parametrize(
    ("why", "train", "valid"),
    [
        ("both fall", FALLING, [1.8, 1.5, 1.4, 1.35, 1.3, 1.28]),
        ("level, with noise below two percent", FALLING, [1.8, 1.5, 1.4, 1.41, 1.405, 1.42]),
        ("one bad validation at the end", FALLING, [1.8, 1.5, 1.45, 1.42, 1.4, 1.7]),
        ("it came back", FALLING, [1.8, 1.4, 1.6, 1.7, 1.5, 1.405]),
        ("training gets worse too: that is divergence", FALLING[::-1], [1.8, 1.5, 1.4, 1.5, 1.6, 1.7]),
        ("no validation", FALLING, []),
        ("one validation", FALLING, [1.5]),
        ("no figures", [math.nan] * 60, [1.8, 1.5, 1.4, 1.5, 1.6, 1.7]),
    ],
)
def test_other_curves_are_not(why, train, valid):
    assert overfitting(curve(train, valid)) is None, why


def test_steps_on_preferences_are_left_out():
    lines = curve(FALLING, [1.8, 1.5, 1.4, 1.5, 1.6, 1.7])
    for line in lines[30:]:
        line["preference_loss"] = 0.6
    assert overfitting(lines) is None
    assert overfitting([]) is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_a_level_end_is_no_overfitting(seed):
    generator = np.random.default_rng(seed)
    valid = 1.4 + np.exp(-np.arange(1, 13)) + generator.normal(0, 0.004, 12)
    assert overfitting(curve(list(np.linspace(2, 1, 120)), list(valid))) is None
