"""Decide: the gate weighs the challenger against what is in service; its word is kept, and obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samloop.adapters.gate import Decision, gate
from samloop.adapters.registry import Registry
from samloop.loop.context import Context
from samloop.loop.evaluate import SLOT, compare_targets


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


def undecided_run(context: Context) -> Path | None:
    """The dataset of the latest run that was not decided yet (its turn died), or None."""
    runs = context.store.list_runs()
    if not runs:
        return None
    latest = max(runs, key=lambda run: float(run["created_at"]))
    if latest["state"] == "failed" or context.store.is_decided(latest["run_id"]):
        return None
    path = Path(latest["dataset_path"])
    return path if (path / "manifest.json").exists() else None
