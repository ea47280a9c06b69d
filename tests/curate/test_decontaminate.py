"""Decontamination on planted items: whole, half, changed, short; in every field; the same in bulk and one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from samloop.curate.batch import cleaned
from samloop.curate.decontaminate import REASON, Decontaminator, item_text
from samloop.curate.engine import Curator
from samloop.example import Example
from samloop.settings import Curate

ITEM = (
    "A baker sells twelve loaves in the morning and three times as many in the afternoon. "
    "How many loaves does the baker sell on that day in all?"
)
WORDS = ITEM.split()
SHORT = "Name the capital of Peru."
ANSWER = "The answer follows from adding both halves of the day, which gives a number that is easily checked."


def example(
    asked: str = "How do I add two numbers by hand on paper?", answered: str = ANSWER, **changed: Any
) -> Example:
    values = {"source": "dataset", "format": "instruction", "created_at": 0.0, "updated_at": 0.0}
    return Example(**{**values, "input_text": asked, "output_text": answered, **changed})


def shares(*examples: Example, items: tuple[str, ...] = (ITEM, SHORT), suite: str = "quiz") -> list[float]:
    share, _ = Decontaminator({suite: items}).contained(cleaned(examples, lambda _: False).to_batch())
    return share.tolist()


def test_a_planted_item_is_found_in_every_field_whatever_its_case_and_punctuation() -> None:
    shouted = f"Please solve: {ITEM.upper().replace('.', ' --')} Thanks!"
    planted = [
        example(shouted),
        example(answered=f"Question: {ITEM}\nAnswer: 48"),
        example(context=ITEM),
        example(system_prompt=ITEM),
        example(format="dpo", rejected_output=ITEM),
        example(conversation_history=({"role": "user", "content": ITEM}, {"role": "assistant", "content": "48"})),
    ]
    assert shares(*planted, example()) == [1.0] * 6 + [0.0]


@pytest.mark.parametrize(("taken", "contained"), [(len(WORDS), True), (15, True), (14, False), (7, False)])
def test_more_than_half_of_the_words_count(taken: int, contained: bool) -> None:
    assert len(WORDS) == 28
    (share,) = shares(example(" ".join(WORDS[:taken]) + " unless it rains?"))
    assert share == (taken / 28 if taken >= 8 else 0)
    assert (share > 0.5) is contained


def test_an_n_gram_does_not_reach_from_one_text_into_the_next() -> None:
    assert shares(example(" ".join(WORDS[:6]), " ".join(WORDS[6:12]))) == [0.0]


def test_a_changed_word_breaks_only_the_n_grams_around_it() -> None:
    changed = [*WORDS]
    changed[3] = "forty"
    assert shares(example(" ".join(changed))) == [24 / 28]


def test_a_short_item_counts_only_as_the_whole_input() -> None:
    found = shares(example(SHORT.lower()), example("Name the capital of Peru and of Chile, please."), example())
    assert found == [1.0, 0.0, 0.0]


def test_no_items_and_empty_ones_find_nothing() -> None:
    assert shares(example(ITEM), items=()) == [0.0]
    assert len(Decontaminator({"quiz": ["", "  ", ITEM, ITEM]})) == 1


def test_the_source_of_a_suite_keeps_its_items_back_itself() -> None:
    own = example(ITEM, source="routing")
    assert shares(own, example(ITEM), example(SHORT, source="routing"), suite="routing") == [0.0, 1.0, 0.0]


def test_the_index_names_the_item_among_many() -> None:
    items = tuple(" ".join(f"word{(i * 31 + k * 7) % 997}x" for k in range(20)) for i in range(500))
    which = Decontaminator({"quiz": items}).contained(
        cleaned([example(items[i]) for i in (3, 77, 499)], lambda _: False).to_batch()
    )[1]
    assert which.tolist() == [3, 77, 499]


def test_curation_rejects_counts_and_logs_it_the_same_in_bulk_and_alone() -> None:
    curator = Curator(Curate(), items={"quiz": (ITEM,)})
    batch = [example(ITEM), example(), example("And this?", ITEM)]
    curated = curator.curate(batch)
    assert [row["state"] for row in curated.rows] == ["rejected", "accepted", "rejected"]
    assert curated.rows[0]["reason"] == REASON
    assert {"rule": "decontaminate", "outcome": "reject", "measure": 1.0} in json.loads(curated.rows[0]["flags"])
    assert [(e["rule"], e["measure"]) for e in curated.log if e["reason"] == REASON] == [("decontaminate", 1.0)] * 2
    assert [curator.curate([one]).rows[0] for one in batch] == list(curated.rows)
    assert Curator(Curate()).curate(batch).rows[0]["state"] == "accepted"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"task": "a", "messages": []}, "a"),
        ({"question": "b", "answer": "x"}, "b"),
        ({"prompt": "c"}, "c"),
        ({"turns": ["d", "e"]}, "d\ne"),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "f"}]}, "f"),
        ({"answer": "x"}, ""),
        ({"turns": [1], "messages": "g"}, ""),
    ],
)
def test_what_an_item_asks(item: dict[str, Any], text: str) -> None:
    assert item_text(item) == text


def test_time_is_linear_in_the_hits() -> None:
    many = example("alpha beta gamma delta epsilon zeta eta theta " * 3000)
    share = shares(many, items=("alpha beta gamma delta epsilon zeta eta theta " * 3,))
    assert np.isfinite(share).all()
    assert share == [1.0]
