"""`samloop collect`: read what is new at the sources, curated on the way into the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from samloop.cli.output import Output, count, duration, one_line, shorten
from samloop.cli.progress import stages
from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.files import absolute

COUNTS = ("read", "added", "duplicate", "rejected", "review")


def collect(
    ctx: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="git, code, docs, routing, dataset, or a plug-in's.")
    ] = None,
    locations: Annotated[
        list[str] | None, typer.Argument(metavar="LOCATION", help="What to read as that kind.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="List each record turned away, as JSON lines.")
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Send all of it to review first.")] = False,
) -> None:
    """Read what is new at the sources.

    Without KIND, all sources of the recipe that are enabled. Every record is counted once: added, duplicate,
    rejected or review. Running it again reads only what is new.
    """
    session: Session = ctx.obj
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import collect as stage

        report = stage.collect(
            context,
            _sources(kind, locations or [], review=review),
            on_progress=lambda news: tell("collect", news),
            rejects=rejects,
        )
    data = report.to_dict()
    if report.errors and session.out.as_json:
        session.out.failure("source", f"{count(len(report.errors), 'source')} could not be read", data)
    else:
        session.out.result(data, lambda: show(session.out, data))
    if report.errors:
        raise typer.Exit(1)


def _sources(kind: str | None, locations: Sequence[str], *, review: bool) -> list[Any] | None:
    if kind is None:
        if review:
            raise UsageError("--review goes with a KIND; for a source of the recipe, set review = true there")
        return None
    from samloop.recipe import SourceSettings

    # What is typed starts where one stands; the recipe's own paths start at the recipe.
    places = [place if "://" in place else str(absolute(place)) for place in locations]
    return [SourceSettings(kind=kind, location=place, review=review) for place in places or [""]]


def show(out: Output, data: Mapping[str, Any]) -> None:
    """The report of a collection, as tables."""
    sources = data["sources"]
    if not sources:
        out.line("The recipe names no source to read: add one to it, or name a KIND and a LOCATION.")
        return
    named = Counter(entry["source"] for entry in sources)
    rows = []
    for entry in sources:
        place = f" {Path(entry['location']).name}" if named[entry["source"]] > 1 else ""
        rows.append([shorten(entry["source"] + place, 32), *(f"{entry[name]:,}" for name in COUNTS)])
    if len(sources) > 1:
        rows.append(["total", *(f"{data['totals'][name]:,}" for name in COUNTS)])
    out.table(["source", *(f">{name}" for name in COUNTS)], rows)
    reasons = [
        (f"{number:,}", reason, entry["source"]) for entry in sources for reason, number in entry["reasons"].items()
    ]
    if reasons:
        out.line()
        out.table([">times", "turned away or sent to review because", "source"], reasons)
    redacted = data["totals"]["redacted"]
    if redacted:
        out.line()
        out.line("Redacted before storage: " + ", ".join(f"{n:,} {name}" for name, n in sorted(redacted.items())))
    out.line()
    for entry in sources:
        if entry.get("error"):
            out.line(f"Not read: {one_line(entry['error'])}", style="red")
    out.line(f"This took {duration(data['totals']['seconds'])}.")
