"""Purge: erase a person, a source, a conversation or a text from everything that samloop keeps.

In this order, so that nothing is called erased before it is, and a purge killed at any point is finished by the next:

1. what is to go is written into a journal, and tombstones see to it that nothing of it comes in again;
2. with ``retrain``, adapters that learnt from it are withdrawn: from here on they serve nobody;
3. files: the index of near-duplicates, datasets, checkpoints, reports, evaluations, logs, exported files;
4. rows, in one transaction with a receipt that says "erased";
5. the database is written anew, so that no byte stays in free pages or the write-ahead log; then it says "done";
6. with ``retrain``, a run without what was erased, evaluated and put before the gate as any other.

The texts themselves are deleted late, because what quotes them is found by them.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from filelock import FileLock, Timeout

from samloop import plugins
from samloop.adapters.registry import Registry
from samloop.errors import InputError, NotFoundError, SamloopError, StoreBusyError, UsageError
from samloop.loop.context import Context
from samloop.loop.purge_choice import LIVE, Choice, Chosen, choose, stones_of
from samloop.loop.purge_deed import Progress, digest_of, go_on, keep, withdraw
from samloop.loop.purge_plan import Plan, make_plan
from samloop.loop.runs import alone
from samloop.text.tombstones import RECORD, tombstone

MOST_LISTED: Final = 1000
"""Records that a receipt lists by their keyed hashes; of more, it holds one digest."""


def plan(context: Context, choice: Choice) -> Plan:
    """What a purge of `choice` would take. Nothing is changed.

    Raises:
        UsageError: nothing is given to choose by, or something too short.
    """
    return make_plan(context, choose(context, choice))


def purge(
    context: Context,
    choice: Choice,
    *,
    retrain: bool = False,
    delete_backups: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Erase what `choice` means.

    A purge that was killed before is finished first.

    Args:
        retrain: withdraw the adapters that learnt from it, and train one without.
        delete_backups: delete the backups that lie in the home; they cannot be changed.
        on_progress: told what is being done.

    Returns:
        the receipt, which the store keeps. It holds no erased text and no name.

    Raises:
        NotFoundError: nothing in this home is meant.
        UsageError: nothing is given to choose by, or something too short.
        StoreBusyError: a turn is at work in this home.
        TrainingError: a training is.
        StoreError: something could not be removed; the same call goes on from there.
    """
    tell = on_progress or (lambda _: None)
    if not choice.by:
        choose(context, choice)  # which says what is missing
    with _turn_lock(context):
        finished = finish(context, on_progress=tell)
        with alone(context):
            tell("looking for what is meant")
            chosen = choose(context, choice)
            planned = make_plan(context, chosen)
            if planned.empty:
                if finished:
                    return finished[-1]
                raise NotFoundError("nothing in this home is meant by that, so nothing was changed; look at it again")
            purge_id = _begin(context, choice, chosen, planned, retrain=retrain, delete_backups=delete_backups)
            receipt = go_on(context, purge_id, tell)
        return _retrain(context, purge_id, tell) if retrain else receipt


def resume(
    context: Context, purge_id: str = "latest", *, retrain: bool = False, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Finish a purge that was killed, or have its adapters withdrawn and replaced after all.

    Raises:
        NotFoundError: there is no such purge.
        StoreBusyError, TrainingError, StoreError: as `purge`.
    """
    tell = on_progress or (lambda _: None)
    row = context.store.get_purge(purge_id)
    wanted = retrain or bool(row["receipt"].get("retrain") and not row["receipt"].get("retrained"))
    with _turn_lock(context):
        with alone(context):
            receipt = go_on(context, row["purge_id"], tell)
            if wanted and not receipt.get("withdrawn"):
                withdraw(context, receipt, [one["adapter_id"] for one in receipt["adapters"]], receipt["runs"])
                keep(context, row["purge_id"], "done", receipt)
        return _retrain(context, row["purge_id"], tell) if wanted else receipt


def lift(context: Context, purge_id: str) -> dict[str, Any]:
    """Let what a purge erased come in again: the sources that brought it are read from their beginning next time.

    Raises:
        NotFoundError: there is no such purge.
        UsageError: it is not finished.
    """
    row = context.store.get_purge(purge_id)
    if row["state"] != "done":
        raise UsageError(
            f"{row['purge_id']} is not finished; finish it with 'samloop purge --resume {row['purge_id']}'"
        )
    lifted = context.store.lift(row["purge_id"])
    again = [
        location for location in context.store.locations() if _speaks_for(location[0], row["receipt"]["sources"])
    ]
    for location in again:
        context.store.forget_watermark(*location)
    keep(context, row["purge_id"], "done", {**row["receipt"], "lifted_at": time.time()})
    read_again = [{"kind": kind, "location": location} for kind, location in again]
    return {"purge_id": row["purge_id"], "tombstones_lifted": lifted, "read_again": read_again}


def _speaks_for(kind: str, sources: Collection[str]) -> bool:
    """Whether a source of that kind may bring examples in the name of one of these."""
    try:
        read = plugins.load("sources", kind)
    except SamloopError:  # a plug-in that is not installed any more
        return True
    return not {read.source_name, *getattr(read, "yields", ())}.isdisjoint(sources)


def finish(context: Context, *, on_progress: Progress | None = None) -> list[dict[str, Any]]:
    """Bring purges that were killed to their end; their receipts. The caller holds the home's turn lock.

    Raises:
        TrainingError: a training is at work in this home.
        StoreError: something could not be removed.
    """
    left = unfinished(context)
    if not left:
        return []
    with alone(context):
        return [go_on(context, row["purge_id"], on_progress or (lambda _: None)) for row in left]


def unfinished(context: Context) -> list[dict[str, Any]]:
    """Purges that were killed half way, the oldest first."""
    return [row for row in reversed(context.store.list_purges()) if row["state"] != "done"]


def _begin(
    context: Context, choice: Choice, chosen: Chosen, planned: Plan, *, retrain: bool, delete_backups: bool
) -> str:
    key, now = context.home.identifier_key(), time.time()
    purge_id = f"purge-{time.strftime('%Y%m%d', time.gmtime(now))}-{secrets.token_hex(4)}"
    records = [*planned.ids, *(id for name in LIVE for id in planned.keys.get(name, ()))]
    hashed = sorted(tombstone(key, RECORD, str(id)) for id in records)
    receipt = {
        "purge_id": purge_id,
        "begun_at": now,
        "chosen_by": choice.by,
        "sources": sorted({one["source"] for one in context.store.outlines(planned.ids)}),
        "records": {
            "count": len(hashed),
            "digest": hashlib.sha256("\n".join(hashed).encode()).hexdigest(),
            "hashes": hashed if len(hashed) <= MOST_LISTED else [],
        },
        "adapters": planned.adapters,
        "runs": sorted(run for run, learnt in planned.runs.items() if learnt),
        "retrain": retrain,
        "delete_backups": delete_backups,
        "look_alikes": len(planned.look_alikes),
        "cannot_reach": [],
    }
    journal = {
        "keys": planned.keys,
        "needles": planned.needles,
        "datasets": planned.datasets,
        "runs": planned.runs,
        "unknown": planned.unknown,
    }
    context.store.begin_purge(purge_id, journal=journal, receipt=receipt, stones=stones_of(context, chosen))
    return purge_id


# --- afterwards --------------------------------------------------------------------------------------------------


def _retrain(context: Context, purge_id: str, tell: Progress) -> dict[str, Any]:
    """Train without what was erased, evaluate, and let the gate decide; the receipt with what came of it."""
    from samloop.loop.decide import decide
    from samloop.loop.evaluate import evaluate_run
    from samloop.loop.prepare import prepare
    from samloop.loop.train import train

    receipt: dict[str, Any] = context.store.get_purge(purge_id)["receipt"]
    if not receipt.get("withdrawn") and not receipt["runs"]:
        receipt["retrained"] = {"reason": "no adapter learnt from it, so none has to be replaced"}
    else:
        try:
            tell("preparing a dataset without it")
            dataset = prepare(context)
            tell("training without it")
            run = train(context, dataset)
            tell("evaluating")
            evaluation = evaluate_run(context, run)
            decision = decide(context, run, evaluation)
            receipt["retrained"] = {
                "dataset": dataset.digest,
                "run_id": run["run_id"],
                "adapter_id": decision.challenger,
                "verdict": decision.verdict,
                "summary": decision.summary,
            }
        except InputError as error:  # nothing is left to learn from
            receipt["retrained"] = {"reason": str(error)}
        except SamloopError:
            keep(context, purge_id, "done", receipt)
            raise
        receipt["serving"] = {
            slot: Registry(context.home, context.store).champion(slot) for slot in receipt.get("serving", {})
        }
    receipt["digest"] = digest_of(receipt)
    keep(context, purge_id, "done", receipt)
    return receipt


@contextmanager
def _turn_lock(context: Context) -> Iterator[None]:
    """No turn at the same time: it would go on with a dataset, or an adapter, that is being removed."""
    lock = FileLock(context.home.lock, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise StoreBusyError(
            f"a turn, or another purge, is at work in {context.home.path}; wait for it to end, or stop its run with "
            "'samloop runs stop latest', and purge then"
        ) from None
    try:
        yield
    finally:
        lock.release()
