"""Curate: data files in, curated files out, without the store.

Three steps, each of which can be killed and run again. *Judge*: the input is cut into units, each of which is read,
judged and written apart from all others, by processes beside this one or on a cluster. *Thin out*: of examples that
are the same the first in input order stays, of near-duplicates the best. *Hand over*: shards without the duplicates,
then the report. What is written depends on the input and the settings alone, not on who judged what and when.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import xxhash
from filelock import FileLock, Timeout

from samloop.errors import SamloopError, UsageError
from samloop.example import STATES
from samloop.files import private_folder, readable, storing, sweep, write_atomic, write_json
from samloop.loop.admission import Admission
from samloop.loop.bulk import duplicates, engines, report
from samloop.loop.bulk.near import Nearby, near_duplicates
from samloop.loop.bulk.plan import Plan, plan
from samloop.loop.bulk.shards import Place, draft_name
from samloop.loop.bulk.unit import LISTED_FILE, MANIFEST_FILE, NAMES_FILE, Format, Settings, Unit, rows_of
from samloop.loop.bulk.work import Run
from samloop.loop.items import items_named
from samloop.recipe import POCKET, Recipe
from samloop.text.base import resolve_base

Progress = Callable[[Mapping[str, Any]], None]

WORK: Final = ".work"
REPORT: Final = "report.json"
REJECTS: Final = "rejects.jsonl"
KEPT_STATES: Final = ("accepted", "review")
"""States whose examples are written, each into a folder of its name."""


def curate(
    recipe: Recipe,
    locations: Sequence[str],
    out: Path,
    *,
    engine: str = "local",
    format: Format = "parquet",
    workers: int = 0,
    licence: str | None = None,
    allow_licences: Collection[str] = (),
    rejects: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Curate the data files at `locations` into `out`.

    Args:
        recipe: its sections ``curate`` and ``collect`` apply.
        locations: files, folders, patterns, or ``s3://BUCKET/KEY``, in the order in which duplicates are looked for.
        out: a folder of its own: new, or one that an earlier run began or finished.
        engine: ``local``, ``ray://local`` or ``ray://HOST:PORT``.
        format: ``parquet`` (one column per field) or ``jsonl`` (one line per example, in its own format).
        workers: processes; 0: one per core.
        licence: SPDX id of all files; without it, what lies beside each file tells.
        allow_licences: SPDX ids to let in although ``collect`` refuses them; "unknown" stands for none.
        rejects: a file that receives each record turned away or sent to review, as JSONL.
        on_progress: called after each unit with ``done`` and ``total`` (bytes of input).

    Returns:
        the report: totals, sources (one per file), histograms, shards, seconds.

    Raises:
        SourceError: a place holds no data that can be read, or does not answer.
        UsageError: `out` holds something else, or the engine is unknown.
        SamloopError: the cluster does not answer, or a worker died; what is whole stays, and the next run goes on.
    """
    started = time.monotonic()
    engines.check(engine)
    planned = plan(locations, out / WORK / "inputs")
    with _owned(out) as work:
        settings = _settings(recipe, format, allow_licences)
        run = _Run(out, work, settings, planned, licence, on_progress)
        data = run.finished() if (out / REPORT).exists() else None
        if data is None:
            data = run.through(engine, workers)
        if rejects is not None:
            with storing("the list of rejects", rejects):
                shutil.copyfile(out / REJECTS, rejects)
        shutil.rmtree(work, ignore_errors=True)
    data["totals"]["seconds"] = round(time.monotonic() - started, 3)
    return data


def _settings(recipe: Recipe, format: Format, allow_licences: Collection[str]) -> Settings:
    base = recipe.train.model or POCKET
    try:
        folder = resolve_base(base)
    except SamloopError:  # tokens are counted for the report alone: any tokenizer is better than none
        base, folder = POCKET, resolve_base(POCKET)
    variables = {"name": recipe.sam.name}
    items = items_named(recipe.curate.decontaminate)
    return Settings(
        curate=recipe.curate,
        format=format,
        max_line_bytes=recipe.collect.max_line_bytes,
        variables=variables,
        admission=Admission(recipe.collect, allow_licences),
        items=items,
        base=str(folder),
        base_name=base,
    )


@contextmanager
def _owned(out: Path) -> Iterator[Path]:
    """The folder for what is not finished, in `out`, for this process alone.

    Raises:
        UsageError: `out` is a file, or holds what no run of ours has put there, or another run is writing to it.
    """
    work = out / WORK
    if out.exists() and not out.is_dir():
        raise UsageError(f"expected a folder for the output, got the file {readable(out)}; name another place")
    if out.is_dir() and any(out.iterdir()) and not work.is_dir() and not (out / REPORT).is_file():
        raise UsageError(
            f"expected an empty folder or one of an earlier run for the output, got {readable(out)}, which holds "
            "other files; name another place"
        )
    with storing("the output", out):
        private_folder(work)
    try:
        with FileLock(out / WORK / "lock", blocking=False):
            sweep(work)
            yield work
    except Timeout:
        raise UsageError(f"another run is writing to {readable(out)}; wait for it, or name another place") from None


@dataclass(slots=True)
class _Run:
    out: Path
    work: Path
    settings: Settings
    plan: Plan
    licence: str | None
    on_progress: Progress | None
    units: list[Unit] | None = None

    def finished(self) -> dict[str, Any] | None:
        """The report in `out`, if it is of the same input and settings.

        Raises:
            UsageError: it is of another.
        """
        self.units = list(self.plan.units(self.settings, self.licence))
        data: dict[str, Any] = orjson.loads((self.out / REPORT).read_bytes())
        if data.get("digest") == self._digest(self.units):
            return data
        raise UsageError(
            f"{readable(self.out)} holds the output of other input or settings; name another folder, or remove it"
        )

    def through(self, engine: str, workers: int) -> dict[str, Any]:
        """Judge, thin out, hand over; the report."""
        folder = private_folder(self.work / "units")
        size = self.plan.size
        with (
            storing("the output", self.out),
            engines.engine_of(engine, self.settings, folder, workers=workers, size=size) as run,
        ):
            self.judge(run)
            return self.hand_over(run)

    def judge(self, run: Run) -> None:
        """Have every unit judged that is not there yet."""
        done, total = 0, self.plan.size
        seen: list[Unit] = []

        def planned() -> Iterator[Unit]:
            for unit in self.plan.units(self.settings, self.licence):
                seen.append(unit)
                yield unit

        for unit in run(planned()):
            self.plan.done(unit)
            done += unit.size
            if self.on_progress:
                self.on_progress({"done": min(done, total), "total": total, "summary": _amount(done, total)})
        self.units = seen

    def hand_over(self, run: Run) -> dict[str, Any]:
        """Drop duplicates, write shards, list of rejects and report; the report comes last."""
        units = self.units or []
        folders = [self.work / "units" / unit.name for unit in units]
        for state in KEPT_STATES:
            shutil.rmtree(self.out / state, ignore_errors=True)
        begins = duplicates.begins_of(folders)
        stays, near = self._thinned(run, folders, begins)
        tally = report.Tally()
        shards: list[dict[str, Any]] = []

        def placed(listed: BinaryIO) -> Iterator[Place]:
            numbers = dict.fromkeys(KEPT_STATES, 0)
            for folder, begin, end in zip(folders, begins[:-1].tolist(), begins[1:].tolist(), strict=True):
                first, (gone, clusters) = stays[begin:end], near.of(begin, end - begin) if near else ({}, {})
                tally.add(folder, first, list(gone))
                _copy_listed(folder, listed, first, gone)
                keep = first.copy()
                keep[list(gone)] = False
                for shard, work in self._shards(folder, keep, clusters, numbers):
                    shards.append(shard)
                    yield work

        with (self.work / REJECTS).open("wb") as listed:
            for reject in self.plan.rejects:
                tally.turn_away(reject)
                entry = {"location": reject.location, "line": reject.line, "id": reject.id}
                _write_line(listed, entry | {"reason": reject.reason, "detail": reject.detail})
            for _ in run(placed(listed)):
                pass
        (self.work / REJECTS).chmod(0o600)
        (self.work / REJECTS).replace(self.out / REJECTS)
        return self._report(tally, near, shards, units)

    def _thinned(self, run: Run, folders: Sequence[Path], begins: np.ndarray) -> tuple[np.ndarray, Nearby | None]:
        """Which rows are no exact duplicates, and what is nearly the same among those."""
        spill = self.work / "spill"
        shutil.rmtree(spill, ignore_errors=True)
        stays = duplicates.first_of_each(folders, private_folder(spill))
        settings = self.settings.curate.near
        if not settings.enabled:
            return stays, None
        return stays, near_duplicates(run, folders, begins[:-1], stays, settings, self.work / "near")

    def _shards(
        self, folder: Path, keep: np.ndarray, clusters: Mapping[int, str], numbers: dict[str, int]
    ) -> Iterator[tuple[dict[str, Any], Place]]:
        rows, suffix = rows_of(folder), self.settings.format
        for state in KEPT_STATES:
            mine = np.flatnonzero(rows["state"] == STATES.index(state))
            staying = keep[mine]
            if not staying.any():
                continue
            target = private_folder(self.out / state) / f"part-{numbers[state]:05}.{suffix}"
            numbers[state] += 1
            told = {at: clusters[row] for at, row in enumerate(mine.tolist()) if row in clusters}
            work = Place(str(folder / draft_name(state, suffix)), str(target), staying.tobytes(), told)
            yield {"name": f"{state}/{target.name}", "rows": int(staying.sum())}, work

    def _report(
        self, tally: report.Tally, near: Nearby | None, shards: list[dict[str, Any]], units: Sequence[Unit]
    ) -> dict[str, Any]:
        histograms = tally.histograms()
        data = {
            **tally.document(),
            "near_duplicates": near.document() if near else None,
            "histograms": histograms,
            "shards": sorted(shards, key=lambda shard: str(shard["name"])),
            "settings": {
                "format": self.settings.format,
                "curate": self.settings.curate.model_dump(mode="json"),
                "licences": self.settings.admission.document(),
            },
            "digest": self._digest(units),
        }
        with storing("the report", self.out):
            report.write_pictures(self.out, histograms, self.settings.base_name)
            write_atomic(self.out / "report.md", report.markdown(data).encode())
            write_json(self.out / REPORT, data)
        return data

    def _digest(self, units: Sequence[Unit]) -> str:
        """Of input and settings; it names the run."""
        hasher = xxhash.xxh3_128(self.settings.digest.encode())
        for unit in units:
            hasher.update(unit.name.encode())
        for reject in self.plan.rejects:
            hasher.update(f"{reject.location}\0{reject.reason}\0".encode())
        return hasher.hexdigest()


def _copy_listed(folder: Path, out: BinaryIO, stays: np.ndarray, gone: Mapping[int, tuple[str, float]]) -> None:
    """Copy the records turned away, but for duplicates: what is there already is no loss. Add near-duplicates."""
    with (folder / LISTED_FILE).open("rb") as lines:
        for line in lines:
            # {"at":12,"location":… or {"at":null,…: told by its beginning, which takes a tenth of parsing it.
            place, rest = line.removeprefix(b'{"at":').split(b",", 1)
            if place == b"null" or (stays[int(place)] and int(place) not in gone):
                out.write(b"{" + rest)
    if not gone:
        return
    locations = orjson.loads((folder / MANIFEST_FILE).read_bytes())["locations"]
    portions = rows_of(folder)["portion"]
    with (folder / NAMES_FILE).open("rb") as names:
        for at, name in enumerate(names):
            if at in gone:
                kept, share = gone[at]
                entry = {"location": locations[portions[at]], "line": None, "id": orjson.loads(name)}
                detail = f"{share:.0%} like {kept}, which stays"
                _write_line(out, entry | {"reason": report.NEAR_DUPLICATE, "detail": detail})


def _write_line(out: BinaryIO, entry: Mapping[str, Any]) -> None:
    out.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))


def _amount(done: int, total: int) -> str:
    return f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB"
