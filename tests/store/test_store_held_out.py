"""Held-out questions and what adapters learnt: kept once, retired for good, gone with their example."""

import pytest

ADAPTER = {"slot": "main", "base": "pocket", "backend": "torch"}


def question(number, example="e1", **more):
    return {
        "question_id": f"q{number}",
        "example_id": example,
        "text": f"text {number}",
        "origin": "template",
        **more,
    }


def test_a_question_is_kept_once_and_unchanged(store):
    assert store.add_held_out([question(1), question(2), question(1)]) == 2
    assert store.add_held_out([question(1, text="another"), question(3, retired="asked before")]) == 1
    found = {row["question_id"]: (row["text"], row["retired"]) for row in store.held_out()}
    assert found == {"q1": ("text 1", None), "q2": ("text 2", None), "q3": ("text 3", "asked before")}


def test_a_retired_question_stays_retired_with_its_first_reason(store):
    store.add_held_out([question(1), question(2)])
    store.retire_held_out({"q1": "first"})
    store.retire_held_out({"q1": "second", "nosuch": "x"})
    store.add_held_out([question(1)])
    assert {row["question_id"]: row["retired"] for row in store.held_out()} == {"q1": "first", "q2": None}


def test_what_adapters_learnt_is_replaced_whole(store):
    row = {"example_id": "e1", "outcome": "learnt", "margin_nats": 0.5, "base_margin_nats": -0.5, "said_share": 1.0}
    store.record_learnt("a1", [row, {"example_id": "e2", "outcome": "not learnt", "reason": "too rare"}])
    assert [(r["example_id"], r["outcome"], r["reason"]) for r in store.learnt_of("a1")] == [
        ("e1", "learnt", None),
        ("e2", "not learnt", "too rare"),
    ]
    store.record_learnt("a1", [row])
    assert [r["example_id"] for r in store.learnt_of("a1")] == ["e1"]
    assert store.learnt_of("a2") == []


def test_only_what_champions_of_the_slot_preferred_counts_as_learnt_earlier(store):
    for name, slot in (("a1", "main"), ("a2", "main"), ("a3", "complex")):
        store.add_adapter(name, **{**ADAPTER, "slot": slot})
    store.record_learnt(
        "a1", [{"example_id": "e1", "outcome": "learnt"}, {"example_id": "e2", "outcome": "known before"}]
    )
    store.record_learnt("a2", [{"example_id": "e3", "outcome": "learnt"}])
    store.record_learnt("a3", [{"example_id": "e4", "outcome": "learnt"}])
    assert store.learnt_by_champions("main") == set()
    store.set_champion("main", "a1", "better")
    store.set_champion("complex", "a3", "better")
    assert store.learnt_by_champions("main") == {"e1", "e2"}
    store.record_learnt("a1", [{"example_id": "e1", "outcome": "not learnt"}])
    assert store.learnt_by_champions("main") == set()


@pytest.mark.parametrize("ids", [["e1"], ["e1", "e1", "nosuch"]])
def test_tests_fall_with_their_example(store, ids):
    store.add_held_out([question(1), question(2, "e2")])
    store.record_learnt("a1", [{"example_id": "e1", "outcome": "learnt"}, {"example_id": "e2", "outcome": "learnt"}])
    assert store.forget_tests_of(ids) == 2
    assert [row["example_id"] for row in store.held_out()] == ["e2"]
    assert [row["example_id"] for row in store.learnt_of("a1")] == ["e2"]
