"""`samloop curate`: data files in, curated files out, without the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from samloop.cli.collect import COUNTS
from samloop.cli.output import Output, count, duration, shorten
from samloop.cli.progress import stages
from samloop.cli.session import Session
from samloop.files import absolute

MOST_FILES = 20
"""Files shown on the terminal; the report names all."""


def curate(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="IN…", help="Files, folders, patterns, or s3://BUCKET/KEY.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder for shards and report.")],
    engine: Annotated[str, typer.Option(metavar="NAME", help="local, ray://local or ray://HOST:PORT.")] = "local",
    format: Annotated[
        Literal["parquet", "jsonl"], typer.Option(metavar="NAME", help="parquet or jsonl.")
    ] = "parquet",
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="List each record turned away, as JSON lines.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="ID", help="SPDX id of all files; else what lies beside them tells.")
    ] = None,
    allow_licence: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-licence", metavar="ID", help="Let this licence in, whatever the recipe says; repeatable."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="Processes; 0: one per core.")] = 0,
) -> None:
    """Curate data files in bulk: files in, files out.

    Reads JSON Lines, JSON, CSV and Parquet, plain, .gz or .zst. Nothing goes into the store. A run that was stopped
    goes on when the same command is given again.
    """
    session: Session = ctx.obj
    recipe = session.recipe()
    with stages(session.out) as tell:
        from samloop.loop import curate as stage

        data = stage.curate(
            recipe,
            [place if "://" in place else str(absolute(place)) for place in inputs],
            absolute(out),
            engine=engine,
            format=format,
            workers=workers,
            licence=licence,
            allow_licences=tuple(allow_licence or ()),
            rejects=absolute(rejects) if rejects else None,
            on_progress=lambda news: tell("curate", news),
        )
    session.out.result(data | {"out": str(absolute(out))}, lambda: show(session.out, data, absolute(out)))


def show(out: Output, data: Mapping[str, Any], folder: Path) -> None:
    """The report of a bulk run, as tables."""
    sources = data["sources"]
    rows = [
        [shorten(Path(e["location"]).name, 40), *(f"{e[name]:,}" for name in COUNTS)] for e in sources[:MOST_FILES]
    ]
    if len(sources) > MOST_FILES:
        rows.append([f"{len(sources) - MOST_FILES:,} more", *("" for _ in COUNTS)])
    if len(sources) > 1:
        rows.append(["total", *(f"{data['totals'][name]:,}" for name in COUNTS)])
    out.table(["file", *(f">{name}" for name in COUNTS)], rows)
    reasons: Counter[str] = Counter()
    for entry in sources:
        reasons.update(entry["reasons"])
    if reasons:
        out.line()
        listed = [(f"{number:,}", reason) for reason, number in reasons.most_common()]
        out.table([">times", "turned away or sent to review because"], listed)
    if redacted := data["totals"]["redacted"]:
        out.line()
        out.line("Redacted: " + ", ".join(f"{n:,} {name}" for name, n in sorted(redacted.items())))
    out.line()
    out.line(
        f"{count(len(data['shards']), 'shard')} and report.md are in {folder}. "
        f"This took {duration(data['totals']['seconds'])}."
    )
