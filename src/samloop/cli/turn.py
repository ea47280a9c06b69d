"""`samloop turn`: one turn of the loop."""

from __future__ import annotations

from typing import Annotated

import typer

from samloop.cli.progress import stages
from samloop.cli.session import Session


def turn(
    ctx: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Train even if too little is new.")] = False,
) -> None:
    """Take one turn: new data in, at most one adapter promoted.

    Collects, curates, prepares, trains, evaluates and decides. A turn that was killed goes on where it was; one
    with nothing new trains nothing.
    """
    session: Session = ctx.obj
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import turn as spine

        report = spine.turn(context, force=force, on_progress=tell, program=session.program)
    session.out.result(report.to_dict(), lambda: session.out.line(report.to_text()))
