"""A/B: who answers a conversation, and when feedback is enough."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.adapters.traffic import EDGE, GUESSES, Outcome, _Capital, arm_for, block_of, slot_for, weigh
from samloop.errors import UsageError
from samloop.settings import Slot, Trial

POLICY = Trial()


def outcomes(good_champion, good_challenger, count, seed, share=0.5):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        new = generator.random() < share
        good = generator.random() < (good_challenger if new else good_champion)
        yield Outcome("challenger" if new else "champion", float(good))


def test_a_conversation_stays_with_its_arm_and_the_share_is_kept():
    arms = [arm_for(f"c{n}", "ab-1", 0.2) for n in range(20_000)]
    assert arms == [arm_for(f"c{n}", "ab-1", 0.2) for n in range(20_000)]
    assert arms.count("challenger") / len(arms) == pytest.approx(0.2, abs=0.01)
    # Another trial draws others, and a larger share keeps those of the smaller.
    other = [arm_for(f"c{n}", "ab-2", 0.2) for n in range(20_000)]
    both = sum(a == b == "challenger" for a, b in zip(arms, other, strict=True)) / len(arms)
    assert both == pytest.approx(0.04, abs=0.01)
    larger = [arm_for(f"c{n}", "ab-1", 0.5) for n in range(20_000)]
    assert all(b == "challenger" for a, b in zip(arms, larger, strict=True) if a == "challenger")


@pytest.mark.parametrize(
    ("share", "block"), [(0.5, (1, 1)), (0.2, (4, 1)), (0.01, (10, 1)), (0.8, (1, 4)), (0.3, (2, 1))]
)
def test_blocks_are_about_as_conversations_arrive(share, block):
    assert block_of(share) == block


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 1.5, math.nan])
def test_a_share_that_leaves_one_without_conversations_is_refused(share):
    with pytest.raises(UsageError, match="between 0 and 1"):
        weigh([], share, POLICY)


@given(
    mean=st.floats(0.0, 1.0),
    champion=st.floats(0.0, 1.0),
    loss=st.floats(0.0, 1.0),
    sizes=st.sampled_from([(1, 1), (4, 1), (1, 3), (2, 1)]),
    direction=st.sampled_from([1, -1]),
)
def test_a_block_gains_nothing_on_average_where_the_bet_is_wrong(mean, champion, loss, sizes, direction):
    """The proof in the module, by summing over all outcomes of a block: 0 and 1 are the extreme ones."""
    challenger = max(0.0, champion - loss) if direction == 1 else min(1.0, champion + loss)
    expected = 0.0
    for values in itertools.product([0.0, 1.0], repeat=sum(sizes)):
        block = [list(values[: sizes[0]]), list(values[sizes[0] :])]
        capital = _Capital(direction, sizes)
        capital.bet(mean, block)
        chance = math.prod(champion if v else 1 - champion for v in block[0])
        chance *= math.prod(challenger if v else 1 - challenger for v in block[1])
        expected += chance * capital.value
    assert expected <= 1 + 1e-9


def test_a_better_one_is_promoted_a_worse_one_rolled_back_and_equal_ones_go_on():
    assert weigh(outcomes(0.6, 0.9, 600, 1), 0.5, POLICY).verdict == "promote"
    assert weigh(outcomes(0.9, 0.6, 600, 1), 0.5, POLICY).verdict == "roll back"
    going = weigh(outcomes(0.7, 0.7, 100, 1), 0.5, POLICY)
    assert going.verdict == "go on"
    assert going.champion.conversations + going.challenger.conversations == 100


def test_what_comes_after_the_end_changes_nothing():
    ended = weigh(outcomes(0.5, 1.0, 400, 2), 0.5, POLICY)
    length = ended.champion.conversations + ended.challenger.conversations
    assert ended.verdict == "promote"
    assert length < 200
    more = [*itertools.islice(outcomes(0.5, 1.0, 400, 2), length), *outcomes(1.0, 0.0, 300, 3)]
    assert weigh(more, 0.5, POLICY) == ended


def test_a_trial_that_shows_nothing_ends_at_its_bound():
    ended = weigh(outcomes(0.7, 0.7, 300, 5), 0.5, Trial(max_conversations=80))
    assert ended.verdict == "no difference"
    assert ended.champion.conversations + ended.challenger.conversations == 80


def test_no_feedback_at_all_and_feedback_of_one_arm_alone():
    assert weigh([], 0.5, POLICY).verdict == "go on"
    alone = weigh([Outcome("challenger", 0.0)] * 50, 0.5, POLICY)
    assert (alone.verdict, alone.worse, alone.champion.mean) == ("go on", 1.0, None)
    assert alone.to_dict()["challenger"] == {"conversations": 50, "total": 0.0, "mean": 0.0}


def test_an_outcome_out_of_range_is_refused():
    with pytest.raises(UsageError, match="from 0 to 1, got 2"):
        weigh([Outcome("champion", 2.0)], 0.5, POLICY)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_equal_arms_seldom_end_however_often_one_looks(rate):
    ended = [weigh(outcomes(rate, rate, 200, seed), 0.5, POLICY).verdict for seed in range(150)]
    # 5 % either way, and three standard deviations of a binomial.
    assert ended.count("promote") <= 7.5 + 8
    assert ended.count("roll back") <= 7.5 + 8


def test_a_gain_of_fifteen_points_is_found():
    ended = [weigh(outcomes(0.7, 0.85, 600, seed), 0.5, POLICY).verdict for seed in range(60)]
    assert ended.count("promote") >= 54 - 7
    assert ended.count("roll back") <= 2


def test_guesses_stay_inside():
    capital = _Capital(1, (1, 1))
    capital.bet(0.0, [[1.0], [0.0]])
    assert 0 < capital.value < 1
    assert EDGE < min(GUESSES) < max(GUESSES) < 0.5


SLOTS = (Slot(name="complex", min_complexity=7), Slot(name="harder", min_complexity=9))


@pytest.mark.parametrize(
    ("complexity", "serving", "slot"),
    [
        (1, {"complex", "harder"}, "main"),
        (6, {"complex", "harder"}, "main"),
        (7, {"complex", "harder"}, "complex"),
        (10, {"complex", "harder"}, "harder"),
        (10, {"complex"}, "complex"),
        (10, set(), "main"),
    ],
)
def test_a_conversation_goes_to_the_slot_for_the_most_complex_that_can_answer(complexity, serving, slot):
    assert slot_for(complexity, SLOTS, serving) == slot
    assert slot_for(complexity, (), serving) == "main"
