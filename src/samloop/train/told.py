"""What a run learnt from, and what came of each of its phases, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def facts(result: Mapping[str, Any]) -> dict[str, str]:
    """By name: the method with what it learnt from, then what came of each phase; empty where nothing is known."""
    if not result.get("method"):
        return {}
    lines = {"method": f"{result['method']}: {_learnt(result)}"}
    for phase in result.get("phases") or []:
        lines[phase["name"]] = _preferred(phase) if phase["objective"] == "dpo" else _answered(phase)
    return lines


def loss(result: Mapping[str, Any]) -> str | None:
    """The training loss with its unit, which its last phase decides."""
    if result.get("loss") is None:
        return None
    phases = result.get("phases") or []
    unit = "pair" if phases and phases[-1]["objective"] == "dpo" else "token"
    return f"{_figure(result['loss'])} nats per {unit}"


def _learnt(result: Mapping[str, Any]) -> str:
    parts = []
    if "sft" in result["method"]:
        chosen = result.get("chosen") or 0
        note = f", {chosen:,} of them the chosen ones of pairs" if chosen else ""
        parts.append(f"{result.get('examples') or 0:,} answers{note}")
    if "dpo" in result["method"]:
        parts.append(f"{result.get('pairs') or 0:,} preference pairs")
    return "; ".join(parts)


def _answered(phase: Mapping[str, Any]) -> str:
    loss = _change(phase, "validation_loss")
    return f"{_steps(phase)} on {phase['examples']:,} answers" + (f", validation loss {loss}" if loss else "")


def _preferred(phase: Mapping[str, Any]) -> str:
    parts = [f"{_steps(phase)} on {phase['examples']:,} pairs"]
    for name, label in (("preference_loss", "held-out loss"), ("margin", "margin"), ("accuracy", "accuracy")):
        change = _change(phase, f"validation_{name}")
        parts += [f"{label} {change}"] if change else []
    return ", ".join(parts)


def _steps(phase: Mapping[str, Any]) -> str:
    early = ", stopped early" if phase["stopped_early"] else ""
    return f"{phase['steps']} steps{early}"


def _change(phase: Mapping[str, Any], name: str) -> str | None:
    """A figure before and after the phase, as far as it was measured."""
    values = [phase[when].get(name) for when in ("before", "after")]
    known = [_figure(value) for value in values if value is not None]
    return " → ".join(known) if known else None


def _figure(value: float) -> str:
    return f"{value:,.4g}"
