"""Data files cut into portions that can be read apart from one another, in any order, on any machine.

A file of plain lines is cut at line ends, a Parquet file between row groups; any other file is one portion, because
it can be read from its beginning alone. What the portions of a file yield, one after the other, is what reading the
whole file yields. Each portion carries a digest of its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import xxhash

from samloop.errors import SourceError
from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Reject
from samloop.sources import containers, datasets, files
from samloop.sources.containers import Block
from samloop.sources.drafts import Unfit
from samloop.sources.files import Container
from samloop.sources.formats import RecordReader
from samloop.sources.origin import Origin
from samloop.sources.sidecars import spdx_of
from samloop.sources.variables import variables_in

PORTION_BYTES: Final = 2**24
"""A portion of lines ends at the first line end after so many bytes."""

_READ_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of a data file, in plain data that travels to another process.

    Attributes:
        path: where its bytes lie.
        name: the file as examples name it.
        location: the file as messages name it.
        begin, end: bytes (lines) or row groups (Parquet); all else is read whole.
        number: lines or rows of the file before it.
        size: bytes of the file it stands for.
        digest: 128-bit xxh3 of its content (of lines) or of the file's (all else), 32 hex digits.
        variables: template variables that the file holds.
    """

    path: str
    name: str
    location: str
    kind: files.Kind
    compression: str | None
    start: int
    single: bool
    delimiter: str
    begin: int
    end: int
    number: int
    size: int
    digest: str
    licence: str | None
    variables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to cut, and what its examples and messages call it."""

    job: datasets.Job
    location: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.job.size


def find(locations: Sequence[str], *, alone: bool) -> Iterator[DataFile | Reject]:
    """The data files at `locations`, in the order given, each once; a Reject for what holds no data.

    Args:
        alone: nothing else is to be read, so that a file without data is an error.

    Raises:
        SourceError: there is nothing at one of the places.
    """
    seen: set[Path] = set()
    for location in locations:
        folder, paths = files.find(location)
        new = [path for path in paths if path.resolve() not in seen]
        seen |= {path.resolve() for path in new}
        named = Path(location).expanduser() in paths
        yield from of_paths(folder, new, alone=alone and named, named=named)


def refuse_nothing(found: Sequence[object], rejects: Sequence[Reject], locations: Sequence[str]) -> None:
    """Complain where nothing was found that can be read.

    Raises:
        SourceError: `found` is empty.
    """
    if found:
        return
    why = f" ({rejects[0].location}: {rejects[0].detail})" if rejects else ""
    places = ", ".join(readable(location) for location in locations[:3])
    raise SourceError(f"expected data files in {places}, found none that can be read{why}; name another place")


def of_paths(folder: Path, paths: Sequence[Path], *, alone: bool, named: bool) -> Iterator[DataFile | Reject]:
    """What there is to read among `paths`, told from `folder`.

    Args:
        alone: nothing else is to be read, so that a file without data is an error.
        named: the paths were named one by one, so that each without data is worth a word, whatever it is called.
    """
    for path in paths:
        jobs = list(datasets.jobs_of(folder, [path], {}, alone=alone))
        if not jobs and named:
            yield Reject(readable(path), "not a data file", "it holds no records of a known format")
        for job in jobs:
            if isinstance(job, datasets.TurnedAway):
                yield job.reject
            else:
                yield DataFile(job, readable(path))


def cut(file: DataFile, licence: str | None = None, portion_bytes: int = PORTION_BYTES) -> Iterator[Portion]:
    """The portions of `file`, in order, read once to find line ends and digests."""
    job, container = file.job, file.job.container
    variables = tuple(sorted(variables_in(container.sample)))
    licence = spdx_of(licence) or licence or job.licence

    def portion(begin: int, end: int, number: int, size: int, digest: str) -> Portion:
        return Portion(
            path=str(job.path),
            name=job.name,
            location=file.location,
            kind=container.kind,
            compression=container.compression,
            start=container.start,
            single=container.single,
            delimiter=container.delimiter,
            begin=begin,
            end=end,
            number=number,
            size=size,
            digest=digest,
            licence=licence,
            variables=variables,
        )

    try:
        if job.growing:
            for begin, end, number, digest in _line_ranges(job.path, portion_bytes):
                yield portion(begin, end, number, end - begin, digest)
            return
        digest = datasets.digest_of_file(job.path)
    except OSError as error:
        raise SourceError(f"{file.location} cannot be read ({error.strerror}); check its permissions") from error
    if container.kind == "parquet":
        for begin, end, number, size in _group_ranges(job.path, portion_bytes):
            yield portion(begin, end, number, size, digest)
    else:
        yield portion(0, job.size, 0, job.size, digest)


def _line_ranges(path: Path, portion_bytes: int) -> Iterator[tuple[int, int, int, str]]:
    """Begin, end, number of lines before, digest of the content."""
    begin = at = number = lines = 0
    hasher = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(min(_READ_BYTES, portion_bytes)):
            if at - begin >= portion_bytes and (split := chunk.find(b"\n") + 1):
                hasher.update(chunk[:split])
                yield begin, at + split, number, hasher.hexdigest()
                number += lines + 1
                begin, at, lines, hasher = at + split, at + split, 0, xxhash.xxh3_128()
                chunk = chunk[split:]
            hasher.update(chunk)
            lines += chunk.count(b"\n")
            at += len(chunk)
    if at > begin:
        yield begin, at, number, hasher.hexdigest()


def _group_ranges(path: Path, portion_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """First row group, the one after the last, number of rows before, bytes when unpacked."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    begin = number = rows = size = 0
    for at, group in enumerate(groups, 1):
        rows, size = rows + group.num_rows, size + group.total_byte_size
        if size >= portion_bytes or at == len(groups):
            yield begin, at, number, size
            begin, number, rows, size = at, number + rows, 0, 0


def read(
    portion: Portion, *, max_line_bytes: int, variables: Mapping[str, str] | None = None
) -> Iterator[Example | Reject]:
    """The examples in `portion`, and what was turned away.

    Raises:
        SourceError: the file is not what it was when it was cut.
    """
    origin = Origin("datasets", portion.location, portion.name, portion.licence)
    reader = RecordReader(origin, portion.variables, variables or {})
    for block in _blocks(portion, datasets.Options(portion.licence, max_line_bytes, variables), reader):
        if isinstance(block, Reject):
            yield block
        else:
            yield from datasets.records_of(reader, block)  # type: ignore[misc]  # a reader yields no marks


def _blocks(portion: Portion, options: datasets.Options, reader: RecordReader) -> Iterator[Block | Reject]:
    path = Path(portion.path)
    if portion.kind == "parquet":
        groups = range(portion.begin, portion.end)
        yield from containers.table_blocks(path, groups=groups, number=portion.number)
    elif portion.kind == "lines" and portion.compression is None:
        try:
            with path.open("rb") as file:
                window = _Window(file, portion)
                yield from containers.line_blocks(
                    window,  # type: ignore[arg-type]  # all that is asked of it is to read
                    max_line_bytes=options.max_line_bytes,
                    number=portion.number,
                )
        except OSError as error:
            yield reader.reject(Unfit("cannot be read", str(error.strerror)), None)
            return
        if window.hasher.hexdigest() != portion.digest:
            raise SourceError(f"{portion.location} changed while it was read; run the same command again")
    else:
        container = Container(
            portion.kind, portion.compression, portion.start, single=portion.single, delimiter=portion.delimiter
        )
        job = datasets.Job(path, portion.name, container, portion.size, 0)
        yield from datasets.blocks_of(job, options, reader)


class _Window:
    """The bytes of a portion, as a file; keeps their digest."""

    def __init__(self, file: BinaryIO, portion: Portion) -> None:
        self._file, self._left = file, portion.end - portion.begin
        self.hasher: Any = xxhash.xxh3_128()
        file.seek(portion.begin)

    def read(self, size: int) -> bytes:
        chunk = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        self.hasher.update(chunk)
        return chunk
