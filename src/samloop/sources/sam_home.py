"""The older layout of such a system: its databases and its trees of JSON lines, moved in without losing a row.

~/.sam/training_data.db, distillation.db, knowledge_distillation.db     tables told by their columns
~/.sam/training_data/ feedback_derived/ auto_training_data/ distilled/ processed/ batches/ jobs/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources import datasets
from samloop.sources.drafts import Draft
from samloop.sources.formats import RecordReader, format_of
from samloop.sources.origin import Origin
from samloop.sources.sam_rows import WAITS, drafts_of, shape_of, waits
from samloop.sources.sam_tables import Database, TableEnd
from samloop.sources.sidecars import licence_of, spdx_of
from samloop.sources.sqlite_files import SUFFIXES, Unreadable, is_database, stamp

FOLDERS: Final = (
    "feedback_derived", "training_data", "auto_training_data", "distilled", "batches", "processed", "jobs",
    "finished_jobs", "completed_jobs", "training_jobs",
)  # fmt: skip
"""Folders of training data, in the order in which they are read: of equal examples the first one stays, so what
knows most about them comes first."""

JOBS: Final = frozenset(name for name in FOLDERS if name.endswith("jobs"))
JOB_FILES: Final = ("job.json", "status.json", "state.json")
FINISHED: Final = ("finished", "completed", "complete", "done", "succeeded", "success")

SKIPPED: Final = frozenset({"adapters", "models", "cache", "logs", "node_modules", "site-packages", "__pycache__"})
"""Folders in which no training data lies; adapters are moved in by themselves."""

DEEPEST: Final = 8
"""Folders below each other that are looked into."""

OTHERS: Final = (
    "git_commits", "code_patterns", "knowledge", "routing", "claude_capture", "user_correction", "user_preference",
    "feedback", "conversation_capture", "distillation", "chatgpt", "claude_ai", "claude_code", "datasets", "manual",
)  # fmt: skip
"""Sources in whose names its examples may speak, because the older system called them so too."""


@source("sam_home", needs_location=True, in_parts=True, yields=OTHERS)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """The examples of the older installation at `location` that were not read before.

    Databases are opened for reading alone and in one transaction each; nothing is written beside them. An example
    keeps the source it had there, where samloop has one of that name. What the older system thought of it stands
    under ``before`` in its metadata and is not believed.

    Args:
        location: the installation's folder, such as ``~/.sam``, or one database or file of it.
        since: the last mark: per file and table, how far it was read and a digest of that.
        licence: SPDX id of what has none of its own.
        max_line_bytes: longer lines of a file are turned away.
        variables: ``name`` is what the assistant calls itself, in correction dialogues.

    Raises:
        SourceError: there is no such place, or nothing there can be read; nothing was yielded.
    """
    place = Path(location).expanduser()
    if not place.exists():
        raise SourceError(
            f"expected the folder of an older installation, found nothing at {location}; check the path"
        )
    folder = place if place.is_dir() else place.parent
    options = datasets.Options(spdx_of(licence) or licence, max_line_bytes, variables)
    installation = Installation(folder, options, (variables or {}).get("name", "SAM"))
    found = installation.find(place)
    if not found and since is None:
        raise SourceError(
            f"expected training data in {readable(place)}, found no database, no JSON lines and none of the folders "
            f"{', '.join(FOLDERS[:6])}; name the folder of the older installation"
        )
    if place.is_file():
        _refuse_alone(place)
    return installation.read(found, since or {})


def _refuse_alone(place: Path) -> None:
    """Raise what is wrong with a database that was named itself."""
    if place.suffix in SUFFIXES and not is_database(place):
        raise SourceError(
            f"expected an SQLite database, got {readable(place)}, which is none; take a whole copy of it"
        )


@dataclass(frozen=True, slots=True)
class Installation:
    """An older installation.

    Attributes:
        folder: names of files are told from it.
        assistant: what the assistant calls itself.
    """

    folder: Path
    options: datasets.Options
    assistant: str

    def find(self, place: Path) -> list[Path]:
        """The files to look at, databases first."""
        if place.is_file():
            return [place]
        return sorted(
            (path for path in _below(place) if path.suffix in SUFFIXES or self._in_scope(path)),
            key=lambda path: self._rank(path),
        )

    def name(self, path: Path) -> str:
        """The file as examples name it."""
        return readable(path.relative_to(self.folder).as_posix())

    def _in_scope(self, path: Path) -> bool:
        inside = path.relative_to(self.folder).parts
        if path.name in JOB_FILES:
            return False
        if len(inside) == 1:
            return path.suffix in (".jsonl", ".ndjson") or self.folder.name in FOLDERS
        return self.folder.name in FOLDERS or any(part in FOLDERS for part in inside[:-1])

    def _rank(self, path: Path) -> tuple[int, int, str]:
        name = self.name(path)
        first = ("training_data.db", "distillation.db")
        if path.suffix in SUFFIXES:
            return (0, first.index(path.name) if path.name in first else len(first), name)
        places = [FOLDERS.index(part) for part in PurePosixPath(name).parts if part in FOLDERS]
        return (1, min(places, default=len(FOLDERS)), name)

    def read(self, paths: Sequence[Path], since: Mapping[str, Any]) -> Iterator[Record]:
        """Everything new in `paths`, with marks."""
        databases: dict[str, Any] = dict(since.get("databases", {}))
        state: dict[str, Any] = dict(since.get("files", {}))
        for path in (path for path in paths if path.suffix in SUFFIXES or is_database(path)):
            name = self.name(path)
            for record in self._database(path, databases.get(name)):
                if isinstance(record, TableEnd):
                    databases[name] = record.state
                    yield Mark({"databases": dict(databases), "files": dict(state)})
                else:
                    yield record
        others = [path for path in paths if path.suffix not in SUFFIXES and not is_database(path)]
        for found in self._files(others, state):
            yield Mark({"databases": databases, **found.value}) if isinstance(found, Mark) else found

    # --- databases -----------------------------------------------------------------------------------------------

    def _database(self, path: Path, before: Mapping[str, Any] | None) -> Iterator[Example | Reject | TableEnd]:
        database = Database(path, self.name(path), before, self.assistant, self._maker(path))
        if database.unchanged:
            return
        try:
            yield from database.read()
        except Unreadable as problem:
            yield Reject(readable(path), problem.reason, problem.detail)
            if problem.reason in ("not a database", "damaged database"):  # neither ends by itself
                state = {**database.state, **stamp(path), "done": True}
                yield TableEnd({"tables": {}, **state})

    def _maker(self, path: Path) -> Callable[..., list[Example]]:
        licence = self.options.licence or licence_of(path, self.folder)

        def make(
            drafts: Sequence[Draft], row: Mapping[str, Any], dataset: str, number: int, parent: str | None, wait: bool
        ) -> list[Example]:
            origin = Origin("sam_home", readable(path), dataset, licence)
            return self._examples(origin, drafts, row, number, parent, wait)

        return make

    def _examples(
        self,
        origin: Origin,
        drafts: Sequence[Draft],
        row: Mapping[str, Any],
        number: int,
        parent: str | None,
        wait: bool,
    ) -> list[Example]:
        told = {**row, "metadata": _object(row.get("metadata"))}
        told["format"] = None
        examples = [
            _renamed(example, _usual_source(origin.dataset))
            for example in origin.examples(drafts, told, number, (), carried=True)
        ]
        examples = [replace(example, parent_id=parent) if parent else example for example in examples]
        return [replace(example, state="review", reason=WAITS) if wait else example for example in examples]

    # --- files ---------------------------------------------------------------------------------------------------

    def _files(self, paths: Sequence[Path], state: dict[str, Any]) -> Iterator[Record]:
        ready: list[datasets.Job | datasets.TurnedAway] = []
        for path in paths:
            state_of_job = job_state(path, self.folder)
            for job in datasets.jobs_of(self.folder, [path], state, alone=False, known=_known):
                if state_of_job is None or state_of_job in FINISHED:
                    ready.append(job)
                elif isinstance(job, datasets.Job) and "ended" not in state.get(job.name, {}):
                    yield Reject(readable(path), "unfinished job", "its job has not ended; it comes in when it has")
                    # No size that a file has, so that it is looked at again.
                    state[job.name] = {"size": -1, "mtime_ns": 0, "digest": "", "at": 0, "number": 0, "done": False}
                    state[job.name]["ended"] = False
        yield from datasets.read_jobs(ready, state, self.options, self._reader)

    def _reader(self, job: datasets.Job) -> RecordReader:
        licence = self.options.licence or job.licence
        return _Reader(Origin("sam_home", readable(job.path), job.name, licence), (), {}, installation=self)


class _Reader(RecordReader):
    """Records of one file: first by the shapes of the older layout, then by the usual formats."""

    def __init__(self, *given: Any, installation: Installation) -> None:
        super().__init__(*given)
        self.installation = installation
        self.usual = _usual_source(self.origin.dataset)

    def read(self, record: Any, number: int) -> list[Example]:
        """The examples in `record`.

        Raises:
            Unfit: it has none.
        """
        if type(record) is dict:
            filled = {str(key).lower(): value for key, value in record.items() if value not in (None, "")}
            shape = shape_of("", filled)
            if shape is not None:
                drafts, parent = drafts_of(shape, filled, self.installation.assistant)
                return self.installation._examples(self.origin, drafts, filled, number, parent, waits(filled))
        return [_renamed(example, self.usual) for example in super().read(record, number)]


def _known(keys: frozenset[str]) -> bool:
    return format_of(keys) is not None or shape_of("", keys) is not None


def _usual_source(dataset: str) -> Callable[[Example], str]:
    """What an example of that file or table is called that does not say so itself."""
    place = dataset.lower()

    def usual(example: Example) -> str:
        if "feedback" in place:
            corrected = (example.parent_id or "").startswith("correction:") or "correction" in place
            return "user_correction" if corrected else "user_preference" if example.format == "dpo" else "feedback"
        return "distillation" if "distill" in place else "sam_home"

    return usual


def _renamed(example: Example, usual: Callable[[Example], str]) -> Example:
    """`example` under the source it had, where samloop has one of that name."""
    origin = example.metadata.get("origin")
    if origin not in OTHERS:
        return replace(example, source=usual(example))
    metadata = {key: value for key, value in example.metadata.items() if key != "origin"}
    return replace(example, source=origin, metadata=metadata)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def _below(folder: Path) -> Iterator[Path]:
    """The files below `folder`, without following links to folders, so that no loop is walked."""
    depth = len(folder.parts)
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        kept = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        folders[:] = kept if len(here.parts) - depth < DEEPEST else []
        yield from (here / name for name in names if not name.startswith(".") and (here / name).is_file())


def job_state(path: Path, folder: Path) -> str | None:
    """How it stands with the job, below `folder`, that what lies at `path` belongs to, in lower case; `FINISHED` are
    those that ended well. None where it is of no job, or nobody knows."""
    for parent in path.parents:
        if parent == folder or parent.name in JOBS:
            return None
        if parent.parent.name in JOBS or (parent.parent == folder and folder.name in JOBS):
            for name in JOB_FILES:
                told = _object(_read_text(parent / name))
                if isinstance(state := told.get("status") or told.get("state"), str):
                    return state.lower()
    return None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes()[: 2**20].decode("utf-8", "replace")
    except OSError:
        return ""
