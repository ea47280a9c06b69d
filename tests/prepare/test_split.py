"""Splits: stable, whole groups, no leak between sides."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from samloop.prepare.split import Splitter, side_of

SHARES = {"valid_share": 0.05, "test_share": 0.05}


def test_shares_are_about_what_was_asked():
    sides = Counter(side_of(f"group {i}", **SHARES) for i in range(20_000))
    assert 800 < sides["valid"] < 1200
    assert 800 < sides["test"] < 1200


def test_sides_are_pinned_forever():
    """The split of an example must not change between releases: these were computed once."""
    found = [side_of(key, valid_share=0.2, test_share=0.2) for key in ("a", "b", "c", "d", "e", "f", "g", "h")]
    assert found == ["train", "valid", "train", "valid", "train", "valid", "train", "train"]


def test_seed_moves_groups():
    keys = [str(i) for i in range(200)]
    assert [side_of(k, **SHARES) for k in keys] != [side_of(k, **SHARES, seed=1) for k in keys]


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("uvwxyz")), max_size=60))
def test_no_group_and_no_question_lies_on_two_sides(pairs):
    splitter = Splitter(valid_share=0.3, test_share=0.3)
    placed = [(group, question, splitter.assign(group, question)) for group, question in pairs]
    for column in (0, 1):
        sides: dict[str, set[str]] = {}
        for row in placed:
            if row[2]:
                sides.setdefault(row[column], set()).add(row[2])
        assert all(len(found) == 1 for found in sides.values())


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("uvwxyz")), max_size=40))
def test_later_examples_never_move_earlier_ones(pairs):
    first = Splitter(valid_share=0.3, test_share=0.3)
    before = [first.assign(*pair) for pair in pairs]
    again = Splitter(valid_share=0.3, test_share=0.3)
    after = [again.assign(*pair) for pair in [*pairs, ("late", "u"), ("later", "v")]]
    assert after[: len(pairs)] == before


def test_straddling_example_is_left_out():
    splitter = Splitter(valid_share=0.3, test_share=0.3)
    sides = {g: side_of(g, valid_share=0.3, test_share=0.3) for g in "abcdefghijklmnop"}
    one = next(g for g, s in sides.items() if s == "train")
    other = next(g for g, s in sides.items() if s == "test")
    assert splitter.assign(one, "same question") == "train"
    assert splitter.assign(other, "same question") is None
    assert splitter.assign(other, "another question") == "test"


def test_near_duplicates_without_groups_stay_together_and_groups_of_their_own_would_cost_them():
    pairs = [(f"question {n}", f"question {n}, in other words") for n in range(200)]

    def left(grouped: bool) -> int:
        splitter, kept = Splitter(valid_share=0.2, test_share=0.2), 0
        for first, second in pairs:
            side = splitter.assign(first if grouped else None, first)
            again = splitter.assign(second if grouped else None, second, near=(first,))
            assert again in (side, None)
            kept += again is not None
        return kept

    assert left(grouped=False) == len(pairs)
    assert left(grouped=True) < 0.5 * len(pairs)
