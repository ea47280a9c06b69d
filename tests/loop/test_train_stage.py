"""Training as a stage: a run is named by what goes into it, found again, and tells which examples it saw."""

from __future__ import annotations

from typing import Any

from loop_world import Finished, Open, plain

from samloop.loop.prepare import prepare
from samloop.loop.train import check, train
from samloop.train.metrics import read_metrics


def no_training(news: dict[str, Any]) -> None:
    raise AssertionError(news)


def test_the_same_dataset_and_settings_are_the_same_run(finished: Finished, after: Open) -> None:
    with after(train={"min_new_examples": 7, "preset": "pocket"}) as context:
        dataset = prepare(context)
        assert dataset.digest == finished.report["dataset"]["digest"]
        before = context.store.list_runs()
        result = train(context, dataset, on_metric=no_training)
        assert plain(result) == finished.report["run"]
        assert context.store.list_runs() == before


def test_what_went_into_the_run_is_recorded_and_marked(finished: Finished, after: Open) -> None:
    with after() as context:
        store, ids = context.store, prepare(context).manifest["ids"]
        for split in ("train", "valid", "test"):
            assert ids[split]
            assert store.run_example_ids(finished.run_id, split) == sorted(ids[split])
        marked = {example.id: example.training_run_id for example in store.select() if example.used_in_training}
        assert marked == dict.fromkeys(ids["train"], finished.run_id)
        assert store.runs_of_example(ids["test"][0]) == [{"run_id": finished.run_id, "split": "test"}]


def test_the_run_is_kept_with_all_that_made_it(finished: Finished, after: Open) -> None:
    with after() as context:
        run = context.store.get_run(finished.run_id)
        assert (run["state"], run["error"], run["base"], run["backend"]) == ("completed", None, "pocket", "torch")
        assert run["dataset_digest"] == finished.report["dataset"]["digest"]
        assert run["recipe"] == context.recipe.to_dict(full=True)
        assert run["result"] == finished.report["run"]
    lines = read_metrics(finished.home.runs / finished.run_id / "metrics.jsonl")
    result = finished.report["run"]
    assert [line["step"] for line in lines] == list(range(result["steps"] + 1))
    assert lines[-1]["loss"] == result["loss"]
    validated = {line["step"]: line["validation_loss"] for line in lines[1:] if line["validation_loss"] is not None}
    assert validated[result["best_step"]] == result["validation_loss"] == min(validated.values())


def test_before_any_run_all_that_is_accepted_is_new(begin: Open) -> None:
    with begin() as context:
        assert check(context) == {
            "due": False,
            "reason": "a run is not due: 0 new accepted examples and no run yet, 30 make one due",
            "new_examples": 0,
            "needed": 30,
        }
