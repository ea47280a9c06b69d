"""Files on drives that may hold training data, told by their names; nothing is opened here, and nothing written."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

from samloop.files import readable
from samloop.sources.files import DATA_SUFFIXES

_SUFFIXES: Final = sorted(DATA_SUFFIXES | {".db", ".sqlite", ".sqlite3", ".zip"})
_CANDIDATE: Final = re.compile(
    rf"(?:{'|'.join(map(re.escape, _SUFFIXES))})(?:\.(?:bak|backup|old|orig|part|tmp|[0-9]{{1,3}})|~)?\Z",
    re.IGNORECASE,
)
"""Names that are worth opening, older copies too; what a file holds is told by its content."""

SKIPPED_FOLDERS: Final = frozenset(
    ".git node_modules __pycache__ site-packages dist-packages .venv .tox .nox .mypy_cache .ruff_cache .pytest_cache "
    "lost+found .Trash .Trashes $RECYCLE.BIN .Spotlight-V100 .fseventsd".split()
)
_SYSTEM: Final = frozenset({"/proc", "/sys", "/dev", "/run"})
_BARE_REPOSITORY: Final = frozenset({"HEAD", "objects", "refs"})


@dataclass(frozen=True, slots=True)
class Found:
    """A file to look at; `device` and `inode` tell two names of one file from two files."""

    path: Path
    size: int
    mtime_ns: int
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something on the way that a person should know of: one line each."""

    path: str
    problem: str
    dangling: bool = False


@dataclass(slots=True)
class Walk:
    """Walks places in a fixed order, each folder and each file once, whatever links there are.

    Links to files are followed, after all else, so that a file keeps its own name; links to folders are counted and
    not followed, since they lead out of what was asked for, or round in a circle.

    Attributes:
        counts: "files" and "folders" that were met, "skipped folders", and "links to folders".
    """

    places: Sequence[Path]
    counts: Counter[str] = field(default_factory=Counter)
    _folders: set[tuple[int, int]] = field(default_factory=set)
    _files: set[tuple[int, int]] = field(default_factory=set)
    _links: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Found | Trouble]:
        for place in self.places:
            try:
                is_folder = stat.S_ISDIR(place.stat().st_mode)
            except OSError as error:
                yield _link_trouble(str(place), error) if place.is_symlink() else _trouble(str(place), error)
                continue
            if is_folder:
                yield from self._below(str(place))
            else:
                self.counts["files"] += 1
                yield from self._file(str(place))
        for link in self._links:
            yield from self._file(link)

    def _below(self, top: str) -> Iterator[Found | Trouble]:
        stack = [top]
        while stack:
            folder = stack.pop()
            try:
                status = os.stat(folder)  # noqa: PTH116  millions of times: half the time of a Path
                if (status.st_dev, status.st_ino) in self._folders:
                    continue
                self._folders.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield _trouble(folder, error)
                continue
            self.counts["folders"] += 1
            if {entry.name for entry in entries} >= _BARE_REPOSITORY:
                self.counts["skipped folders"] += 1
                continue
            below = []
            for entry in entries:
                if entry.is_symlink():
                    yield from self._link(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name in SKIPPED_FOLDERS or entry.path in _SYSTEM:
                        self.counts["skipped folders"] += 1
                    else:
                        below.append(entry.path)
                else:
                    self.counts["files"] += 1
                    if is_candidate(entry.name):
                        yield from self._file(entry.path)
            stack += reversed(below)

    def _link(self, path: str) -> Iterator[Trouble]:
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
                self.counts["links to folders"] += 1
            elif is_candidate(path):
                self.counts["files"] += 1
                self._links.append(path)
        except OSError as error:
            trouble = _link_trouble(path, error)
            if not PurePath(path).suffix or is_candidate(path) or is_candidate(trouble.problem):
                yield trouble

    def _file(self, path: str) -> Iterator[Found | Trouble]:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            yield _trouble(path, error)
            return
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in self._files:
            self._files.add((status.st_dev, status.st_ino))
            yield Found(Path(path), status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)


def is_candidate(name: str) -> bool:
    """Whether a file of that name is worth opening: ``x.jsonl``, and ``x.jsonl.bak`` too."""
    return _CANDIDATE.search(name) is not None


def _trouble(path: str, error: OSError) -> Trouble:
    return Trouble(readable(path), f"cannot be read ({error.strerror})")


def _link_trouble(path: str, error: OSError) -> Trouble:
    if error.errno == errno.ELOOP:
        return Trouble(readable(path), "a link that leads round in a circle", dangling=True)
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return _trouble(path, error)
    try:
        target = readable(os.readlink(path))  # noqa: PTH115
    except OSError:
        target = "somewhere that cannot be told"
    return Trouble(readable(path), f"a link to {target}, where nothing is", dangling=True)
