"""Trials in service: a challenger answers a share of the conversations, and what people say decides.

The turn judges every running trial, so that it ends by itself; `samloop adapters ab judge` does the same at once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from samloop.adapters.registry import Registry
from samloop.adapters.traffic import Arm, Outcome, Standing, arm_for, block_of, weigh
from samloop.errors import GateError, NotFoundError, SamloopError
from samloop.loop.context import Context
from samloop.text.base import base_digest, resolve_base

BASE: Final = "base"

ENDED: Final = {"promote": "promoted", "roll back": "rolled back", "no difference": "no difference"}
"""What a trial's state is called once its verdict was carried out."""

log = logging.getLogger(__name__)


def start_trial(
    context: Context, challenger: str, *, slot: str = "main", share: float | None = None
) -> dict[str, Any]:
    """Put a challenger on trial against whoever serves in `slot`.

    Args:
        challenger: an adapter's id, or its beginning.
        share: of the conversations that meet it; None: the recipe's ``trial.share``.

    Returns:
        the trial, as `trials` gives it.

    Raises:
        NotFoundError: there is no such adapter.
        GateError: it was made for another slot or base, serves already, may not serve, is damaged, or a trial runs.
    """
    registry = Registry(context.home, context.store)
    row = context.store.get_adapter(registry.find(challenger, slot))
    name, champion = str(row["adapter_id"]), registry.champion(slot) or BASE
    _refuse_unfit(context, registry, row, slot)
    wanted = context.recipe.serve.trial.share if share is None else share
    block_of(wanted)  # which refuses one that leaves nobody to compare with
    test_id = f"ab-{secrets.token_hex(6)}"
    context.store.start_trial(
        test_id,
        slot=slot,
        champion=champion,
        challenger=name,
        share=wanted,
        after_row=context.store.last_row("feedback"),
    )
    return _plain(context.store.get_trial(test_id))


def _refuse_unfit(context: Context, registry: Registry, row: Mapping[str, Any], slot: str) -> None:
    name = row["adapter_id"]
    if row["slot"] != slot:
        raise GateError(f"adapter {name} was made for slot '{row['slot']}', not '{slot}'; name it with --slot")
    if registry.champion(slot) == name:
        raise GateError(f"adapter {name} serves all conversations of slot '{slot}' already; put another on trial")
    if row["state"] not in ("candidate", "retired"):
        raise GateError(f"adapter {name} is {row['state']} and cannot serve; put another on trial")
    base = context.recipe.for_slot(slot).train.model
    if row["base_digest"] not in (None, base_digest(resolve_base(base))):
        raise GateError(
            f"adapter {name} was trained on another base than '{base}', which serves in slot '{slot}'; "
            "put one of that base on trial"
        )
    if found := registry.verify(str(name)):
        raise GateError(f"adapter {name} cannot serve, its files are damaged: {found[0]}; train again")


def stop_trial(context: Context, slot: str = "main", reason: str = "stopped by hand") -> dict[str, Any]:
    """End the trial of `slot`; the champion answers all conversations again.

    Raises:
        NotFoundError: no trial is running there.
    """
    running = context.store.running_trial(slot)
    if running is None:
        raise NotFoundError(f"no adapter is on trial in slot '{slot}'; 'samloop adapters ab start' puts one there")
    standing, uncounted = _standing(context, running)
    _keep(context, running, standing, uncounted, "stopped", reason)
    return _plain(context.store.get_trial(running["test_id"]))


def trials(context: Context, slot: str | None = None) -> list[dict[str, Any]]:
    """All trials, newest first: who, since when, and how they stand by the feedback of now."""
    found = []
    for row in context.store.list_trials(slot=slot):
        if row["state"] == "running":
            standing, uncounted = _standing(context, row)
            row["standing"] = {**standing.to_dict(), "uncounted": uncounted}
        found.append(_plain(row))
    return found


def judge_trials(context: Context) -> list[dict[str, Any]]:
    """Look at every running trial, keep how it stands, and do what it says, as far as the recipe lets it.

    Returns:
        the trials that were running, as they are now.
    """
    judged = []
    for row in context.store.list_trials(state="running"):
        standing, uncounted = _standing(context, row)
        state, reason = _carry_out(context, row, standing)
        _keep(context, row, standing, uncounted, state, reason)
        judged.append(_plain(context.store.get_trial(row["test_id"])))
    return judged


def answering(context: Context, conversation_id: str, slot: str = "main") -> tuple[Arm, str]:
    """Which arm of `slot` a conversation belongs to, and who that is: an adapter's id, or "base".

    Where no trial is running it is the champion.
    """
    running = context.store.running_trial(slot)
    if running is not None and arm_for(conversation_id, running["test_id"], running["share"]) == "challenger":
        return "challenger", str(running["challenger"])
    return "champion", Registry(context.home, context.store).serving(slot) or BASE


def _standing(context: Context, trial: Mapping[str, Any]) -> tuple[Standing, dict[str, int]]:
    """How a trial stands, and what feedback could not be counted, by reason."""
    uncounted: dict[str, int] = {}
    outcomes = list(_outcomes(context, trial, uncounted))
    return weigh(outcomes, trial["share"], context.recipe.serve.trial), uncounted


def _outcomes(context: Context, trial: Mapping[str, Any], uncounted: dict[str, int]) -> Iterator[Outcome]:
    """The first thing said of each conversation since the trial began, in the order it was said."""
    arms: dict[str, Arm] = {trial["champion"]: "champion", trial["challenger"]: "challenger"}
    seen: set[str] = set()
    for row in context.store.rows_of("feedback", int(trial["after_row"])):
        value, conversation = feedback_value(row), row["conversation_id"]
        if value is None:
            continue
        lacking = _lacking(row, arms, seen)
        if lacking:
            uncounted[lacking] = uncounted.get(lacking, 0) + 1
            continue
        seen.add(conversation)
        yield Outcome(arms[row["adapter_id"]], value)


def _lacking(row: Mapping[str, Any], arms: Mapping[str, Arm], seen: set[str]) -> str:
    if not row["conversation_id"]:
        return "names no conversation"
    if not row["adapter_id"]:
        return "names no adapter"
    if row["adapter_id"] not in arms:
        return "about an adapter that is not in the trial"
    return "of a conversation that counts already" if row["conversation_id"] in seen else ""


def feedback_value(row: Mapping[str, Any]) -> float | None:
    """How good an answer was by one row of feedback, 0 to 1; None where that was not said.

    A rating from -1 to 1 is scaled; who corrects an answer, or prefers another, did not find it good.
    """
    if row["kind"] in ("correction", "preference"):
        return 0.0
    if row["kind"] != "rating" or row["rating"] is None:
        return None
    return min(max((float(row["rating"]) + 1) / 2, 0.0), 1.0)


def _carry_out(context: Context, trial: Mapping[str, Any], standing: Standing) -> tuple[str, str]:
    """Do what the standing says; the trial's state after that, and why."""
    registry = Registry(context.home, context.store)
    slot, challenger, settings = trial["slot"], trial["challenger"], context.recipe.serve.trial
    serving = registry.champion(slot) or BASE
    if serving == challenger:
        return "promoted", "the challenger was put into service meanwhile"
    if serving != trial["champion"]:
        return "stopped", f"{serving} serves by now, and not {trial['champion']}"
    if registry.state(challenger) not in ("candidate", "retired"):
        return "stopped", f"the challenger is {registry.state(challenger)} by now"
    if standing.verdict == "go on":
        return "running", _said(standing)
    if standing.verdict == "promote" and not settings.promote:
        return "running", f"{_said(standing)}; the recipe leaves it to you: samloop adapters promote {challenger}"
    said = f"{_said(standing)} (trial {trial['test_id']})"
    try:
        if standing.verdict == "promote":
            registry.promote(slot, challenger, f"better in service: {said}")
        elif standing.verdict == "roll back":
            registry.reject(challenger)
    except SamloopError as error:
        log.warning("the end of trial %s was not carried out: %s", trial["test_id"], error)
        return "stopped", f"{said}, but {error}"
    return ENDED[standing.verdict], said


def _said(standing: Standing) -> str:
    parts = []
    for name, side in (("champion", standing.champion), ("challenger", standing.challenger)):
        mean = "" if side.mean is None else f", {side.mean:.0%} good"
        parts.append(f"{name} {side.conversations} conversations{mean}")
    evidence = f"evidence for better {standing.better:.3g}, for worse {standing.worse:.3g}"
    return f"{'; '.join(parts)}; {evidence}"


def _keep(
    context: Context,
    trial: Mapping[str, Any],
    standing: Standing,
    uncounted: Mapping[str, int],
    state: str,
    reason: str,
) -> None:
    kept = {**standing.to_dict(), "uncounted": dict(uncounted)}
    context.store.update_trial(trial["test_id"], standing=kept, state=state, reason=reason)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "number"}
