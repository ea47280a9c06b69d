"""A slot beside main: its own base, examples, runs, decisions and champion."""

from __future__ import annotations

from pathlib import Path

import pytest
from loop_world import Finished, Open

from samloop.adapters.registry import Registry
from samloop.errors import RecipeError
from samloop.loop.decide import decide
from samloop.loop.evaluate import evaluate_run
from samloop.loop.prepare import latest
from samloop.loop.turn import turn

LEVEL = 3
COMPLEX = {"slots": [{"name": "complex", "base": "pocket", "preset": "pocket", "min_complexity": LEVEL}]}
UNREACHED = {"slots": [{"name": "complex", "base": "pocket", "preset": "pocket", "min_complexity": 10}]}


@pytest.mark.slow
def test_a_turn_trains_and_decides_for_a_slot_of_its_own_and_leaves_main_alone(
    after: Open, finished: Finished, home: Path
) -> None:
    with after(serve=COMPLEX) as context:
        report = turn(context)
        assert report.run is None, "nothing is new to main"
        (other,) = report.others
        assert (other.slot, other.error) == ("complex", None)
        assert other.decision is not None
        assert other.run is not None
        assert other.decision["slot"] == "complex"
        assert "Slot complex" in report.to_text()
        assert report.to_dict()["slots"]["complex"]["decision"] == other.decision
        store, registry = context.store, Registry(context.home, context.store)
        challenger = other.decision["challenger"]
        assert store.get_adapter(challenger)["slot"] == "complex"
        assert (home / "adapters" / "complex" / challenger).is_dir()
        assert registry.champion("complex") == (challenger if other.decision["verdict"] == "promote" else None)
        assert registry.champion("main") == finished.challenger
        assert [run["run_id"] for run in store.list_runs(slot="complex")] == [other.run["run_id"]]
        dataset = latest(context.for_slot("complex"))
        ids = [id for split in dataset.manifest["ids"].values() for id in split]
        assert ids
        assert min(store.get_example(id).complexity for id in ids) >= LEVEL
        assert latest(context).digest != dataset.digest
        again = turn(context)
        assert again.others[0].run is None
        assert "is not due" in again.others[0].due["reason"]
        # Looks at the base in one slot are none in the other.
        own = context.for_slot("complex")
        run = store.get_run(other.run["run_id"])
        assert decide(own, run, evaluate_run(own, run)).slot == "complex"
        assert store.look_number("complex", "base", "another") == 2
        assert store.look_number("main", "base", "another") == 2


def test_a_slot_without_examples_says_so_and_main_has_its_turn(after: Open) -> None:
    with after(serve=UNREACHED) as context:
        report = turn(context)
        assert report.others[0].run is None
        assert "0 new accepted examples and no run yet" in report.others[0].due["reason"]
        forced = turn(context, force=True)
        assert forced.decision is not None
        assert forced.others[0].error is not None
        assert "nothing to train on" in forced.others[0].error
        assert "! nothing was trained" in forced.to_text()


def test_a_slot_that_the_recipe_does_not_have_is_named(after: Open) -> None:
    with (
        after(serve=COMPLEX) as context,
        pytest.raises(RecipeError, match="one of the slots main, complex, got 'big'"),
    ):
        context.for_slot("big")
