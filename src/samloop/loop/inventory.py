"""An inventory of drives: what training data lies where, how much of it the store has, and what is there twice."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop import __version__, plugins
from samloop.curate.identity import Identifier
from samloop.errors import SourceError
from samloop.example import to_json
from samloop.files import readable
from samloop.loop.context import Context
from samloop.sources import copies
from samloop.sources.drives import Found, Trouble, Walk
from samloop.sources.inventory import SAMPLED, look_at, sample_of
from samloop.sources.look import Look, NothingHere, Unreadable
from samloop.store.looks import Looks

STATES: Final = ("in store", "new", "copies", "not compared", "aside")
"""What becomes of bytes: the store has them, or not; they are there twice; nobody can tell; no source reads them."""

TINY_BYTES: Final = 64 * 1024
TINY_FILES: Final = 8
"""So many files below 64 KiB of one format in one folder are worth merging."""

FUTURE_SECONDS: Final = 86_400.0
PORTION_FILES: Final = 256

Tell = Callable[[str], None]


def inventory(context: Context, places: Sequence[Path], *, on_progress: Tell = lambda _text: None) -> dict[str, Any]:
    """Walk `places` and tell what training data lies there; nothing but the inventory's own memory is written.

    Args:
        on_progress: called now and then with a line that says how far it is.

    Returns:
        totals, by_format, files (largest first), duplicates, tiny, empty, dangling and problems: the document of
        ``inventory --json``. A file's share in the store is that of a sample of its records, of all where `sampled`
        equals `records`; None where it cannot be told.

    Raises:
        SourceError: none of the places can be read.
        StoreError: what was found cannot be kept.
    """
    started = time.monotonic()
    walk, taking = Walk(places), _Taking(context)
    with Looks(context.home.inventory, _settings(context)) as looks:
        for met in walk:
            taking.take(met, looks)
            taking.say(on_progress, walk)
        if taking.troubles and not walk.counts["files"] + walk.counts["folders"]:
            first = taking.troubles[0]
            raise SourceError(
                f"expected a drive, folder or file at {first.path}: {first.problem}; name another place"
            )
        groups = copies.copies({f["where"]: f["bytes"] for f in taking.files}, _remembered(looks, taking.stamps))
        for place in filter(Path.is_dir, places):  # one that is not plugged in is not forgotten
            looks.forget_missing(place)
    taking.compare()
    duplicates = _mark_copies(groups, {file["where"]: file for file in taking.files}, taking.stamps)
    files = sorted(taking.files, key=lambda file: (-file["bytes"], file["path"]))
    for file in files:
        file["state"] = _state(file)
        del file["where"]
    by_format = _by_format(files)
    return {
        "totals": {
            "files": walk.counts["files"],
            "folders": walk.counts["folders"],
            "skipped_folders": walk.counts["skipped folders"],
            "links_to_folders": walk.counts["links to folders"],
            "with_data": len(files),
            "bytes": sum(file["bytes"] for file in files),
            "records": sum(file["records"] or 0 for file in files),
            "by_state": {state: sum(row["by_state"][state] for row in by_format) for state in STATES},
            "remembered": taking.remembered,
            "seconds": round(time.monotonic() - started, 3),
        },
        "by_format": by_format,
        "files": files,
        "duplicates": duplicates,
        "tiny": _tiny(files),
        "empty": taking.empty,
        "dangling": [asdict(trouble) for trouble in taking.troubles if trouble.dangling],
        "problems": [asdict(trouble) for trouble in taking.troubles if not trouble.dangling],
    }


def _settings(context: Context) -> str:
    """What the ids of a sample depend on."""
    recipe = context.recipe
    told = [__version__, recipe.curate.redact.model_dump(), recipe.sam.name, plugins.names("sources")]
    return xxhash.xxh3_128_hexdigest(to_json(told).encode())


def _remembered(looks: Looks, stamps: Mapping[Path, Found]) -> copies.Digest:
    """The digest of a whole file, from its look where that has it."""

    def digest(path: Path, size: int) -> str | None:
        found = stamps[path]
        look = looks.get(path, size, found.mtime_ns)
        if look is not None and "digest" in look:
            return str(look["digest"])
        told = copies.digest_whole(path, size)
        if look is not None and told is not None:
            looks.put(path, size, found.mtime_ns, look | {"digest": told})
        return told

    return digest


class _Taking:
    """What the walk brings in."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.files: list[dict[str, Any]] = []
        self.stamps: dict[Path, Found] = {}
        self.empty: list[str] = []
        self.troubles: list[Trouble] = []
        self.remembered = 0
        self._identifier = Identifier(context.recipe.curate.redact)
        self._variables = {"name": context.recipe.sam.name}
        self._uncompared: list[tuple[dict[str, Any], list[str]]] = []
        self._said = 0.0

    def take(self, met: Found | Trouble, looks: Looks) -> None:
        if isinstance(met, Trouble):
            self.troubles.append(met)
        elif met.size == 0:
            self.empty.append(readable(met.path))
        elif (look := self._look(met, looks)) is not None:
            self._add(met, look)

    def _look(self, found: Found, looks: Looks) -> dict[str, Any] | None:
        """The look as plain data; None where there is no training data, or the file cannot be read."""
        known = looks.get(found.path, found.size, found.mtime_ns)
        if known is not None:
            self.remembered += 1
            return known if known["format"] else None
        try:
            look = look_at(found, self._variables)
            changed = found.path.stat().st_mtime_ns != found.mtime_ns
        except NothingHere:
            looks.put(found.path, found.size, found.mtime_ns, {"format": ""})
            return None
        except (Unreadable, OSError) as error:
            problem = error.strerror if isinstance(error, OSError) else error
            self.troubles.append(Trouble(readable(found.path), f"cannot be read ({problem})"))
            return None
        if not look.examples:
            look = self._with_sample(look, found.path)
        plain = {name: getattr(look, name) for name in Look.__slots__ if name != "examples"}
        plain["ids"] = self._identifier.ids(look.examples) if look.examples else []
        if changed:
            plain["problem"] = plain["problem"] or "changes while it is read"
        else:
            looks.put(found.path, found.size, found.mtime_ns, plain)
        return plain

    def _with_sample(self, look: Look, path: Path) -> Look:
        """With the first examples that the source finds which reads such files, where it is installed."""
        if look.kind is None or look.kind not in plugins.names("sources"):
            return look
        try:
            found = tuple(islice(sample_of(plugins.load("sources", look.kind), str(path)), SAMPLED))
        except Exception:  # a plug-in may raise anything, and the file is told all the same
            return look
        problem = look.problem or (None if found else "no example in it")
        return replace(
            look, examples=found, problem=problem, sampled=0 if len(found) == SAMPLED else look.records or 0
        )

    def _add(self, found: Found, look: Mapping[str, Any]) -> None:
        mtime = found.mtime_ns / 1e9
        problem = "dated in the future" if mtime > time.time() + FUTURE_SECONDS else None
        file = {
            "where": found.path,
            "path": readable(found.path),
            "kind": look["kind"],
            "format": look["format"],
            "container": look["container"],
            "bytes": found.size,
            "records": look["records"],
            "broken": look["broken"],
            "date": _date(mtime),
            "licence": look["licence"],
            "share_in_store": None,
            "sampled": look["sampled"],
            "copy_of": None,
            "problem": look["problem"] or problem,
        }
        if found.path == self.context.home.database:
            file |= {"share_in_store": 1.0, "sampled": look["records"]}
        self.files.append(file)
        self.stamps[found.path] = found
        if look["ids"]:
            self._uncompared.append((file, look["ids"]))
        if len(self._uncompared) >= PORTION_FILES:
            self.compare()

    def compare(self) -> None:
        """Ask the store for the examples of the samples at hand."""
        stored = self.context.store.stored(id for _, ids in self._uncompared for id in ids)
        for file, ids in self._uncompared:
            file["share_in_store"] = round(sum(id in stored for id in ids) / len(ids), 4)
        self._uncompared.clear()

    def say(self, tell: Tell, walk: Walk) -> None:
        if time.monotonic() - self._said > 0.1:
            self._said = time.monotonic()
            tell(f"{walk.counts['files']:,} files, {len(self.files):,} with training data")


def _date(mtime: float) -> str | None:
    try:
        return datetime.fromtimestamp(mtime, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _mark_copies(
    groups: Sequence[Sequence[Path]], files: Mapping[Path, dict[str, Any]], stamps: Mapping[Path, Found]
) -> list[dict[str, Any]]:
    """Say of each copy what it is one of, and tell the groups, most bytes to gain first."""
    told = []
    for first, *others in groups:
        for other in others:
            files[other]["copy_of"] = files[first]["path"]
        drives = len({stamps[path].device for path in (first, *others)})
        size = files[first]["bytes"]
        paths = [files[path]["path"] for path in (first, *others)]
        told.append({"bytes": size, "spare_bytes": size * len(others), "drives": drives, "paths": paths})
    return sorted(told, key=lambda group: -group["spare_bytes"])


def _state(file: Mapping[str, Any]) -> str:
    if file["copy_of"] is not None:
        return "copy"
    share = file["share_in_store"]
    if share is not None:
        return "in store" if share == 1 else "new" if share == 0 else "partly in store"
    return "aside" if file["kind"] is None else "not compared"


def _amounts(file: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The bytes of a file by what becomes of them."""
    if file["state"] in ("copy", "aside", "not compared"):
        yield "copies" if file["state"] == "copy" else file["state"], file["bytes"]
        return
    stored = round(file["bytes"] * file["share_in_store"])
    yield from (("in store", stored), ("new", file["bytes"] - stored))


def _by_format(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Files, records and bytes by format, most bytes first."""
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        row = rows.setdefault(file["format"], {"format": file["format"], "files": 0, "records": 0, "bytes": 0})
        row["files"] += 1
        row["records"] += file["records"] or 0
        row["bytes"] += file["bytes"]
        states = row.setdefault("by_state", dict.fromkeys(STATES, 0))
        for state, size in _amounts(file):
            states[state] += size
    return sorted(rows.values(), key=lambda row: (-row["bytes"], row["format"]))


def _tiny(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Folders with many small files of one format, most files first."""
    small: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for file in files:
        if file["bytes"] < TINY_BYTES and file["container"] != "SQLite":
            counts = small[os.path.dirname(file["path"]), file["format"]]  # noqa: PTH120  the path is text for people
            counts.update(files=1, records=file["records"] or 0, bytes=file["bytes"])
    found = [
        {"folder": folder, "format": format_, **counts}
        for (folder, format_), counts in small.items()
        if counts["files"] >= TINY_FILES
    ]
    return sorted(found, key=lambda row: (-row["files"], row["folder"]))
