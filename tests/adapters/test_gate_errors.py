"""The promises of the gate, on worlds whose truth is known: a small version of benchmarks/gate/simulate.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gate"


@pytest.fixture(scope="module")
def simulate() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    try:
        import simulate

        yield simulate
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("simulate", "world"):
            sys.modules.pop(name, None)


def test_the_bounds_of_a_share_are_the_exact_ones(simulate: ModuleType) -> None:
    # Printed in C. Clopper and E. Pearson's tables, and by the closed form where none or all hit.
    assert simulate.bounds(0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)), abs=1e-6)
    assert simulate.bounds(20, 20) == pytest.approx((0.025 ** (1 / 20), 1), abs=1e-6)
    assert simulate.bounds(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no true difference", "bits 2 % worse, routing 10 points better"])
def test_one_night_without_a_gain_promotes_no_oftener_than_it_says(simulate: ModuleType, name: str) -> None:
    truth = next(one for one in simulate.SINGLE if one.name == name)
    promoted, _ = simulate.single(truth, 1, 400, np.random.default_rng(1))
    # What the goal allows of 400, and three standard deviations of a binomial.
    assert promoted <= (20 + 13 if truth.wanted == "<= 5 %" else 4 + 6)


@pytest.mark.slow
@pytest.mark.parametrize("look", [1, 365])
def test_a_true_gain_of_the_stated_effect_is_promoted_on_the_first_and_the_last_night(
    simulate: ModuleType, look: int
) -> None:
    truth = next(one for one in simulate.SINGLE if one.name == "bits 3.5 % better")
    promoted, _ = simulate.single(truth, look, 150, np.random.default_rng(2))
    assert promoted >= 0.9 * 150 - 11


@pytest.mark.slow
def test_nightly_looks_at_the_same_items_promote_nothing_wrong_that_a_naive_gate_does(simulate: ModuleType) -> None:
    truth = replace(simulate.YEARS[0], measures=(simulate.BITS, simulate.ROUTING))
    kept = simulate.year(truth, 60, 120, np.random.default_rng(3))
    naive = simulate.year(truth, 60, 120, np.random.default_rng(3), spend=False)
    assert (kept.wrong > 0).sum() <= 3 + 5
    assert (naive.wrong > 0).sum() >= 15
