"""`samloop prepare` and `samloop datasets`: immutable datasets, and what is in them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samloop.cli.output import Output, shorten
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from samloop.prepare.dataset import Dataset

SPLITS = ("train", "valid", "test")

datasets = typer.Typer(rich_markup_mode=None, add_completion=False, help="List datasets and show what is in one.")


def prepare(
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Put a copy of the dataset there.")] = None,
) -> None:
    """Build a dataset of all examples that the recipe admits.

    It is named by its content: preparing twice without anything new gives the same dataset.
    """
    session: Session = ctx.obj
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out is the folder of one dataset, and there is something at {out} already")
    with session.context() as context, spinner(session.out, "Preparing"):
        from samloop.loop import prepare as stage

        dataset = stage.prepare(context, out)
    data = plain(dataset)
    session.out.result(data, lambda: show(session.out, data))


@datasets.command("list")
def list_(ctx: typer.Context) -> None:
    """List the datasets in the home, newest first."""
    session: Session = ctx.obj
    found = [plain(dataset) for dataset in _all(session)]

    def show_all() -> None:
        if not found:
            session.out.line("No dataset yet; 'samloop prepare' makes one.")
            return
        columns = ["digest", "prepared", ">train", ">valid", ">test", ">tokens", "base"]
        session.out.table(
            columns,
            [
                [
                    data["digest"][:12],
                    when(data["created_at"]),
                    *(f"{data['examples'][split]:,}" for split in SPLITS),
                    f"{sum(data['tokens'].values()):,}",
                    shorten(data.get("base") or "-", 24),
                ]
                for data in found
            ],
        )

    session.out.result(found, show_all)


@datasets.command("show")
def show_one(
    ctx: typer.Context,
    digest: Annotated[
        str, typer.Argument(metavar="DIGEST", help="The beginning of a digest, or 'latest'.")
    ] = "latest",
) -> None:
    """Show the manifest of one dataset."""
    session: Session = ctx.obj
    found = _all(session)
    if not found:
        raise NotFoundError(f"there is no dataset in {session.home.datasets} yet; 'samloop prepare' makes one")
    if digest != "latest":
        found = [dataset for dataset in found if dataset.digest.startswith(digest)]
    if not found:
        raise NotFoundError(f"there is no dataset '{digest}' in {session.home.datasets}; see 'samloop datasets list'")
    if digest != "latest" and len(found) > 1:
        raise UsageError(f"{len(found)} datasets begin with '{digest}'; give more of the digest")
    data = plain(found[0])
    session.out.result(data, lambda: show(session.out, data))


def _all(session: Session) -> list[Dataset]:
    from samloop.prepare.dataset import Dataset

    found = [Dataset.open(path.parent) for path in session.home.datasets.glob("[!.]*/manifest.json")]
    return sorted(found, key=lambda dataset: -float(dataset.manifest["created_at"]))


def plain(dataset: Dataset) -> dict[str, Any]:
    """The manifest and where the dataset lies, without the thousands of ids."""
    kept = {name: value for name, value in dataset.manifest.items() if name != "ids"}
    return {**kept, "digest": dataset.digest, "path": str(dataset.path)}


def show(out: Output, data: Mapping[str, Any]) -> None:
    """A dataset for people."""
    out.line(f"Dataset {data['digest'][:16]}", style="bold")
    out.line(str(data["path"]))
    out.line()
    out.table(
        ["split", ">examples", ">tokens"],
        [[split, f"{data['examples'][split]:,}", f"{data['tokens'][split]:,}"] for split in SPLITS],
    )
    out.line()
    out.pairs(_more(data))
    facts = [(f"by {name.replace('quality_', '')}", counts) for name, counts in data["counts"].items()]
    facts += [(f"left out, {reason}", counts) for reason, counts in data["left_out"].items()]
    facts += [("cut to fit", data["fitted"])]
    out.pairs(
        [(name, ", ".join(f"{key} {number:,}" for key, number in counts.items())) for name, counts in facts if counts]
    )


def _more(data: Mapping[str, Any]) -> dict[str, str | None]:
    """What a dataset holds besides plain answers: pairs, corrections, what is replayed; and what bounds it."""
    pairs, own = data.get("pairs") or {}, data.get("corrections") or {}
    again, budget = data.get("replay") or {}, data.get("budget") or {}
    speed = budget.get("tokens_per_second")
    known = "measured" if budget.get("measured_runs") else "assumed, until a run is measured"
    weight = (
        f"{own.get('examples', 0):,}, {own.get('share', 0):.1%} of what is learnt (weight {own.get('weight', 1):g})"
    )
    window = f"{budget.get('minutes', 0):g} minutes at {speed or 0:,.0f} tokens/s ({known}) are"
    return {
        "pairs": ", ".join(f"{split} {n:,}" for split, n in pairs.items()) if any(pairs.values()) else None,
        "corrections": weight if own.get("examples") else None,
        "replayed": f"{again['examples']:,} general exchanges" if again.get("examples") else None,
        "wrong turns not learnt": f"{data['masked_turns']:,}" if data.get("masked_turns") else None,
        "budget": f"{window} {budget['tokens']:,} tokens" if budget.get("tokens") else None,
    }


def when(seconds: float | None) -> str:
    """Local date and minute of Unix seconds."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "-"
