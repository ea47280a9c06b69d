"""From places to units of work: what there is to read, cut into portions, gathered into units of about one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final

import xxhash

from samloop.example import to_json
from samloop.loop.bulk import remote
from samloop.loop.bulk.unit import Settings, Unit
from samloop.protocols import Reject
from samloop.sources import portions
from samloop.sources.portions import DataFile, Portion

UNIT_BYTES: Final = portions.PORTION_BYTES
"""A unit ends with the portion in which it reaches this size, so that many small files make one unit."""

UNIT_PORTIONS: Final = 1_024


@dataclass(slots=True)
class Plan:
    """What there is to read.

    Attributes:
        files: local data files and objects of a bucket, in input order.
        rejects: places that hold no data, with the reason.
        cache: where objects are fetched to while they are read.
    """

    files: list[DataFile | remote.Object]
    rejects: list[Reject]
    cache: Path
    _in_use: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(file.size for file in self.files)

    def units(self, settings: Settings, licence: str | None) -> Iterator[Unit]:
        """The units, in input order. Reads every file once on the way, to find line ends and digests."""
        gathered: list[Portion] = []
        told = settings.digest
        for portion in self._portions(licence):
            gathered.append(portion)
            if sum(one.size for one in gathered) >= UNIT_BYTES or len(gathered) == UNIT_PORTIONS:
                yield _unit(gathered, told)
                gathered = []
        if gathered:
            yield _unit(gathered, told)

    def _portions(self, licence: str | None) -> Iterator[Portion]:
        for file in self.files:
            if isinstance(file, DataFile):
                yield from portions.cut(file, licence, UNIT_BYTES)
                continue
            fetched = remote.fetch(file, self.cache)
            if isinstance(fetched, Reject):
                self.rejects.append(fetched)
                continue
            cut = list(portions.cut(fetched, licence, UNIT_BYTES))
            self._in_use[str(fetched.job.path)] = len(cut)
            yield from cut

    def done(self, unit: Unit) -> None:
        """Remove fetched objects of which no portion is left to read."""
        for portion in unit.portions:
            if portion.path in self._in_use:
                self._in_use[portion.path] -= 1
                if not self._in_use[portion.path]:
                    Path(portion.path).unlink(missing_ok=True)


def plan(locations: Sequence[str], cache: Path) -> Plan:
    """Look at what lies at `locations`: paths, patterns, or ``s3://`` addresses.

    Raises:
        SourceError: there is nothing at one of the places, it does not answer, or nothing can be read as data.
    """
    found: list[DataFile | remote.Object] = []
    rejects: list[Reject] = []
    for group in _grouped(locations):
        if remote.is_remote(group[0]):
            for location in group:
                found += remote.find(location)
            continue
        for one in portions.find(group, alone=len(locations) == 1):
            if isinstance(one, Reject):
                rejects.append(one)
            else:
                found.append(one)
    portions.refuse_nothing(found, rejects, locations)
    return Plan(found, rejects, cache)


def _grouped(locations: Iterable[str]) -> Iterator[list[str]]:
    """Local places that stand side by side together, so that what lies in two of them is read once."""
    group: list[str] = []
    for location in locations:
        if remote.is_remote(location):
            if group:
                yield group
            group = []
            yield [location]
        else:
            group.append(location)
    if group:
        yield group


def _unit(gathered: Sequence[Portion], settings_digest: str) -> Unit:
    # Where the bytes lie for now is no part of what they are.
    told = [list(map(str, astuple(portion)))[1:] for portion in gathered]
    return Unit(xxhash.xxh3_128_hexdigest(to_json([settings_digest, told]).encode()), tuple(gathered))
