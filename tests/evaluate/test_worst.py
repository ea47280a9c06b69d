"""Which items are shown, and the picture of a comparison."""

from __future__ import annotations

import math

from test_compare import score

from samloop.evaluate.compare import compare
from samloop.evaluate.picture import plot_comparison
from samloop.evaluate.worst import apart, item_values, worst


def test_the_worst_come_first_whichever_way_is_better():
    values = [0.5, 0.1, 0.9, 1.0, 0.3]
    assert worst(score(values), 3) == [1, 4, 0]
    assert worst(score(values, better="lower"), 3) == [3, 2, 0]


def test_items_that_could_not_be_better_and_those_that_count_for_nothing_are_left_out():
    assert worst(score([1.0, 0.0, 1.0])) == [1]
    assert worst(score([1.0, 0.0, 0.0], better="lower")) == [0]
    assert worst(score([5.0, 0.0], [2.0, 0.0], unit="per token", better="lower")) == [0]


def test_what_is_no_number_is_worst_of_all():
    assert worst(score([0.2, math.nan, 0.1]), 2) == [1, 2]


def test_an_exponential_score_shows_each_items_own_value():
    shown = score([2.0, 8.0], [2.0, 2.0], unit="per token", better="lower", exponential=True)
    assert item_values(shown) == [math.exp(1), math.exp(4)]
    assert worst(shown, 1) == [1]


def test_where_two_differ_most():
    one, other = score([0.5, 0.5, 0.5, 0.5, math.nan]), score([0.6, 0.1, 0.5, 0.3, 1.0])
    assert apart(one, other) == ([1, 3], [0])
    assert apart(score(one.numerators, better="lower"), score(other.numerators, better="lower")) == ([0], [1, 3])
    assert apart(one, one) == ([], [])


def test_the_picture_has_a_row_per_measure_and_survives_what_has_no_figure():
    def height(png):
        assert png.startswith(b"\x89PNG")
        return int.from_bytes(png[20:24], "big")

    share = compare(score([0.0] * 30 + [1.0] * 30), score([1.0] * 60))
    ratio = compare(score([2.0] * 9, unit="bits per byte"), score([1.0] * 9, unit="bits per byte"))
    broken = compare(score([1.0] * 9), score([1.0] * 8 + [math.nan]))
    alone = compare(score([0.0]), score([1.0]))
    heights = [
        height(plot_comparison(shown, champion="base", challenger="ad-1"))
        for shown in ([], [broken], [share, alone], [share, share, ratio, broken])
    ]
    assert heights[0] == heights[1] < heights[2] < heights[3]
