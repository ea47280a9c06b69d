"""Why a stored example is judged as it is, by the recipe of today."""

from __future__ import annotations

from typing import Any

from samloop.curate.engine import Curator
from samloop.curate.explain import explain
from samloop.example import Example
from samloop.loop.context import Context
from samloop.loop.items import evaluation_items
from samloop.loop.validate import DECIDED_OTHERWISE


def explained(context: Context, example: Example) -> dict[str, Any]:
    """The explanation of `example` as plain data.

    Returns:
        {"rubric", "terms": [{"name", "amount"}], "score", "tier", "tier_reason", "state", "state_reason", "domain",
        "domain_reason", "complexity", "flags": [{"rule", "outcome", "reason", "measure", "options", "about"}],
        "changed", "changed_reason"}. `changed` names what is stored otherwise (score, tier, state), and
        `changed_reason` says why that can be.
    """
    why = explain(Curator(context.recipe.curate, items=evaluation_items(context)), example).to_dict()
    stored = {"score": example.quality_score, "tier": example.quality_tier, "state": example.state}
    changed = [name for name, value in stored.items() if value != why[name]]
    return why | {"changed": changed, "changed_reason": _changed_reason(example) if changed else ""}


def _changed_reason(example: Example) -> str:
    if example.metadata.get("human_reviewed"):
        return "a person decided, and that lasts"
    if (example.reason or "").startswith(DECIDED_OTHERWISE):
        return f"{example.reason}, which its text alone does not tell"
    return (
        "the recipe or the rules changed since, or its source was set to be reviewed; 'samloop validate' judges anew"
    )
