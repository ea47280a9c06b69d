"""`samloop decisions`: what the gate said of each challenger, why, and how much doubt it may still spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from samloop.cli.output import Output, count
from samloop.cli.prepare import when
from samloop.cli.session import Session
from samloop.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(rich_markup_mode=None, add_completion=False, help="List what the gate decided, and show why.")

SlotOption = Annotated[str, typer.Option(metavar="NAME", help="Only of this place in service.", show_default="all")]


@app.command("list")
def list_(
    ctx: typer.Context,
    slot: SlotOption = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> None:
    """List decisions, newest first."""
    session: Session = ctx.obj
    with session.context() as context:
        found = context.store.decisions(limit, slot=slot or None)

    def show_all() -> None:
        if not found:
            session.out.line("The gate has decided nothing yet; 'samloop turn' trains and evaluates a challenger.")
            return
        columns = ["number", "made", "slot", "verdict", "challenger", "champion", "look", "doubt left"]
        session.out.table(columns, [_row(one) for one in found])

    session.out.result(found, show_all)


@app.command()
def show(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(help="The decision's number; the newest, if left out.", min=0)] = 0,
) -> None:
    """Show one decision with its reasons and figures."""
    session: Session = ctx.obj
    with session.context() as context:
        found = context.store.get_decision(number) if number else next(iter(context.store.decisions(1)), None)
    if found is None:
        raise NotFoundError("the gate has decided nothing yet; 'samloop turn' trains and evaluates a challenger")
    session.out.result(found, lambda: _show(session.out, found))


def _row(one: Mapping[str, Any]) -> list[str]:
    look = one.get("look") or 0
    left = f"{one['left']:.0%}" if look else "-"
    names = ("slot", "verdict", "challenger", "champion")
    return [str(one["number"]), when(one["created_at"]), *(str(one[name]) for name in names), str(look or "-"), left]


def _show(out: Output, one: Mapping[str, Any]) -> None:
    out.line(one["summary"])
    for reason in one["reasons"][1:]:
        out.line(f"- {reason}")
    out.line()
    pairs = [("decision", one["number"]), ("made", when(one["created_at"])), ("evaluation", one["evaluation_id"])]
    pairs.append(("run", one["run_id"] or "-"))
    if one["missing_items"]:
        pairs.append(("missing", count(one["missing_items"], "held-out item")))
    out.pairs(pairs)
