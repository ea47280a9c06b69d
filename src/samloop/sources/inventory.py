"""One file as an inventory tells it: what it holds, in which format, how many records, and a sample of them.

A file is read once, in blocks; memory is bounded by a block and the sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from samloop.example import Example
from samloop.files import readable
from samloop.protocols import Reject
from samloop.sources import files
from samloop.sources.containers import parse
from samloop.sources.datasets import Job, Options, blocks_of
from samloop.sources.drafts import Unfit
from samloop.sources.drives import Found
from samloop.sources.formats import RecordReader, format_of
from samloop.sources.inventory_stores import look_at_archive, look_at_database
from samloop.sources.look import DATABASE, Look, NothingHere
from samloop.sources.origin import Origin
from samloop.sources.sidecars import licence_of
from samloop.sources.variables import variables_in

SAMPLED: Final = 64
"""Records that are looked at closely, at least, where a file has as many; at most twice as many."""

SAMPLED_BYTES: Final = 2**18
"""A longer record is not kept for the sample, so that the sample takes 32 MiB at most."""

MAX_RECORD_BYTES: Final = 64 * 2**20

_CONTAINERS: Final = {
    "lines": "JSON Lines",
    "values": "JSON",
    "array": "JSON array",
    "csv": "CSV",
    "parquet": "Parquet",
}
_KNOWN_NOT_TRAINED: Final = frozenset({"evaluation item", "single message of a tree"})
"""Reasons why a whole file of a known format is turned away: it is told as what it is."""


def look_at(found: Found, variables: Mapping[str, str]) -> Look:
    """What the file holds.

    Args:
        variables: what a collection puts for template variables, so that the sample's examples are the same.

    Raises:
        NothingHere: no training data.
        Unreadable: a database or an archive that cannot be looked into.
        OSError: it cannot be read.
    """
    with found.path.open("rb") as file:
        magic = file.read(16)
    if magic.startswith(DATABASE):
        return look_at_database(found.path)
    if magic.startswith(b"PK\x03\x04"):
        return look_at_archive(found.path, known)
    try:
        container = files.look(found.path, lambda keys: format_of(keys) is not None)
    except files.NotData as problem:
        raise NothingHere(problem.reason) from None
    if container.sample and not any(known(record) for record in container.sample):
        raise NothingHere("none of its first records has a known format")
    return _counted(found, container, variables)


def known(record: Mapping[str, Any]) -> str | None:
    """The name of the record's format, the source that reads it after a bar where that is not `dataset`; or None."""
    return _named(tuple(record))


@lru_cache(maxsize=1024)
def _named(keys: tuple[str, ...]) -> str | None:
    usual = frozenset(key.strip().lower().replace(" ", "_") for key in keys)
    format_ = format_of(frozenset(keys)) or format_of(usual)
    if format_ is None:
        return None
    name = format_[0].name.removeprefix("a ")
    return f"{name}|{format_[0].foreign}" if format_[0].foreign else name


@dataclass(slots=True)
class _Sample:
    """Records spread evenly over a file of unknown length: when there are too many, every second one goes."""

    records: list[tuple[int, Any]] = field(default_factory=list)
    seen: int = 0
    _stride: int = 1

    def add(self, records: list[tuple[int, Any]]) -> None:
        for number, record in records[-self.seen % self._stride :: self._stride]:
            if type(record) is not bytes or len(record) <= SAMPLED_BYTES:
                self.records.append((number, record))
        self.seen += len(records)
        while len(self.records) > 2 * SAMPLED:
            self.records = self.records[::2]
            self._stride *= 2


def _counted(found: Found, container: files.Container, variables: Mapping[str, str]) -> Look:
    licence = licence_of(found.path)
    origin = Origin("datasets", readable(found.path), readable(found.path.name), licence)
    reader = RecordReader(origin, variables_in(container.sample), variables)
    job = Job(found.path, origin.dataset, container, found.size, found.mtime_ns)
    sample, broken, problem = _Sample(), 0, None
    for block in blocks_of(job, Options(None, MAX_RECORD_BYTES, None), reader):
        if isinstance(block, Reject):
            problem = f"{block.reason}: {block.detail}"
            continue
        records = [one for one in block.records if type(one[1]) is not bytes or (one[1] and not one[1].isspace())]
        broken += sum(isinstance(record, Unfit) for _, record in records)
        sample.add(records)
    names, reasons, examples, fit = _read_sample(sample.records, reader)
    if not _is_data(len(sample.records), names, reasons, fit):
        raise NothingHere("most of its records are of no known format")
    format_, _, kind = names.most_common(1)[0][0].partition("|")
    if reason := next((reason for reason in _KNOWN_NOT_TRAINED if reasons[reason] * 2 > len(sample.records)), None):
        kind, problem = "", problem or f"not for training: {reason}"
    elif not kind:
        kind = "dataset"
    licences = {example.licence for example in examples} if examples else {licence}
    return Look(
        kind=kind or None,
        format=format_,
        container=" ".join(
            filter(None, (_CONTAINERS.get(container.kind, container.kind.capitalize()), container.compression))
        ),
        records=sample.seen,
        broken=broken,
        licence=licences.pop() if len(licences) == 1 else "several",
        problem=problem,
        examples=tuple(examples),
        sampled=len(sample.records),
    )


def _read_sample(
    records: list[tuple[int, Any]], reader: RecordReader
) -> tuple[Counter[str], Counter[str], list[Example], int]:
    """Formats, reasons of what is turned away, examples, and how many records had some."""
    names, reasons, examples, fit = Counter[str](), Counter[str](), list[Example](), 0
    for number, record in records:
        try:
            if isinstance(record, Unfit):
                raise record
            value = parse(record) if type(record) is bytes else record
            if isinstance(value, dict) and (name := known(value)):
                names[name] += 1
            examples += reader.read(value, number)
            fit += 1
        except Unfit as unfit:
            reasons[unfit.reason] += 1
    return names, reasons, examples, fit


def _is_data(sampled: int, names: Counter[str], reasons: Counter[str], fit: int) -> bool:
    """Half of the records are examples, or are known to belong elsewhere."""
    elsewhere = sum(reasons[reason] for reason in (*_KNOWN_NOT_TRAINED, "belongs to another source"))
    return bool(names) and (fit + elsewhere) * 2 >= sampled


def sample_of(read: Any, location: str) -> Iterator[Example]:
    """The first examples that another source finds in a file."""
    for record in read(location, None):
        if isinstance(record, Example):
            yield record
