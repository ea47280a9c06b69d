"""The suites, on models that are planted right and wrong."""

from __future__ import annotations

import math

import pytest

from samloop import plugins
from samloop.errors import InputError
from samloop.evaluate import perplexity, routing
from samloop.protocols import Score
from samloop.sources.routing import LABELS, held_out

ITEMS = [
    {"id": "a", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    {
        "id": "b",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "grüß"},
            {"role": "assistant", "content": "grüß dich"},
        ],
        "metadata": {"group_key": "talk"},
    },
]


def by_name(scores: list[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def test_both_suites_are_plug_ins():
    assert plugins.load("suites", "perplexity") is perplexity.grade
    assert plugins.load("suites", "routing") is routing.grade
    assert (perplexity.grade.suite_name, routing.grade.suite_name) == ("perplexity", "routing")


def test_perplexity_counts_answer_tokens_and_the_end_of_turn_and_nothing_else(planted):
    scores = by_name(perplexity.grade(planted(base=lambda prompt, answer: 0.5), ITEMS))
    perplex, bits = scores["perplexity"], scores["bits_per_byte"]
    assert perplex.denominators == (len(b"hello") + 1, len("grüß dich".encode()) + 1)
    assert perplex.mean == pytest.approx(math.exp(0.5))
    assert (perplex.unit, perplex.better, perplex.exponential) == ("per token", "lower", True)
    assert bits.numerators == pytest.approx([0.5 * n / math.log(2) for n in (6, 12)])
    assert bits.denominators == (5, 11)
    assert bits.mean == pytest.approx(0.5 * 18 / 16 / math.log(2))
    assert not bits.exponential


def test_perplexity_keeps_ids_and_groups_per_item(planted):
    for score in perplexity.grade(planted(base=lambda prompt, answer: 0.5), ITEMS):
        assert score.ids == ("a", "b")
        assert score.groups == ("a", "talk")


def test_every_assistant_turn_of_a_conversation_counts_but_those_not_to_be_learnt(planted, tokenizer):
    class Even(type(planted(base=lambda p, a: 0.0))):
        def _scored(self, ids):
            import numpy as np

            return np.full(len(ids) - 1, -1.0, dtype=np.float32)

    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "bc"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "efg"},
    ]
    scores = by_name(perplexity.grade(Even(tokenizer, {None: None}), [{"id": "x", "messages": turns}]))
    assert scores["perplexity"].denominators == (3 + 4,)
    assert scores["perplexity"].numerators == (7.0,)
    assert scores["bits_per_byte"].denominators == (5,)
    turns[1]["train"] = False
    scores = by_name(perplexity.grade(Even(tokenizer, {None: None}), [{"id": "x", "messages": turns}]))
    assert scores["perplexity"].denominators == (4,)
    assert scores["bits_per_byte"].denominators == (3,)


def test_an_item_without_an_answer_is_an_error(planted):
    with pytest.raises(InputError, match="assistant turn"):
        perplexity.grade(planted(base=lambda p, a: 1.0), [{"id": "x", "messages": ITEMS[0]["messages"][:1]}])


def oracle(items):
    answers = {item["task"]: item["answer"] for item in items}
    return lambda prompt, answer: 0.1 if answers[task_of(prompt)] == answer else 5.0


def task_of(prompt: str) -> str:
    return prompt.rpartition("local: ")[2].removesuffix("<|im_end|>\n")


def test_routing_planted_right_wrong_and_half(planted):
    items = held_out()
    right = by_name(routing.grade(planted(base=oracle(items)), items))
    assert {name: score.mean for name, score in right.items()} == {
        "routing_accuracy": 1.0,
        "routing_accuracy_unseen_fillings": 1.0,
        "routing_accuracy_unseen_wordings": 1.0,
    }
    wrong = by_name(routing.grade(planted(base=lambda p, a: 6 - oracle(items)(p, a)), items))
    assert {score.mean for score in wrong.values()} == {0.0}
    known = {item["task"] for item in items if item["slice"] == "unseen filling"}

    def half(prompt: str, answer: str) -> float:
        return oracle(items)(prompt, answer) if task_of(prompt) in known else 6 - oracle(items)(prompt, answer)

    found = by_name(routing.grade(planted(base=half), items))
    assert found["routing_accuracy"].mean == 0.5
    assert found["routing_accuracy_unseen_fillings"].mean == 1.0
    assert found["routing_accuracy_unseen_wordings"].mean == 0.0


def test_routing_scores_all_labels_of_all_items_in_one_call_and_groups_by_wording(planted):
    items = held_out(per_slice=20)
    model = planted(base=lambda p, a: 1.0)
    score = routing.grade(model, items)[0]
    assert model.calls == 1
    assert score.groups == tuple(item["wording"] for item in items)
    assert (score.unit, score.better) == ("share", "higher")


def test_routing_takes_the_probability_of_the_whole_answer(planted):
    # 0.5 nats per token: the label with the fewest tokens is the likeliest answer as a whole.
    score = routing.grade(planted(base=lambda p, a: 0.5), held_out())[0]
    assert score.mean == pytest.approx(1 / len(LABELS))
    items = held_out()
    assert {i["answer"] for i, n in zip(items, score.numerators, strict=True) if n} == {"local"}


def test_routing_shares_the_point_of_a_tie(planted):
    flat = planted(base=lambda prompt, answer: 8.0 / (len(answer) + 1))
    score = routing.grade(flat, held_out(per_slice=8))[0]
    assert set(score.numerators) <= {0.0, 0.25, 0.5, 1 / 3, 1.0}
    assert score.mean < 0.6


def test_a_model_that_says_nothing_finite_scores_nan(planted):
    for score in routing.grade(planted(base=lambda p, a: math.nan), held_out(per_slice=8)):
        assert math.isnan(score.mean)


def test_no_items_give_an_empty_score(planted):
    model = planted(base=lambda p, a: 1.0)
    assert [math.isnan(score.mean) for score in (*routing.grade(model, []), *perplexity.grade(model, []))] == [
        True
    ] * 3
