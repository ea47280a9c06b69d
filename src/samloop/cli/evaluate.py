"""`samloop evaluate`: one target, or two on the same held-out items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from samloop.cli.output import Output, figure, shorten
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
    checkpoints: Annotated[
        str | None,
        typer.Option("--checkpoints", metavar="RUN", help="Every adapter that a run kept: its id, or 'latest'."),
    ] = None,
    worst: Annotated[bool, typer.Option("--worst", help="Also show the items each target did worst on.")] = False,
) -> None:
    """Grade one target, or two on the same held-out items.

    Without targets: the base and the champion. Each figure comes with its confidence interval; of two targets the
    second is the challenger, and a page with a picture tells what it gains.
    """
    session: Session = ctx.obj
    if len(targets or []) > 2:
        raise UsageError(f"expected one or two targets, got {len(targets or [])}")
    if targets and checkpoints:
        raise UsageError("expected targets or --checkpoints RUN, got both; a run's own adapters are its targets")
    with session.context() as context, stages(session.out) as tell:
        from samloop.loop import evaluate as stage

        def on_metric(news: dict[str, Any]) -> None:
            tell("evaluate", news)

        if checkpoints:
            graded = stage.evaluate_checkpoints(context, checkpoints, suite or None, on_metric=on_metric)
        else:
            graded = stage.evaluate(context, targets or [], suite or None, on_metric=on_metric)
    data = {name: value for name, value in graded.items() if name != "scores"}

    def show_all() -> None:
        show(session.out, data)
        if worst:
            show_worst(session.out, data)

    session.out.result(data, show_all)


def show(out: Output, data: Mapping[str, Any]) -> None:
    """Targets beside each other, or those of a run below each other, then the paired comparison."""
    if data.get("checkpoints"):
        _show_checkpoints(out, data)
        return
    targets = list(data["suites"])
    rows = [
        [scores[0]["name"].replace("_", " "), f"{scores[0]['items']:,}", *(interval(score) for score in scores)]
        for scores in zip(*(data["suites"][target] for target in targets), strict=True)
    ]
    out.table(["measure", ">items", *(f">{target}" for target in targets)], rows)
    out.line("In brackets: bootstrap confidence intervals.", style="dim")
    _show_skipped(out, data)
    if data.get("comparison"):
        out.line()
        out.table(
            ["measure", f">gain of {targets[1]}", ">chance that it is worse"],
            [
                [c["name"].replace("_", " "), interval({**c["gain"], "unit": c["unit"]}), f"{c['worse_chance']:.1%}"]
                for c in data["comparison"]
            ],
        )
        out.line(f"The page: {data['page']}")
        out.line(f"The picture: {data['picture']}")


def _show_checkpoints(out: Output, data: Mapping[str, Any]) -> None:
    """One row per adapter of the run; the best of each measure is marked."""
    steps = {one["target"]: one["step"] for one in data["checkpoints"]}
    names = [score["name"] for score in data["suites"]["base"]]
    rows = []
    for target, scores in data["suites"].items():
        at = "base" if target == "base" else "the run's adapter" if steps[target] is None else f"step {steps[target]}"
        cells = [_mean(score) + (" *" if data["best"].get(score["name"]) == target else "") for score in scores]
        rows.append([at, *cells])
    out.table(["adapter", *(f">{name.replace('_', ' ')}" for name in names)], rows)
    out.line("* best of its column.", style="dim")
    _show_skipped(out, data)
    if data["overfitting"]:
        out.line(f"Overfitting: {data['overfitting']['sentence']}.")


def _show_skipped(out: Output, data: Mapping[str, Any]) -> None:
    if data["skipped"]:
        out.line(f"Left out, for there is nothing to ask: {', '.join(data['skipped'])}.", style="dim")


def show_worst(out: Output, data: Mapping[str, Any]) -> None:
    """Per target and measure the items to look at."""
    for target, scores in data["suites"].items():
        for score in scores:
            if not score["worst"]:
                continue
            out.line()
            out.line(f"{target}, worst in {score['name'].replace('_', ' ')}:")
            for item in score["worst"]:
                out.line(f"  {item['id']}: {_mean({**score, 'mean': item['value']})}")
                for label, text in (("asked", item["question"]), ("said", item["said"])):
                    if text is not None:
                        out.line(f"    {label:<5} {shorten(text, 200)}")


def _mean(score: Mapping[str, Any]) -> str:
    mean = score["mean"]
    return f"{mean:.1%}" if score["unit"] == "share" and mean is not None else figure(mean, 3)


def interval(score: Mapping[str, Any]) -> str:
    """``81.2% [79.0%, 83.1%]`` of a share, plain figures of anything else."""
    values = (score["mean"], score["low"], score["high"])
    mean, low, high = (f"{v:.1%}" if score["unit"] == "share" and v is not None else figure(v, 3) for v in values)
    return f"{mean} [{low}, {high}]"
