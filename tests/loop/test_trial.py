"""Trials in service: what counts, what ends them, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samloop.adapters.registry import Registry
from samloop.errors import GateError, NotFoundError, UsageError
from samloop.home import Home
from samloop.loop.capture import record
from samloop.loop.context import Context, open_context
from samloop.loop.trial import answering, judge_trials, start_trial, stop_trial, trials
from samloop.loop.turn import turn
from samloop.text.captured import feedback_of

SETTINGS = '[train]\nmodel = "pocket"\n\n[collect]\nsources = []\n'


def add_adapter(context: Context, seed: int, slot: str = "main", **more: Any) -> str:
    """A run with an adapter of small random weights, registered as a candidate."""
    run_id = f"run-{slot}-{seed}"
    context.store.add_run(
        run_id,
        dataset_digest="d" * 32,
        backend="torch",
        base="pocket",
        revision=1,
        recipe={"x": 1},
        dataset_path=str(context.home.datasets / "gone"),
        **more,
    )
    folder = context.home.runs / run_id / "adapter"
    folder.mkdir(parents=True)
    data = np.random.default_rng(seed).standard_normal(64).astype("<f4").tobytes()
    header = json.dumps({"a": {"dtype": "F32", "shape": [64], "data_offsets": [0, len(data)]}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    (folder / "adapter_config.json").write_text("{}")
    return Registry(context.home, context.store).register(run_id, slot)


@pytest.fixture
def at(home: Path) -> Callable[..., Any]:
    """Open the home with a recipe of one's own."""

    def opened(settings: str = "") -> Any:
        home.mkdir(exist_ok=True)
        (home / "samloop.toml").write_text(SETTINGS + settings)
        return open_context(Home(home))

    return opened


@pytest.fixture
def context(at: Callable[..., Any]) -> Iterator[Context]:
    with at() as opened:
        yield opened


@pytest.fixture
def two(context: Context) -> tuple[str, str]:
    """A champion and a candidate."""
    champion, challenger = add_adapter(context, 1), add_adapter(context, 2)
    Registry(context.home, context.store).promote("main", champion)
    return champion, challenger


def note(context: Context, told: dict[str, Any]) -> None:
    record(context, "feedback", [feedback_of(told)])


def say(context: Context, adapter: str | None, conversation: str | None, rating: float, number: int = 0) -> None:
    told = {"query": f"Question {conversation} {number}?", "response": "An answer.", "rating": rating}
    told |= {"conversation_id": conversation, "adapter_id": adapter}
    note(context, {name: value for name, value in told.items() if value is not None})


def talk(context: Context, good: dict[str, float], count: int, start: int = 0) -> None:
    """Conversations as the gateway would have them: each with its arm, each rated up or down once."""
    generator = np.random.default_rng(start)
    for number in range(start, start + count):
        _, who = answering(context, f"c{number}")
        say(context, who, f"c{number}", 1.0 if generator.random() < good[who] else -1.0)


def test_a_better_challenger_is_promoted_by_the_turn(context: Context, two: tuple[str, str]) -> None:
    champion, challenger = two
    started = start_trial(context, challenger[:8], share=0.5)
    assert (started["champion"], started["challenger"], started["state"]) == (champion, challenger, "running")
    talk(context, {champion: 0.2, challenger: 0.95}, 60)
    (standing,) = trials(context)
    assert standing["state"] == "running"
    report = turn(context)
    assert report.trials[0]["state"] == "promoted"
    assert "On trial in service" in report.to_text()
    registry = Registry(context.home, context.store)
    assert registry.champion("main") == challenger
    assert "better in service" in context.store.champion_history("main")[0]["reason"]
    assert judge_trials(context) == []
    assert answering(context, "c1") == ("champion", challenger)


def test_a_worse_challenger_is_rolled_back_and_never_serves_again(context: Context, two: tuple[str, str]) -> None:
    champion, challenger = two
    start_trial(context, challenger, share=0.5)
    talk(context, {champion: 0.95, challenger: 0.2}, 60)
    (judged,) = judge_trials(context)
    assert judged["state"] == "rolled back"
    registry = Registry(context.home, context.store)
    assert (registry.champion("main"), registry.state(challenger)) == (champion, "rejected")
    assert {answering(context, f"c{n}")[1] for n in range(40)} == {champion}


def test_the_recipe_can_leave_the_promotion_to_a_person(at: Callable[..., Any]) -> None:
    with at("\n[serve.trial]\npromote = false\nshare = 0.5\n") as context:
        challenger = add_adapter(context, 1)
        start_trial(context, challenger)
        talk(context, {"base": 0.1, challenger: 0.95}, 60)
        (judged,) = judge_trials(context)
        assert judged["state"] == "running"
        assert f"samloop adapters promote {challenger}" in judged["reason"]
        Registry(context.home, context.store).promote("main", challenger)
        assert judge_trials(context)[0]["state"] == "promoted"


def test_only_the_first_feedback_of_a_conversation_counts_and_what_lacks_something_is_told(
    context: Context, two: tuple[str, str]
) -> None:
    champion, challenger = two
    say(context, challenger, "before", 1.0)
    start_trial(context, challenger)
    say(context, challenger, "a", 1.0)
    say(context, challenger, "a", -1.0, 1)
    say(context, champion, "b", 0.0)
    say(context, None, "c", 1.0)
    say(context, champion, None, 1.0)
    say(context, "ad-elsewhere", "d", 1.0)
    note(
        context,
        {"query": "Two?", "response": "3", "correction": "2", "conversation_id": "e", "adapter_id": champion},
    )
    (found,) = trials(context)
    assert found["standing"]["challenger"] == {"conversations": 1, "total": 1.0, "mean": 1.0}
    assert found["standing"]["champion"] == {"conversations": 2, "total": 0.5, "mean": 0.25}
    assert found["standing"]["uncounted"] == {
        "of a conversation that counts already": 1,
        "names no adapter": 1,
        "names no conversation": 1,
        "about an adapter that is not in the trial": 1,
    }


def test_what_cannot_be_put_on_trial_is_refused_and_told(context: Context, two: tuple[str, str]) -> None:
    champion, challenger = two
    registry = Registry(context.home, context.store)
    elsewhere, other_base = add_adapter(context, 3, "complex"), add_adapter(context, 4, base_digest="f" * 64)
    rejected, damaged = add_adapter(context, 5), add_adapter(context, 6)
    registry.reject(rejected)
    (registry.path(damaged) / "adapter_model.safetensors").write_bytes(b"no weights")
    for name, words in (
        (champion, "serves all conversations"),
        (elsewhere, "was made for slot 'complex', not 'main'"),
        (other_base, "was trained on another base"),
        (rejected, "is rejected and cannot serve"),
        (damaged, "its files are damaged"),
    ):
        with pytest.raises(GateError, match=words):
            start_trial(context, name)
    with pytest.raises(UsageError, match="between 0 and 1"):
        start_trial(context, challenger, share=1.0)
    with pytest.raises(NotFoundError):
        start_trial(context, "ad-nobody")
    with pytest.raises(NotFoundError, match="no adapter is on trial in slot 'main'"):
        stop_trial(context)
    assert trials(context) == []


def test_two_that_start_at_once_are_one_trial(context: Context, two: tuple[str, str]) -> None:
    _, challenger = two
    other, refusals = add_adapter(context, 7), []

    def start(name: str) -> None:
        try:
            start_trial(context, name)
        except GateError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=start, args=(name,)) for name in (challenger, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 1
    assert "is on trial in slot 'main'; end that first" in refusals[0]
    assert [one["state"] for one in trials(context)] == ["running"]


def test_a_trial_ends_when_somebody_else_serves_or_the_challenger_may_not(
    context: Context, two: tuple[str, str]
) -> None:
    _, challenger = two
    registry = Registry(context.home, context.store)
    start_trial(context, challenger)
    other = add_adapter(context, 8)
    registry.promote("main", other)
    (judged,) = judge_trials(context)
    assert (judged["state"], judged["reason"].split(" by now")[0]) == ("stopped", f"{other} serves")
    start_trial(context, challenger)
    registry.reject(challenger)
    assert "the challenger is rejected by now" in judge_trials(context)[0]["reason"]


def test_a_winner_that_was_damaged_meanwhile_is_not_promoted(context: Context, two: tuple[str, str]) -> None:
    champion, challenger = two
    start_trial(context, challenger, share=0.5)
    talk(context, {champion: 0.1, challenger: 0.95}, 60)
    registry = Registry(context.home, context.store)
    (registry.path(challenger) / "adapter_model.safetensors").write_bytes(b"no weights")
    (judged,) = judge_trials(context)
    assert judged["state"] == "stopped"
    assert "its files are damaged" in judged["reason"]
    assert registry.champion("main") == champion


def test_a_stopped_trial_keeps_how_it_stood(context: Context, two: tuple[str, str]) -> None:
    champion, challenger = two
    start_trial(context, challenger, share=0.5)
    talk(context, {champion: 1.0, challenger: 1.0}, 10)
    stopped = stop_trial(context)
    sides = stopped["standing"]["champion"]["conversations"] + stopped["standing"]["challenger"]["conversations"]
    assert (stopped["state"], stopped["reason"], sides) == ("stopped", "stopped by hand", 10)
    assert answering(context, "anybody")[1] == champion


def test_a_clock_that_goes_back_changes_nothing(
    context: Context, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, challenger = two
    start_trial(context, challenger, share=0.5)
    yesterday = time.time() - 86400
    monkeypatch.setattr(time, "time", lambda: yesterday)
    talk(context, {champion: 0.1, challenger: 0.95}, 60)
    assert judge_trials(context)[0]["state"] == "promoted"
