"""Runs as people steer them from any terminal: found, told apart from dead ones, paused, resumed and stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from samloop.errors import NotFoundError, TrainingError
from samloop.files import storing
from samloop.home import Home
from samloop.loop.context import Context
from samloop.train.control import Control, Wish
from samloop.train.guard import describe
from samloop.train.metrics import read_events, read_metrics
from samloop.train.overfitting import overfitting

AT_WORK: Final = ("training", "paused")
"""States of a run whose process lives, or was killed so hard that it could not say so."""


def find_run(context: Context, run: str) -> dict[str, Any]:
    """A run as the store knows it, told right even where its process was killed.

    Args:
        run: an id, a beginning that no other shares, or "latest".

    Raises:
        NotFoundError: there is none.
        UsageError: several ids begin so.
    """
    settle(context)
    if run != "latest":
        return context.store.get_run(run)
    newest = context.store.list_runs(limit=1)
    if not newest:
        raise NotFoundError("there is no run yet; 'samloop train' starts one")
    return newest[0]


def list_runs(context: Context) -> list[dict[str, Any]]:
    """All runs, newest first, told right even where a process was killed."""
    settle(context)
    return context.store.list_runs()


def settle(context: Context) -> None:
    """Call those runs stopped that are said to be in training while nobody trains in this home.

    Whoever trains holds the home's lock, and the system lets go of it however the process ends.
    """
    at_work = [run for state in AT_WORK for run in context.store.list_runs(state=state)]
    if not any(_ours(context.home, run) for run in at_work):
        return
    try:
        with FileLock(context.home.training_lock, timeout=0, mode=0o600):
            settle_alone(context)
    except OSError:  # a time-out is one: somebody trains, and what the store says holds; or the home is read-only
        return


def settle_alone(context: Context) -> None:
    """`settle` for the one who holds the home's training lock."""
    for state in AT_WORK:
        for run in context.store.list_runs(state=state):
            if _ours(context.home, run):
                error = "its process was killed, or the machine went off"
                context.store.update_run(run["run_id"], state="stopped", error=error)


@contextmanager
def alone(context: Context) -> Iterator[None]:
    """Train alone in this home: two trainings would share the memory that each was promised.

    Raises:
        TrainingError: another training is at work.
    """
    lock = FileLock(context.home.training_lock, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        at_work = [run["run_id"] for state in AT_WORK for run in context.store.list_runs(state=state)]
        who, command = (f"{at_work[0]} is", f" {at_work[0]}") if at_work else ("another training is", "")
        raise TrainingError(
            f"{who} at work in {context.home.path}, and one home trains one adapter at a time; wait for it to end, "
            f"or stop it with: samloop runs stop{command}"
        ) from None
    try:
        settle_alone(context)
        yield
    finally:
        lock.release()


def ask(context: Context, run: str, wish: Wish) -> dict[str, Any]:
    """Ask a run to pause or to stop after the step it is at; the run as it was when it was asked.

    Raises:
        NotFoundError: there is no such run.
        TrainingError: nobody is at work on it.
    """
    record = _at_work(context, run, wish)
    with storing("the wish", Path(record["path"])):
        Control(Path(record["path"])).ask(wish)
    return record


def go_on(context: Context, run: str) -> dict[str, Any]:
    """Ask a run that pauses to go on; the run as it was when it was asked.

    Raises:
        NotFoundError: there is no such run.
        TrainingError: nobody is at work on it.
    """
    record = _at_work(context, run, "resume")
    with storing("the wish", Path(record["path"])):
        Control(Path(record["path"])).clear()
    return record


def pause_reason(run: Mapping[str, Any]) -> str | None:
    """Why a run pauses; None where it does not."""
    if run["state"] != "paused" or not run.get("path"):
        return None
    paused = [event for event in read_events(Path(run["path"]) / "metrics.jsonl") if event["event"] == "paused"]
    return describe(paused[-1]) if paused else None


def overfitting_of(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where a run began to learn its examples by heart: {step, last_step, validation_loss, training_loss, rise,
    sentence}; None where nothing shows it."""
    found = overfitting(read_metrics(Path(run["path"]) / "metrics.jsonl")) if run.get("path") else None
    return {**found.to_dict(), "sentence": found.sentence()} if found else None


def _at_work(context: Context, run: str, verb: str) -> dict[str, Any]:
    try:
        record = find_run(context, run)
    except NotFoundError:
        if run == "latest":
            raise NotFoundError(f"there is no run to {verb}; 'samloop train' starts one") from None
        raise
    if record["state"] in AT_WORK and _ours(context.home, record):
        return record
    remedy = f"go on with: samloop train --resume {record['run_id']}"
    if record["state"] == "completed":
        remedy = "its adapter is whole"
    elif record["state"] in AT_WORK:
        remedy = f"it is at work in {record['path']}, another home"
    raise TrainingError(f"{record['run_id']} is {record['state']}, so there is nothing to {verb}; {remedy}")


def _ours(home: Home, run: Mapping[str, Any]) -> bool:
    """Whether a run is of this home: a team's store knows those of other machines as well."""
    return bool(run.get("path")) and Path(run["path"]).parent == home.runs
