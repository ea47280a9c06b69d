"""`samloop stats`: what the store holds, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from samloop.cli.output import Output, dump
from samloop.cli.session import Session

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)


@app.callback()
def stats(ctx: typer.Context) -> None:
    """Show what the store holds, and how its sources fare."""
    if ctx.invoked_subcommand is None:
        summary(ctx)


@app.command()
def summary(ctx: typer.Context) -> None:
    """Show the totals, by source, format and tier."""
    session: Session = ctx.obj
    with session.context() as context:
        data = context.store.statistics()
    session.out.result(data, lambda: _show(session.out, data))


@app.command()
def sources(ctx: typer.Context) -> None:
    """Show each source with its health.

    Health is the mean of four shares: freshness, volume against the week before, gold and silver, and what was not
    rejected. A source is healthy from 0.6.
    """
    session: Session = ctx.obj
    with session.context() as context:
        data = context.store.source_statistics()
    session.out.result(data, lambda: _show_sources(session.out, data))


@app.command("json")
def json_(ctx: typer.Context) -> None:
    """Print all figures as JSON, the same with and without --json."""
    session: Session = ctx.obj
    with session.context() as context:
        data = context.store.statistics()
    session.out.result(data, lambda: session.out.line(dump({"success": True, "data": data}, pretty=True)))


def _show(out: Output, data: Mapping[str, Any]) -> None:
    overall, facts = data["overall"], data["summary"]
    total = overall["total_examples"]
    if not total:
        out.line("No example yet; 'samloop collect' brings some in.")
        return
    out.pairs(
        {
            "examples": f"{total:,}",
            "tokens": f"about {overall['total_tokens']:,}, {overall['avg_token_length']:,.0f} per example",
            "gold and silver": f"{facts['top_quality_percentage']:.0f} %",
            "healthy sources": f"{facts['healthy_sources']} of {len(overall['by_source'])}",
            "storage": f"{facts['storage_mb']:,.1f} MB",
        }
    )
    for title, name in (("source", "by_source"), ("format", "by_format"), ("tier", "by_quality")):
        out.line()
        ranked = overall[name].items()
        if name != "by_quality":  # tiers keep their own order
            ranked = sorted(ranked, key=lambda pair: (-pair[1], pair[0]))
        rows = [(key, f"{number:,}", f"{number / total:.0%}") for key, number in ranked]
        out.table([title, ">examples", ">share"], rows)


def _show_sources(out: Output, data: Sequence[Mapping[str, Any]]) -> None:
    if not data:
        out.line("No source has brought anything yet; 'samloop collect' reads them.")
        return
    columns = ["source", ">examples", ">top", ">24 h", ">last", ">fresh", ">volume", ">kept", ">health", ""]
    rows = []
    for entry in data:
        parts = entry["health"]
        rows.append(
            (
                entry["source"],
                f"{entry['total_examples']:,}",
                f"{parts['top_quality']:.0%}",
                f"{entry['examples_24h']:,}",
                datetime.fromtimestamp(entry["last_updated"], UTC).date().isoformat(),
                *(f"{parts[name]:.2f}" for name in ("freshness", "volume_trend", "not_rejected")),
                f"{entry['health_score']:.2f}",
                "healthy" if entry["healthy"] else "ailing",
            )
        )
    out.table(columns, rows)
