"""`samloop adapters prune|push`: adapters that take room, and adapters that go to a registry elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samloop.cli.output import Output, count
from samloop.cli.prepare import when
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import UsageError

if TYPE_CHECKING:
    from samloop.loop.push import Parcel


def prune(
    ctx: typer.Context,
    keep: Annotated[int, typer.Option(metavar="N", min=0, help="The N newest of each slot stay.")] = 5,
    days: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Younger ones stay too.")] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it, only say what would go.")] = False,
) -> None:
    """Free the disk of old adapters and checkpoints.

    The champion, the one before it, the newest candidate and what a run still needs always stay, and so does the
    lineage of all.
    """
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.prune import prune as stage

        data = stage(context, keep=keep, days=days, dry_run=not yes)
    session.out.result(data, lambda: _show_pruned(session.out, session.program, data))


def _show_pruned(out: Output, program: str, data: Mapping[str, Any]) -> None:
    rows = [
        (one["adapter"], one["state"], one["slot"], when(one["created_at"]), f"{one['bytes'] / 2**20:,.1f}")
        for one in data["adapters"]
    ]
    rows += [("checkpoints", "-", "-", one["run_id"], f"{one['bytes'] / 2**20:,.1f}") for one in data["runs"]]
    if not rows:
        out.line(f"Nothing is old enough to go; {count(data['kept'], 'adapter')} stay.")
        return
    out.table(["what", "state", "slot", "of", ">MiB"], rows)
    freed = f"{data['bytes'] / 2**20:,.1f} MiB"
    if data["dry_run"]:
        out.line(f"{freed} would be freed; '{program} adapters prune --yes' removes them.")
    else:
        out.line(f"{freed} are free; {count(data['kept'], 'adapter')} stay, and the lineage of all.")


def push(
    ctx: typer.Context,
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="An id, its beginning, champion.", show_default=False)
    ],
    to: Annotated[str, typer.Option(metavar="PLACE", help="hf:OWNER/NAME, or mlflow:NAME.", show_default=False)],
    public: Annotated[bool, typer.Option("--public", help="On the hub, for everybody to see.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything leaves this machine.")] = False,
) -> None:
    """Send an adapter with its card to the Hugging Face hub, or to an MLflow registry.

    Their own clients are used, with the address and login that they are set up with.
    """
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.push import destination, pack, send

        where = destination(to, public=public)
        with pack(context, adapter) as parcel:
            _ask(session, parcel, str(where), sure=yes)
            with spinner(session.out, f"Sending to {where}"):
                data = send(parcel, where)
    session.out.result(data, lambda: session.out.line(f"{data['adapter']} is at {data['url']}."))


def _ask(session: Session, parcel: Parcel, where: str, *, sure: bool) -> None:
    """Nothing leaves the machine before a person said so.

    Raises:
        UsageError: there is nobody to ask.
        typer.Abort: the person said no.
    """
    size = f"{sum(parcel.files.values()) / 2**20:,.1f} MiB"
    names = ", ".join(parcel.files)
    session.out.note(f"{parcel.adapter}: {names} ({size}) would go to {where}.")
    if sure:
        return
    if session.out.as_json or not sys.stdin.isatty():
        raise UsageError(f"pushing sends the adapter to {where}; say --yes, or run it at a terminal")
    if session.out.console.input("Send it? [y/N] ", markup=False).strip().lower() not in ("y", "yes"):
        raise typer.Abort


def register(app: typer.Typer) -> None:
    """Add these commands to `samloop adapters`."""
    for command in (prune, push):
        app.command()(command)
