"""`samloop collect`: read what is new at the sources, curated on the way into the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli.output import Output, count, duration, one_line, shorten
from samloop.cli.progress import stages
from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.files import absolute

if TYPE_CHECKING:
    from samloop.settings import SourceSettings

MOST_PARTS: Final = 30
"""Files and tables of a source shown on the terminal; --json names all."""

COUNTS = ("read", "added", "duplicate", "rejected", "review")


def collect(
    ctx: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="git, code, docs, chatgpt, dataset, … or a plug-in's."),
    ] = None,
    locations: Annotated[
        list[str] | None, typer.Argument(metavar="LOCATION", help="What to read as that kind.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="List each record turned away, as JSON lines.")
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Send all of it to review first.")] = False,
    licence: Annotated[
        str | None, typer.Option(metavar="ID", help="SPDX id of what is read; else what lies beside it tells.")
    ] = None,
    allow_licence: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-licence", metavar="ID", help="Let this licence in, whatever the recipe says; repeatable."
        ),
    ] = None,
) -> None:
    """Read what is new at the sources.

    Without KIND, all sources of the recipe that are enabled. Every record is counted once: added, duplicate,
    rejected or review. Running it again reads only what is new.
    """
    session: Session = ctx.obj
    options = {"review": review, "licence": licence, "allow_licences": tuple(allow_licence or ())}
    finish(
        session, _sources(kind, locations or [], {name: value for name, value in options.items() if value}), rejects
    )


def finish(
    session: Session, sources: Sequence[SourceSettings] | None, rejects: Path | None = None, *, once: str = ""
) -> None:
    """Collect and show what came of it.

    Args:
        sources: which to read; None: those of the recipe.
        once: what to call the one location, which is not there any more afterwards, so that nothing remembers it.

    Raises:
        typer.Exit: a source could not be read.
    """
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import collect as stage

        report = stage.collect(
            context, sources, on_progress=lambda news: tell("collect", news), rejects=rejects
        ).to_dict()
        if once:
            for entry in report["sources"]:
                context.store.forget_watermark(sources[0].kind if sources else "", entry["location"])
                entry["location"] = once
    errors = sum("error" in entry for entry in report["sources"])
    if errors and session.out.as_json:
        session.out.failure("source", f"{count(errors, 'source')} could not be read", report)
    else:
        session.out.result(report, lambda: show(session.out, report))
    if errors:
        raise typer.Exit(1)


def _sources(kind: str | None, locations: Sequence[str], options: Mapping[str, Any]) -> list[SourceSettings] | None:
    if kind is None:
        if options:
            name, value = next(iter(options.items()))
            shown = "true" if value is True else "…"
            option = "--" + name.replace("_", "-").removesuffix("s")
            raise UsageError(f"{option} goes with a KIND; for a source of the recipe, set {name} = {shown} there")
        return None
    from samloop.settings import SourceSettings

    # What is typed starts where one stands; the recipe's own paths start at the recipe.
    places = [place if "://" in place else str(absolute(place)) for place in locations]
    return [SourceSettings(kind=kind, location=place, **options) for place in places or [""]]


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
    for entry in sources:
        _show_parts(out, entry)
        _show_adapters(out, entry)
    reasons = [
        (f"{number:,}", reason, entry["source"]) for entry in sources for reason, number in entry["reasons"].items()
    ]
    if reasons:
        out.line()
        out.table([">times", "turned away or sent to review because", "source"], reasons)
    if withdrawn := sum(entry.get("withdrawn", 0) for entry in sources):
        out.line()
        out.line(f"Withdrawn: {count(withdrawn, 'example')} of earlier, with answers that were turned down since.")
    redacted = data["totals"]["redacted"]
    if redacted:
        out.line()
        out.line("Redacted before storage: " + ", ".join(f"{n:,} {name}" for name, n in sorted(redacted.items())))
    out.line()
    for entry in sources:
        if entry.get("error"):
            out.line(f"Not read: {one_line(entry['error'])}", style="red")
    out.line(f"This took {duration(data['totals']['seconds'])}.")


def _show_parts(out: Output, entry: Mapping[str, Any]) -> None:
    """What came from which file or table of one source, where it has several."""
    parts = entry.get("parts", {})
    if len(parts) < 2:
        return
    rows = [[_end(name, 32), *(f"{counts[c]:,}" for c in COUNTS)] for name, counts in parts.items()]
    if len(rows) > MOST_PARTS:
        rows = [*rows[:MOST_PARTS], [f"{len(rows) - MOST_PARTS:,} more", *("" for _ in COUNTS)]]
    out.line()
    out.table(["from", *(f">{name}" for name in COUNTS)], rows)


def _end(name: str, width: int) -> str:
    """The end of a path, which tells more than its beginning, in at most `width` characters."""
    line = one_line(name)
    return line if len(line) <= width else f"…{line[1 - width :]}"


def _show_adapters(out: Output, entry: Mapping[str, Any]) -> None:
    if found := entry.get("adapters"):
        out.line()
        out.table(
            ["adapter", "state", "from", ""],
            [(a["adapter"], a["state"], shorten(a["folder"], 30), a["reason"]) for a in found],
        )
