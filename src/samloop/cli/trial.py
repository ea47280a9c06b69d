"""`samloop adapters ab`: put a challenger on trial in service, see how it stands, end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from samloop.cli.output import Output
from samloop.cli.prepare import when
from samloop.cli.session import Session

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Let a challenger answer a share of the conversations, until feedback decides.",
)

SlotOption = Annotated[str, typer.Option(metavar="NAME", help="The place in service.")]


@app.command()
def start(
    ctx: typer.Context,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An id, or its beginning.")],
    slot: SlotOption = "main",
    share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of the conversations, 0 to 1; the recipe's, if left out.")
    ] = None,
) -> None:
    """Put a challenger on trial: it answers a share of the conversations, and the champion the others."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.trial import start_trial

        found = start_trial(context, adapter, slot=slot, share=share)

    def show() -> None:
        session.out.line(
            f"{found['challenger']} answers {found['share']:.0%} of the conversations of slot {slot}, "
            f"{found['champion']} the others. Every turn looks at the feedback; 'adapters ab status' does at once."
        )

    session.out.result(found, show)


@app.command()
def stop(ctx: typer.Context, slot: SlotOption = "main") -> None:
    """End a trial: the champion answers all conversations again."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.trial import stop_trial

        found = stop_trial(context, slot)
    session.out.result(found, lambda: _show(session.out, [found]))


@app.command()
def status(
    ctx: typer.Context, slot: Annotated[str, typer.Option(metavar="NAME", help="Only of this place in service.")] = ""
) -> None:
    """Show the trials, running and ended, and how they stand."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.trial import trials

        found = trials(context, slot or None)
    session.out.result(found, lambda: _show(session.out, found))


@app.command()
def judge(ctx: typer.Context) -> None:
    """Look at the running trials now, and do what they say, as every turn does."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.trial import judge_trials

        found = judge_trials(context)
    session.out.result(found, lambda: _show(session.out, found))


def _show(out: Output, found: list[Mapping[str, Any]] | list[dict[str, Any]]) -> None:
    if not found:
        out.line("No adapter is on trial; 'samloop adapters ab start ADAPTER' puts one there.")
        return
    columns = ["challenger", "champion", "slot", "share", "since", "state", "good answers", "better", "worse"]
    out.table(columns, [_row(one) for one in found])
    for one in found:
        if one["reason"] and one["state"] != "running":
            out.line(f"{one['challenger']}: {one['reason']}.")
        for reason, number in (one["standing"].get("uncounted") or {}).items():
            out.line(f"{one['challenger']}: {number} not counted, {reason}.")
    out.line("better and worse: the evidence for either; 20 ends a trial, unless [serve.trial] says otherwise.")


def _row(one: Mapping[str, Any]) -> list[str]:
    standing = one["standing"]
    sides = [_good(standing.get(name) or {}) for name in ("champion", "challenger")]
    capital = [f"{standing[name]:.3g}" if name in standing else "-" for name in ("better", "worse")]
    return [
        one["challenger"], one["champion"], one["slot"], f"{one['share']:.0%}", when(one["created_at"]), one["state"],
        f"{sides[1]} against {sides[0]}", *capital,
    ]  # fmt: skip


def _good(side: Mapping[str, Any]) -> str:
    mean = side.get("mean")
    return "none" if mean is None else f"{mean:.0%} of {side['conversations']}"
