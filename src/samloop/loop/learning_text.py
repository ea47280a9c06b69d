"""The learning report as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from samloop.loop.learning import KNOWN, LEARNT

SHOWN: Final = 12
"""Corrections that are listed one by one; the document of --json has them all."""

WIDTH: Final = 60


def learning_lines(learning: Mapping[str, Any]) -> list[str]:
    """Counts, then what was not learnt and why, then what was, then the examples that moved it most."""
    rows: Sequence[Mapping[str, Any]] = learning["corrections"]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in learning["counts"].items() if count)
    lines = [f"{len(rows)} corrections and preferences: {counts}"]
    others = [row for row in rows if row["outcome"] in (LEARNT, KNOWN)]
    failed = [row for row in rows if row["outcome"] not in (LEARNT, KNOWN)]
    for row in [*failed, *others][:SHOWN]:
        lines.append(f"{row['outcome'] + _figures(row):<34}  {_cut(row['question'])}")
        if row["reason"]:
            lines.append(f"  {row['reason']}")
    if len(rows) > SHOWN:
        lines.append(f"… and {len(rows) - SHOWN} more, with --json")
    if learning["moved"]:
        lines.append("what moved the answers most (an estimate, in parts of what these examples did):")
        for one in learning["moved"][:5]:
            way = "towards" if one["towards"] else "away"
            said = _cut(f"{one['question']} → {one['answer']}")
            lines.append(f"  {one['share']:>5.0%} {way:<7}  {one['example_id']}  {said}")
    return lines


def _figures(row: Mapping[str, Any]) -> str:
    """The margin before and after."""
    if row["margin_nats"] is None or row["base_margin_nats"] is None:
        return ""
    return f" ({row['base_margin_nats']:+.2f} → {row['margin_nats']:+.2f} nats)"


def _cut(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable if len(printable) <= WIDTH else printable[: WIDTH - 1].rstrip() + "…"
