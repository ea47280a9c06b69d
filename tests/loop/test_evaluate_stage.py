"""Evaluation as a stage: whom it grades, on which items, and that what was graded once is found again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from loop_world import Finished, Open, plain

from samloop.adapters.registry import Registry
from samloop.errors import ModelError, NotFoundError, UsageError
from samloop.evaluate.cache import forget
from samloop.evaluate.compare import interval
from samloop.loop.evaluate import evaluate, evaluate_checkpoints
from samloop.protocols import Score
from samloop.train.adapter import Adapter


def no_grading(news: dict[str, Any]) -> None:
    raise AssertionError(news)


def without_worst(suites: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        target: [{name: value for name, value in summary.items() if name != "worst"} for summary in summaries]
        for target, summaries in suites.items()
    }


@pytest.mark.parametrize("targets", [(), ("base", "champion"), ("base", "{challenger}"), ("base", "{beginning}")])
def test_two_targets_are_compared_on_the_items_of_the_turn(
    finished: Finished, after: Open, targets: tuple[str, ...]
) -> None:
    names = {"challenger": finished.challenger, "beginning": finished.challenger[:8]}
    with after() as context:
        found = evaluate(context, [target.format(**names) for target in targets], on_metric=no_grading)
    assert found["evaluation_id"] == finished.report["evaluation"]["evaluation_id"]
    assert plain(without_worst(found["suites"])) == finished.report["evaluation"]["suites"]
    assert plain(found["comparison"]) == finished.report["decision"]["comparisons"]


def test_a_comparison_leaves_a_page_with_a_picture(finished: Finished, after: Open, home: Path) -> None:
    with after() as context:
        found = evaluate(context, ["base", "champion"], on_metric=no_grading)
    page, picture = Path(found["page"]), Path(found["picture"])
    assert page.parent == picture.parent == home / "evaluations" / found["evaluation_id"]
    text = page.read_text()
    for measure in found["comparison"]:
        assert f"| {measure['name'].replace('_', ' ')} | {measure['items']} |" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_score_names_its_worst_items_and_the_store_does_not(finished: Finished, after: Open) -> None:
    with after() as context:
        found = evaluate(context, ["champion"], ["perplexity", "repetition"])
        stored = [score for kept in context.store.list_evaluations() for score in kept["scores"][finished.challenger]]
    assert stored
    assert not any("worst" in score for score in stored)
    scores = {score["name"]: score for score in found["suites"][finished.challenger]}
    worst = scores["bits_per_byte"]["worst"]
    values = [item["value"] for item in worst]
    assert len(worst) == 5
    assert values == sorted(values, reverse=True)
    assert values[0] > scores["bits_per_byte"]["mean"]
    items = {
        line["id"]: line
        for line in map(orjson.loads, (Path(found["path"]) / "items-perplexity.jsonl").read_bytes().splitlines())
    }
    for item in worst:
        question = next(m["content"] for m in reversed(items[item["id"]]["messages"]) if m["role"] == "user")
        assert item["question"] == (question if len(question) <= 300 else f"{question[:298]} …")
        assert item["said"] is None
    assert all(isinstance(item["said"], str) for item in scores["distinct_2"]["worst"])


@pytest.mark.slow
def test_every_adapter_that_a_run_kept_is_graded(finished: Finished, after: Open) -> None:
    run_id = finished.report["run"]["run_id"]
    with after() as context:
        found = evaluate_checkpoints(context, "latest", ["perplexity"])
        again = evaluate_checkpoints(context, run_id, ["perplexity"], on_metric=no_grading)
    steps = [one["step"] for one in found["checkpoints"]]
    assert steps[-1] is None
    assert len(steps) > 3, "more than the two that a run goes on from"
    assert steps[:-1] == sorted(set(steps[:-1]))
    assert list(found["suites"]) == ["base", *(one["target"] for one in found["checkpoints"])]
    ended = {score["name"]: score["mean"] for score in found["suites"][run_id]}
    known = finished.report["evaluation"]["suites"][finished.challenger]
    assert ended["bits_per_byte"] == pytest.approx(
        next(s["mean"] for s in known if s["name"] == "bits_per_byte"), rel=1e-5
    )
    bits = {target: scores[1]["mean"] for target, scores in found["suites"].items()}
    assert bits[found["best"]["bits_per_byte"]] == min(bits.values())
    assert found["overfitting"] is None
    assert plain(again) == plain(found)


def test_a_suite_without_items_is_left_out_and_alone_it_says_so(after: Open) -> None:
    with after() as context:
        found = evaluate(context, ["base"], ["perplexity", "parity"])
        assert found["skipped"] == ["parity"]
        assert {score["suite"] for score in found["suites"]["base"]} == {"perplexity"}
        with pytest.raises(NotFoundError, match="has no items for parity"):
            evaluate(context, ["base"], ["parity"])


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


@pytest.mark.slow
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
        told: list[dict[str, Any]] = []
        assert evaluate(context, ["champion"], on_metric=told.append)["path"] == str(folder)
        assert told[-1]["done"] == told[-1]["total"] == len(context.recipe.evaluate.suites)


@pytest.mark.slow
def test_a_new_evaluation_asks_no_model_what_it_said_before(finished: Finished, after: Open, home: Path) -> None:
    def entries() -> int:
        with sqlite3.connect(home / "answers.db") as database:
            (count,) = database.execute("SELECT count(*) FROM entries").fetchone()
        database.close()
        return int(count)

    with after() as context:
        before = entries()
        assert before > 0
        assert home.joinpath("answers.db").stat().st_mode & 0o077 == 0
        found = evaluate(context, ["champion"])
        assert found["evaluation_id"] != finished.report["evaluation"]["evaluation_id"]
        assert entries() == before, "nothing was asked that was not known"
        known = finished.report["evaluation"]["suites"][finished.challenger]
        assert [s["mean"] for s in found["suites"][finished.challenger]] == [s["mean"] for s in known]
        assert forget(context.home.answers, [found["suites"][finished.challenger][0]["worst"][0]["id"]]) > 0


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda a: replace(a, weights={name: (x, y * np.nan) for name, (x, y) in a.weights.items()}),
            "hold NaN or infinity",
        ),
        (lambda a: replace(a, base_fingerprint="0" * 32), "was trained on another base"),
    ],
)
def test_an_adapter_that_cannot_be_graded_is_refused_in_a_sentence(
    finished: Finished, after: Open, home: Path, spoil: Callable[[Adapter], Adapter], message: str
) -> None:
    with after() as context:
        folder = Registry(context.home, context.store).path(finished.challenger)
        for file in folder.iterdir():
            file.chmod(0o600)
        spoil(Adapter.read(folder)).write(folder)
        with pytest.raises(ModelError, match=message):
            evaluate(context, ["base", "champion"], ["perplexity"])
    assert not list(home.glob("evaluations/*/comparison.md"))
