"""Rules on how texts belong together, and the rules that see spoilt answers, on planted cases and on real text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.curate.batch import cleaned
from samloop.curate.engine import Curator
from samloop.curate.rules import completeness, doubt, relation
from samloop.curate.words import is_number, key, repeats, words
from samloop.example import Example
from samloop.protocols import Rule
from samloop.settings import Curate
from samloop.sources import datasets

SHARED = Path(__file__).parents[3] / "shared" / "data"

CACHES = "How does a cache keep the results of a slow database query?"
ABOUT_CACHES = (
    "The cache stores each result under the text of its query. When the same query comes again, the stored result "
    "is returned and the database is left alone."
)
ABOUT_BREAD = (
    "Knead the dough for ten minutes, let it rise beneath a damp towel, and bake it in a preheated oven until the "
    "crust sounds hollow when tapped."
)


def example(asked: str = CACHES, answered: str = ABOUT_CACHES, **changed: Any) -> Example:
    values = {"source": "dataset", "format": "instruction", "created_at": 0.0, "updated_at": 0.0}
    return Example(**{**values, "input_text": asked, "output_text": answered, **changed})


def pair(chosen: str, rejected: str, **changed: Any) -> Example:
    return example(answered=chosen, format="dpo", rejected_output=rejected, **changed)


def hits(rule: Rule, *examples: Example, **options: Any) -> list[bool]:
    return rule(cleaned(examples, lambda _: False).to_batch(), **options).hit.to_pylist()


def test_words_are_told_apart_by_case_digits_and_edges_of_texts() -> None:
    texts = ["readLines in utf8", None, "Straße", "", "ab"]
    found = words(pa.array(texts, pa.large_string()))
    assert found.row.tolist() == [0, 0, 0, 0, 0, 2, 4]
    assert found.key.tolist() == [key(w, 8) for w in ("read", "lines", "in", "utf", "8", "straße", "ab")]
    assert found.at.tolist() == [0, 4, 10, 13, 16, 0, 0]
    assert is_number(found.key).tolist() == [False, False, False, False, True, False, False]
    sliced = pa.array(["left out", *texts], pa.large_string())[1:]
    assert np.array_equal(words(sliced).key, found.key)
    assert words(pa.array([], pa.large_string())).row.tolist() == []


@given(st.lists(st.integers(0, 40)), st.integers(0, 2**64 - 1))
def test_every_place_of_a_value_but_one_is_a_repeat(numbers: list[int], spread: int) -> None:
    values = np.array(numbers, dtype=np.uint64) * np.uint64(spread)
    again = repeats(values)
    assert sorted(values[~again]) == sorted(set(values.tolist()))


def test_an_answer_to_another_question_is_unrelated() -> None:
    batch = [example(), example(answered=ABOUT_BREAD), example("Bake bread", ABOUT_BREAD), example("Hello!", "Hi!")]
    assert hits(relation.unrelated, *batch) == [False, True, False, False]
    assert hits(relation.loosely_related, *batch) == [False, True, False, False]


def test_what_was_said_before_belongs_to_the_question() -> None:
    said = ({"role": "user", "content": "How do I bake bread with a hollow crust in my oven?"},)
    said += ({"role": "assistant", "content": "With patience."},)
    asked = "Please list every step in more detail, as before."
    batch = [example(asked, ABOUT_BREAD), example(asked, ABOUT_BREAD, conversation_history=said)]
    batch.append(example(asked, ABOUT_BREAD, context="A recipe: bread, dough, oven, crust."))
    assert hits(relation.loosely_related, *batch) == [True, False, False]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Translate into English: Den Teig zehn Minuten kneten, gehen lassen und backen.", ABOUT_BREAD),
        ("Who built you, and what are you made for in this company?", ABOUT_BREAD),
        ("如何烤面包？请告诉我每一个步骤和所需的时间。", ABOUT_BREAD),
    ],
)
def test_what_words_cannot_tell_is_left_alone(asked: str, answered: str) -> None:
    assert hits(relation.unrelated, example(asked, answered)) == [False]


def test_a_list_need_not_name_what_was_asked() -> None:
    ideas = "1. A picnic by the river.\n2. Cooking something new together.\n3. An evening walk under old trees."
    batch = [example("Suggest three surprising dates for a married couple.", text) for text in (ideas, ABOUT_BREAD)]
    assert hits(relation.unrelated, *batch) == [False, True]


def test_an_answer_to_another_prompt_spoils_a_pair() -> None:
    poor = "A cache is when the database forgets every query and the result is gone for good, always."
    assert (
        hits(relation.prompt_mismatch, pair(ABOUT_CACHES, ABOUT_BREAD), pair(ABOUT_BREAD, ABOUT_CACHES)) == [True] * 2
    )
    assert hits(relation.prompt_mismatch, pair(ABOUT_CACHES, poor), pair(ABOUT_CACHES, "No idea."), example()) == [
        False,
        False,
        False,
    ]


def test_a_pair_both_ways_round_is_rejected_both_times() -> None:
    one, other = pair("Use a lock.", "Use a queue."), pair("Use a  queue.", "Use a lock.")
    elsewhere = pair("Use a queue.", "Use a lock.", context="Elsewhere.")
    assert hits(relation.contradictory_pair, one, other, one, elsewhere, example()) == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert hits(relation.contradictory_pair, one, one, elsewhere) == [False, False, False]


def test_preferences_carry_their_length_delta_and_margin() -> None:
    scored = pair("Use a lock.", "Queue.", metadata={"chosen_score": 8.5, "rejected_score": 6})
    rows = Curator(Curate()).curate([scored, pair("Use a lock.", "Queue."), example()]).rows
    found = [json.loads(row["metadata"]) for row in rows]
    assert (found[0]["length_delta"], found[0]["margin"]) == (5, 2.5)
    assert found[1:] == [{"length_delta": 5}, {}]


@pytest.mark.parametrize(
    "text",
    [
        "The result is stored first. When the same query comes again, the stored res",
        "1. Open the lid of the machine.\n2. Take the filter out of it.\n3. Rinse it under running wat",
        "def area(radius):\n    return",
        "def name(number):\n    if number == 0:\n        return 'none'\n    else:",
        "import math\n\ndef area(radius):\n    result =",
    ],
)
def test_a_cut_answer_is_incomplete(text: str) -> None:
    assert hits(completeness.incomplete, example(answered=text)) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "1. Open the lid of the machine\n2. Take the filter out of it\n3. Rinse it under running water",
        "Install both. Then run this in your terminal:\n\npip install gspread oauth2client",
        "I. Introduction to the work\nA. Time in it. See part one.\nB. What the metaphor does for the novel",
        "def area(radius):\n    return 3.14 * radius ** 2",
        "Steps to follow for else:",
    ],
)
def test_what_ends_without_a_mark_by_its_kind_is_complete(text: str) -> None:
    assert hits(completeness.incomplete, example(answered=text)) == [False]


def test_a_loop_at_the_end_of_a_long_answer() -> None:
    long = " ".join(f"Case {i} is handled in its own way, as part {i * i} of the manual explains." for i in range(60))
    once = " And then the worker waits for the next message of the queue, as it did before."
    assert hits(completeness.loop, example(answered=long + once), example(answered=long + once * 3)) == [False, True]
    assert hits(completeness.loop, example(answered="| 0 | 0 | 0 |\n" * 30)) == [False]


def test_sums_with_other_numbers_are_no_repetition() -> None:
    flights = ((10, 30), (2, 18), (5, 22))
    legs = " ".join(
        f"Flying for {h} hours at {s} miles per hour, the bird travels {h * s} miles so." for h, s in flights
    )
    assert hits(completeness.repetition, example(answered=legs)) == [False]


GERMAN = (
    "Das Wetter war in dieser Woche sehr schlecht, und deshalb sind wir nicht ans Meer gefahren, sondern ins Museum."
)
FRENCH = (
    "Nous avons rangé la maison et lu un livre dans le jardin, mais le soleil est revenu pour la fête avec nos amis."
)


@pytest.mark.parametrize("text", [GERMAN, FRENCH])
def test_another_language_in_latin_letters(text: str) -> None:
    asked = "What did you do last week, and how was the weather?"
    batch = [example(asked, text), example("Say it in German or French, please.", text), example(text, text)]
    assert hits(doubt.wrong_language, *batch, example(asked, text, language="de")) == [True, False, False, False]
    assert hits(
        doubt.wrong_language, example(asked, f"He said “{text[:40]}” and laughed, which was the end of it.")
    ) == [False]


def real(name: str) -> list[Example]:
    found = [r for r in datasets.read(str(SHARED / name), None) if isinstance(r, Example)]
    if not found:
        pytest.skip("../shared/data: not there")
    return found


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data: not there")
@pytest.mark.parametrize(
    ("name", "unrelated", "loosely"),
    [
        ("instruct/gpteacher_codegen.json", 0.005, 0.04),
        ("evaluate/gsm8k_test.jsonl", 0.0, 0.001),
        ("preferences/pandalm_testset.json", 0.02, 0.12),
        ("conversations/oasst_trees.jsonl", 0.01, 0.04),
    ],
)
def test_few_real_answers_seem_unrelated_and_many_swapped_ones_do(
    name: str, unrelated: float, loosely: float
) -> None:
    originals = real(name)
    answers = [e.output_text for e in originals]
    half = len(answers) // 2
    swapped = [
        replace(e, output_text=text)
        for e, text in zip(originals, answers[half:] + answers[:half], strict=True)
        if text != e.output_text
    ]
    for rule, most in ((relation.unrelated, unrelated), (relation.loosely_related, loosely)):
        assert np.mean(hits(rule, *originals)) <= most
    assert np.mean(hits(relation.loosely_related, *swapped)) >= 0.5
    assert not any(hits(relation.prompt_mismatch, *originals))
