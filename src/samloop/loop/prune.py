"""Prune: free the disk of adapters and checkpoints that nobody goes back to. What is known of them stays."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from samloop.adapters.pruning import DAY_SECONDS, to_prune
from samloop.adapters.registry import Registry
from samloop.errors import UsageError
from samloop.files import storing, sweep
from samloop.loop.context import Context
from samloop.loop.runs import settle

KEEP: Final = 5
DAYS: Final = 30.0

ENDED: Final = ("completed", "failed")
"""States of a run that nobody is going on with; a failed one can be resumed, and keeps its checkpoints for `days`."""


def prune(context: Context, *, keep: int = KEEP, days: float = DAYS, dry_run: bool = True) -> dict[str, Any]:
    """Remove the files of old adapters, and the checkpoints of old runs.

    The champion of a slot, the one before it, the newest candidate, one on trial, and one whose run is not at its
    end stay, whatever their age. Rows and lineage stay of all.

    Args:
        keep: how many of the newest adapters of each slot stay.
        days: younger ones stay too.
        dry_run: only tell what would go.

    Returns:
        {dry_run, adapters: [{adapter, slot, state, created_at, bytes}], runs: [{run_id, bytes}], bytes, kept}.

    Raises:
        UsageError: a number is below zero.
        StoreBusyError: a promotion is under way.
        StoreError: a folder cannot be removed.
    """
    if keep < 0 or days < 0:
        raise UsageError(f"expected --keep and --days of 0 and more, got {keep} and {days:g}")
    settle(context)
    registry, now = Registry(context.home, context.store), time.time()
    on_disk = [row for row in context.store.list_adapters() if registry.on_disk(row)]
    runs = {str(run["run_id"]): run for run in context.store.list_runs()}
    protected = _protected(context, registry, on_disk, runs)
    chosen = to_prune(on_disk, keep=keep, days=days, protected=protected, now=now)
    adapters, gone_runs = [], set()
    for row in chosen:
        folder = registry.path(row["adapter_id"])
        size = _bytes(folder)
        if not dry_run and not _remove_adapter(context, registry, row, folder):
            continue
        if row["run_id"]:
            gone_runs.add(str(row["run_id"]))
        told = {key: row[key] for key in ("slot", "state", "created_at")}
        adapters.append({"adapter": row["adapter_id"], **told, "bytes": size})
    old = [run for run in runs.values() if run["state"] in ENDED and now - run["updated_at"] >= days * DAY_SECONDS]
    freed = []
    for run in old:
        folder = context.home.runs / str(run["run_id"])
        # Without its result a run is made anew when it is asked for again, so the copy of its adapter can go as well.
        names = ("checkpoints", *(("result.json", "adapter") if run["run_id"] in gone_runs else ()))
        paths = [path for path in (folder / name for name in names) if path.exists()]
        if paths:
            freed.append({"run_id": run["run_id"], "bytes": sum(map(_bytes, paths))})
            if not dry_run:
                _remove(paths)
    return {
        "dry_run": dry_run,
        "adapters": adapters,
        "runs": freed,
        "bytes": sum(one["bytes"] for one in (*adapters, *freed)),
        "kept": len(on_disk) - len(adapters),
    }


def _protected(
    context: Context, registry: Registry, rows: Iterable[Mapping[str, Any]], runs: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """Who serves, who served before, who waits, and whose run is not at its end."""
    found: set[str | None] = set()
    for slot in registry.service.slots():
        found |= {registry.champion(slot), registry.predecessor(slot)}
        found |= {str(row["adapter_id"]) for row in context.store.list_adapters(slot=slot, state="candidate")[:1]}
    for trial in context.store.list_trials(state="running"):
        found |= {str(trial["champion"]), str(trial["challenger"])}
    for row in rows:
        run = runs.get(str(row["run_id"]))
        if run and run["state"] not in ENDED:
            found.add(str(row["adapter_id"]))
    return {name for name in found if name}


def _remove_adapter(context: Context, registry: Registry, row: Mapping[str, Any], folder: Path) -> bool:
    """Take an adapter's folder away, unless it came into service in the meantime."""
    slot, name = str(row["slot"]), str(row["adapter_id"])
    with registry.service.locked(slot):
        if name in (registry.champion(slot), registry.predecessor(slot)):
            return False
        # The row first: a folder without one who names it as on disk is swept, a row without its folder would lie.
        context.store.update_adapter(name, path=None)
        _remove([folder])
    return True


def _remove(paths: Iterable[Path]) -> None:
    """Each vanishes in one step; what a kill leaves of it is swept later."""
    for path in paths:
        with storing("the removal", path):
            if path.is_dir():
                beside = path.with_name(f".{path.name}.{os.getpid()}.part")
                path.rename(beside)
                shutil.rmtree(beside)
            else:
                path.unlink(missing_ok=True)
            sweep(path.parent)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
