"""The night's budget: minutes times the speed that runs have shown, steady from one dataset to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samloop.home import Home
from samloop.loop.budget import ASSUMED_FLOPS, FLOPS_PER_TOKEN, bounds_of
from samloop.loop.context import Context
from samloop.loop.prepare import prepare
from samloop.prepare.dataset import UNBOUND, Bounds
from samloop.prepare.mix import WINDOW_SHARE
from samloop.recipe import Recipe
from samloop.store import Store
from samloop.text.base import base_digest, resolve_base
from samloop.train.base import Base

POCKET = resolve_base("pocket")


@pytest.fixture
def opened(home: Path) -> Iterator[Any]:
    with Store.open(Home(home)) as store:

        def context(**train: Any) -> Context:
            recipe = Recipe.parse({"train": {"model": "pocket", "backend": "torch", "epochs": 2.0, **train}})
            return Context(Home(home), recipe, store, home)

        yield context


def ran(context: Context, *speeds: float | None, base: str | None = None, backend: str = "torch") -> None:
    for number, speed in enumerate(speeds):
        run_id = f"run-{backend}-{base}-{speed}-{number}"
        digest = base or base_digest(POCKET)
        context.store.add_run(
            run_id,
            dataset_digest="d",
            base="pocket",
            base_digest=digest,
            backend=backend,
            revision=0,
            quick=number > 0,
        )
        context.store.complete_run(run_id, result={"tokens_per_second": speed}, examples={})


def bounds(context: Context) -> Bounds:
    return bounds_of(context, POCKET, base_digest(POCKET), "torch")


def test_without_a_window_there_is_no_bound(opened: Any) -> None:
    assert bounds(opened()) is UNBOUND


def test_the_budget_is_the_window_times_the_median_of_the_latest_runs(opened: Any) -> None:
    context = opened(budget_minutes=10.0)
    ran(context, 9_000.0, 100.0, 110.0, 90.0, None, 130.0, 50.0)
    ran(context, 7.0, base="another")
    ran(context, 8.0, backend="mlx")
    found = bounds(context)
    assert found.origin == {"minutes": 10.0, "tokens_per_second": 100.0, "measured_runs": 5}
    assert found.tokens == int(600 * WINDOW_SHARE * 100 / 2)


def test_before_any_run_a_slow_machine_is_assumed(opened: Any) -> None:
    found = bounds(opened(budget_minutes=10.0))
    speed = ASSUMED_FLOPS / (FLOPS_PER_TOKEN * Base.open(POCKET).parameters)
    assert found.origin == {"minutes": 10.0, "tokens_per_second": speed, "measured_runs": 0}


def test_a_speed_near_that_of_the_last_dataset_is_the_same(opened: Any, home: Path) -> None:
    context = opened(budget_minutes=10.0)
    folder = home / "datasets" / "abc"
    folder.mkdir(parents=True)
    manifest = {"digest": "abc", "created_at": 1.0, "base_digest": base_digest(POCKET)}

    def last(**budget: Any) -> None:
        (folder / "manifest.json").write_text(json.dumps({**manifest, "budget": budget}))

    ran(context, 100.0)
    for before, speed in ((85.0, 85.0), (120.0, 120.0), (60.0, 100.0), (200.0, 100.0)):
        last(tokens_per_second=before, measured_runs=1)
        assert bounds(context).origin["tokens_per_second"] == speed
    last(tokens_per_second=95.0, measured_runs=0)
    assert bounds(context).origin["tokens_per_second"] == 100.0


@pytest.mark.parametrize(("method", "passes"), [("sft", 0.0), ("auto", (3 + 1 / 3) / 2), ("dpo", (3 + 1 / 3) / 2)])
def test_pairs_cost_what_the_method_takes(opened: Any, method: str, passes: float) -> None:
    assert bounds(opened(budget_minutes=10.0, method=method)).pair_passes == pytest.approx(passes)


def test_prepare_draws_what_the_window_allows(opened: Any) -> None:
    from test_corrections_learnt import corrections, examples_of

    context = opened(budget_minutes=10.0)
    ran(context, 1.0)
    plain = [example for made in corrections() for example in examples_of(made)]
    for number, example in enumerate(plain):
        fields = {**example.to_dict(), "id": "", "source": "datasets" if number % 3 else example.source}
        fields["parent_id"] = example.parent_id if number % 3 == 0 else None
        context.store.add_example(type(example).from_dict(fields).sealed())
    dataset = prepare(context)
    told = dataset.manifest
    assert told["budget"] == {"tokens": 255, "minutes": 10.0, "tokens_per_second": 1.0, "measured_runs": 1}
    assert told["left_out"]["over_budget"]["datasets"] > 50
    assert told["corrections"]["examples"] > 50
    assert prepare(context).digest == dataset.digest
