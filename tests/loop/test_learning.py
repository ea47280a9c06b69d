"""The learning report: each correction has an outcome, and what was not learnt has its true reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from samloop.curate.preference import OPPOSITE
from samloop.example import Example
from samloop.home import Home
from samloop.loop.context import Context
from samloop.loop.learning import learn
from samloop.loop.learning_text import learning_lines
from samloop.loop.prepare import prepare
from samloop.loop.suite_items import items_for
from samloop.prepare.dataset import Dataset
from samloop.protocols import Score
from samloop.recipe import Recipe
from samloop.store import Store
from samloop.text.corrections import Correction

SETTINGS = {
    "train": {"model": "pocket", "max_seq_tokens": 160},
    "prepare": {"valid_share": 0.01, "test_share": 0.01, "sources": ["user_correction", "user_preference", "manual"]},
}
WRONG = "Use pip in a shell of your own for that, as everybody does."


def pair(name: str, right: str | None = None, wrong: str = WRONG, **changes: Any) -> Example:
    asked = changes.pop("asked", f"How do I install the {name} on a new machine?")
    correct = right or f"Run uv add {name} in the folder of the {name}, then commit its lock file."
    parent = Correction(incorrect=wrong, correct=correct, asked=asked).parent
    values: dict[str, Any] = {
        "source": "user_correction",
        "format": "dpo",
        "input_text": asked,
        "output_text": correct,
        "rejected_output": wrong,
        "parent_id": parent,
        "group_key": parent,
        "quality_tier": "gold",
        "state": "accepted",
        "reason": None,
        "created_at": 1000.0,
    }
    return Example(**{**values, **changes}).sealed()


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    with Store.open(Home(home)) as store:
        yield Context(Home(home), Recipe.parse(SETTINGS), store, home)


def graded(context: Context, dataset: Dataset, margins: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """An evaluation in which the margins of each pair, before and after, are as planted; 0.1 and 0.2 elsewhere."""
    items = items_for(context, "corrections", dataset)
    asked = [one for one in items if one["slice"] == "held out"]
    sources = [one for one in items if one["slice"] == "source"]

    def scores(side: int) -> list[Score]:
        found = [margins.get(one["id"].partition("-")[0], (0.1, 0.2))[side] for one in asked]
        drop = [3.0 - 2.0 * side] * len(sources)
        return [
            score("corrections_margin", asked, found),
            score("corrections_produced", asked, [float(value > 0.5) for value in found]),
            score("corrections_source_loss", sources, drop),
        ]

    return {"challenger": "new", "champion": "base", "scores": {"base": scores(0), "new": scores(1)}}


def score(name: str, items: Sequence[dict[str, Any]], values: Sequence[float]) -> Score:
    return Score(
        suite="corrections",
        name=name,
        unit="nats",
        better="higher",
        ids=tuple(one["id"] for one in items),
        numerators=tuple(values),
        denominators=(1.0,) * len(items),
    )


def report(context: Context, examples: Sequence[Example], margins: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The learning report, with its rows by id."""
    context.store.add_examples(examples)
    dataset = prepare(context)
    learning = learn(context, graded(context, dataset, margins), dataset)
    assert learning is not None
    return {**learning, "by_id": {row["example_id"]: row for row in learning["corrections"]}}


def test_outcomes_follow_the_margins_before_and_after(context: Context) -> None:
    learnt, known, failed = pair("parser"), pair("cache"), pair("reader")
    planted = {learnt.id: (-0.4, 0.8), known.id: (0.3, 0.6), failed.id: (-0.5, -0.2)}
    found = report(context, [learnt, known, failed], planted)
    assert found["counts"] == {"learnt": 1, "known before": 1, "not measured": 0, "not learnt": 1, "not trained": 0}
    row = found["by_id"][learnt.id]
    assert (row["outcome"], row["base_margin_nats"], row["margin_nats"]) == ("learnt", -0.4, 0.8)
    assert (row["said_share"], row["reason"]) == (1.0, None)
    kept = {row["example_id"]: row["outcome"] for row in context.store.learnt_of("new")}
    assert kept == {learnt.id: "learnt", known.id: "known before", failed.id: "not learnt"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "rejected", "reason": "input is empty"}, "rejected: input is empty"),
        ({"state": "rejected", "reason": OPPOSITE}, f"contradicted: {OPPOSITE}"),
        (
            {"state": "rejected", "reason": "withdrawn: the user corrected this answer"},
            "contradicted: withdrawn: the user corrected this answer",
        ),
        ({"state": "review", "reason": "refusal"}, "waits for a person in review: refusal"),
        ({"quality_tier": "unverified"}, "not admitted: prepare.tiers does not list unverified"),
        ({"source": "sam_home"}, "not admitted: prepare.sources does not list sam_home"),
        ({"right": "Say this. " * 300}, "over length: it does not fit train.max_seq_tokens"),
        ({"wrong": "Say that. " * 300}, "over length: the wrong answer does not fit"),
    ],
)
def test_what_was_not_trained_or_measured_says_why(context: Context, changes: dict[str, Any], reason: str) -> None:
    other = pair("reader", **changes)
    row = report(context, [pair("parser"), other], {})["by_id"][other.id]
    assert row["outcome"] == ("not measured" if "wrong" in changes else "not trained")
    assert row["reason"].startswith(reason)


def test_a_correction_held_out_by_the_split_says_so(context: Context) -> None:
    examples = [pair(f"device number {number}") for number in range(60)]
    context = Context(
        context.home, context.recipe.changed(prepare={"test_share": 0.3}), context.store, context.folder
    )
    found = report(context, examples, {one.id: (-0.5, -0.1) for one in examples})
    reasons = {row["reason"] for row in found["corrections"] if row["outcome"] == "not trained"}
    assert "held out: the split keeps it for the test" in reasons


def test_a_later_correction_of_the_same_question_contradicts_the_earlier_one(context: Context) -> None:
    earlier = pair("parser", right="Ask the people of the second floor to do it.")
    later = pair("parser", right="Run make install as root in the cellar.", created_at=2000.0)
    found = report(context, [earlier, later], {earlier.id: (-0.5, -0.2), later.id: (-0.5, 0.4)})
    assert found["by_id"][earlier.id]["reason"].startswith("contradicted: another one gives the same question")
    assert later.id in found["by_id"][earlier.id]["reason"]
    assert found["by_id"][later.id]["outcome"] == "learnt"


def test_what_was_trained_and_not_learnt_is_too_rare_outvoted_or_neither(context: Context) -> None:
    rare = pair("parser", wrong="Take the stairs to the attic and ring the bell.")
    of_rare = {"parent_id": rare.parent_id, "group_key": rare.group_key, "rejected_output": None}
    told = pair("parser", asked="SAM said: take the stairs. This was wrong.", format="chat", **of_rare)
    common = [
        pair(name, right="Read the page on installing in the guide.", wrong="Call somebody of the night shift.")
        for name in ("cache", "index", "engine")
    ]
    loud = "Open the box, and press the red button twice."
    outvoted = pair("reader", right="Ask Ada of the second floor.", wrong=loud)
    wrong = [
        Example(
            source="manual",
            format="instruction",
            input_text=f"What is to be done when lamp {number} is lit?",
            output_text=loud,
            quality_tier="gold",
            state="accepted",
            reason=None,
        ).sealed()
        for number in range(5)
    ]
    missed = {one.id: (-0.5, -0.2) for one in [rare, outvoted, *common]}
    found = report(context, [rare, told, outvoted, *common, *wrong], missed)["by_id"]
    assert found[rare.id]["reason"].startswith("too rare")
    assert found[outvoted.id]["reason"].startswith("outvoted: 5 other questions")
    assert found[common[0].id]["reason"].startswith("trained, yet not learnt: 2 other questions")


def test_a_correction_without_its_question_cannot_be_asked(context: Context) -> None:
    dialogue = pair("parser", asked="SAM said: no. This was wrong.", format="chat", rejected_output=None)
    row = report(context, [pair("cache"), dialogue], {})["by_id"][dialogue.id]
    assert (row["outcome"], row["items"]) == ("not measured", 0)
    assert row["reason"].startswith("trained, but nothing can be asked")


def test_the_examples_that_taught_it_come_first_and_the_text_names_them(context: Context) -> None:
    examples = [pair("parser"), pair("cache", right="Read the page on caches, and wait for the bell.")]
    noise = [
        Example(
            source="manual",
            format="instruction",
            input_text=f"What does device number {number} do?",
            output_text=f"It counts to {number} and rests.",
            quality_tier="gold",
            state="accepted",
            reason=None,
        ).sealed()
        for number in range(20)
    ]
    found = report(context, [*examples, *noise], {one.id: (-0.5, 0.5) for one in examples})
    assert {one["example_id"] for one in found["moved"][:2]} == {one.id for one in examples}
    assert all(one["towards"] and one["loss_drop_nats"] == 2.0 for one in found["moved"])
    text = "\n".join(learning_lines(found))
    assert "2 corrections and preferences: 2 learnt" in text
    assert "(-0.50 → +0.50 nats)" in text
    assert all(one.id in text for one in examples)


def test_nothing_is_reported_where_nothing_was_corrected(context: Context) -> None:
    example = pair("parser", source="manual", format="instruction", rejected_output=None, parent_id=None)
    context.store.add_examples([example])
    dataset = prepare(context)
    empty: dict[str, Any] = {"challenger": "new", "champion": "base", "scores": {"base": [], "new": []}}
    assert learn(context, empty, dataset) is None


def test_nothing_is_reported_where_the_suite_is_not_asked(context: Context) -> None:
    context.store.add_examples([pair("parser")])
    dataset = prepare(context)
    evaluation = graded(context, dataset, {})
    recipe = context.recipe.changed(evaluate={"suites": ["perplexity"]})
    assert learn(Context(context.home, recipe, context.store, context.folder), evaluation, dataset) is None
    assert learn(context, evaluation, dataset) is not None
