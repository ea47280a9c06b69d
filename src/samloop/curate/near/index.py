"""The band keys of everything seen so far, on disk: sorted segments that are mapped, not read.

A segment is a folder with three arrays: `keys` (uint64, sorted), `rows` (uint32, the text of each key) and `ids` (the
texts, in order). New texts make a new segment; when there are more than `MAX_SEGMENTS`, the two neighbours with the
fewest texts become one. So n new texts cost O(n) writing, and looking them up one binary search per key and segment,
however large the rest is. All of it is derived from the store: a lost or deleted index is built again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import xxhash

from samloop.curate.near.sketch import NOTHING
from samloop.curate.near.templates import Frequencies, slots_for
from samloop.files import private_folder, storing, whole_folder, write_json
from samloop.settings import Near

VERSION: Final = 2
"""Raised when shingles or sketches change, so that an older index is built again and not compared with."""

MAX_SEGMENTS: Final = 8

PER_KEY: Final = 8
"""Texts looked at per shared key and segment, the first ones: a few members are enough to find a large group."""

PER_TEXT: Final = 32
"""Candidates compared per new text: those that share the most keys."""

GROWTH: Final = 4
"""Built again when it holds this many times the texts it was built for, so that templates are learnt anew."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    keys: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.uint32]
    ids: npt.NDArray[np.bytes_]
    known: npt.NDArray[np.uint64]

    @classmethod
    def load(cls, folder: Path) -> _Segment:
        return cls(folder.name, *(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS))


_ARRAYS: Final = ("keys", "rows", "ids", "known")


@dataclass(slots=True)
class Index:
    """The index in a folder. Open it with `Index.open`; one process at a time may add.

    Attributes:
        bounds: the settings by which pairs were found: an index of others is built again.
        revision: the store's revision up to which it has seen everything.
        built_for: how many texts there were when it was built.
    """

    folder: Path
    frequencies: Frequencies
    bounds: Near
    revision: int = 0
    built_for: int = 0
    _segments: list[_Segment] = field(default_factory=list)
    _made: int = 0

    @classmethod
    def open(cls, folder: Path, bounds: Near) -> Index | None:
        """The index in `folder`; None where there is none that this version and these settings can use."""
        try:
            manifest = orjson.loads((folder / "manifest.json").read_bytes())
            if manifest["version"] != VERSION or manifest["bounds"] != _told(bounds):
                return None
            table = np.load(folder / "counts.npy", mmap_mode="r+")
            segments = [_Segment.load(folder / name) for name in manifest["segments"]]
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            return None
        frequencies = Frequencies(table, bounds.template_examples)
        return cls(
            folder, frequencies, bounds, manifest["revision"], manifest["built_for"], segments, manifest["made"]
        )

    @classmethod
    @contextmanager
    def build(cls, folder: Path, bounds: Near, shingles: int, texts: int) -> Iterator[Index]:
        """A new index in place of the one in `folder`, once the block ends without an error.

        Args:
            shingles, texts: about how many there will be.
        """
        with storing("the index of near-duplicates", folder):
            private_folder(folder.parent)
            beside = folder.with_name(f".{folder.name}.building")
            shutil.rmtree(beside, ignore_errors=True)
            private_folder(beside)
            np.save(beside / "counts.npy", np.zeros(slots_for(shingles), np.uint8))
            (beside / "counts.npy").chmod(0o600)
            table = np.load(beside / "counts.npy", mmap_mode="r+")
            index = cls(beside, Frequencies(table, bounds.template_examples), bounds, built_for=texts)
            yield index
            index.save()
            shutil.rmtree(folder, ignore_errors=True)
            beside.replace(folder)
            index.folder = folder

    def __len__(self) -> int:
        return sum(len(segment.ids) for segment in self._segments)

    @property
    def outgrown(self) -> bool:
        """Whether it should be built again."""
        return len(self) > GROWTH * max(self.built_for, 1000)

    def seen(self, ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which of `ids` it holds."""
        wanted, found = _known(ids), np.zeros(len(ids), bool)
        for segment in self._segments:
            at = np.searchsorted(segment.known, wanted)
            inside = at < len(segment.known)
            found[inside] |= segment.known[at[inside]] == wanted[inside]
        return found

    def ids(self, rows: Rows) -> list[str]:
        """The ids of texts by their number."""
        bounds = np.cumsum([0, *(len(segment.ids) for segment in self._segments)])
        places = np.searchsorted(bounds, rows, side="right") - 1
        return [
            bytes(self._segments[place].ids[row - bounds[place]]).decode()
            for place, row in zip(places.tolist(), rows.tolist(), strict=True)
        ]

    def add(self, ids: Sequence[str], keys: npt.NDArray[np.uint64]) -> int:
        """Add texts after those that are there; the number of the first of them.

        Args:
            keys: band keys, one row per text.
        """
        first = len(self)
        if ids:
            flat = keys.ravel()
            order = np.argsort(flat, kind="stable")
            rows = np.repeat(np.arange(len(ids), dtype=np.uint32), keys.shape[1])[order]
            filled = flat[order] != NOTHING
            names = np.array([id.encode() for id in ids])
            self._write(flat[order][filled], rows[filled], names, np.sort(_known(ids)), len(self._segments))
        return first

    def drop(self, ids: Sequence[str]) -> int:
        """Take texts out of the index, ids and keys; how many were there. `save` makes it last."""
        wanted, dropped = np.array(sorted({id.encode() for id in ids})), 0
        for at, segment in enumerate(list(self._segments)):
            gone = np.isin(segment.ids, wanted)
            if not gone.any():
                continue
            dropped += int(gone.sum())
            left, names = ~gone[segment.rows], segment.ids[~gone]
            rows = (np.cumsum(~gone) - 1)[segment.rows[left]].astype(np.uint32)
            known = np.sort(_known([bytes(name).decode() for name in names]))
            del self._segments[at]
            self._write(segment.keys[left], rows, names, known, at)
        return dropped

    def lookup(self, keys: npt.NDArray[np.uint64], first: int) -> tuple[Rows, Rows]:
        """Earlier texts that share keys with given ones.

        Args:
            keys: band keys of texts that were just added, one row per text.
            first: the number of the first of them.

        Returns:
            numbers of the texts asked about and, beside each, of an earlier text; those that share most keys first.
        """
        flat = keys.ravel()
        asked = np.repeat(np.arange(first, first + len(keys)), keys.shape[1])
        order = np.argsort(flat)
        order = order[flat[order] != NOTHING]
        flat, asked = flat[order], asked[order]
        mine: list[Rows] = []
        theirs: list[Rows] = []
        base = 0
        for segment in self._segments:
            left = np.searchsorted(segment.keys, flat, side="left")
            for step in range(PER_KEY):
                at = left + step
                inside = np.flatnonzero(at < len(segment.keys))
                inside = inside[segment.keys[at[inside]] == flat[inside]]
                if not len(inside):
                    break
                mine.append(asked[inside])
                theirs.append(segment.rows[at[inside]].astype(np.int64) + base)
            base += len(segment.ids)
        return _most_shared(mine, theirs)

    def save(self) -> None:
        """Record what was added, in one step."""
        with storing("the index of near-duplicates", self.folder):
            table: Any = self.frequencies.table
            table.flush()
            names = [segment.name for segment in self._segments]
            plain = {
                "version": VERSION,
                "bounds": _told(self.bounds),
                "revision": self.revision,
                "built_for": self.built_for,
            }
            write_json(self.folder / "manifest.json", plain | {"segments": names, "made": self._made})
            for left in self.folder.glob("segment-*"):
                if left.name not in names:
                    shutil.rmtree(left, ignore_errors=True)

    def merge(self) -> None:
        """Bring the number of segments down to `MAX_SEGMENTS`."""
        building = not (self.folder / "manifest.json").exists()
        while len(self._segments) > MAX_SEGMENTS:
            sizes = [len(segment.ids) for segment in self._segments]
            at = min(range(len(sizes) - 1), key=lambda i: sizes[i] + sizes[i + 1])
            one, two = self._segments[at : at + 2]
            keys = np.concatenate((one.keys, two.keys))
            order = np.argsort(keys, kind="stable")
            rows = np.concatenate((one.rows, two.rows + np.uint32(len(one.ids))))[order]
            known = np.sort(np.concatenate((one.known, two.known)))
            del self._segments[at : at + 2]
            self._write(keys[order], rows, np.concatenate((one.ids, two.ids)), known, at)
            if building:  # else what was saved last still names them
                for segment in (one, two):
                    shutil.rmtree(self.folder / segment.name, ignore_errors=True)

    def _write(self, *arrays_and_place: Any) -> None:
        *arrays, place = arrays_and_place
        self._made += 1
        path = self.folder / f"segment-{self._made:06d}"
        shutil.rmtree(path, ignore_errors=True)  # left by a run that was killed before it saved
        with storing("the index of near-duplicates", path):
            with whole_folder(path) as folder:
                for name, array in zip(_ARRAYS, arrays, strict=True):
                    np.save(folder / f"{name}.npy", array)
                    (folder / f"{name}.npy").chmod(0o600)
            self._segments.insert(place, _Segment.load(path))


def _told(bounds: Near) -> dict[str, Any]:
    return {"jaccard": bounds.jaccard, "template_examples": bounds.template_examples}


def _known(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    return np.array([xxhash.xxh3_64_intdigest(id.encode()) for id in ids], np.uint64)


def _most_shared(mine: list[Rows], theirs: list[Rows]) -> tuple[Rows, Rows]:
    """Each pair once, the other text before the one asked about, and of each only the `PER_TEXT` best."""
    if not mine:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    asked, other = np.concatenate(mine), np.concatenate(theirs)
    earlier = other < asked
    pairs, shared = np.unique(asked[earlier] << 32 | other[earlier], return_counts=True)
    order = np.lexsort((-shared, pairs >> 32))
    asked, other = pairs[order] >> 32, pairs[order] & 0xFFFFFFFF
    begins = np.searchsorted(asked, asked, side="left")
    best = np.arange(len(asked)) - begins < PER_TEXT
    return asked[best], other[best]
