"""The learnt models: planted pairs and cuts, the same answer alone and among others, weights with their card."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop.curate.batch import cleaned
from samloop.curate.learned import ending
from samloop.curate.learned.weights import FILE, layer, quantised, weights
from samloop.curate.rules import learned
from samloop.example import Example

TEXTS = Path(__file__).parents[2] / "scripts" / "quality_texts.toml"

PAIRS = [
    (
        "How do I bake a simple apple cake?",
        "Peel four apples, mix butter, sugar, flour and eggs, and bake it for an hour.",
    ),
    (
        "Write a Python function that returns the largest number of a list.",
        "def largest(numbers):\n    return max(numbers)",
    ),
    ("Who wrote the play Hamlet, and when?", "Hamlet was written by William Shakespeare around the year 1600."),
    (
        "Why does my bicycle chain squeak?",
        "A dry chain squeaks. Clean the bicycle's chain and put some oil on its links.",
    ),
    (
        "Give three tips for saving money on groceries.",
        "Plan your meals, buy groceries in season, and compare prices.",
    ),
    ("What is the capital of Kenya?", "Nairobi is the capital of Kenya."),
    (
        "Explain how vaccines protect people from disease.",
        "A vaccine shows the immune system a harmless part of a virus.",
    ),
    ("How many legs do two spiders and a dog have?", "Two spiders have 16 legs, a dog has 4 legs, so it is 20 legs."),
]

WHOLE = [
    "Peel four apples and mix butter, sugar and eggs. Bake it for an hour at 180 degrees. Let it cool.",
    "def largest(numbers):\n    best = numbers[0]\n    for n in numbers:\n        best = max(best, n)\n    print()",
    "- Plan your meals for the whole week\n- Buy vegetables in season\n- Compare the prices of two shops",
    "There are 3 * 4 = 12 eggs in the boxes.\nShe sells 12 - 2 = 10 eggs.\n#### 10",
    "```python\nwith open(path) as file:\n    print(file.read())\n```",
    '{"name": "Ada", "born": 1815, "fields": ["mathematics", "computing"]}',
]

CUT = [
    "Peel four apples and mix butter, sugar and eggs. Bake it for an hour at 180 degr",
    "def largest(numbers):\n    best = numbers[0]\n    for n in numb",
    "- Plan your meals for the whole week\n- Buy vegetables in season\n- Compare the prices of tw",
    "There are 3 * 4 = 12 eggs in the boxes.\nShe sells 12 - 2 =",
    "```python\nwith open(path) as file:\n    print(fi",
    '{"name": "Ada", "born": 1815, "fields": ["mathema',
]


def batch_of(pairs: Sequence[tuple[str, str]], **changed: Any) -> pa.RecordBatch:
    values = {"source": "dataset", "format": "instruction", "created_at": 0.0, "updated_at": 0.0, **changed}
    return cleaned([Example(input_text=q, output_text=a, **values) for q, a in pairs], lambda _: False).to_batch()


def measured(rule: Any, pairs: Sequence[tuple[str, str]], **changed: Any) -> list[float]:
    found: list[float] = rule(batch_of(pairs, **changed)).measure.to_pylist()
    return found


def test_an_answer_to_its_own_question_is_likelier_than_to_any_other() -> None:
    for at, (question, _) in enumerate(PAIRS):
        chances = measured(learned.misfit, [(question, answer) for _, answer in PAIRS])
        assert min(chances) == chances[at], question
        assert chances[at] < 0.6, question
    swapped = [(q, PAIRS[at - 3][1]) for at, (q, _) in enumerate(PAIRS)]
    assert np.mean(measured(learned.misfit, swapped)) > 0.7


@pytest.mark.parametrize(("whole", "cut"), [*zip(WHOLE, CUT, strict=True)])
def test_a_cut_answer_is_told_from_the_whole_one(whole: str, cut: str) -> None:
    of_whole, of_cut = measured(learned.unfinished, [("Go on.", whole), ("Go on.", cut)])
    assert of_cut > 0.7
    assert of_whole < min(0.6, of_cut - 0.3)


def test_a_label_is_never_flagged_as_a_misfit_but_measured() -> None:
    asked = "Guess from these details of a career in ice hockey who this is about: height, league, draft, team."
    found = learned.misfit(
        batch_of([(asked, "brown bread"), (asked, "Preheat the oven and butter the tin.")]), chance=0.5
    )
    assert found.hit.to_pylist() == [False, True]
    assert min(found.measure.to_pylist()) > 0.5


@pytest.mark.parametrize("asked", ["Translate into German: the weather is fine today.", "Who created you, and when?"])
def test_what_shares_no_words_with_its_question_by_nature_is_not_judged(asked: str) -> None:
    assert measured(learned.misfit, [(asked, "Das Wetter ist heute wirklich sehr gut.")]) == [0.0]


@pytest.mark.parametrize("source", ["git_commits", "code_patterns"])
def test_what_a_program_paired_is_not_judged(source: str) -> None:
    pairs = [("Write the message for this commit.", "Prove that collecting counts every record once, with and")]
    assert (
        measured(learned.misfit, pairs, source=source) == measured(learned.unfinished, pairs, source=source) == [0.0]
    )
    assert measured(learned.unfinished, pairs)[0] > 0.9


@pytest.mark.parametrize("text", ["", "Yes", "Paris\n", "It is done.", "x" * 39])
def test_what_is_short_or_closed_is_not_taken_for_cut(text: str) -> None:
    assert measured(learned.unfinished, [("Why?", text)]) == [0.0]


WILD = st.one_of(
    st.text(max_size=80),
    st.sampled_from([*WHOLE, *CUT, *(t for pair in PAIRS for t in pair), "\ud83d\ude00" * 30, "é" * 90, "((((" * 20]),
)


@settings(deadline=None, max_examples=60)
@given(pairs=st.lists(st.tuples(WILD, WILD), min_size=1, max_size=700 // 50))
def test_an_example_is_judged_the_same_alone_and_among_others(pairs: list[tuple[str, str]]) -> None:
    for rule in (learned.misfit, learned.unfinished):
        together = measured(rule, pairs)
        assert together == [measured(rule, [pair])[0] for pair in pairs]
        assert all(0 <= one <= 1 for one in together)


def test_more_rows_than_a_chunk_are_judged_alike() -> None:
    pairs = PAIRS * 90
    assert measured(learned.misfit, pairs) == measured(learned.misfit, PAIRS) * 90


def test_a_layer_is_a_matrix_product() -> None:
    generator = np.random.default_rng(0)
    found, factors, start = generator.normal(size=(5, 7)), generator.normal(size=(7, 3)), generator.normal(size=3)
    assert layer(found, factors, start) == pytest.approx(found @ factors + start)


def test_quantised_arrays_come_back_within_half_a_step() -> None:
    plain = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    kept = quantised("a.b", plain)
    assert kept["a.b"].dtype == np.int8
    assert np.abs(kept["a.b"] * kept["a.b.scale"] - plain).max() <= kept["a.b.scale"][0] / 2 + 1e-6


def test_the_weights_are_small_and_their_card_names_each_text_with_its_licence() -> None:
    assert FILE.stat().st_size < 500_000
    assert {"asked", "answered", "rarity", "inner"} <= set(weights("belonging"))
    card = FILE.with_name("README.md").read_text(encoding="utf-8")
    for text in tomllib.loads(TEXTS.read_text(encoding="utf-8"))["text"]:
        assert f"| {text['title']} |" in card
        assert f"| {text['licence']} |" in card


def test_a_million_combining_characters_and_an_endless_word_are_survived() -> None:
    texts = ["e" + "\u0301\u0323" * 500_000, "a" * 1_000_000, "(" * 1_000_000]
    assert all(0 <= one <= 1 for one in measured(learned.misfit, [("What is it?", text) for text in texts]))
    assert len(ending.unfinished(texts)) == 3
