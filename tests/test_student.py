from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.student import quantile, tail

# Printed in every table of Student's t: degrees of freedom, one-sided chance, t.
TABLE = [
    (5, 0.05, 2.015), (5, 0.01, 3.365), (10, 0.025, 2.228), (10, 0.005, 3.169), (30, 0.05, 1.697),
    (30, 0.0005, 3.646), (120, 0.025, 1.980), (120, 0.0005, 3.373), (1e9, 0.025, 1.960),
]  # fmt: skip


@pytest.mark.parametrize(("degrees", "chance", "t"), TABLE)
def test_the_printed_tables(degrees, chance, t):
    assert quantile(chance, degrees) == pytest.approx(t, rel=0.01)
    assert tail(t, degrees) == pytest.approx(chance, rel=0.02)


@pytest.mark.parametrize(("degrees", "t", "chance"), [(5, 6.0, 9.23e-4), (30, 6.0, 6.99e-7), (150, 6.0, 7.10e-9)])
def test_a_far_tail_is_never_too_small(degrees, t, chance):
    assert chance * 0.99 <= tail(t, degrees) <= chance * 1.1


@given(st.floats(1e-9, 1 - 1e-9), st.integers(2, 1000))
def test_quantile_is_the_inverse_of_tail(chance, degrees):
    assert tail(quantile(chance, degrees), degrees) == pytest.approx(chance, rel=1e-6)


def test_without_degrees_of_freedom_nothing_is_sure():
    assert tail(5.0, 0) == 0.5
    assert quantile(0.01, 0) == math.inf
    assert (tail(math.inf, 5), tail(-math.inf, 5)) == (0.0, 1.0)
