"""The decision: kept, carried out once, obeyed by later turns, and never against what a person did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loop_world import Finished, Open, plain

from samloop.adapters.registry import Registry
from samloop.loop.context import Context
from samloop.loop.decide import carry_out, decide, undecided_dataset
from samloop.loop.evaluate import evaluate_run
from samloop.loop.turn import turn


def no_training(stage: str, news: dict[str, Any]) -> None:
    assert stage not in ("train", "evaluate"), news


def registry(context: Context) -> Registry:
    return Registry(context.home, context.store)


def test_a_promoted_adapter_is_whole_and_in_service(finished: Finished, after: Open, home: Path) -> None:
    current = home / "adapters" / "main" / "current"
    assert current.resolve().name == finished.challenger
    trained = home / "runs" / finished.run_id / "adapter"
    assert {path.name for path in current.iterdir()} == {path.name for path in trained.iterdir()} | {
        "manifest.json",
        "README.md",
    }
    for path in trained.iterdir():
        assert (current / path.name).read_bytes() == path.read_bytes()
    with after() as context:
        found = registry(context)
        assert found.verify(finished.challenger) == []
        row = context.store.get_adapter(finished.challenger)
        (decision,) = context.store.decisions()
        assert (row["state"], row["run_id"]) == ("champion", finished.run_id)
        assert row["scores"]["suites"] == finished.report["evaluation"]["suites"][finished.challenger]
        assert (decision["verdict"], decision["run_id"]) == ("promote", finished.run_id)
        assert decision["evaluation_id"] == finished.report["evaluation"]["evaluation_id"]
        assert undecided_dataset(context) is None


def test_an_undecided_dataset_is_taken_up_by_the_next_turn(finished: Finished, undecided: Open) -> None:
    with undecided() as context:
        assert undecided_dataset(context) is not None
        report = turn(context, on_progress=no_training)
        assert report.due["due"] is False
        assert plain(report.decision) == finished.report["decision"]
        assert registry(context).champion("main") == finished.challenger
        assert report.path is not None


def test_deciding_again_changes_nothing_and_says_the_same(undecided: Open, finished: Finished) -> None:
    with undecided() as context:
        run = context.store.get_run(finished.run_id)
        first = decide(context, run, evaluate_run(context, run))
        again = decide(context, run, evaluate_run(context, run))
        assert first.verdict == "promote"
        assert plain(again) == plain(first)
        assert len(context.store.decisions()) == 1
        assert len(context.store.champion_history("main")) == 1


def test_a_decision_that_was_kept_and_not_carried_out_is_carried_out(undecided: Open, finished: Finished) -> None:
    with undecided() as context:
        decision = finished.report["decision"]
        evaluation = finished.report["evaluation"]["evaluation_id"]
        context.store.add_decision(evaluation, run_id=finished.run_id, decision=decision)
        assert registry(context).champion("main") is None
        report = turn(context, on_progress=no_training)
        assert registry(context).champion("main") == finished.challenger
        assert context.store.champion_history("main")[0]["reason"] == decision["summary"]
        assert plain(report.decision) == decision
        assert len(context.store.decisions()) == 1


@pytest.mark.parametrize("force", [False, True])
def test_a_rollback_is_not_undone(after: Open, finished: Finished, force: bool) -> None:
    with after() as context:
        assert registry(context).rollback("main") is None
        report = turn(context, force=force, on_progress=no_training)
        carry_out(context)
        assert registry(context).champion("main") is None
        assert registry(context).state(finished.challenger) == "retired"
        assert len(context.store.decisions()) == 1
        if force:
            assert report.decision["verdict"] == "undecided"
            assert "taken out of service before" in report.decision["summary"]


def test_a_rejected_adapter_is_not_decided_on(undecided: Open, finished: Finished) -> None:
    with undecided() as context:
        registry(context).reject(finished.challenger)
        report = turn(context, on_progress=no_training)
        assert "was rejected" in report.decision["summary"]
        assert registry(context).champion("main") is None
        assert context.store.decisions() == []


def test_an_adapter_promoted_by_hand_stays_and_the_report_says_so(undecided: Open, finished: Finished) -> None:
    with undecided(gate={"min_items": 1000}) as context:
        registry(context).promote("main", finished.challenger)
        report = turn(context, on_progress=no_training)
        assert "put into service by hand" in report.decision["summary"]
        assert report.evaluation["champion"] == "base"
        assert registry(context).champion("main") == finished.challenger


def test_too_few_items_are_refused_with_how_many_are_missing_until_the_gate_is_content(
    undecided: Open, finished: Finished
) -> None:
    items = next(s for s in finished.report["evaluation"]["suites"]["base"] if s["name"] == "bits_per_byte")["items"]
    with undecided(gate={"min_items": 1000}) as context:
        refused = turn(context, on_progress=no_training)
        assert refused.decision["verdict"] == "refuse"
        assert refused.decision["missing_items"] == 1000 - items
        assert f"there are {items}, so {1000 - items} are missing" in refused.decision["reasons"][0]
        assert registry(context).champion("main") is None
        assert turn(context).trained is False
    with undecided() as context:
        promoted = turn(context, force=True, on_progress=no_training)
        assert promoted.decision["verdict"] == "promote"
        assert registry(context).champion("main") == finished.challenger
        assert [d["verdict"] for d in context.store.decisions()] == ["promote", "refuse"]


def test_a_challenger_that_was_damaged_before_its_promotion_does_not_stop_the_turns_that_follow(
    undecided: Open, finished: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    with undecided() as context:
        decision = finished.report["decision"]
        evaluation = finished.report["evaluation"]["evaluation_id"]
        context.store.add_decision(evaluation, run_id=finished.run_id, decision=decision)
        weights = context.home.adapters / "main" / finished.challenger / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
        turn(context, on_progress=no_training)
        assert registry(context).champion("main") is None
        assert registry(context).state(finished.challenger) == "rejected"
        assert "was changed" in caplog.text
