"""`samloop adapters lineage`: what an adapter learnt from, and which adapters learnt from an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from samloop.cli.output import Output, count, shorten
from samloop.cli.session import Session

WIDTH: Final = 40


def lineage(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ADAPTER|EXAMPLE",
            help="An adapter's id, champion, challenger; or an example's id.",
            show_default=False,
        ),
    ] = "champion",
    example: Annotated[str | None, typer.Option(metavar="ID", help="The same as naming the example.")] = None,
) -> None:
    """Show what an adapter learnt from, or which adapters saw an example."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop.lineage import of_example, trace

        data = of_example(context.store, example) if example else trace(context, name)
    show = _show_example if data["kind"] == "example" else _show_adapter
    session.out.result(data, lambda: show(session.out, data))


def _show_adapter(out: Output, data: Mapping[str, Any]) -> None:
    plain = ("adapter", "state", "slot", "lineage", "run", "dataset", "base", "base_digest", "backend", "samloop")
    out.pairs({key.replace("_", " "): data[key] for key in plain})
    splits = ", ".join(f"{len(ids):,} {split}" for split, ids in data["examples"].items())
    sources = ", ".join(f"{number:,} {source}" for source, number in data["sources"].items())
    out.pairs(
        {
            "sources": sources or None,
            "licences": ", ".join(data["licences"]) or None,
            "same data": ", ".join(data["same_data"]) or None,
            "examples": splits,
        }
    )


def _show_example(out: Output, data: Mapping[str, Any]) -> None:
    if data["erased"]:
        out.line(f"{data['example']} was erased; only its name is known.")
    else:
        keys = ("example", "source", "format", "state", "licence")
        out.pairs({key: data[key] for key in keys})
        out.pairs({"asked": shorten(data["input_text"], WIDTH), "answered": shorten(data["output_text"], WIDTH)})
    for heading, key in (("Derived from", "ancestors"), ("Made of the same", "siblings"), ("Derived", "derived")):
        family = [(one["id"], one.get("source") or "-", _text(one)) for one in data[key]]
        if family:
            out.table(["example", "source", "text"], family, title=heading)
    rows = [
        (seen["adapter"] or "-", seen["state"] or seen["run_state"], seen["run_id"], seen["split"], seen["via"])
        for seen in data["seen_by"]
    ]
    if not rows:
        out.line("No run has seen it.")
        return
    out.table(["adapter", "state", "run", "split", "through"], rows, title=f"Seen by {count(len(rows), 'run')}")


def _text(one: Mapping[str, Any]) -> str:
    return "erased" if one["erased"] else shorten(one.get("input_text") or "-", WIDTH)


def register(app: typer.Typer) -> None:
    """Add this command to `samloop adapters`."""
    app.command()(lineage)
