"""The spine: one turn of the loop, from new data to at most one adapter promoted.

Each stage is keyed by what went into it (watermarks, the dataset's digest, the run's and the evaluation's name), so a
turn that died goes on where it was, and one with nothing new does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from filelock import FileLock, Timeout

from samloop.errors import SamloopError, StoreBusyError
from samloop.files import sweep
from samloop.loop.collect import collect
from samloop.loop.context import Context
from samloop.loop.decide import carry_out, decide, undecided_dataset, unreported_dataset
from samloop.loop.evaluate import evaluate_run
from samloop.loop.prepare import prepare
from samloop.loop.purge import finish
from samloop.loop.report import TurnReport
from samloop.loop.serving import look_after_champions
from samloop.loop.train import check, train
from samloop.loop.trial import judge_trials
from samloop.settings import MAIN

Progress = Callable[[str, dict[str, Any]], None]


def turn(
    context: Context,
    *,
    force: bool = False,
    on_progress: Progress | None = None,
    program: str = "samloop",
) -> TurnReport:
    """One turn: collect, curate, prepare, train, evaluate, decide.

    Args:
        context: home, recipe and store.
        force: train even if too little is new.
        on_progress: called with the stage's name and what there is to say.
        program: how the user calls samloop, for the commands that the report recommends.

    Returns:
        the report, which is also kept under reports/ in the home.

    Raises:
        StoreBusyError: another turn is at work in this home.
        SamloopError: a stage failed; the next turn goes on from there.
    """
    tell = on_progress or (lambda _stage, _news: None)
    with _alone(context):
        finish(context)
        report = TurnReport(started_at=time.time(), program=program)
        look_after_champions(context)
        for name in (MAIN, *(slot.name for slot in context.recipe.serve.slots)):
            carry_out(context.for_slot(name))
        report.collected = collect(context, on_progress=lambda news: tell("collect", news)).to_dict()
        report.trials = judge_trials(context)
        _take(context, report, tell, force=force)
        for slot in context.recipe.serve.slots:
            report.others.append(_take_beside(context.for_slot(slot.name), tell, force=force, program=program))
        return report.finish(context)


def _take(context: Context, report: TurnReport, tell: Progress, *, force: bool) -> None:
    """Train, evaluate and decide for one slot, where that is due."""
    report.due = check(context)
    tell("check", report.due)
    waiting = undecided_dataset(context)
    if waiting is None and not (report.due["due"] or force):
        waiting = unreported_dataset(context)
        if waiting is None:
            return

    sweep(context.home.path)
    tell("prepare", {})
    dataset = waiting or prepare(context)
    report.dataset = dict(dataset.manifest, path=str(dataset.path))
    report.run = train(context, dataset, on_metric=lambda news: tell("train", news))
    report.evaluation = evaluate_run(context, report.run, on_metric=lambda news: tell("evaluate", news))
    report.decision = decide(context, report.run, report.evaluation).to_dict()
    tell("decide", report.decision)


def _take_beside(context: Context, tell: Progress, *, force: bool, program: str) -> TurnReport:
    """The same for a slot beside main; what fails there is told in its report, and leaves main's turn whole."""
    report = TurnReport(started_at=time.time(), program=program, slot=context.slot)
    try:
        _take(context, report, tell, force=force)
    except SamloopError as error:
        report.error = str(error)
        report.run = report.run if report.decision else None
    return report.finish(context)


class _alone:  # noqa: N801  read as a verb phrase: "with _alone(context)"
    """Only one turn at a time per home; the lock is the system's, so a killed turn leaves none behind."""

    def __init__(self, context: Context) -> None:
        self._lock = FileLock(context.home.lock, timeout=0, mode=0o600)

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreBusyError(
                f"another turn is at work ({self._lock.lock_file} is locked); wait for it to end"
            ) from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()
