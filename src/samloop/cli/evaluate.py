"""`samloop evaluate`: one target, or two on the same held-out items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from samloop.cli.output import Output, figure
from samloop.cli.progress import stages
from samloop.cli.session import Session
from samloop.errors import UsageError


def evaluate(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="TARGET", help="Adapter ids, 'champion' or 'base'.")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option("--suite", metavar="NAME", help="Only this suite; repeatable.")
    ] = None,
) -> None:
    """Grade one target, or two on the same held-out items.

    Without targets: the base and the champion. Each figure comes with its confidence interval; of two targets the
    second is the challenger.
    """
    session: Session = ctx.obj
    if len(targets or []) > 2:
        raise UsageError(f"expected one or two targets, got {len(targets or [])}")
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import evaluate as stage

        graded = stage.evaluate(context, targets or [], suite or None, on_metric=lambda news: tell("evaluate", news))
    data = {name: value for name, value in graded.items() if name != "scores"}
    session.out.result(data, lambda: show(session.out, data))


def show(out: Output, data: Mapping[str, Any]) -> None:
    """Targets beside each other, then the paired comparison."""
    targets = list(data["suites"])
    rows = [
        [scores[0]["name"].replace("_", " "), f"{scores[0]['items']:,}", *(interval(score) for score in scores)]
        for scores in zip(*(data["suites"][target] for target in targets), strict=True)
    ]
    out.table(["measure", ">items", *(f">{target}" for target in targets)], rows)
    out.line("In brackets: bootstrap confidence intervals.", style="dim")
    if data.get("comparison"):
        out.line()
        out.table(
            ["measure", f">gain of {targets[1]}", ">chance that it is worse"],
            [
                [c["name"].replace("_", " "), interval({**c["gain"], "unit": c["unit"]}), f"{c['worse_chance']:.1%}"]
                for c in data["comparison"]
            ],
        )


def interval(score: Mapping[str, Any]) -> str:
    """``81.2% [79.0%, 83.1%]`` of a share, plain figures of anything else."""
    values = (score["mean"], score["low"], score["high"])
    mean, low, high = (f"{v:.1%}" if score["unit"] == "share" and v is not None else figure(v, 3) for v in values)
    return f"{mean} [{low}, {high}]"
