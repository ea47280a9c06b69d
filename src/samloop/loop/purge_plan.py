"""What a purge would take, and what it would touch: found out without changing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from samloop.adapters.registry import IMPORTED, UNKNOWN
from samloop.adapters.service import WITHDRAWN
from samloop.loop import purge_files
from samloop.loop.context import Context
from samloop.loop.purge_choice import Chosen


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


def make_plan(context: Context, chosen: Chosen) -> Plan:
    """What goes with `chosen`: datasets, runs, adapters, rows, exported files."""
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
