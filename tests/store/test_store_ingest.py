"""Batches go in as a whole, once, together with their log and watermark."""

import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samloop.errors import InputError
from samloop.example import DOMAINS, FORMATS, STATES, TIERS, Example
from samloop.home import Home
from samloop.store import Filters, Store
from samloop.store.rows import from_example

LOG = {"rule": "repetition", "outcome": "flag", "measure": 0.42, "reason": "repeats itself"}


def test_a_batch_says_which_rows_were_new(store, make):
    store.add_batch([from_example(make(1))])
    added = store.add_batch([from_example(make(n)) for n in (0, 1, 2, 0, 3)])
    assert added.inserted == (True, False, True, False, True)
    assert added.new_ids == (make(0).id, make(2).id, make(3).id)
    assert (added.added, added.duplicate) == (3, 2)
    assert store.count() == 4


def test_the_first_of_two_rows_with_one_id_counts(store, make):
    first, second = make(1, domain="code"), make(1, domain="factual")
    store.add_batch([from_example(first), from_example(second)])
    store.add_batch([from_example(second)])
    assert store.get_example(first.id).domain == "code"


def test_more_rows_than_fit_one_lookup_are_told_apart(store, make):
    rows = [from_example(make(n)) for n in range(1203)]
    assert store.add_batch(rows[::2]).added == 602
    added = store.add_batch(rows)
    assert added.inserted == tuple(n % 2 == 1 for n in range(1203))
    assert store.count() == 1203


def test_the_log_of_duplicates_is_left_out(store, make):
    batch = [from_example(make(1))]
    for _ in range(2):
        store.add_batch(batch, log=[{"example_id": make(1).id, **LOG}])
    entries = store.validation_log(make(1).id)
    assert [{k: e[k] for k in LOG} for e in entries] == [LOG]
    assert abs(entries[0]["created_at"] - time.time()) < 60


def test_watermark_moves_with_the_batch(store, make):
    assert store.watermark("git", "/repo") is None
    store.add_batch([from_example(make(1))], mark=("git", "/repo", {"commit": "abc"}))
    assert store.watermark("git", "/repo") == {"commit": "abc"}
    store.add_batch([], mark=("git", "/repo", {"commit": "def", "seen": [1, 2]}))
    assert store.watermark("git", "/repo") == {"commit": "def", "seen": [1, 2]}
    assert store.watermark("docs", "/repo") is None
    store.set_watermark("docs", "/repo", {})
    assert store.watermark("docs", "/repo") == {}
    assert store.forget_watermark("git", "/repo") is True
    assert store.forget_watermark("git", "/repo") is False
    assert store.watermark("git", "/repo") is None


@pytest.mark.parametrize("spoil", [lambda r: r.pop("domain"), lambda r: r.update(colour="red")])
def test_a_wrong_row_is_named_and_nothing_of_its_batch_is_kept(store, make, spoil):
    rows = [from_example(make(n)) for n in range(3)]
    spoil(rows[2])
    with pytest.raises(InputError, match=r"domain|colour"):
        store.add_batch(rows, mark=("git", "/repo", {"n": 1}))
    assert (store.count(), store.revision(), store.watermark("git", "/repo")) == (0, 0, None)


def test_a_batch_that_fails_in_the_middle_leaves_everything_as_it_was(store, make):
    store.add_batch([from_example(make(0))], mark=("git", "/repo", {"n": 0}))
    with pytest.raises(KeyError):
        store.add_batch([from_example(make(1))], log=[{"example_id": make(1).id}], mark=("git", "/repo", {"n": 1}))
    assert (store.count(), store.revision(), store.watermark("git", "/repo")) == (1, 1, {"n": 0})


def test_revision_rises_only_with_changes(store, make):
    assert store.revision() == 0
    store.add_batch([from_example(make(1)), from_example(make(2))])
    assert store.revision() == 1
    store.add_batch([from_example(make(1))], mark=("git", "/repo", {}))
    assert store.revision() == 1
    store.add_batch([from_example(make(3))])
    assert store.revision() == 2
    assert [e.id for e in store.select(Filters(since_revision=1))] == [make(3).id]


def test_an_unsealed_example_is_sealed_and_keeps_its_state(store):
    example = Example(source="manual", format="instruction", input_text="a", output_text="b")
    assert store.add_example(example) is True
    assert store.add_example(example) is False
    stored = store.get_example(example.sealed().id)
    assert (stored.state, stored.reason) == ("review", "not curated yet")


def test_many_examples_go_in_from_a_generator(store, make):
    added = store.add_examples(make(n % 1500) for n in range(2500))
    assert (added.added, added.duplicate, store.count()) == (1500, 1000, 1500)
    assert added.inserted[:1500] == (True,) * 1500


def test_updated_at_is_set_by_the_store(store, make):
    store.add_example(make(1, updated_at=5.0))
    stored = store.get_example(make(1).id)
    assert stored.updated_at > 1.7e9
    assert stored.created_at == 1001.0


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
maybe = st.none() | text
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, lambda j: st.lists(j, max_size=2)
)
examples = st.builds(
    Example,
    source=text,
    format=st.sampled_from(FORMATS),
    input_text=text,
    output_text=text,
    system_prompt=maybe,
    context=maybe,
    rejected_output=maybe,
    preference_reason=maybe,
    conversation_history=st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text}), max_size=3
    ).map(tuple),
    metadata=st.dictionaries(text, json, max_size=3),
    domain=st.sampled_from(DOMAINS),
    complexity=st.integers(1, 10),
    quality_score=st.floats(0, 1),
    quality_tier=st.sampled_from(TIERS),
    created_at=st.floats(0, 4e9),
    source_id=maybe,
    parent_id=maybe,
    group_key=maybe,
    licence=maybe,
    language=maybe,
    state=st.sampled_from(STATES),
    reason=maybe,
    flags=st.lists(st.fixed_dictionaries({"rule": text, "measure": st.floats(0, 1)}), max_size=2).map(tuple),
    weight=st.floats(0, 10),
    validated=st.booleans(),
    used_in_training=st.booleans(),
    training_run_id=maybe,
)


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    with Store.open(Home(tmp_path_factory.mktemp("one") / "home")) as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(examples)
def test_an_example_comes_back_as_it_went_in(one_store, example):
    example = example.sealed()
    if one_store.add_example(example):
        stored = one_store.get_example(example.id)
        assert replace(stored, updated_at=0.0) == replace(example, updated_at=0.0)
