"""Examples are found, streamed and changed."""

import gc

import pytest

from samloop.errors import NotFoundError, UsageError
from samloop.store import Filters


def ids(examples):
    return [example.id for example in examples]


def test_an_example_is_found_by_id_and_by_the_beginning_of_it(store, make):
    store.add_examples(make(n) for n in range(50))
    whole = make(7).id
    assert store.get_example(whole) == store.get_example(whole[:20])
    assert store.get_example(whole).input_text == "question 7"


def test_an_unknown_id_names_the_nearest_one(store, make):
    store.add_examples(make(n) for n in range(50))
    whole = make(7).id
    typo = whole[:10] + ("0" if whole[10] != "0" else "1") + whole[11:]
    with pytest.raises(NotFoundError, match=whole):
        store.get_example(typo)
    with pytest.raises(NotFoundError):
        store.get_example("")
    with pytest.raises(NotFoundError):
        store.get_example("%")


def test_an_ambiguous_beginning_is_refused(store, make):
    examples = [make(n) for n in range(50)]
    store.add_examples(examples)
    first = examples[0].id[0]
    several = [e.id for e in examples if e.id[0] == first]
    assert len(several) > 1
    with pytest.raises(UsageError, match="give more of it"):
        store.get_example(first)


def test_the_store_without_examples_answers_too(store):
    assert list(store.select()) == []
    assert (store.count(), store.revision()) == (0, 0)
    with pytest.raises(NotFoundError, match="no example 'abc'"):
        store.get_example("abc")


@pytest.fixture
def varied(store, make):
    examples = [
        make(
            0,
            source="git_commits",
            format="chat",
            domain="code",
            quality_score=0.9,
            quality_tier="gold",
            licence="MIT",
        ),
        make(1, source="git_commits", quality_score=0.5, quality_tier="bronze", state="review", group_key="g"),
        make(2, source="knowledge", quality_score=0.7, quality_tier="silver", language="en", group_key="h"),
        make(3, source="knowledge", quality_score=0.2, state="rejected", output_text="100% _Sure_"),
        make(4, source="manual", quality_score=0.7, used_in_training=True, licence="Apache-2.0"),
    ]
    for example in examples:
        store.add_example(example)
    return examples


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        (Filters(), {0, 1, 2, 3, 4}),
        (Filters(sources=("git_commits",)), {0, 1}),
        (Filters(sources=("git_commits", "manual")), {0, 1, 4}),
        (Filters(formats=("chat",)), {0}),
        (Filters(domains=["code"]), {0}),
        (Filters(tiers=("gold", "silver")), {0, 2}),
        (Filters(states=("review", "rejected")), {1, 3}),
        (Filters(licences=("MIT",)), {0}),
        (Filters(licences=("unknown",)), {1, 2, 3}),
        (Filters(licences=("unknown", "Apache-2.0")), {1, 2, 3, 4}),
        (Filters(languages=("en",)), {2}),
        (Filters(group_keys=("g", "h")), {1, 2}),
        (Filters(min_quality=0.7), {0, 2, 4}),
        (Filters(since_revision=3), {3, 4}),
        (Filters(text="QUESTION 2"), {2}),
        (Filters(text="0% _s"), {3}),
        (Filters(text="%"), {3}),
        (Filters(exclude_used=True), {0, 1, 2, 3}),
        (Filters(ids=()), set()),
        (Filters(sources=("knowledge",), min_quality=0.5), {2}),
    ],
)
def test_filters_choose(store, varied, filters, chosen):
    wanted = {varied[n].id for n in chosen}
    assert set(ids(store.select(filters))) == wanted
    assert store.count(filters) == len(wanted)


def test_a_choice_by_licence_understands_expressions(store, make) -> None:
    licences = ["MIT", "MIT OR GPL-3.0-only", "MIT AND GPL-3.0-only", "GPL-3.0-only", None]
    store.add_examples([make(n, licence=licence) for n, licence in enumerate(licences)])

    def chosen(*admitted: str) -> set[str | None]:
        filters = Filters(licences=admitted)
        found = {example.licence for example in store.select(filters)}
        assert store.count(filters) == len(found)
        return found

    assert chosen("MIT") == {"MIT", "MIT OR GPL-3.0-only"}
    assert chosen("MIT", "GPL-3.0-only") == set(licences) - {None}
    assert chosen("unknown", "MIT") == {None, "MIT", "MIT OR GPL-3.0-only"}
    assert chosen("unknown") == {None}
    assert chosen("ISC") == set()


def test_orders_are_total_and_limits_hold(store, varied):
    assert ids(store.select()) == ids(varied)
    assert ids(store.select(order="id")) == sorted(ids(varied))
    assert ids(store.select(order="newest")) == ids(varied)[::-1]
    best = sorted(varied, key=lambda e: (-e.quality_score, e.id))
    assert ids(store.select(order="best", limit=3)) == ids(best)[:3]


def test_a_stream_does_not_see_what_is_written_meanwhile(store, make):
    store.add_examples(make(n) for n in range(600))
    seen = []
    for number, example in enumerate(store.select()):
        seen.append(example.id)
        if number < 3:
            store.add_example(make(1000 + number))
            store.update_example(example.id, state="review")
    assert len(seen) == len(set(seen)) == 600
    assert store.count() == 603


def test_a_stream_left_half_way_lets_go_of_the_database(store, make):
    store.add_examples(make(n) for n in range(600))
    for _ in range(40):
        next(store.select())
    gc.collect()
    assert store.count() == 600


def test_examples_for_training_are_accepted_and_best_first(store, varied):
    assert ids(store.get_examples_for_training()) == ids(
        sorted((varied[n] for n in (0, 2, 4)), key=lambda e: (-e.quality_score, e.id))
    )
    assert ids(store.get_examples_for_training(exclude_used=True)) == ids([varied[0], varied[2]])
    assert ids(store.get_examples_for_training(min_quality=0.8)) == ids([varied[0]])
    assert ids(store.get_examples_for_training(formats=["chat"], domains=["code"], limit=1)) == ids([varied[0]])


def test_examples_by_source_come_newest_first(store, varied):
    assert ids(store.get_examples_by_source("knowledge")) == ids([varied[3], varied[2]])
    assert ids(store.get_examples_by_source("knowledge", 1)) == ids([varied[3]])


def test_an_update_changes_what_it_names_and_raises_the_revision(store, varied):
    before = store.get_example(varied[1].id)
    revision = store.update_examples(
        {
            varied[1].id: {"state": "accepted", "reason": None, "flags": [{"rule": "r"}], "quality_score": 0.8},
            varied[2].id: {"metadata": {"human_reviewed": True}},
        }
    )
    after = store.get_example(varied[1].id)
    assert (after.state, after.reason, after.flags, after.quality_score) == ("accepted", None, ({"rule": "r"},), 0.8)
    assert after.updated_at > before.updated_at
    assert (after.input_text, after.group_key, after.created_at) == (before.input_text, "g", before.created_at)
    assert store.get_example(varied[2].id).metadata == {"human_reviewed": True}
    assert store.revision() == revision == 6
    assert set(ids(store.select(Filters(since_revision=5)))) == {varied[1].id, varied[2].id}


def test_an_update_of_something_unknown_changes_nothing(store, varied):
    with pytest.raises(NotFoundError, match="nosuch"):
        store.update_examples({varied[1].id: {"state": "accepted"}, "nosuch": {"state": "accepted"}})
    assert store.get_example(varied[1].id).state == "review"
    for changes in ({"output_text": "x"}, {"id": "x"}, {"revision": 9}):
        with pytest.raises(UsageError, match="replace_example"):
            store.update_example(varied[1].id, **changes)
    with pytest.raises(UsageError, match="colour"):
        store.update_example(varied[1].id, colour="red")
    assert store.update_examples({}) == store.revision() == 5


def test_an_edit_is_a_new_example_with_the_old_one_as_its_parent(store, make):
    old, new = make(1), make(2, parent_id=None)
    store.add_example(old)
    assert store.replace_example(old.id, new) == new.id
    assert store.get_example(new.id).parent_id == old.id
    left = store.get_example(old.id)
    assert (left.state, left.reason) == ("rejected", f"replaced by {new.id}")
    assert store.add_example(old) is False
    assert store.revision() == 2
    newest = make(3)
    store.replace_example(new.id, newest)
    assert store.get_example(newest.id).parent_id == new.id


def test_an_edit_that_is_none_is_refused(store, make):
    store.add_examples([make(1), make(2)])
    with pytest.raises(UsageError, match="did not change"):
        store.replace_example(make(1).id, make(1))
    with pytest.raises(UsageError, match="stored already"):
        store.replace_example(make(1).id, make(2))
    with pytest.raises(NotFoundError, match="nosuch"):
        store.replace_example("nosuch", make(9))
    assert store.get_example(make(1).id).state == "accepted"
    assert store.revision() == 1


def test_filters_tell_what_is_set():
    filters = Filters(states=("review", "accepted"), min_quality=0.0, exclude_used=True)
    assert filters.to_dict() == {"states": ["accepted", "review"], "min_quality": 0.0, "exclude_used": True}
    assert Filters().to_dict() == {}
