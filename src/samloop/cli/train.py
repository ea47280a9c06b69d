"""`samloop train`: one training run, or whether one is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from samloop.cli.output import Output, figure
from samloop.cli.progress import spinner, stages
from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.train import told


def train(
    ctx: typer.Context,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="sft, dpo, sft+dpo or auto.")] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="auto, torch or mlx.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Base model: a folder, a hub name, 'pocket'.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only, to see that it works.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether a run is due, and why.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train even if too little is new.")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped or killed, or 'latest'.")
    ] = None,
) -> None:
    """Train an adapter on all examples that the recipe admits.

    Nothing is trained when too little is new since the last run. A run that was killed goes on where it was, and ends
    with the same weights; --resume does so with its own settings, whatever the recipe says by now.
    """
    session: Session = ctx.obj
    given = {"method": method, "backend": backend, "model": model}
    if resume is not None:
        _resume(session, resume, {**given, "quick": quick, "check": check, "force": force})
        return
    with session.context() as context:
        from samloop.loop import prepare as prepare_stage
        from samloop.loop import train as stage

        recipe = context.recipe.changed(train={name: value for name, value in given.items() if value is not None})
        context = replace(context, recipe=recipe)
        due = stage.check(context)
        if check or not (due["due"] or force or quick):
            session.out.result(due, lambda: _show_due(session.out, due, check=check))
            return
        with spinner(session.out, "Preparing"):
            dataset = prepare_stage.prepare(context)
        with stages(session.out) as tell:
            result = stage.train(context, dataset, quick=quick, on_metric=lambda news: tell("train", news))
    session.out.result(result, lambda: show(session.out, result))


def _resume(session: Session, run: str, others: Mapping[str, Any]) -> None:
    for name, value in others.items():
        if value:
            raise UsageError(f"--resume goes on with a run as it began, so it takes no --{name}; leave that out")
    with session.context() as context:
        from samloop.loop import train as stage

        with stages(session.out) as tell:
            result = stage.resume(context, run, on_metric=lambda news: tell("train", news))
    session.out.result(result, lambda: show(session.out, result))


def _show_due(out: Output, due: Mapping[str, Any], *, check: bool) -> None:
    out.line(f"{due['reason'][:1].upper()}{due['reason'][1:]}.")
    if not check:
        out.line("Nothing was trained; --force trains all the same.")


def _nats(loss: float | None) -> str | None:
    return None if loss is None else f"{figure(loss)} nats per token"


def show(out: Output, result: Mapping[str, Any]) -> None:
    """The result of a run for people."""
    memory = result.get("peak_memory_bytes")
    speed = result.get("tokens_per_second")
    out.pairs(
        {
            "run": result["run_id"],
            "state": result["state"],
            **told.facts(result),
            "steps": result.get("steps"),
            "loss": told.loss(result),
            "validation loss": _nats(result.get("validation_loss")),
            "speed": f"{speed:,.0f} tokens/s" if speed else None,
            "peak memory": f"{memory / 2**20:,.0f} MiB" if memory else None,
            "adapter": result.get("adapter"),
            "loss curve": result.get("curve"),
        }
    )
