"""What doubt a look may spend, and what loss a guard allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop import student
from samloop.adapters.guards import allowed_loss
from samloop.adapters.levels import left_after, part_of_look


def test_the_parts_of_all_looks_add_up_to_one():
    assert [round(part_of_look(look), 2) for look in (1, 2, 3)] == [0.38, 0.14, 0.07]
    # What is left after many looks is the integral of the rest: 2 / (ζ(1.5) · √m).
    assert left_after(10_000) == pytest.approx(2 / 2.612375 / 100, rel=1e-3)
    assert left_after(0) == 1.0


@given(st.integers(1, 5000))
def test_every_look_has_a_part_and_none_more_than_the_one_before(look):
    assert 0 < part_of_look(look + 1) < part_of_look(look)
    assert left_after(look) > 0


@given(
    error=st.floats(1e-6, 0.2),
    margin=st.floats(0.001, 0.2),
    groups=st.integers(5, 2000),
    harm_chance=st.floats(1e-7, 0.01),
)
def test_with_enough_items_a_guard_keeps_both_promises_and_else_the_first(error, margin, groups, harm_chance):
    limit = 5 * margin
    allowed, enough = allowed_loss(margin, limit, error, groups, 0.05, harm_chance)
    # Who lost nothing is refused in at most 5 %.
    assert student.tail(allowed / error, groups - 1) <= 0.05 * 1.001
    if enough:
        assert student.tail((limit - allowed) / error, groups - 1) <= harm_chance * 1.001
    assert allowed >= margin * 0.999 or enough


def test_more_items_bring_the_allowed_loss_to_the_margin():
    allowed = [allowed_loss(0.02, 0.1, error, 400, 0.05, 1e-4)[0] for error in (0.05, 0.02, 0.012, 0.001)]
    assert allowed == sorted(allowed, reverse=True)
    assert allowed[-1] == 0.02
