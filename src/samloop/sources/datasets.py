"""Data files as a source: public instruction sets, preferences and conversations, and samloop's own exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.errors import SourceError
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources import containers, files
from samloop.sources.containers import Block
from samloop.sources.drafts import Unfit, name_of
from samloop.sources.formats import RecordReader, format_of
from samloop.sources.origin import Origin
from samloop.sources.sidecars import licence_of, spdx_of
from samloop.sources.unpack import DAMAGE, open_bytes
from samloop.sources.variables import variables_in

MARK_BYTES: Final = 2**20
"""A killed import reads at most about this much again."""


@source("datasets", needs_location=True, in_parts=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """The examples in the data files at `location` that were not read before.

    Args:
        location: a file, a folder (every data file below it, in order of path) or a pattern such as ``data/*.jsonl``.
        since: the last mark: per file its size, time and digest, and how far it was read. A file of lines that only
            grew is read from where it ended.
        licence: SPDX id of the files; without it, what lies beside each file tells (sidecar, dataset card, LICENSE).
        max_line_bytes: longer lines, or elements of an array, are turned away without being held in memory.
        variables: what to put for template variables, e.g. ``{"name": "SAM"}`` for ``{{name}}``.

    Raises:
        SourceError: nothing there can be read as data; nothing was yielded.
    """
    return read_files("datasets", location, since, Options(spdx_of(licence) or licence, max_line_bytes, variables))


def read_files(source: str, location: str, since: Mapping[str, Any] | None, options: Options) -> Iterator[Record]:
    """As `read`, with `source` as the name of the source of every example.

    Raises:
        SourceError: nothing there can be read as data; nothing was yielded.
    """
    folder, paths = files.find(location)
    state: dict[str, Any] = dict((since or {}).get("files", {}))
    jobs = list(jobs_of(folder, paths, state, alone=len(paths) == 1 and Path(location).expanduser() == paths[0]))
    turned_away = [job.reject for job in jobs if isinstance(job, TurnedAway)]
    if len(turned_away) == len(jobs) and not state:
        why = f" ({turned_away[0].location}: {turned_away[0].detail})" if turned_away else ""
        raise SourceError(
            f"expected data files in {readable(location)}, found none that can be read{why}; name another place"
        )
    return _read(source, jobs, state, options)


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller asked for."""

    licence: str | None
    max_line_bytes: int
    variables: Mapping[str, str] | None


@dataclass(slots=True)
class Job:
    """One file to read, and from where."""

    path: Path
    name: str
    container: files.Container
    size: int
    mtime_ns: int
    at: int = 0
    number: int = 0
    hasher: Any = field(default_factory=xxhash.xxh3_128)

    @property
    def licence(self) -> str | None:
        """SPDX id of the file, as what lies beside it and above it tells, up to the folder that was named."""
        return licence_of(self.path, self.path.parents[self.name.count("/")])

    @property
    def growing(self) -> bool:
        """Only plain lines can be followed as they grow."""
        return self.container.kind == "lines" and self.container.compression is None

    def state(self, *, done: bool) -> dict[str, Any]:
        """What the mark holds for this file."""
        digest = self.hasher.hexdigest() if self.growing else digest_of_file(self.path) if done else ""
        stamp = {"size": self.size, "mtime_ns": self.mtime_ns, "digest": digest}
        return stamp | {"at": self.at, "number": self.number, "done": done}


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A file of a folder that holds nothing for us; remembered, so that it is named once and not at every run."""

    name: str
    stamp: Mapping[str, int]
    reject: Reject
    again: bool = False

    def state(self) -> dict[str, Any]:
        """What the mark holds for this file."""
        return {**self.stamp, "digest": "", "at": 0, "number": 0, "done": not self.again}


def jobs_of(
    folder: Path,
    paths: list[Path],
    state: Mapping[str, Any],
    *,
    alone: bool,
    known: Callable[[frozenset[str]], bool] | None = None,
) -> Iterator[Job | TurnedAway]:
    """What there is to do per file. One that cannot be read is turned away, or an error where it was named itself.

    Args:
        folder: names of files are told from it.
        known: whether records with these keys can be read; by default, those of a known format.
    """
    known = known or _known
    for path in paths:
        name = readable(path.relative_to(folder).as_posix())
        stamp = {"size": -1, "mtime_ns": 0}
        try:
            status = path.stat()
            stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            before = state.get(name)
            if before and before["done"] and stamp.items() <= before.items():
                continue
            job = Job(path, name, files.look(path, known), **stamp)
            _refuse_foreign(job.container)
            _refuse_unknown(job.container, known)
            if before is None or _resume(job, before):
                yield job
        except files.NotData as problem:
            if alone:
                raise SourceError(
                    f"expected a data file, got {readable(path)}: {problem.reason}; {problem.remedy}"
                ) from None
            if path.suffix in files.DATA_SUFFIXES:  # not data.jsonl.license, which stands beside data
                reject = Reject(readable(path), "not a data file", f"{problem.reason}; {problem.remedy}")
                yield TurnedAway(name, stamp, reject)
        except OSError as error:
            if alone:
                raise SourceError(
                    f"{readable(path)} cannot be read ({error.strerror}); check its permissions"
                ) from error
            # Not remembered as done: permissions can change without a trace in the stamp.
            yield TurnedAway(name, stamp, Reject(readable(path), "cannot be read", str(error.strerror)), again=True)


def _known(keys: frozenset[str]) -> bool:
    return format_of(keys) is not None


def _refuse_foreign(container: files.Container) -> None:
    for record in container.sample[:4]:
        found = format_of(frozenset(record))
        if found and found[0].foreign:
            raise files.NotData(
                f"this is {found[0].name}", f"collect it as '{found[0].foreign}', which knows its branches and tools"
            )


def _refuse_unknown(container: files.Container, known: Callable[[frozenset[str]], bool]) -> None:
    """Refuse a file of which no record at its beginning has a known format: it is something else altogether."""
    shapes = [tuple(record) for record in container.sample]
    if shapes and not any(known(frozenset(shape)) or known(_usual(shape)) for shape in shapes):
        keys = ", ".join(name_of(key) for key in shapes[0][:8]) or "no key at all"
        raise files.NotData(
            f"none of its first {len(shapes)} records has a known format, they have {keys}",
            "rename the keys to those of a format samloop reads, such as instruction and output",
        )


def _usual(keys: tuple[str, ...]) -> frozenset[str]:
    return frozenset(key.strip().lower().replace(" ", "_") for key in keys)


def _resume(job: Job, before: Mapping[str, Any]) -> bool:
    """Set where `job` goes on; False where nothing is left to read."""
    if job.growing:
        if job.size >= before["at"] and digest_of_file(job.path, before["at"], job.hasher) == before["digest"]:
            job.at, job.number = before["at"], before["number"]
            return job.size > job.at
        job.hasher = xxhash.xxh3_128()
    elif (job.size, job.mtime_ns) == (before["size"], before["mtime_ns"]):
        job.at, job.number = before["at"], before["number"]
    elif before["done"] and digest_of_file(job.path) == before["digest"]:
        return False
    return True


def digest_of_file(path: Path, length: int | None = None, hasher: Any = None) -> str:
    """128-bit xxh3 of the first `length` bytes of the file (all by default), 32 hex digits."""
    hasher = hasher or xxhash.xxh3_128()
    left = length if length is not None else -1
    with path.open("rb") as file:
        while chunk := file.read(2**20 if left < 0 else min(2**20, left)):
            hasher.update(chunk)
            left -= len(chunk) if left >= 0 else 0
    return str(hasher.hexdigest())


def _read(source: str, jobs: list[Job | TurnedAway], state: dict[str, Any], options: Options) -> Iterator[Record]:
    def reader(job: Job) -> RecordReader:
        origin = Origin(source, readable(job.path), job.name, options.licence or job.licence)
        return RecordReader(origin, variables_in(job.container.sample), options.variables or {})

    return read_jobs(jobs, state, options, reader)


def read_jobs(
    jobs: list[Job | TurnedAway], state: dict[str, Any], options: Options, reader_of: Callable[[Job], RecordReader]
) -> Iterator[Record]:
    """The examples of `jobs`, each read by what `reader_of` gives for it; marks hold ``{"files": state}``."""
    unmarked = 0
    for job in jobs:
        if isinstance(job, TurnedAway):
            yield job.reject
            state[job.name] = job.state()
            continue
        reader = reader_of(job)
        for block in blocks_of(job, options, reader):
            if isinstance(block, Reject):
                yield block
                continue
            yield from records_of(reader, block)
            unmarked += sum(len(record) if type(record) is bytes else 1_000 for _, record in block.records)
            job.at, job.number = block.at, block.number
            state[job.name] = job.state(done=False)
            if unmarked >= MARK_BYTES:
                yield Mark({"files": dict(state)})
                unmarked = 0
        state[job.name] = job.state(done=True)
    yield Mark({"files": dict(state)})


def blocks_of(job: Job, options: Options, reader: RecordReader) -> Iterator[Block | Reject]:
    """The blocks of the file from where it was left; a file that breaks off ends with a reject."""
    container, limit = job.container, options.max_line_bytes
    try:
        if container.kind == "parquet":
            yield from containers.table_blocks(job.path, skip=job.at)
            return
        with open_bytes(job.path, container.compression) as file:
            if container.kind == "lines":
                _forward(file, job.at)
                hasher = job.hasher if job.growing else None
                yield from containers.line_blocks(
                    file, max_line_bytes=limit, at=job.at, number=job.number, hasher=hasher
                )
            elif container.kind == "csv":
                yield from containers.row_blocks(
                    file, delimiter=container.delimiter, max_line_bytes=limit, skip=job.at
                )
            elif container.kind == "form":
                yield from containers.form_blocks(file, max_line_bytes=limit, skip=job.at)
            else:
                _forward(file, container.start)
                yield from containers.element_blocks(
                    file,
                    array=container.kind == "array",
                    single=container.single,
                    max_line_bytes=limit,
                    skip=job.at,
                )
    except Unfit as unfit:
        yield reader.reject(unfit, None)
    except (*DAMAGE, OSError):
        yield reader.reject(
            Unfit("truncated file", "the file ends early or is damaged; what came before is in"), None
        )


def _forward(file: Any, offset: int) -> None:
    """Move to `offset` in a stream that may know no other way than reading."""
    while offset > 0:
        skipped = len(file.read(min(offset, 2**20)))
        if not skipped:
            return
        offset -= skipped


def records_of(reader: RecordReader, block: Block) -> Iterator[Record]:
    parse, read_one = containers.parse, reader.read
    for number, record in block.records:
        try:
            if type(record) is bytes:
                if not record or record.isspace():
                    continue
                record = parse(record)
            elif isinstance(record, Unfit):
                raise record
            yield from read_one(record, number)
        except Unfit as unfit:
            yield reader.reject(unfit, number)
