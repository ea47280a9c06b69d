from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.errors import InputError
from samloop.evaluate.compare import compare, interval
from samloop.protocols import Comparison, Score


def score(numerators, denominators=None, **changes) -> Score:
    numerators = [float(n) for n in numerators]
    values = {
        "suite": "s",
        "name": "m",
        "unit": "share",
        "better": "higher",
        "ids": tuple(f"i{n}" for n in range(len(numerators))),
        "numerators": tuple(numerators),
        "denominators": tuple(denominators if denominators is not None else [1.0] * len(numerators)),
    }
    return Score(**{**values, **changes})


def nats(generator, count, mean=1.0) -> Score:
    tokens = generator.integers(5, 60, count).astype(float)
    values = tokens * generator.gamma(8, mean / 8, count)
    return score(values, tokens, unit="per token", better="lower", exponential=True)


def test_the_mean_is_the_scores_own_and_lies_within():
    one = nats(np.random.default_rng(1), 100)
    found = interval(one)
    assert found.mean == pytest.approx(one.mean)
    assert found.low < found.mean < found.high


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one():
    one = nats(np.random.default_rng(1), 100)
    assert interval(one, seed=4) == interval(one, seed=4)
    assert interval(one, seed=4) != interval(one, seed=5)
    assert interval(one, seed=5).low == pytest.approx(interval(one, seed=4).low, rel=0.02)


def test_more_confidence_is_a_wider_interval():
    one = nats(np.random.default_rng(1), 100)
    wide, narrow = interval(one, confidence=0.99), interval(one, confidence=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("count", "confidence"), [(60, 0.95), (200, 0.95), (200, 0.8)])
def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says(count, confidence):
    generator, hits, trials = np.random.default_rng(7), 0, 400
    for _ in range(trials):
        found = interval(nats(generator, count), resamples=500, confidence=confidence)
        hits += found.low <= math.exp(1.0) <= found.high
    # Three standard deviations of a binomial, and two points that 60 items cost.
    assert hits / trials == pytest.approx(
        confidence, abs=0.02 + 3 * math.sqrt(confidence * (1 - confidence) / trials)
    )


def test_the_interval_of_a_share_covers_the_truth_also_near_its_end():
    generator, hits, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        found = interval(score(generator.random(200) < 0.95), resamples=500)
        hits += found.low <= 0.95 <= found.high
    assert hits / trials >= 0.91


def test_items_of_one_group_are_one_observation():
    # 20 wordings, each all right or all wrong: 200 items know no more than 20.
    right = np.repeat(np.arange(20) % 2, 10)
    groups = tuple(f"w{n // 10}" for n in range(200))
    alone, grouped = interval(score(right)), interval(score(right, groups=groups))
    assert alone.mean == grouped.mean == 0.5
    assert grouped.high - grouped.low == pytest.approx(math.sqrt(10) * (alone.high - alone.low), rel=0.2)


def test_groups_need_not_stand_together():
    generator = np.random.default_rng(2)
    values, members = generator.random(60), generator.integers(0, 12, 60)
    mixed = interval(score(values, groups=tuple(map(str, members))))
    order = np.argsort(members, kind="stable")
    sorted_ = interval(score(values[order], groups=tuple(map(str, members[order]))))
    assert mixed.low == pytest.approx(sorted_.low)


@pytest.mark.parametrize(("right", "low", "high"), [(1.0, 0.025 ** (1 / 20), 1.0), (0.0, 0.0, 1 - 0.025 ** (1 / 20))])
def test_a_share_at_the_end_of_its_scale_is_not_certain(right, low, high):
    found = interval(score([right] * 20))
    assert (found.mean, found.low, found.high) == pytest.approx((right, low, high))


def test_no_item_one_item_and_no_number():
    assert all(math.isnan(v) for v in (interval(score([])).mean, interval(score([])).low))
    assert math.isnan(interval(score([1.0, math.nan])).high)
    assert math.isnan(interval(score([1.0], [0.0])).mean)
    alone = interval(score([1.0]))
    assert (alone.mean, alone.low, alone.high) == (1.0, 0.0, 1.0)
    assert interval(score([1.0], unit="per token")).low == -math.inf


def test_the_gain_is_positive_where_the_challenger_is_better_in_both_senses():
    worse, better = score([0.0] * 50 + [1.0] * 50), score([0.0] * 10 + [1.0] * 90)
    up = compare(worse, better)
    assert up.gain.mean == pytest.approx(0.4)
    assert up.gain.low > 0
    assert up.worse_chance < 0.001
    assert (up.champion.mean, up.challenger.mean, up.items, up.groups) == (0.5, 0.9, 100, 100)
    down = compare(score(worse.numerators, better="lower"), score(better.numerators, better="lower"))
    assert down.gain.mean == pytest.approx(-0.4)
    assert down.worse_chance > 0.999


def test_pairing_finds_a_small_gain_that_two_intervals_would_not():
    champion = nats(np.random.default_rng(5), 300)
    challenger = score(
        [n * 0.99 for n in champion.numerators], champion.denominators, unit="per token", better="lower",
        exponential=True,
    )  # fmt: skip
    found = compare(champion, challenger)
    assert found.gain.low > 0
    assert found.challenger.high > found.champion.low


def test_equal_scores_are_exactly_equal():
    one = nats(np.random.default_rng(5), 80)
    found = compare(one, one)
    assert (found.gain.mean, found.gain.low, found.gain.high, found.worse_chance) == (0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize(("wins", "losses", "chance"), [(1, 0, 0.25), (3, 0, 0.0625), (5, 0, 1 / 64), (0, 3, 0.9375)])
def test_a_few_differing_items_are_no_surer_than_coins(wins, losses, chance):
    champion = [0.0] * wins + [1.0] * losses + [1.0] * 200
    challenger = [1.0] * wins + [0.0] * losses + [1.0] * 200
    found = compare(score(champion), score(challenger))
    assert abs(found.worse_chance - 0.5) <= abs(chance - 0.5) + 1e-12
    assert (found.worse_chance < 0.5) == (wins > losses)


@pytest.mark.parametrize("discordant", [0.02, 0.1, 0.3])
def test_without_a_true_difference_the_chance_is_small_as_rarely_as_it_says(discordant):
    generator, alarms, trials = np.random.default_rng(11), 0, 500
    for _ in range(trials):
        champion = generator.random(200) < 0.8
        challenger = np.where(generator.random(200) < discordant, generator.random(200) < 0.8, champion)
        alarms += compare(score(champion), score(challenger), resamples=300).worse_chance <= 0.05
    assert alarms / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_different_items_are_refused_and_the_first_difference_named():
    one, other = score([1, 0, 1]), score([1, 0, 1], ids=("i0", "x", "i2"))
    with pytest.raises(InputError, match=r"number 2 is 'i1' for the champion and 'x' for the challenger"):
        compare(one, other)
    with pytest.raises(InputError, match="3 for the champion, 2 for the challenger"):
        compare(one, score([1, 0]))
    with pytest.raises(InputError, match="name 'm' and 'n'"):
        compare(one, score([1, 0, 1], name="n"))
    with pytest.raises(InputError, match="group their items differently"):
        compare(one, score([1, 0, 1], groups=("a", "a", "b")))


@pytest.mark.parametrize("broken", ["champion", "challenger"])
def test_figures_that_are_not_finite_never_look_like_a_gain(broken):
    pair = {"champion": score([1.0] * 9), "challenger": score([1.0] * 9)}
    pair[broken] = score([1.0] * 8 + [math.nan])
    found = compare(**pair)
    assert math.isnan(found.gain.mean)
    assert found.worse_chance == 1.0
    again = Comparison.from_dict(found.to_dict())
    assert math.isnan(again.gain.low)


def test_nothing_to_compare():
    found = compare(score([]), score([]))
    assert (found.items, found.worse_chance) == (0, 1.0)
    alone = compare(score([0.0]), score([1.0]))
    assert (alone.gain.mean, alone.worse_chance) == (1.0, 0.5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 50), st.integers(0, 9), st.integers(0, 3)), min_size=2, max_size=25
    )
)
def test_swapping_the_two_swaps_the_signs(items):
    shared = {"denominators": [float(d) for _, _, d, _ in items], "groups": tuple(f"g{g}" for *_, g in items)}
    one = score([a for a, *_ in items], **shared)
    other = score([b for _, b, *_ in items], **shared)
    there, back = compare(one, other, resamples=200), compare(other, one, resamples=200)
    if math.isnan(there.gain.mean):
        assert there.worse_chance == back.worse_chance == 1.0
        return
    assert there.gain.mean == -back.gain.mean
    assert there.worse_chance == pytest.approx(1 - back.worse_chance)
    assert there.gain.low <= there.gain.high


def test_many_items_are_done_in_portions_with_the_same_result(monkeypatch):
    one = nats(np.random.default_rng(5), 100)
    whole = interval(one, resamples=300)
    monkeypatch.setattr("samloop.evaluate.compare._DRAWS_AT_ONCE", 1000)
    assert interval(one, resamples=300).low == pytest.approx(whole.low)
