"""The draw: caps and budget hold, corrections always stay, and it is deterministic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.prepare.mix import Candidate, draw


def candidates(**counts):
    return [Candidate(f"{source}-{i}", source, 10) for source, n in counts.items() for i in range(n)]


def test_everything_goes_without_bounds():
    mix = draw(candidates(a=5, b=7), token_budget=0, source_caps={})
    assert len(mix.ids) == 12
    assert mix.left_out == {}


def test_sixty_corrections_survive_a_hundred_thousand_public_examples():
    mix = draw(candidates(user_correction=60, datasets=100_000), token_budget=2_000, source_caps={})
    assert sum(i.startswith("user_correction") for i in mix.ids) == 60
    assert sum(mix.tokens_by_source.values()) <= 2_000
    assert mix.left_out["over_budget"]["datasets"] == 100_000 - 140


def test_cap_is_a_share_of_what_is_chosen():
    mix = draw(candidates(a=100, b=10_000), token_budget=0, source_caps={"b": 0.5})
    assert mix.tokens_by_source == {"a": 1000, "b": 1000}
    assert mix.left_out == {"over_cap": {"b": 9900}}


@pytest.mark.parametrize("seed", [0, 1])
def test_order_of_candidates_does_not_matter(seed):
    pool = candidates(a=50, b=50)
    one = draw(pool, token_budget=300, source_caps={"a": 0.3}, seed=seed)
    other = draw(pool[::-1], token_budget=300, source_caps={"a": 0.3}, seed=seed)
    assert one.ids == other.ids


def test_another_seed_draws_others():
    pool = candidates(a=100)
    assert (
        draw(pool, token_budget=300, source_caps={}).ids != draw(pool, token_budget=300, source_caps={}, seed=1).ids
    )


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 40)), st.integers(1, 500))
def test_budget_is_never_exceeded(counts, budget):
    mix = draw(candidates(**counts), token_budget=budget, source_caps={"a": 0.5})
    assert sum(mix.tokens_by_source.values()) <= budget
