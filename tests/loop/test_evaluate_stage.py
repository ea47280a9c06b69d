"""Evaluation as a stage: whom it grades, on which items, and that what was graded once is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from loop_world import Finished, Open, plain

from samloop.errors import NotFoundError, UsageError
from samloop.evaluate.compare import interval
from samloop.loop.evaluate import evaluate
from samloop.protocols import Score


def no_grading(news: dict[str, Any]) -> None:
    raise AssertionError(news)


@pytest.mark.parametrize("targets", [(), ("base", "champion"), ("base", "{challenger}"), ("base", "{beginning}")])
def test_two_targets_are_compared_on_the_items_of_the_turn(
    finished: Finished, after: Open, targets: tuple[str, ...]
) -> None:
    names = {"challenger": finished.challenger, "beginning": finished.challenger[:8]}
    with after() as context:
        found = evaluate(context, [target.format(**names) for target in targets], on_metric=no_grading)
    assert found["evaluation_id"] == finished.report["evaluation"]["evaluation_id"]
    assert plain(found["suites"]) == finished.report["evaluation"]["suites"]
    assert plain(found["comparison"]) == finished.report["decision"]["comparisons"]


def test_the_store_knows_the_evaluation_of_the_turn(finished: Finished, after: Open) -> None:
    with after() as context:
        (kept,) = context.store.list_evaluations()
    known = finished.report["evaluation"]
    assert (kept["evaluation_id"], kept["slot"]) == (known["evaluation_id"], "main")
    assert (kept["run_id"], kept["challenger_id"]) == (finished.report["run"]["run_id"], finished.challenger)
    assert kept["champion_id"] is None, "the bare base"
    assert kept["scores"] == known["suites"]
    assert kept["comparisons"] == finished.report["decision"]["comparisons"]


def test_one_target_and_one_suite_are_graded_and_found_again(finished: Finished, after: Open) -> None:
    told: list[dict[str, Any]] = []
    with after() as context:
        found = evaluate(context, ["champion"], ["perplexity"], on_metric=told.append)
        assert [(news["target"], news["suite"], news["done"], news["total"]) for news in told] == [
            (finished.challenger, "perplexity", 1, 1)
        ]
        assert list(found["suites"]) == [finished.challenger]
        assert "comparison" not in found
        of_the_turn = finished.report["evaluation"]["suites"][finished.challenger]
        expected = [score for score in of_the_turn if score["suite"] == "perplexity"]
        for mine, turns in zip(found["suites"][finished.challenger], expected, strict=True):
            assert (mine["name"], mine["items"]) == (turns["name"], turns["items"])
            assert mine["mean"] == pytest.approx(turns["mean"], rel=1e-6)
        assert plain(evaluate(context, ["champion"], ["perplexity"], on_metric=no_grading)) == plain(found)


def test_an_evaluation_that_is_stopped_ends_at_once_and_leaves_no_scores(after: Open, home: Path) -> None:
    def stop(news: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with after() as context:
        before = set((home / "evaluations").iterdir())
        with pytest.raises(KeyboardInterrupt):
            evaluate(context, ["champion"], on_metric=stop)
    (folder,) = set((home / "evaluations").iterdir()) - before
    # A worker that went on to its end would have left these.
    assert not (folder / "result.json").exists()
    assert not (folder / "scores.json").exists()


def test_the_items_are_held_out(finished: Finished) -> None:
    dataset = finished.home.datasets / finished.report["dataset"]["digest"][:16]
    folder = finished.home.evaluations / finished.report["evaluation"]["evaluation_id"]

    def lines(path: Any) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]

    trained = lines(dataset / "train.jsonl") + lines(dataset / "valid.jsonl")
    ids = {line["metadata"]["id"] for line in trained}
    asked = {line["messages"][-2]["content"] for line in trained}
    perplexity, routing = lines(folder / "items-perplexity.jsonl"), lines(folder / "items-routing.jsonl")
    assert len(perplexity) == len(routing) == 40
    assert not ids & {item["id"] for item in perplexity}
    assert not asked & {item["messages"][-1]["content"] for item in routing}
    groups = {line["metadata"]["group_key"] for line in lines(dataset / "train.jsonl")}
    for item in routing:
        assert (item["slice"] == "unseen filling") == (item["group_key"] in groups)


def test_the_figures_told_are_those_of_the_stored_scores(finished: Finished) -> None:
    evaluation = finished.report["evaluation"]
    stored = finished.read(f"evaluations/{evaluation['evaluation_id']}/scores.json")
    assert list(stored["scores"]) == list(evaluation["suites"]) == ["base", finished.challenger]
    for target, scores in stored["scores"].items():
        assert len(scores) == len(evaluation["suites"][target])
        for score, told in zip(map(Score.from_dict, scores), evaluation["suites"][target], strict=True):
            found = interval(score, resamples=200, confidence=0.95)
            expected = plain({"mean": found.mean, "low": found.low, "high": found.high})
            assert {name: told[name] for name in expected} == expected
            assert (told["name"], told["items"]) == (score.name, len(score.ids))


def test_who_is_not_there_is_not_graded(after: Open, finished: Finished) -> None:
    with after() as context:
        with pytest.raises(NotFoundError, match="no adapter 'ad-nobody'"):
            evaluate(context, ["ad-nobody"])
        with pytest.raises(UsageError, match="one or two targets to evaluate, got 3"):
            evaluate(context, ["base", "champion", "base"])


def test_before_any_turn_there_is_nothing_to_grade_on(begin: Open) -> None:
    with begin() as context:
        with pytest.raises(NotFoundError, match="no dataset was prepared yet"):
            evaluate(context)
        with pytest.raises(NotFoundError, match="the base is in service, no adapter, in slot main"):
            evaluate(context, ["champion"])
