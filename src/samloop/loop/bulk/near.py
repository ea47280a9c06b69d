"""Near-duplicates over the whole input, however large: what goes, for what, and what belongs together.

1. *Count* how many examples hold each shingle, so that templates are known. Judging has left the shingles of each
   unit beside its rows; exact duplicates are left out.
2. *Sketch* pieces of the units: band keys, sorted, and where each partition of them begins.
3. *Look through* one partition of keys after the other. Pairs that share a key are compared exactly; their shingles
   are read back from where the units lie.

Counting and sketching are shared out. What comes out depends on the examples alone, and not on units, pieces or who
did what. Memory holds some thirty bytes for each example; the rest is bounded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from samloop.curate.near.compare import Compared, Pairs, Verdicts, portions
from samloop.curate.near.examples import Cut
from samloop.curate.near.groups import Found, Groups
from samloop.curate.near.shingles import PROMPT, WHOLE, Marked, Sets
from samloop.curate.near.sketch import BANDS, NOTHING
from samloop.curate.near.templates import Frequencies, slots_for
from samloop.example import ID_LENGTH
from samloop.files import private_folder, whole_folder, write_atomic
from samloop.loop.bulk.unit import (
    HASHES_FILE,
    MANIFEST_FILE,
    MARKS_FILE,
    PROMPT_STARTS_FILE,
    PROMPTS_FILE,
    STARTS_FILE,
    Settings,
    rows_of,
)
from samloop.loop.bulk.work import Run
from samloop.settings import Near

PIECE_ROWS: Final = 2**15
PIECE_SHINGLES: Final = 2**22
"""Rows and shingles that are counted or sketched together, at most; a larger text is alone."""

PARTITION_KEYS: Final = 2**21
"""Keys looked through at once, about; each takes some 70 bytes meanwhile."""

COUNTS: Final = 8
"""Portions in which shingles are counted; their sum is the same for any number."""

MOST_COUNTED: Final = 254

MOST_SHOWN: Final = 20
"""Pairs in the report; the list of rejects names all."""

READ_IN_VAIN: Final = 2**12
"""Bytes that take about as long to read as one more call to read takes."""

_KEYED: Final = np.dtype([("key", "<u8"), ("owner", "<u4")])


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `first` to `last` of a unit; the first row of the unit is number `begin` of all."""

    unit: str
    begin: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Count:
    """Count in how many of some examples each shingle is, into a file of counters."""

    pieces: tuple[Piece, ...]
    stays: str
    slots: int
    out: str

    def do(self, settings: Settings, folder: Path) -> None:  # noqa: ARG002  what is done hangs on no setting
        """Count, and leave the counters."""
        frequencies = Frequencies(np.zeros(self.slots, np.uint8))
        for piece in self.pieces:
            marked = _read(folder, piece, self.stays)
            frequencies.count(marked.sets.hashes[(marked.marks & WHOLE) != 0])
        write_atomic(Path(self.out), frequencies.table.data)


@dataclass(frozen=True, slots=True)
class Sketch:
    """Sketch the examples of a piece, into a folder of sorted keys."""

    piece: Piece
    stays: str
    table: str
    above: int
    partitions: int
    out: str

    def do(self, settings: Settings, folder: Path) -> None:  # noqa: ARG002
        """Sketch, and leave the keys."""
        marked = _read(folder, self.piece, self.stays)
        kinds = rows_of(folder / self.piece.unit)["kind"][self.piece.first : self.piece.last]
        keys = Cut(marked, np.array(kinds)).keys(Frequencies(_table(self.table), self.above))
        flat = keys.ravel()
        order = np.argsort(flat)
        order = order[: np.searchsorted(flat[order], NOTHING)]
        keyed = np.empty(len(order), _KEYED)
        keyed["key"], keyed["owner"] = flat[order], order // keys.shape[1]
        with whole_folder(Path(self.out)) as beside:
            keyed.tofile(beside / "keys.bin")
            np.searchsorted(keyed["key"], _edges(self.partitions)).tofile(beside / "bounds.bin")


@lru_cache(maxsize=1)
def _table(path: str) -> np.ndarray:
    return np.memmap(path, np.uint8, mode="r")


def _edges(partitions: int) -> np.ndarray:
    """The first key of each partition, and one past the last."""
    return np.array([min(at * 2**64 // partitions, 2**64 - 1) for at in range(partitions + 1)], np.uint64)


def _read(folder: Path, piece: Piece, stays: str) -> Marked:
    """The shingles of a piece; none of the rows that do not stay."""
    unit, count = folder / piece.unit, piece.last - piece.first
    starts = np.fromfile(unit / STARTS_FILE, np.int64, count + 1, offset=8 * piece.first)
    size, begin = int(starts[-1] - starts[0]), int(starts[0])
    hashes = np.fromfile(unit / HASHES_FILE, np.uint32, size, offset=4 * begin)
    marks = np.fromfile(unit / MARKS_FILE, np.uint8, size, offset=begin)
    sets = Sets(hashes, starts - begin)
    staying = np.fromfile(stays, np.bool_, count, offset=piece.begin + piece.first)
    if staying.all():
        return Marked(sets, marks)
    keep = np.repeat(staying, sets.sizes)
    return Marked(sets.only(keep), marks[keep])


def _pieces(folder: Path, begin: int) -> Iterator[Piece]:
    starts = np.memmap(folder / STARTS_FILE, np.int64, mode="r")
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + PIECE_SHINGLES, side="right")) - 1
        last = min(max(last, first + 1), first + PIECE_ROWS, len(starts) - 1)
        yield Piece(folder.name, begin, first, last)
        first = last


@dataclass(slots=True)
class Shelf:
    """The shingles of all examples, where the units lie."""

    folders: Sequence[Path]
    begins: np.ndarray
    frequencies: Frequencies
    jaccard: float

    def compare(self, first: Pairs, other: Pairs, prompts: bool) -> Verdicts:
        """Compare examples first[i] and other[i], or nothing but what they ask, in portions that memory holds."""
        examples, places = np.unique(np.concatenate((first, other)), return_inverse=True)
        starts, sizes = self._places(examples, PROMPT_STARTS_FILE if prompts else STARTS_FILE)
        found = []
        one, two = places[: len(first)], places[len(first) :]
        for part in portions(sizes[one] + sizes[two]):
            wanted, at = np.unique(np.concatenate((one[part], two[part])), return_inverse=True)
            compared = self._take(examples[wanted], starts[wanted], sizes[wanted], prompts)
            half = part.stop - part.start
            found.append(compared.compare(at[:half], at[half:], self.jaccard))
        return Verdicts(
            np.concatenate([np.empty(0, bool), *(each.same for each in found)]),
            np.concatenate([np.empty(0, bool), *(each.asked for each in found)]),
            np.concatenate([np.empty(0, np.float32), *(each.share for each in found)]),
        )

    def by_unit(self, examples: np.ndarray) -> Iterator[tuple[Path, slice, np.ndarray]]:
        """Sorted examples unit by unit: the unit's folder, which of them, and their rows there."""
        unit = np.searchsorted(self.begins, examples, side="right") - 1
        for at in np.unique(unit).tolist():
            some = slice(*np.searchsorted(unit, (at, at + 1)).tolist())
            yield self.folders[at], some, examples[some] - self.begins[at]

    def _places(self, examples: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the shingles of each begin in its unit's file, and how many they are."""
        starts, sizes = np.empty(len(examples), np.int64), np.empty(len(examples), np.int64)
        for folder, some, rows in self.by_unit(examples):
            found = np.memmap(folder / name, np.int64, mode="r")
            starts[some], sizes[some] = found[rows], found[rows + 1] - found[rows]
        return starts, sizes

    def _take(self, examples: np.ndarray, starts: np.ndarray, sizes: np.ndarray, prompts: bool) -> Compared:
        hashes: list[bytes | memoryview] = []
        marks: list[bytes | memoryview] = []
        kinds = np.empty(len(examples), np.uint8)
        for folder, some, rows in self.by_unit(examples):
            kinds[some] = rows_of(folder)["kind"][rows]
            if prompts:
                hashes += _parts(folder / PROMPTS_FILE, starts[some], sizes[some], 4)
                continue
            hashes += _parts(folder / HASHES_FILE, starts[some], sizes[some], 4)
            marks += _parts(folder / MARKS_FILE, starts[some], sizes[some], 1)
        sets = Sets(np.frombuffer(b"".join(hashes), np.uint32), np.concatenate(([0], np.cumsum(sizes))))
        marked = np.full(len(sets.hashes), PROMPT) if prompts else np.frombuffer(b"".join(marks), np.uint8)
        return Compared.of(Marked(sets, marked), self.frequencies.common(sets), kinds)

    def ids(self, examples: np.ndarray) -> list[str]:
        """The ids of examples, in any order."""
        distinct, places = np.unique(examples, return_inverse=True)
        found: list[str] = []
        for folder, _, rows in self.by_unit(distinct):
            noted = rows_of(folder)[rows]
            pairs = zip(noted["high"].tolist(), noted["low"].tolist(), strict=True)
            found += [f"{high:016x}{low:016x}"[:ID_LENGTH] for high, low in pairs]
        return [found[at] for at in places.tolist()]


def _parts(path: Path, starts: np.ndarray, sizes: np.ndarray, width: int) -> list[bytes | memoryview]:
    """The bytes of some ascending parts of a file, whose places are told in entries of `width` bytes.

    Read, not mapped: pages that are mapped would count as memory for as long as there is room. In one go where that
    reads little in vain.
    """
    if not len(starts):
        return []
    first, span = int(starts[0]), int(starts[-1] + sizes[-1] - starts[0])
    opened = os.open(path, os.O_RDONLY)
    try:
        if span * width <= 4 * int(sizes.sum()) * width + READ_IN_VAIN * len(sizes):
            whole = memoryview(os.pread(opened, span * width, first * width))
            begins = (starts - first) * width
            return [whole[at:end] for at, end in zip(begins.tolist(), (begins + sizes * width).tolist(), strict=True)]
        told = zip((sizes * width).tolist(), (starts * width).tolist(), strict=True)
        return [os.pread(opened, size, start) for size, start in told]
    finally:
        os.close(opened)


@dataclass(frozen=True, slots=True)
class Nearby:
    """What was found among all rows.

    Attributes:
        found: rows that go and rows that stay in their place.
        members: rows that stay and belong together with others, in order.
        firsts: beside each the first of its cluster.
        shelf: knows the ids of rows.
    """

    found: Found
    members: np.ndarray
    firsts: np.ndarray
    shelf: Shelf

    def document(self) -> dict[str, Any]:
        """Counts and the first pairs, as plain data."""
        gone, kept = (self.shelf.ids(rows[:MOST_SHOWN]) for rows in (self.found.gone, self.found.kept))
        pairs = zip(kept, gone, self.found.share.tolist(), strict=False)
        told = [{"kept": kept, "id": gone, "alike": round(share, 3)} for kept, gone, share in pairs]
        return {"removed": len(self.found.gone), "clustered": len(self.members), "pairs": told}

    def of(self, begin: int, count: int) -> tuple[dict[int, tuple[str, float]], dict[int, str]]:
        """Of the `count` rows from `begin` on: those that go, with id and share of what stays; and the clusters."""
        found = self.found
        some = slice(*np.searchsorted(found.gone, (begin, begin + count)).tolist())
        kept = zip(self.shelf.ids(found.kept[some]), found.share[some].tolist(), strict=True)
        gone = dict(zip((found.gone[some] - begin).tolist(), kept, strict=True))
        some = slice(*np.searchsorted(self.members, (begin, begin + count)).tolist())
        names = self.shelf.ids(self.firsts[some])
        return gone, dict(zip((self.members[some] - begin).tolist(), names, strict=True))


def near_duplicates(
    run: Run, folders: Sequence[Path], begins: np.ndarray, stays: np.ndarray, settings: Near, work: Path
) -> Nearby:
    """Find near-duplicates among the rows that stay.

    Args:
        run: who counts and sketches.
        folders: the units' folders, in input order.
        begins: int64, the number of each unit's first row among all.
        stays: a boolean per row: whether it is no exact duplicate of an earlier one.
        work: a folder for what memory does not hold; made anew.
    """
    shutil.rmtree(work, ignore_errors=True)
    private_folder(work)
    write_atomic(work / "stays.bin", stays.data)
    pieces = [
        piece for folder, begin in zip(folders, begins.tolist(), strict=True) for piece in _pieces(folder, begin)
    ]
    frequencies, table = _count(run, folders, pieces, settings, work)
    partitions = 1 + len(stays) * 2 * BANDS // PARTITION_KEYS
    sketched = [work / f"keys-{at:06}" for at in range(len(pieces))]
    told = (str(work / "stays.bin"), table, frequencies.above, partitions)
    for _ in run(Sketch(piece, *told, str(out)) for piece, out in zip(pieces, sketched, strict=True)):
        pass
    shelf = Shelf(folders, begins, frequencies, settings.jaccard)
    groups = Groups(_ranks(folders, begins, len(stays)), shelf.compare)
    bounds = [np.fromfile(folder / "bounds.bin", np.int64) for folder in sketched]
    firsts = [piece.begin + piece.first for piece in pieces]
    for partition in range(partitions):
        parts = [
            _portion(folder / "keys.bin", first, *bound[partition : partition + 2].tolist())
            for folder, first, bound in zip(sketched, firsts, bounds, strict=True)
            if bound[partition] < bound[partition + 1]
        ]
        if parts:
            keys, owners = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
            groups.look_through(keys, owners)
    found = groups.settled()
    return Nearby(found, *groups.clusters(), shelf)


def _count(
    run: Run, folders: Sequence[Path], pieces: Sequence[Piece], settings: Near, work: Path
) -> tuple[Frequencies, str]:
    """The counters, and the file in `work` where they are."""
    total = sum(orjson.loads((folder / MANIFEST_FILE).read_bytes())["shingles"] for folder in folders)
    slots = slots_for(total)
    works = [
        Count(tuple(some), str(work / "stays.bin"), slots, str(work / f"counts-{at}"))
        for at in range(COUNTS)
        if (some := pieces[at::COUNTS])
    ]
    table = np.zeros(slots, np.uint8)
    for done in run(works):
        counted = np.memmap(done.out, np.uint8, mode="r")
        for at in range(0, slots, 2**22):
            part = slice(at, at + 2**22)
            room = np.uint8(255) - table[part]
            table[part] += np.minimum(counted[part], room)
        del counted
        Path(done.out).unlink()
    # Named by its content, since processes keep what they have opened.
    path = work / f"table-{xxhash.xxh3_128_hexdigest(table.data)}.bin"
    write_atomic(path, table.data)
    # What chance adds to each counter of a table that is too small for the input is no sign of a template.
    above = min(settings.template_examples + total // slots, MOST_COUNTED)
    return Frequencies(_table(str(path)), above), str(path)


def _portion(path: Path, first: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    keyed = np.fromfile(path, _KEYED, stop - start, offset=start * _KEYED.itemsize)
    return keyed["key"], keyed["owner"].astype(np.int64) + first


def _ranks(folders: Sequence[Path], begins: np.ndarray, count: int) -> np.ndarray:
    """A number per row that is smaller for the better of two: a higher score, then more characters."""
    ranks = np.empty(count, np.uint64)
    for folder, begin in zip(folders, begins.tolist(), strict=True):
        rows = rows_of(folder)
        # The bits of a positive number are in the order of its values.
        score = np.ascontiguousarray(rows["score"]).view(np.uint32).astype(np.uint64)
        ranks[begin : begin + len(rows)] = ~((score << np.uint64(32)) | rows["characters"])
    return ranks
