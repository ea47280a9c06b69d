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
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from filelock import FileLock, Timeout

from samloop import plugins
from samloop.adapters.registry import IMPORTED, UNKNOWN, WITHDRAWN, Registry
from samloop.errors import InputError, NotFoundError, SamloopError, StoreBusyError, UsageError
from samloop.example import to_json
from samloop.loop import purge_files
from samloop.loop.context import Context
from samloop.loop.near import forget
from samloop.loop.purge_choice import LIVE, Choice, Chosen, choose, stones_of
from samloop.loop.purge_quotes import Quotes, portions, strings_in
from samloop.loop.runs import alone
from samloop.text.tombstones import RECORD, tombstone

Progress = Callable[[str], None]

REASON: Final = "withdrawn: what it learnt from was erased"
MOST_LISTED: Final = 1000
"""Records that a receipt lists by their keyed hashes; of more, it holds one digest."""

JSON_TEXTS: Final = {"messages", "conversation_history", "metadata", "before", "steps"}


@dataclass(slots=True)
class Plan:
    """What a purge would take, and what it would touch.

    Attributes:
        keys: of what goes, by table.
        needles: strings that must not stay anywhere.
        datasets: folders that go.
        runs: whether each run that had some of it in its data learnt from it (or only measured with it).
        adapters: those that learnt from it.
        hanging: rows that hang on the examples, by table.
        exports: exported files that hold some of it.
        look_alikes: examples that resemble some of it and stay.
        notes: how the choice was understood.
    """

    keys: dict[str, list[Any]]
    needles: list[str]
    datasets: list[str]
    runs: dict[str, bool]
    adapters: list[dict[str, Any]]
    hanging: dict[str, int] = field(default_factory=dict)
    exports: list[dict[str, Any]] = field(default_factory=list)
    look_alikes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Ids of the examples."""
        return self.keys.get("examples", [])

    @property
    def empty(self) -> bool:
        """Whether nothing is meant."""
        return not any(self.keys.values())

    def to_dict(self) -> dict[str, Any]:
        """The document of a dry run: counts, and names of what is not text."""
        rows = {name: len(keys) for name, keys in sorted(self.keys.items()) if keys}
        more = {name: count for name, count in sorted(self.hanging.items()) if count}
        return {
            "dry_run": True,
            "would_remove": {**more, **rows, "datasets": len(self.datasets)},
            "adapters": self.adapters,
            "runs": sorted(run for run, learnt in self.runs.items() if learnt),
            "exports": self.exports,
            "backups": self.backups,
            "unknown_lineage": self.unknown,
            "look_alikes": self.look_alikes,
            "notes": self.notes,
        }


def plan(context: Context, choice: Choice) -> Plan:
    """What a purge of `choice` would take. Nothing is changed.

    Raises:
        UsageError: nothing is given to choose by, or something too short.
    """
    return _plan(context, choose(context, choice))


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
        with alone(context):
            finished = [_go_on(context, row["purge_id"], tell) for row in unfinished(context)]
            tell("looking for what is meant")
            chosen = choose(context, choice)
            planned = _plan(context, chosen)
            if planned.empty:
                if finished:
                    return finished[-1]
                raise NotFoundError("nothing in this home is meant by that, so nothing was changed; look at it again")
            purge_id = _begin(context, choice, chosen, planned, retrain=retrain, delete_backups=delete_backups)
            receipt = _go_on(context, purge_id, tell)
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
            receipt = _go_on(context, row["purge_id"], tell)
            if wanted and not receipt.get("withdrawn"):
                _withdraw(context, receipt, [one["adapter_id"] for one in receipt["adapters"]], receipt["runs"])
                _keep(context, row["purge_id"], "done", receipt)
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
    _keep(context, row["purge_id"], "done", {**row["receipt"], "lifted_at": time.time()})
    read_again = [{"kind": kind, "location": location} for kind, location in again]
    return {"purge_id": row["purge_id"], "tombstones_lifted": lifted, "read_again": read_again}


def _speaks_for(kind: str, sources: Collection[str]) -> bool:
    """Whether a source of that kind may bring examples in the name of one of these."""
    try:
        read = plugins.load("sources", kind)
    except SamloopError:  # a plug-in that is not installed any more
        return True
    return not {read.source_name, *getattr(read, "yields", ())}.isdisjoint(sources)


def unfinished(context: Context) -> list[dict[str, Any]]:
    """Purges that were killed half way, the oldest first."""
    return [row for row in reversed(context.store.list_purges()) if row["state"] != "done"]


# --- what is meant -----------------------------------------------------------------------------------------------


def _plan(context: Context, chosen: Chosen) -> Plan:
    store, ids = context.store, chosen.ids
    datasets = purge_files.datasets_with(context.home, ids) if ids else {}
    runs = {run: "train" in splits for run, splits in store.runs_that_saw(ids).items()}
    for run in store.list_runs():  # one that did not end has told nobody what it learns from
        if splits := datasets.get(run["dataset_path"] or ""):
            runs[run["run_id"]] = runs.get(run["run_id"], False) or "train" in splits
    adapters, unknown = [], []
    for row in store.list_adapters():
        if row["state"] == WITHDRAWN:
            continue
        if runs.get(row["run_id"] or ""):
            adapters.append({name: row[name] for name in ("adapter_id", "slot", "state", "run_id")})
        elif row["lineage"].get("lineage") in (UNKNOWN, IMPORTED):
            unknown.append(str(row["adapter_id"]))
    return Plan(
        keys={name: sorted(keys) for name, keys in chosen.keys.items() if keys},
        needles=chosen.needles,
        datasets=sorted(datasets),
        runs=runs,
        adapters=adapters,
        hanging=store.hanging_on(ids),
        exports=purge_files.exported(context, ids),
        look_alikes=sorted(store.look_alikes(ids)),
        notes=chosen.notes,
        backups=purge_files.backups_of(context.home),
        unknown=unknown,
    )


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


# --- the deed ----------------------------------------------------------------------------------------------------


def _go_on(context: Context, purge_id: str, tell: Progress) -> dict[str, Any]:
    """Bring a purge to its end from wherever it is; its receipt."""
    row = context.store.get_purge(purge_id)
    receipt: dict[str, Any] = row["receipt"]
    if row["state"] == "begun":
        receipt = _erase(context, row, tell)
        row["state"] = "erased"
    if row["state"] == "erased":
        tell("writing the database anew")
        if not context.store.compact():
            receipt["cannot_reach"].append(
                {"what": "the database server's files", "remedy": "VACUUM FULL, and its own backups and logs"}
            )
        receipt["finished_at"] = time.time()
        receipt["digest"] = _digest(receipt)
        _keep(context, purge_id, "done", receipt)
    return receipt


def _erase(context: Context, row: Mapping[str, Any], tell: Progress) -> dict[str, Any]:
    journal, receipt, home = row["journal"], dict(row["receipt"]), context.home
    keys: dict[str, list[Any]] = journal["keys"]
    ids = keys.get("examples", [])
    rows = {name: list(values) for name, values in keys.items() if name != "examples"}
    needles = journal["needles"]
    if receipt["retrain"]:
        tell("withdrawing adapters")
        _withdraw(context, receipt, [one["adapter_id"] for one in receipt["adapters"]], receipt["runs"])
    tell("removing datasets, checkpoints and quotes")
    forget(context, ids)
    files: dict[str, Any] = {"datasets": purge_files.remove_datasets(journal["datasets"])}
    _stop_runs(context, journal["runs"])
    found = purge_files.exported(context, set(ids))
    files["exports_rewritten"] = purge_files.rewrite_exports(context, set(ids), found)
    cleaned, left, quoting = set[str](), set[str](), 0
    for portion in portions(_texts(context, ids, rows)):
        quotes = Quotes(portion, needles, ids)
        swept = purge_files.sweep_home(home, quotes, context.store.path())
        cleaned |= set(swept.changed)
        left |= set(swept.left)
        quoting += context.store.take_out(quotes.out_of_json)
    files["cleaned"] = len(cleaned)
    home.inventory.unlink(missing_ok=True)
    backups = purge_files.backups_of(home)
    if receipt["delete_backups"]:
        files["backups"] = purge_files.remove_paths(backups)
        backups = []
    receipt["files"] = files
    unreached = _out_of_reach(receipt, found, sorted(left), backups, journal["unknown"])
    receipt["cannot_reach"] = Quotes((), needles).out_of(unreached)
    tell("deleting rows")

    def told(gone: Mapping[str, int]) -> dict[str, Any]:
        return {**receipt, "removed": {name: count for name, count in {**gone, "quotes": quoting}.items() if count}}

    gone = context.store.erase(row["purge_id"], ids, rows, receipt=told)
    late = (
        purge_files.datasets_with(home, set(ids)) if ids else {}
    )  # prepared in the meantime, by a command of its own
    files["datasets"] += purge_files.remove_datasets(late)
    return told(gone)


def _texts(context: Context, ids: list[str], rows: Mapping[str, list[Any]]) -> Iterator[str]:
    """The texts of all that goes; what introduces other examples as well is nobody's."""
    prompts: set[str] = set()
    for columns in context.store.texts_in(ids, rows):
        for name, value in columns.items():
            if value and name == "system_prompt":
                prompts.add(value)
            elif value and name in JSON_TEXTS:
                yield from strings_in(orjson.loads(value))
            elif value:
                yield value
    if prompts:
        yield from sorted(prompts - context.store.system_prompts_besides(set(ids), prompts))


def _withdraw(context: Context, receipt: dict[str, Any], adapters: list[str], runs: list[str]) -> None:
    """Take adapters out of service for good, and delete what their runs remember; told in the receipt."""
    serving = Registry(context.home, context.store).withdraw(adapters, REASON)
    for run_id in runs:
        _forget_weights(context, run_id)
    before = receipt.get("serving", {})
    receipt |= {"withdrawn": sorted(adapters), "serving": before | serving}


def _forget_weights(context: Context, run_id: str) -> None:
    run = context.store.get_run(run_id)
    folder = Path(run["path"]) if run["path"] else context.home.runs / run_id
    if folder.is_dir():
        purge_files.remove_weights(folder)
    context.store.update_run(run_id, state="failed", error=REASON, finished_at=run["finished_at"] or time.time())


def _stop_runs(context: Context, runs: Mapping[str, bool]) -> None:
    """Delete the checkpoints of runs that did not end: without their dataset they never will."""
    known = {run["run_id"]: run for run in context.store.list_runs()}
    for run_id in runs:
        if run_id in known and known[run_id]["state"] != "completed":
            _forget_weights(context, run_id)


def _out_of_reach(
    receipt: Mapping[str, Any],
    exports: list[dict[str, Any]],
    left: list[str],
    backups: list[str],
    unknown: list[str],
) -> list[dict[str, str]]:
    found = []
    for one in exports:
        if one["state"] == "changed":
            remedy = (
                f"{one['lines']} lines in it are erased ones, but it is not as samloop wrote it: delete them or it"
            )
            found.append({"what": f"the export {one['path']}", "remedy": remedy})
        elif one["state"] == "copy":
            found.append(
                {"what": f"the dataset {one['path']}", "remedy": "it is a copy that holds some of it: delete it"}
            )
        elif one["state"] == "gone":
            found.append(
                {"what": f"the export {one['path']}", "remedy": "it is not there any more: look where it went"}
            )
    found += [
        {"what": f"the file {path} in the home", "remedy": "it is yours: take it out yourself"} for path in left
    ]
    found += [
        {"what": f"the backup {path}", "remedy": "delete it, with --delete-backups, and make a new one"}
        for path in backups
    ]
    if receipt["adapters"]:
        names = ", ".join(one["adapter_id"] for one in receipt["adapters"])
        remedy = "what was exported, converted, fused or pushed of them has to be deleted where it is"
        found.append({"what": f"copies of {names}", "remedy": remedy})
    if unknown:
        remedy = "nobody here knows what they learnt from: ask where they come from"
        found.append({"what": f"adapters of unknown lineage: {', '.join(unknown)}", "remedy": remedy})
    return found


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
            _keep(context, purge_id, "done", receipt)
            raise
        receipt["serving"] = {
            slot: Registry(context.home, context.store).champion(slot) for slot in receipt.get("serving", {})
        }
    receipt["digest"] = _digest(receipt)
    _keep(context, purge_id, "done", receipt)
    return receipt


def _keep(context: Context, purge_id: str, state: str, receipt: Mapping[str, Any]) -> None:
    context.store.update_purge(purge_id, state=state, receipt=receipt)


def _digest(receipt: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in receipt.items() if name != "digest"}
    return hashlib.sha256(to_json(plain).encode()).hexdigest()


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
