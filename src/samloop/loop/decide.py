"""Decide: the gate weighs the challenger against what is in service; its word is kept, and obeyed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from samloop.adapters.gate import Decision, gate
from samloop.adapters.registry import Registry
from samloop.errors import GateError, NotFoundError
from samloop.loop.cards import write_card
from samloop.loop.context import Context
from samloop.loop.evaluate import compare_targets
from samloop.loop.train import run_name
from samloop.prepare.dataset import Dataset

log = logging.getLogger(__name__)

SETTLED: Final = {
    "champion": "was put into service by hand, and stays",
    "retired": "was taken out of service before; only 'samloop adapters promote' brings it back",
    "withdrawn": "was withdrawn, because what it learnt from was erased",
    "rejected": "was rejected; other data or settings make another adapter",
}
"""Why an adapter in such a state is not decided on."""


def decide(context: Context, run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Decision:
    """Weigh the evaluated challenger, keep the decision, and promote if that is what it says.

    A second call with the same evaluation changes nothing and gives the same decision. An adapter that serves, has
    served or was rejected is no candidate any more: nothing is decided on it again.
    """
    champion, challenger = str(evaluation["champion"]), str(evaluation["challenger"])
    evaluation_id = str(evaluation["evaluation_id"])
    decision = gate(
        compare_targets(context, evaluation, champion, challenger),
        context.recipe.gate,
        slot=context.slot,
        challenger=challenger,
        champion=champion,
        look=context.store.look_number(context.slot, champion, evaluation_id),
    )
    state = Registry(context.home, context.store).state(challenger)
    if state != "candidate":
        return _decided_before(context, str(run["run_id"]), decision, state)
    context.store.add_decision(evaluation_id, run_id=str(run["run_id"]), decision=decision.to_dict())
    carry_out(context)
    write_card(context, challenger)
    return decision


def _decided_before(context: Context, run_id: str, decision: Decision, state: str) -> Decision:
    """What there is to say of a challenger that is no candidate; `decision` lends its figures."""
    for kept in context.store.decisions(slot=context.slot):
        if kept["run_id"] == run_id and kept["verdict"] == "promote" and state == "champion":
            return Decision.from_dict({name: kept[name] for name in decision.to_dict() if name in kept})
    reason = f"Nothing was decided again: {decision.challenger} {SETTLED[state]}."
    return replace(decision, verdict="undecided", reasons=(reason,), missing_items=0, summary=reason, look=0)


def carry_out(context: Context) -> None:
    """Promote what the last decision promoted, if that did not happen yet.

    The decision is kept first: if we die before the promotion, the next turn finds an adapter that was to be promoted
    and never was. An adapter that has been in service is no candidate any more, so a rollback is not undone.
    """
    registry = Registry(context.home, context.store)
    for decision in context.store.decisions(slot=context.slot, limit=1):
        if decision["verdict"] == "promote" and registry.state(decision["challenger"]) == "candidate":
            try:
                registry.promote(context.slot, decision["challenger"], reason=decision["summary"])
            except (GateError, NotFoundError) as error:  # it was damaged since; the next turn would fail on it again
                log.warning("%s", error)
                registry.reject(decision["challenger"], reason=str(error))


def undecided_dataset(context: Context) -> Dataset | None:
    """The dataset of the latest run, if its turn died: neither that run nor today's recipe's on it was decided."""
    latest = _latest_run(context)
    dataset = _dataset(latest) if latest and latest["state"] != "failed" else None
    if latest is None or dataset is None:
        return None
    decided = any(map(context.store.is_decided, (latest["run_id"], run_name(context, dataset))))
    return None if decided else dataset


def unreported_dataset(context: Context) -> Dataset | None:
    """The dataset of the latest run, if its turn died between the decision and the report."""
    latest = _latest_run(context)
    if latest is None or not context.store.is_decided(latest["run_id"]):
        return None
    reported = (context.home.reports / f"{latest['run_id']}.md").exists()
    dataset = None if reported else _dataset(latest)
    # Today's recipe may name another run: that one is not what is missing.
    return dataset if dataset and run_name(context, dataset) == latest["run_id"] else None


def _latest_run(context: Context) -> dict[str, Any] | None:
    return next((run for run in context.store.list_runs(slot=context.slot) if not run["quick"]), None)


def _dataset(run: Mapping[str, Any]) -> Dataset | None:
    path = Path(run["dataset_path"])
    return Dataset.open(path) if (path / "manifest.json").exists() else None
