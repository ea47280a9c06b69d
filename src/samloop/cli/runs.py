"""`samloop runs`: training runs, past and present."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from samloop.cli import train
from samloop.cli.live import live
from samloop.cli.output import duration, figure, shorten
from samloop.cli.prepare import when
from samloop.cli.session import Session
from samloop.errors import InputError

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="List, show, follow, plot, pause, resume and stop training runs.",
)

FOLLOW_SECONDS: Final = 0.5
"""How often a followed run is looked at; metric lines come every few seconds."""

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="An id, its beginning, or 'latest'.")]


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List training runs, newest first."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop import runs

        found = [_plain(run) for run in runs.list_runs(context)]

    def show_all() -> None:
        if not found:
            session.out.line("No run yet; 'samloop train' starts one.")
            return
        rows = [
            (
                run["run_id"],
                run["state"],
                when(run["created_at"]),
                f"{shorten(run['base'].rpartition('/')[2], 24)} on {run['backend']}",
                figure(run["validation_loss"]),
            )
            for run in found
        ]
        session.out.table(["run", "state", "started", "base", ">valid. loss"], rows)

    session.out.result(found, show_all)


@app.command()
def show(
    ctx: typer.Context,
    run: RunArgument = "latest",
    follow: Annotated[bool, typer.Option("--follow", help="Stay until the run ends.")] = False,
) -> None:
    """Show one run: its state, its figures, its adapter."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop import runs

        record = runs.find_run(context, run)
        if follow:
            with live(session.out, lines=True) as tell:
                told = 0
                while True:
                    found = _lines(record)
                    for line in found[told:]:
                        tell(line)
                    told = len(found)
                    if record["state"] not in runs.AT_WORK:
                        break
                    time.sleep(FOLLOW_SECONDS)
                    record = runs.find_run(context, record["run_id"])
        from samloop.loop.learning import kept_report
        from samloop.loop.learning_text import learning_lines

        paused, learning = runs.pause_reason(record), kept_report(context, record["run_id"])
        parted = runs.overfitting_of(record)
    seen = {"pause_reason": paused, "learning": learning, "overfitting": parted}
    data = {**_plain(record), **seen, "metrics": _metrics(record)}

    def show_run() -> None:
        train.show(session.out, data)
        started, finished = record.get("started_at"), record.get("finished_at")
        session.out.pairs(
            {
                "base": f"{record['base']} on {record['backend']}",
                "dataset": record["dataset_digest"][:16],
                "started": when(started) if started else None,
                "took": duration(finished - started) if started and finished else None,
                "paused": paused,
                "overfitting": parted["sentence"] if parted else None,
                "error": record.get("error"),
            }
        )
        for line in learning_lines(learning) if learning else ():
            session.out.line(line)

    session.out.result(data, show_run)


@app.command()
def plot(
    ctx: typer.Context,
    run: RunArgument = "latest",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: in the run's folder.")
    ] = None,
) -> None:
    """Draw the losses of a run as a picture (PNG)."""
    session: Session = ctx.obj
    with session.context() as context:
        from samloop.loop import runs

        record = runs.find_run(context, run)
    metrics = _metrics(record)
    if not metrics:
        raise InputError(f"{record['run_id']} has no metrics yet, so there is nothing to draw")
    from samloop.train.plot import plot_run

    target = output or Path(record["path"]) / "loss.png"
    result, settings = record.get("result") or {}, (record.get("recipe") or {}).get("train") or {}
    plot_run(
        Path(record["path"]),
        target,
        title=record["run_id"],
        best_step=result.get("best_step"),
        checkpoint_steps=settings.get("checkpoint_steps", 0),
    )
    session.out.result({"run_id": record["run_id"], "path": str(target)}, lambda: session.out.line(f"Wrote {target}"))


@app.command()
def pause(ctx: typer.Context, run: RunArgument = "latest") -> None:
    """Pause a run after the step it is at; it keeps a checkpoint and its place in memory."""
    _steer(ctx.obj, run, "pause", "pauses after the step it is at; go on with: {program} runs resume {id}")


@app.command()
def resume(ctx: typer.Context, run: RunArgument = "latest") -> None:
    """Let a paused run go on. One that was stopped or killed goes on with 'samloop train --resume RUN'."""
    _steer(ctx.obj, run, "resume", "goes on")


@app.command()
def stop(ctx: typer.Context, run: RunArgument = "latest") -> None:
    """Stop a run after the step it is at, and keep it; a paused one at once."""
    _steer(ctx.obj, run, "stop", "stops after the step it is at; go on with: {program} train --resume {id}")


def _steer(session: Session, run: str, verb: str, answer: str) -> None:
    with session.context() as context:
        from samloop.loop import runs

        record = runs.go_on(context, run) if verb == "resume" else runs.ask(context, run, verb)  # type: ignore[arg-type]
        reason = runs.pause_reason(record)
    if verb == "resume" and reason and record["state"] == "paused" and reason.startswith("only"):
        answer = f"waits for memory and goes on by itself: {reason}"
    sentence = answer.format(program=session.program, id=record["run_id"])
    session.out.result(
        {"run_id": record["run_id"], "state": record["state"], "asked": verb},
        lambda: session.out.line(f"{record['run_id']} {sentence}"),
    )


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run in the shape of `train`: {run_id, state, steps, loss, …}, and what the store knows besides."""
    result = record.get("result") or {}
    names = (
        "steps",
        "loss",
        "validation_loss",
        "tokens_per_second",
        "peak_memory_bytes",
        "adapter",
        "curve",
        "method",
        "phases",
        "examples",
        "pairs",
        "chosen",
    )
    kept = {name: value for name, value in record.items() if name not in ("recipe", "result", "metrics")}
    return {**kept, **{name: result.get(name) for name in names}}


def _lines(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    from samloop.train.metrics import read_lines

    return read_lines(Path(record["path"]) / "metrics.jsonl") if record.get("path") else []


def _metrics(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    from samloop.train.metrics import read_metrics

    return read_metrics(Path(record["path"]) / "metrics.jsonl") if record.get("path") else []
