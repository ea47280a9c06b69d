"""What is held out for good never trains, over ten turns and whatever people say meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import samloop
from samloop.home import Home
from samloop.loop.capture import record
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.held_out import ASKED_BEFORE, ASKED_BY_A_PERSON, PER_PAIR
from samloop.loop.near import forget
from samloop.loop.prepare import prepare
from samloop.loop.suite_items import items_for
from samloop.recipe import Recipe
from samloop.store import Filters, Store
from samloop.text.captured import exchange
from samloop.text.rewording import rewordings
from teacher_server import serving

SETTINGS = {"train": {"model": "pocket", "max_seq_tokens": 256}, "collect": {"workers": 0}}
NAMES = (
    "parser cache reader writer index engine gears filter router ledger planner timer mixer sensor viewer "
    "server client worker folder record mirror anchor bridge carrier painter printer scanner folio drawer column"
).split()


@pytest.fixture
def opened(home: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def open_with(**recipe: Any) -> Context:
            store = stack.enter_context(Store.open(Home(home)))
            return Context(Home(home), Recipe.parse({**SETTINGS, **recipe}), store, home)

        yield open_with


def correct(context: Context, name: str, asked: str | None = None, right: str | None = None) -> None:
    samloop.capture_correction(
        asked or f"How do I install the {name} on a new machine?",
        f"Just use pip to install the {name}, as everybody does it these days.",
        right or f"Run uv add {name} in the folder of the project, then commit the lock file with it.",
        context=context,
    )


def ask(context: Context, text: str, number: int) -> None:
    """An exchange that went well, which the next collection takes in."""
    answer = f"Look at page {number} of the guide: it tells each step in order, with the commands that it takes."
    record(context, "captures", [exchange(text, answer)])


def turn(context: Context) -> Any:
    collect(context)
    return prepare(context)


def said_in(path: Path) -> list[str]:
    """Everything users ask in what trains and validates."""
    texts = [(path / f"{name}.jsonl").read_text() for name in ("train", "valid")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return [turn["content"] for line in lines for turn in line["messages"] if turn["role"] == "user"]


def plain(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


def alike(one: list[str], other: list[str]) -> float:
    """The Jaccard index of sequences of three words, which is 1 for the same words."""
    runs = [{tuple(text[at : at + 3]) for at in range(max(1, len(text) - 2))} for text in (one, other)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def in_force(context: Context) -> dict[str, str]:
    """Text and original question of what is held out."""
    asked = {one.id: one.input_text for one in context.store.select(Filters(formats=("dpo",)))}
    return {row["text"]: asked[row["example_id"]] for row in context.store.held_out() if not row["retired"]}


def assert_no_leak(context: Context, paths: list[Path]) -> int:
    """Compared by means of its own, text by text; how many comparisons of held-out with trained texts were made."""
    compared = 0
    for path in paths:
        asked = [(plain(text), text) for text in set(said_in(path))]
        for text, original in in_force(context).items():
            held = plain(text)
            for said, shown in asked:
                compared += 1
                assert said != held, (path, shown)
                assert said == plain(original) or alike(said, held) < 0.8, (path, shown, text)
    return compared


def test_ten_turns_never_train_on_what_is_held_out(opened: Any) -> None:
    context = opened()
    later = "How do I install the painter on a new machine?"
    paths: list[Path] = []
    for night in range(10):
        for name in NAMES[night * 3 : night * 3 + 3]:
            correct(context, name)
        held = sorted(in_force(context))
        ask(context, f"What is to be read on day {night} by everybody?", night)
        if night == 1:  # long before the correction comes whose first rewording it is
            ask(context, rewordings(later)[0], 90)
        for text in held[night::11]:
            ask(context, text, night)
            ask(context, f"Hello! {text.upper()}", night + 20)
            talk = [
                {"role": "user", "content": text},
                {"role": "assistant", "content": "Which machine do you mean, the one in the cellar or upstairs?"},
                {"role": "user", "content": f"The one upstairs, on day {night}, if you please."},
            ]
            ask(context, talk, night + 40)  # type: ignore[arg-type]
        paths.append(turn(context).path)
        assert assert_no_leak(context, paths) > 0
    asked = [example.input_text for example in context.store.select(Filters(states=("accepted",)))]
    sent = {text for text in in_force(context) if text in asked}
    assert len(sent) >= 5, "no held-out text was sent, so nothing was proven"
    manifest = json.loads((paths[-1] / "manifest.json").read_text())
    assert manifest["left_out"]["held_out"]["conversation_capture"] >= 3 * len(sent) - 5
    rows = context.store.held_out()
    assert len([row for row in rows if not row["retired"]]) == 30 * PER_PAIR
    assert [row["text"] for row in rows if row["retired"] == ASKED_BEFORE] == [rewordings(later)[0]]


def test_what_is_held_out_stays_the_same_from_turn_to_turn(opened: Any) -> None:
    context = opened()
    correct(context, "parser")
    turn(context)
    before = context.store.held_out()
    correct(context, "cache")
    turn(context)
    assert [
        row for row in context.store.held_out() if row["question_id"] in {r["question_id"] for r in before}
    ] == before
    assert len(before) == PER_PAIR


def test_a_correction_of_a_held_out_question_trains_and_the_question_tests_nothing_any_more(opened: Any) -> None:
    context = opened(prepare={"valid_share": 0.01, "test_share": 0.01})
    correct(context, "parser")
    first = turn(context)
    held = next(iter(in_force(context)))
    assert held in {one["messages"][-1]["content"] for one in items_for(context, "corrections", first)}
    correct(context, "parser", asked=held, right="Ask the people of the second floor to install the parser there.")
    second = turn(context)
    assert held in said_in(second.path)
    assert held not in {
        one["messages"][-1]["content"]
        for one in items_for(context, "corrections", second)
        if one["slice"] == "held out"
    }
    assert {row["retired"] for row in context.store.held_out() if row["text"] == held} == {ASKED_BY_A_PERSON}
    assert_no_leak(context, [first.path, second.path])


def test_replayed_exchanges_are_checked_as_well(opened: Any, tmp_path: Path) -> None:
    asked = "How do I install the parser on a new machine?"
    lines = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "It is done at noon."}]}
        for text in (*rewordings(asked)[:PER_PAIR], "When is the house painted?")
    ]
    (tmp_path / "replay.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    context = opened(prepare={"replay_share": 0.8, "replay_file": str(tmp_path / "replay.jsonl")})
    for name in NAMES[:4]:
        correct(context, name)
    dataset = turn(context)
    assert "When is the house painted?" in said_in(dataset.path)
    assert_no_leak(context, [dataset.path])


def test_held_out_questions_go_with_the_correction(opened: Any) -> None:
    context = opened()
    correct(context, "parser")
    correct(context, "cache")
    turn(context)
    (pair,) = (one for one in context.store.select(Filters(formats=("dpo",))) if "parser" in one.input_text)
    forget(context, [pair.id])
    assert len(context.store.held_out()) == PER_PAIR
    assert all("cache" in row["text"] for row in context.store.held_out())


def test_every_wording_of_a_pair_is_an_item_of_one_group(opened: Any) -> None:
    context = opened(prepare={"valid_share": 0.01, "test_share": 0.4})
    for name in NAMES[:12]:
        correct(context, name)
    dataset = turn(context)
    found = items_for(context, "corrections", dataset)
    assert found == items_for(context, "corrections", dataset)
    of_pair: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        if one["slice"] != "source":
            of_pair.setdefault(one["id"].partition("-")[0], []).append(one)
    train, test = (set(dataset.manifest["ids"][split]) for split in ("train", "test"))
    assert of_pair.keys() & train
    assert of_pair.keys() & test
    for pair, wordings in of_pair.items():
        slices = sorted(one["slice"] for one in wordings)
        own = ["trained wording"] if pair in train else ["held out"] if pair in test else []
        assert slices == sorted(["held out"] * PER_PAIR + own)
        assert len({one["group_key"] for one in wordings}) == 1
        assert len({one["id"] for one in wordings}) == len(wordings)
    assert {one["metadata"]["source"] for one in found if one["slice"] == "source"} >= {"user_correction"}


def test_items_keep_to_their_bound_and_a_store_without_corrections_has_none(opened: Any) -> None:
    context = opened(evaluate={"max_items": 16})
    for number in range(20):
        ask(context, f"Which book is to be read on day {number}?", number)
    assert items_for(context, "corrections", turn(context)) == []
    for name in NAMES[:20]:
        correct(context, name)
    found = items_for(context, "corrections", turn(context))
    assert len(found) == 16
    assert sum(one["slice"] == "held out" for one in found) == 12


def test_the_teacher_rewords_where_the_recipe_says_so_and_only_what_asks_the_same(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    good = "By which steps does the `parser.v2` get onto a new machine?"
    bad = [
        "How is it installed?",
        "Is `parser.v2` installed: run uv add today and commit the lock file",
        "`parser.v2`?",
    ]
    with serving() as server:
        server.answer = lambda said: json.dumps([good, *bad, 7])
        teacher = {"kind": "openai", "model": "m", "base_url": f"{server.url}/v1", "requests_per_day": 1}
        context = opened(teacher=teacher, evaluate={"ask_teacher": True})
        correct(context, "`parser.v2`", right="Run uv add today and commit the lock file.")
        turn(context)
        correct(context, "cache")
        turn(context)
        assert len(server.requests) == 1
    rows = context.store.held_out()
    assert [(row["origin"], row["text"]) for row in rows if row["origin"] == "teacher"] == [("teacher", good)]
    assert len(rows) == 2 * PER_PAIR


def test_what_champions_had_learnt_is_asked_on_when_it_no_longer_trains(opened: Any) -> None:
    context = opened(prepare={"valid_share": 0.01, "test_share": 0.01})
    for name in NAMES[:3]:
        correct(context, name)
    collect(context)
    first, *others = sorted(one.id for one in context.store.select(Filters(formats=("dpo",))))
    prepare(context)
    context.store.add_adapter("a1", slot="main", base="pocket", backend="torch")
    context.store.record_learnt("a1", [{"example_id": id, "outcome": "learnt"} for id in (first, others[0])])
    context.store.update_examples({first: {"quality_tier": "unverified"}})
    assert not any(one.get("kept") for one in items_for(context, "corrections", prepare(context)))
    context.store.set_champion("main", "a1", "better")
    dataset = prepare(context)
    assert first not in dataset.manifest["ids"]["train"]
    kept = [one for one in items_for(context, "corrections", dataset) if one.get("kept")]
    assert sorted(one["id"].partition("-")[0] for one in kept) == sorted([first, others[0]] * PER_PAIR)
    assert {one["slice"] for one in kept} == {"held out"}


def test_a_preference_is_a_test_like_a_correction(opened: Any) -> None:
    context = opened(prepare={"valid_share": 0.01, "test_share": 0.01})
    chosen = "It waits for a full page of rows and then writes them all at once."
    worse = "It writes rows somehow, as far as can be told from the outside."
    samloop.capture_preference("When does the writer write its rows?", chosen, worse, context=context)
    found = items_for(context, "corrections", turn(context))
    asked = [one for one in found if one["slice"] == "held out"]
    assert len(asked) == PER_PAIR
    for one in asked:
        assert (one["answer"], one["wrong"]) == (chosen, worse)
        assert one["metadata"]["source"] == "user_preference"
        assert one["messages"][-1]["content"] in rewordings("When does the writer write its rows?")
