"""Decide: the gate weighs the challenger against what is in service; its word is kept, and obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samloop.adapters.gate import Decision, gate
from samloop.adapters.registry import Registry
from samloop.loop.context import Context
from samloop.loop.evaluate import SLOT, compare_targets
from samloop.loop.train import run_name
from samloop.prepare.dataset import Dataset


def decide(context: Context, run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Decision:
    """Weigh the evaluated challenger, keep the decision, and promote if that is what it says.

    A second call with the same evaluation changes nothing and gives the same decision.
    """
    champion, challenger = str(evaluation["champion"]), str(evaluation["challenger"])
    decision = gate(
        compare_targets(context, evaluation, champion, challenger),
        context.recipe.gate,
        slot=SLOT,
        challenger=challenger,
        champion=champion,
    )
    context.store.add_decision(
        evaluation_id=str(evaluation["evaluation_id"]), run_id=str(run["run_id"]), decision=decision.to_dict()
    )
    carry_out(context)
    return decision


def carry_out(context: Context) -> None:
    """Promote what the last decision promoted, if that did not happen yet.

    The decision is kept first: if we die before the promotion, the next turn finds an adapter that was to be promoted
    and never was. An adapter that has been in service is no candidate any more, so a rollback is not undone.
    """
    registry = Registry(context.home, context.store)
    for decision in context.store.decisions(slot=SLOT, limit=1):
        if decision["verdict"] == "promote" and registry.state(decision["challenger"]) == "candidate":
            registry.promote(SLOT, decision["challenger"], reason=decision["summary"])


def undecided_dataset(context: Context) -> Dataset | None:
    """The dataset of the latest run, if its turn died: neither that run nor today's recipe's on it was decided."""
    runs = [run for run in context.store.list_runs() if not run["quick"]]
    if not runs or runs[0]["state"] == "failed":
        return None
    path = Path(runs[0]["dataset_path"])
    if not (path / "manifest.json").exists():
        return None
    dataset = Dataset.open(path)
    decided = any(map(context.store.is_decided, (runs[0]["run_id"], run_name(context, dataset))))
    return None if decided else dataset
