"""Near-duplicates among texts: what must merge merges, what only shares a template stays; sketches mean something."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.curate.near import shingles
from samloop.curate.near.compare import Pairs, Verdicts
from samloop.curate.near.groups import ROUNDS, Groups
from samloop.curate.near.shingles import ANSWER, BLOCK_TEXTS, PROMPT, WHOLE, Sets, blocks, join, shingle_all
from samloop.curate.near.sketch import BANDS, NOTHING, components, example_keys, sketch
from samloop.curate.near.templates import Frequencies
from samloop.curate.near.texts import KEPT, near_duplicates

WORDS = (
    "river stone lamp quiet harbour copper meadow signal winter orchard velvet anchor thunder paper "
    "candle bridge falcon garden mirror needle ocean pocket rocket saddle tunnel window yellow zebra"
).split()


def prose(seed: int, words: int = 80) -> str:
    """Words in a random order that no other seed shares."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + str(rng.randrange(50)) for _ in range(words))


def shingle(texts: list[str]) -> Sets:
    """The sets of plain texts."""
    return shingle_all(texts, [""] * len(texts)).part(WHOLE)


def gone(texts: list[str], **options: object) -> dict[int, int]:
    """What is replaced, by what."""
    best = near_duplicates(texts, **options)  # type: ignore[arg-type]
    return {at: int(other) for at, other in enumerate(best) if other != KEPT}


# --- planted cases -----------------------------------------------------------------------------------------------


def test_one_changed_word_in_a_long_text_is_a_near_duplicate():
    texts = [prose(n) for n in range(20)]
    words = texts[7].split()
    words[40] = "another"
    assert gone([*texts, " ".join(words)]) == {20: 7}


def test_case_spacing_and_punctuation_do_not_matter():
    text = prose(1)
    assert gone([text, prose(2), text.upper().replace(" ", ",\n ")]) == {2: 0}


def test_a_long_shared_template_does_not_merge_what_is_filled_in():
    template = prose(0, 120)
    filled = [f"{template} {prose(n, 8)} {prose(-1, 20)}" for n in range(1, 101)]
    assert gone(filled) == {}
    # The same without the frequency cut-off: the reason why there is one.
    assert len(gone(filled, template_texts=255)) > 50


def test_copies_of_one_filling_of_a_template_merge():
    template = prose(0, 120)
    filled = [f"{template} {prose(n, 12)}" for n in range(1, 161)]
    assert gone([*filled, filled[5] + "!"]) == {160: 5}


def test_a_text_that_is_there_two_hundred_times_stays_once():
    texts = [prose(1).capitalize() + "." * (n % 3) for n in range(200)]
    assert gone([prose(2), *texts]) == dict.fromkeys(range(2, 201), 1)


def test_a_chain_of_small_changes_removes_only_what_is_like_what_stays():
    words = prose(3, 60).split()
    chain = []
    for step in range(12):
        chain.append(" ".join(words))
        words[step * 5] = f"changed{step}"
    sets = shingle(chain)
    removed = gone(chain)
    assert removed
    for at, other in removed.items():
        both, either = np.intersect1d(sets.of(at), sets.of(other)), np.union1d(sets.of(at), sets.of(other))
        assert len(both) >= 0.8 * len(either)
        assert other not in removed


def test_unsegmented_chinese_is_compared_by_characters():
    text = "机器学习是人工智能的一个分支，它使计算机能够在没有明确编程的情况下从数据中学习并改进其性能。"
    other = "深度学习使用多层神经网络来表示数据，在图像识别和自然语言处理方面取得了很大的成功。"
    assert gone([text, other, text.replace("改进", "提高")]) == {2: 0}


def test_short_texts_are_compared_by_characters():
    questions = [
        "What is the capital of France?",
        "What is the capital of Mongolia?",
        "what is the capital of france",
    ]
    assert gone(questions) == {2: 0}


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00", "a", "!!!", "é", "中", "\U0001f600"])
def test_a_text_of_next_to_nothing_harms_nobody(text: str):
    assert gone([text, prose(1), prose(2)]) == {}


def test_texts_without_a_shingle_are_never_near_duplicates():
    assert gone(["", "", " "]) == {}
    assert (sketch(shingle(["", prose(1)]))[0] == NOTHING).all()


def test_symbols_alone_are_compared_too():
    assert gone(["=-" * 20, "+*" * 20, "=-" * 20]) == {2: 0}


def test_a_huge_text_among_small_ones():
    huge = prose(9, 200_000)
    assert gone([prose(1), huge, prose(2), huge.replace("river", "rivers", 50)]) == {3: 1}


def test_a_word_of_a_megabyte():
    assert gone(["x" * 2**20 + " " + prose(1), "x" * 2**20 + "y " + prose(1), prose(2)]) == {1: 0}


def test_the_best_by_rank_stays():
    texts = [prose(1), prose(1) + " more", prose(1) + " and more"]
    assert gone(texts, rank=np.array([2, 0, 1])) == {0: 1, 2: 1}


# --- properties --------------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=60), max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_text_has_the_same_shingles_alone_and_among_others(texts: list[str]):
    together = shingle(texts)
    assert len(together) == len(texts)
    for at, text in enumerate(texts):
        alone = shingle([text]).hashes
        assert (together.of(at) == alone).all()
        assert (np.diff(alone.astype(np.int64)) > 0).all()


def test_shingles_are_counted_as_words_in_a_row():
    text = "one two three four five six seven eight nine ten eleven twelve"
    assert shingle([text]).sizes.tolist() == [10]
    assert shingle([f"{text} {text}"]).sizes.tolist() == [12]


def test_words_are_told_apart_at_every_length():
    tail = " ".join("abcdefghijkl")
    texts = [f"{'w' * size}{last} {tail}" for size in range(40) for last in "xy"]
    assert len({tuple(shingle([text]).hashes.tolist()) for text in texts}) == 80


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), max_size=8))
@settings(max_examples=150, deadline=None)
def test_the_parts_of_an_example_have_the_shingles_of_texts_of_their_own(examples: list[tuple[str, str]]):
    asked, answered = [one for one, _ in examples], [two for _, two in examples]
    marked = shingle_all(asked, answered)
    for mark, texts in ((PROMPT, asked), (ANSWER, answered), (WHOLE, [f"{one}\n{two}" for one, two in examples])):
        part, alone = marked.part(mark), shingle(texts)
        assert part.starts.tolist() == alone.starts.tolist()
        assert part.hashes.tolist() == alone.hashes.tolist()


def test_blocks_bound_texts_and_characters(monkeypatch: pytest.MonkeyPatch):
    assert [*blocks([1] * (BLOCK_TEXTS + 3))] == [slice(0, BLOCK_TEXTS), slice(BLOCK_TEXTS, BLOCK_TEXTS + 3)]
    monkeypatch.setattr(shingles, "BLOCK_CHARACTERS", 10)
    assert [*blocks([4, 4, 4, 50, 0, 1])] == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]


def test_a_full_block_keeps_its_last_text():
    marked = shingle_all(["abc"] * BLOCK_TEXTS, ["def"] * BLOCK_TEXTS)
    assert (marked.part(PROMPT).sizes == 1).all()
    assert (marked.part(WHOLE).sizes == 4).all()
    assert len(join([marked, marked])) == 2 * BLOCK_TEXTS


def test_threads_change_nothing():
    texts = [prose(n, 400) for n in range(600)]
    sets = shingle(texts)
    assert (sets.hashes == shingle_all(texts, [""] * len(texts), threads=4).part(WHOLE).hashes).all()
    assert (sketch(sets, 1) == sketch(sets, 4)).all()


def test_a_shared_key_is_as_likely_as_the_formula_says():
    """Pairs of a known Jaccard index share a key about as often as 1 − (1 − s⁶)²¹ of them."""
    rng = np.random.default_rng(5)
    for shared, wanted in ((60, 0.63), (80, 0.998)):
        hits = 0
        for _ in range(300):
            pool = rng.choice(2**32, 100, replace=False).astype(np.uint32)
            extra = (100 - shared) // 2
            one, two = (
                np.sort(pool[: shared + extra]),
                np.sort(np.concatenate((pool[:shared], pool[shared + extra :]))),
            )
            starts = np.array([0, len(one), len(one) + len(two)])
            keys = sketch(shingles.Sets(np.concatenate((one, two)), starts))
            hits += bool((keys[0] == keys[1]).any())
        assert abs(hits / 300 - wanted) < 0.1


def test_sketches_do_not_change_between_releases():
    """They are kept on disk: whoever changes one raises the version of the index."""
    keys = sketch(shingle(["the quick brown fox jumps over the lazy dog and then it sleeps", "短い文"]))
    assert keys.shape == (2, BANDS)
    assert [int(keys[0, 0]), int(keys[1, 20])] == [14991445842580679911, 12067011402099644697]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_components_are_those_of_a_plain_union_find(edges: list[tuple[int, int]]):
    parent = list(range(20))

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in edges:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    first, other = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    assert components(20, first, other).tolist() == [root(node) for node in range(20)]


def test_keys_of_prompts_and_of_preference_pairs_stand_apart():
    sets = shingle([prose(1), prose(1), prose(2), ""])
    keys = example_keys(sets, sets, np.array([False, True, False, False]))
    assert keys.shape == (4, 2 * BANDS)
    assert (keys[:3, :BANDS] % 2 == 0).all()
    assert (keys[:3, BANDS:] % 2 == 1).all()
    assert (keys[3] == NOTHING).all()
    assert not set(keys[0, :BANDS].tolist()) & set(keys[1, :BANDS].tolist())
    assert keys[0, BANDS:].tolist() == keys[1, BANDS:].tolist()


# --- who goes for whom -------------------------------------------------------------------------------------------


class World:
    """Examples of which some pairs are near-duplicates and some ask the same; counts what is compared."""

    def __init__(self, same: set[frozenset[int]], asked: frozenset[frozenset[int]] = frozenset()) -> None:
        self.same, self.asked = same, asked
        self.compared: list[tuple[int, int]] = []

    def __call__(self, first: Pairs, other: Pairs, prompts: bool) -> Verdicts:
        pairs = list(zip(first.tolist(), other.tolist(), strict=True))
        self.compared += pairs
        same, asked = (np.array([frozenset(p) in some for p in pairs], bool) for some in (self.same, self.asked))
        same &= not prompts
        return Verdicts(same, asked, same.astype(np.float32))


def pairs(*some: tuple[int, int]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in some}


def groups(world: World, rank: list[int], *portions: dict[int, tuple[int, ...]]) -> Groups:
    """What is found when the buckets (key: members) of each portion are looked through."""
    made = Groups(np.array(rank), world)
    for portion in portions:
        keys = [key for key, members in portion.items() for _ in members]
        owners = [member for members in portion.values() for member in members]
        made.look_through(np.array(keys, np.uint64), np.array(owners, np.int64))
    return made


def went(made: Groups) -> dict[int, int]:
    found = made.settled()
    assert not set(found.gone.tolist()) & set(found.kept.tolist())
    return dict(zip(found.gone.tolist(), found.kept.tolist(), strict=True))


def test_each_is_compared_with_the_best_of_its_bucket():
    world = World(pairs((2, 0), (2, 1)))
    assert went(groups(world, [1, 1, 0], {2: (0, 1, 2), 4: (0, 1, 2)})) == {0: 2, 1: 2}
    assert world.compared == [(2, 0), (2, 1)]


def test_what_is_not_like_the_best_is_compared_with_the_next():
    world = World(pairs((1, 3)))
    assert went(groups(world, [0, 1, 2, 3], {2: (0, 1, 2, 3)})) == {3: 1}
    assert (0, 1) in world.compared
    assert len(world.compared) == len(set(world.compared))


def test_a_bucket_of_strangers_costs_a_bounded_number_of_comparisons():
    world = World(set())
    groups(world, list(range(1000)), {2: tuple(range(1000))})
    assert len(world.compared) < 1000 * ROUNDS


def test_who_goes_later_hands_on_whom_it_stood_for():
    # 2 goes for 1; then 1 goes for 0, which 2 is like, too.
    world = World(pairs((1, 2), (0, 1), (0, 2)))
    assert went(groups(world, [0, 1, 2], {2: (1, 2)}, {4: (0, 1)})) == {1: 0, 2: 0}


def test_who_is_not_like_what_stays_in_the_end_stays_too():
    world = World(pairs((1, 2), (0, 1)))
    assert went(groups(world, [0, 1, 2], {2: (1, 2)}, {4: (0, 1)})) == {1: 0}
    # 3 had gone for 2, which stays after all.
    world = World(pairs((1, 2), (0, 1), (2, 3)))
    assert went(groups(world, [0, 1, 2, 3], {2: (2, 3)}, {4: (1, 2)}, {6: (0, 1)})) == {1: 0, 3: 2}


def test_who_asks_the_same_belongs_together_and_is_compared_once():
    world = World(pairs((0, 1)), frozenset(pairs((0, 2), (4, 5))))
    made = groups(world, [0] * 6, {3: (0, 2), 5: (0, 2), 2: (0, 1), 7: (4, 5), 9: (1, 3)})
    assert made.roots(np.arange(6)).tolist() == [0, 0, 0, 3, 4, 4]
    assert made.settled().gone.tolist() == [1]
    assert [each.tolist() for each in made.clusters()] == [[0, 2, 4, 5], [0, 0, 4, 4]]
    assert world.compared.count((0, 2)) == 1


def test_a_cluster_is_named_after_the_first_that_stays():
    world = World(pairs((0, 3)), frozenset(pairs((0, 1), (0, 2))))
    made = groups(world, [1, 1, 1, 0, 1], {2: (0, 3), 3: (0, 1, 2)})
    assert made.settled().gone.tolist() == [0]
    assert [each.tolist() for each in made.clusters()] == [[1, 2, 3], [1, 1, 1]]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30),
    st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=6, unique=True), max_size=12),
    st.permutations(range(10)),
)
def test_whoever_goes_is_like_one_that_is_better_and_stays(
    alike: list[tuple[int, int]], buckets: list[list[int]], rank: list[int]
):
    same = pairs(*(pair for pair in alike if pair[0] != pair[1]))
    portions = [{2 * at: tuple(bucket)} for at, bucket in enumerate(buckets)]
    for gone_, kept in went(groups(World(same), rank, *portions)).items():
        assert frozenset((gone_, kept)) in same
        assert rank[kept] < rank[gone_]


def test_counts_stop_at_their_largest_value():
    frequencies = Frequencies(np.zeros(2**12, np.uint8), above=250)
    sets = shingle([prose(1)] * 100)
    for _ in range(10):
        frequencies.add(sets)
    assert frequencies.common(sets).all()
    assert (frequencies.stripped(sets).hashes == sets.hashes).all()
