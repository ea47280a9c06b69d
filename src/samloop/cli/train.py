"""`samloop train`: one training run, or whether one is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from samloop.cli.live import live
from samloop.cli.output import Output, figure
from samloop.cli.progress import spinner
from samloop.cli.session import Session
from samloop.errors import UsageError
from samloop.train import told

if TYPE_CHECKING:
    from samloop.recipe import Recipe


def train(
    ctx: typer.Context,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="sft, dpo, sft+dpo or auto.")] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="auto, torch or mlx.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Base model: a folder, a hub name, 'pocket'.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only, to see that it works.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much memory it takes, by part, and whether it fits.")
    ] = False,
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
        _resume(session, resume, {**given, "quick": quick, "check": check, "force": force, "dry-run": dry_run})
        return
    if dry_run:
        _dry_run(session, session.recipe().changed(train={k: v for k, v in given.items() if v is not None}))
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
        with live(session.out) as tell:
            result = stage.train(context, dataset, quick=quick, on_metric=tell)
    session.out.result(result, lambda: show(session.out, result))


def _resume(session: Session, run: str, others: Mapping[str, Any]) -> None:
    for name, value in others.items():
        if value:
            raise UsageError(f"--resume goes on with a run as it began, so it takes no --{name}; leave that out")
    with session.context() as context:
        from samloop.loop import train as stage

        with live(session.out) as tell:
            result = stage.resume(context, run, on_metric=tell)
    session.out.result(result, lambda: show(session.out, result))


PARTS: Final = {
    "program": "libraries of the worker",
    "weights": "the base",
    "adapter": "its weights, their gradient, the best so far",
    "optimiser": "two moments of AdamW",
    "activations": "kept for the backward pass",
    "logits": "at a time, with their gradient",
    "held": "kept by the allocator",
}


def _dry_run(session: Session, recipe: Recipe) -> None:
    from samloop.loop import fit

    found = fit.fit(recipe)
    preset = None if found.fits else fit.fitting_preset(recipe)

    def show_parts() -> None:
        parts = found.estimate.to_dict()
        rows = [(name, megabytes(parts[name]), meaning) for name, meaning in PARTS.items()]
        rows.append(("training", megabytes(found.estimate.training), "all of it, at its peak"))
        if found.estimate.loading > found.estimate.training:
            rows.append(("loading", megabytes(found.estimate.loading), "with the base's file, while it is converted"))
        session.out.line(f"{found.model} on {found.backend} ({found.estimate.device}), estimated; nothing is loaded.")
        session.out.table(["part", ">MB", "what"], rows)
        session.out.line()
        verdict = "It fits" if found.fits else "It does not fit"
        session.out.line(f"{verdict}: {fit.gigabytes(found.available_bytes)} of memory are available.")
        if found.available_on_gpu_bytes is not None:
            session.out.line(f"On the GPU {fit.gigabytes(found.available_on_gpu_bytes)} are available.")
        if not found.fits:
            session.out.line(f"The preset {preset} would fit." if preset else "No preset fits; close other programs.")
        session.out.line(f"Checkpoints take at most {megabytes(found.disk_bytes)} MB of disk.")

    session.out.result({**found.to_dict(), "fitting_preset": preset}, show_parts)


def megabytes(size_bytes: int) -> str:
    """In 10⁶ bytes, as the system's own tools show memory."""
    size = size_bytes / 10**6
    return f"{size:,.0f}" if size >= 10 else f"{size:.1f}"


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
