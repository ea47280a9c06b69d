"""Near-duplicates in a store: found as they come, removed on a direct match, and never on two sides of a split."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from samloop.curate.near.index import Index
from samloop.errors import UsageError
from samloop.example import Example
from samloop.home import Home
from samloop.loop import near
from samloop.loop.context import Context, open_context
from samloop.prepare.split import Splitter, side_of
from samloop.store import Filters, Store

SHARES = {"valid_share": 0.3, "test_share": 0.3}


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    with open_context(Home(home)) as opened:
        yield opened


def prose(seed: int, words: int = 60) -> str:
    rng = random.Random(seed)
    return " ".join(f"{rng.choice(['lamp', 'river', 'stone', 'cloud'])}{rng.randrange(60)}" for _ in range(words))


def example(question: str, answer: str, **more: Any) -> Example:
    values = {"source": "manual", "format": "instruction", "state": "accepted", "reason": None, "quality_score": 0.5}
    return Example(**{**values, **more}, input_text=question, output_text=answer).sealed()


def edited(text: str, place: int = 30) -> str:
    words = text.split()
    words[place] = "edited"
    return " ".join(words)


def add(context: Context, *examples: Example) -> None:
    context.store.add_examples(examples)


def test_the_best_stays_and_the_reason_names_it(context: Context):
    worse = example(prose(1), prose(2))
    best = example(edited(prose(1)), prose(2), quality_score=0.9)
    add(context, worse, best, example(prose(3), prose(4)))
    planned = near.dedupe(context, dry_run=True)
    assert [(group.kept, group.rejected) for group in planned.groups] == [(best.id, (worse.id,))]
    assert 0.9 < planned.alike[worse.id] < 1
    assert context.store.count(Filters(states=("rejected",))) == 0
    assert near.dedupe(context) == planned
    found = context.store.get_example(worse.id)
    assert (found.state, found.reason) == ("rejected", f"near-duplicate of {best.id}")
    assert context.store.validation_log(worse.id)[-1]["rule"] == "near_duplicate"
    assert near.dedupe(context).groups == []


def test_equal_scores_are_decided_by_review_then_length(context: Context):
    short, long = example(prose(1), prose(2)), example(prose(1), prose(2) + " and more")
    reviewed = example(edited(prose(1)), prose(2), metadata={"human_reviewed": True})
    add(context, short, long, reviewed)
    (group,) = near.dedupe(context, dry_run=True).groups
    assert (group.kept, set(group.rejected)) == (reviewed.id, {short.id, long.id})


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"output_text": prose(2)}, {"output_text": prose(5)}),
        (
            {"input_text": f"{prose(1, 200)} Who came first?"},
            {"input_text": f"{prose(1, 200)} Where did it all end?"},
        ),
        ({"output_text": "yes"}, {"output_text": "no"}),
        ({}, {"format": "dpo", "rejected_output": prose(6, 10)}),
        ({}, {"state": "rejected", "input_text": prose(1) + " too"}),
    ],
    ids=["another answer", "another question on one passage", "the opposite", "a pair and a plain one", "rejected"],
)
def test_what_only_looks_like_a_duplicate_stays(context: Context, one: dict[str, Any], two: dict[str, Any]):
    values = {"input_text": prose(1, 200), "output_text": "He did.", "format": "instruction"}
    for changes in (one, two):
        merged = {**values, **changes}
        add(context, example(merged.pop("input_text"), merged.pop("output_text"), **merged))
    assert near.dedupe(context).groups == []


def test_the_system_prompt_takes_no_part(context: Context):
    add(context, example(prose(1), prose(2), system_prompt=prose(8, 300)), example(prose(1), prose(2)))
    assert len(near.dedupe(context).groups) == 1
    other = [example(prose(10 + n), prose(20 + n), system_prompt=prose(8, 300)) for n in range(3)]
    add(context, *other)
    assert near.dedupe(context).groups == []


def test_what_comes_later_is_compared_with_what_was_there_and_once(context: Context):
    add(context, *(example(prose(n), prose(100 + n)) for n in range(30)))
    assert near.follow(context) == 30
    assert near.follow(context) == 0
    add(context, example(edited(prose(7)), prose(107)), example(prose(200), prose(201)))
    assert near.follow(context) == 2
    context.store.update_example(example(prose(3), prose(103)).id, quality_score=0.7)
    assert near.follow(context) == 0, "a new score is no new text"
    (pair,) = context.store.near_pairs()
    assert pair.match_id == example(prose(7), prose(107)).id


def test_coming_one_by_one_finds_what_coming_at_once_finds(context: Context, tmp_path: Path):
    examples = [example(prose(n % 9), edited(prose(50 + n % 9), n)) for n in range(40)]
    add(context, *examples)
    at_once = near.dedupe(context, dry_run=True)
    with open_context(Home(tmp_path / "other")) as other:
        for one in examples:
            add(other, one)
            near.follow(other)
        assert near.dedupe(other, dry_run=True) == at_once
    assert len(at_once.groups) == 9


def test_a_lost_index_is_built_again_and_changes_no_pair(context: Context):
    add(context, *(example(prose(n), prose(100)) for n in range(10)), example(edited(prose(4)), prose(100)))
    near.follow(context)
    before = context.store.near_pairs()
    assert before
    shutil.rmtree(context.home.near)
    near.follow(context)
    assert context.store.near_pairs() == before


def test_an_index_that_is_outgrown_learns_templates_anew(context: Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("samloop.curate.near.index.GROWTH", 0)
    add(context, *(example(prose(n), prose(100 + n)) for n in range(5)), example(edited(prose(4)), prose(104)))
    assert near.follow(context) == 6
    pairs = context.store.near_pairs()
    add(context, example(edited(prose(2)), prose(102)))
    assert near.follow(context) == 1
    assert context.store.near_pairs()[:-1] == pairs
    opened = Index.open(context.home.near, context.recipe.curate.near)
    assert opened is not None
    assert (len(opened), opened.built_for) == (7, 7)


def test_prompts_that_are_alike_make_a_cluster_but_lose_nothing(context: Context):
    one, two = example(prose(1), prose(2)), example(edited(prose(1)), prose(3))
    add(context, one)
    add(context, two)
    assert near.dedupe(context).groups == []
    assert context.store.near_clusters() == {two.id: (one.input_hash,)}


def test_a_cluster_is_named_after_its_first_example_for_good(context: Context):
    first = example(prose(1), prose(2), group_key="a document")
    second, third = example(edited(prose(1)), prose(2)), example(edited(prose(1), 5), prose(2))
    add(context, first)
    near.follow(context)
    add(context, second, third)
    near.follow(context)
    assert context.store.near_clusters() == {second.id: ("a document",), third.id: ("a document",)}
    context.store.update_example(first.id, state="rejected")
    assert context.store.near_clusters()[third.id] == ("a document",)


def test_the_store_of_an_opened_home_finds_them_too(context: Context, home: Path):
    add(context, example(prose(1), prose(2)), example(edited(prose(1)), prose(2) + " and more"))
    (group,) = context.store.deduplicate("near", dry_run=True)
    assert context.store.count(Filters(states=("rejected",))) == 0
    assert context.store.deduplicate("near") == [group]
    assert context.store.get_example(group.rejected[0]).state == "rejected"
    with Store.open(Home(home)) as alone, pytest.raises(UsageError, match="open_context"):
        alone.deduplicate("near")


def test_what_is_erased_leaves_the_index_and_counts_as_new_when_it_comes_back(context: Context):
    one, two, three = (example(edited(prose(1), at), prose(2)) for at in (10, 30, 50))
    add(context, one, two, example(prose(5), prose(6)))
    near.follow(context)
    assert len(context.store.near_pairs()) == 1
    erase(context, two)
    assert near.forget(context, [two.id, "unknown"]) == 1
    assert not [
        path for path in context.home.near.rglob("*") if path.is_file() and two.id.encode() in path.read_bytes()
    ]
    assert context.store.near_pairs() == []
    add(context, three)
    near.follow(context)
    assert {(pair.example_id, pair.match_id) for pair in context.store.near_pairs()} == {(three.id, one.id)}
    add(context, two)
    assert near.follow(context) == 1
    assert {pair.match_id for pair in context.store.near_pairs() if pair.example_id == two.id} == {one.id, three.id}


def erase(context: Context, gone: Example) -> None:
    """Delete an example from the database, as erasure does."""
    with sqlite3.connect(context.home.path / "samloop.db") as database:
        database.execute("DELETE FROM validation_log WHERE example_id = ?", (gone.id,))
        database.execute("DELETE FROM training_examples WHERE id = ?", (gone.id,))
    database.close()


def test_other_bounds_find_other_pairs(context: Context):
    add(context, example(prose(1), prose(2)), example(edited(edited(prose(1)), 10), prose(2)))
    assert len(near.dedupe(context, dry_run=True).groups) == 1
    strict = replace(context, recipe=context.recipe.changed(curate={"near": {"jaccard": 0.97}}))
    assert near.dedupe(strict, dry_run=True).groups == []
    assert len(near.dedupe(context, dry_run=True).groups) == 1


# --- the split ---------------------------------------------------------------------------------------------------


def test_a_near_duplicate_goes_where_the_first_one_lies():
    sides = {key: side_of(key, **SHARES) for key in "abcdefghijklmnop"}
    splitter = Splitter(**SHARES)
    for key, side in sides.items():
        assert splitter.assign(None, f"question {key}", (key,)) == side


def test_what_links_two_sides_straddles():
    sides = {key: side_of(key, **SHARES) for key in "abcdefghijklmnop"}
    train, test = (next(key for key, side in sides.items() if side == wanted) for wanted in ("train", "test"))
    splitter = Splitter(**SHARES)
    assert splitter.assign(None, "one", (train, test)) is None
    assert splitter.assign(train, "two", (test,)) is None
    assert splitter.assign(train, "three", (train,)) == "train"
    # What was left out does not decide where its question belongs.
    assert splitter.assign(test, "one") == "test"
