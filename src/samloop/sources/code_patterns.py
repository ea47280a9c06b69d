"""Examples from code: description ↔ function, function ↔ test, bug → fix.

A folder, one file, a bare repository (its newest commit) or a database of code. Of a repository, commits that mend a
bug are read besides. A `Mark` holds a hash of every file read so far, so that the next call parses only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.errors import SourceError
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.code_answers import File, Left
from samloop.sources.code_database import Row, rows
from samloop.sources.code_files import (
    MAX_FILE_BYTES,
    SHEBANG_BYTES,
    Entry,
    Folder,
    Tree,
    language_of,
    left_out,
    normalised,
    open_tree,
)
from samloop.sources.code_fixes import Fix, Fixes
from samloop.sources.code_languages import SUFFIXES, Language, language_of_name, language_of_path
from samloop.sources.code_licences import own_licence
from samloop.sources.code_records import SOURCE, Files, Job, Limits, example_of
from samloop.sources.code_stamps import Stamps
from samloop.sources.code_workers import CodeWorkers
from samloop.sources.in_order import answered, processors
from samloop.sources.paths import part_of
from samloop.sources.sidecars import spdx_of
from samloop.sources.sqlite_files import is_database

MARK_FILES: Final = 256
"""Files between two marks at least. A mark holds all files, so the more there are, the further apart marks stand."""

BESIDE_BYTES: Final = 3 * 1024 * 1024
"""Other processes are worth their start, a third of a second each, where so much is to be read."""

BYTES_OF_A_FILE: Final = 3_000
"""What opening a file costs, as so many bytes of it."""


@source(SOURCE, needs_location=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    max_function_characters: int = 2400,
    licences: list[str] | None = None,
    tests: bool = True,
    fixes: bool = True,
    name: str | None = None,
    workers: int | None = None,
) -> Iterator[Record]:
    """Yield questions and answers about the functions at `location`, a Reject for each that teaches nothing.

    Args:
        location: a folder (hidden, vendored and built folders in it are left out, links are not followed), one file,
            a bare repository, or an SQLite database with the columns path, language and content.
        since: the value of the last Mark, or None.
        max_function_characters: longer functions are left out. The default lets question and answer fit into 2,048
            tokens, at about three characters of code a token.
        licences: SPDX ids; what has another licence is left out. "unknown" stands for none. None: all is read.
        tests: pair tests with the functions they test.
        fixes: read commits that mend a bug, where the location is the top of a repository.
        name: what to call the repository; by default the last part of its origin's address, else its folder's name.
        workers: processes that read a large tree beside this one; by default one per processor.

    Raises:
        SourceError: there is nothing, or it cannot be read, or it is a database without code.
    """
    known = since or {}
    stamps = Stamps(str(known.get("files", "")), max_function_characters, licences, tests)
    limits = Limits(max_function_characters, frozenset(licences) if licences is not None else None)
    tree, repository = open_tree(location, name)
    if isinstance(tree, Folder) and tree.only is not None and is_database(tree.only):
        yield from _Database(tree.only, stamps, limits, name or tree.only.stem).records()
        return
    count = processors() if workers is None else workers
    if isinstance(tree, Folder) and tree.only is not None:
        _check_language(tree.only)
    reader = _Reader(tree, stamps, limits, tests=tests, workers=count)
    commits = known.get("commits")
    with closing(tree):
        yield from reader.records(commits)
    if fixes and repository is None and isinstance(tree, Folder) and (tree.root / ".git").exists():
        yield Reject(readable(tree.root), "history cannot be read", "git is missing, or does not trust its owner")
    if fixes and repository is not None:
        found = Fixes(repository, max_function_characters, reader.fix)
        files = stamps.text(whole=True)
        yield from found.records(commits, lambda value: Mark({"files": files, "commits": value}))


def _check_language(path: Path) -> None:
    """Whether a file that was named is one that can be read at all.

    Raises:
        SourceError: its language is not read.
    """
    try:
        with path.open("rb") as file:
            known = language_of(path.name, file.read(SHEBANG_BYTES))
    except OSError:
        return  # reading it will tell why
    if known is None:
        got = f"'{path.suffix}'" if path.suffix else "one that tells no language"
        raise SourceError(
            f"expected a file with code ({', '.join(SUFFIXES)}) or a database of code at {readable(path)}, "
            f"got {got}; name such a file, or a folder with some"
        )


class _Reader:
    """Turns the files of a tree into records."""

    def __init__(self, tree: Tree, stamps: Stamps, limits: Limits, *, tests: bool, workers: int) -> None:
        self.tree, self.stamps, self.limits, self.tests, self.workers = tree, stamps, limits, tests, workers
        self._reading: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def records(self, commits: Any) -> Iterator[Record]:
        """The records of all files that are new or changed."""
        found: list[Entry] = []
        for each in self.tree.entries():
            if isinstance(each, Entry):
                found.append(each)
            elif each.id is None or not self.stamps.seen("folder", each.id):
                if each.id is not None:
                    self.stamps.keep("folder", each.id)
                yield each
        files = Files(self.tree, {entry.path: entry for entry in found}, self.limits, self.tests)
        new = [entry for entry in found if not self.stamps.seen(*self._key(files, entry))]
        much = sum(min(entry.size, MAX_FILE_BYTES) for entry in new) >= BESIDE_BYTES
        beside = (lambda: CodeWorkers(files, self.workers)) if self.workers and much else None
        done = 0
        with closing(answered(self._jobs(files, new), files.read, beside, 0)) as read_on:
            for file in read_on:
                if isinstance(file, Reject):
                    yield file
                    continue
                (entry, _), records = file
                yield from records
                for stamp in self._reading.pop(entry.path):
                    self.stamps.keep(*stamp)
                done += 1
                if done >= max(MARK_FILES, len(self.stamps) // 16):
                    yield Mark({"files": self.stamps.text(whole=False), "commits": commits})
                    done = 0
        yield Mark({"files": self.stamps.text(whole=True), "commits": commits})

    def _jobs(self, files: Files, new: list[Entry]) -> Iterator[tuple[Job, int] | Reject]:
        """The files that hold something new; the stamps of those that wait for their records are kept apart."""
        for entry, data in self.tree.contents(new):
            if isinstance(data, Reject):
                yield data
                continue
            key = self._key(files, entry)
            content = ("content", entry.path, xxhash.xxh3_64_hexdigest(data), key[2])
            if self.stamps.seen(*content):
                self.stamps.keep(*key)
                continue
            self._reading[entry.path] = key, content
            yield (entry, data), len(data) + BYTES_OF_A_FILE

    def _key(self, files: Files, entry: Entry) -> tuple[str, ...]:
        """What changes when a file changes, or the code that a file of tests is named after."""
        partner = files.index.by_name(entry.path) if self.tests else None
        return (entry.path, entry.stamp, files.entries[partner].stamp if partner else "")

    def fix(self, fix: Fix) -> Record:
        """The example of a mended bug."""
        licence = own_licence(fix.data) or self.tree.licence(fix.path)
        if self.limits.refuses(licence):
            return Reject(self.tree.shown(fix.path), "licence is not among those asked for", id=fix.commit)
        return example_of(
            fix.asked,
            repository=self.tree.name,
            group=self.tree.group,
            path=fix.path,
            name=fix.name,
            source_id=f"{fix.commit}:{fix.path}#{fix.name}",
            context=fix.context,
            language=fix.language,
            seconds=fix.seconds,
            licence=licence,
        )


class _Database:
    """Turns the rows of a database into records."""

    def __init__(self, path: Path, stamps: Stamps, limits: Limits, name: str) -> None:
        self.path, self.stamps, self.limits, self.name = path, stamps, limits, name

    def records(self) -> Iterator[Record]:
        """The records of all rows that are new; none where the file is as it was."""
        stamp = self._stamp()
        if self.stamps.seen("database", *stamp):
            return
        done = 0
        for row in rows(self.path):
            if row.content is None:
                yield Reject(self._shown(row), "content is not text", id=row.path)
                continue
            key = (row.repository or "", row.path, xxhash.xxh3_64_hexdigest(row.content))
            if self.stamps.seen(*key):
                continue
            self.stamps.keep(*key)
            yield from self._row(row, row.content)
            done += 1
            if done >= max(MARK_FILES, len(self.stamps) // 16):
                yield Mark({"files": self.stamps.text(whole=False)})
                done = 0
        if self._stamp() == stamp:
            self.stamps.keep("database", *stamp)
        yield Mark({"files": self.stamps.text(whole=True)})

    def _stamp(self) -> tuple[str, ...]:
        """What changes when the database does: size and time of its file and of the log beside it."""
        found = []
        for path in (self.path, Path(f"{self.path}-wal")):
            status = path.stat() if path.exists() else None
            found.append(f"{status.st_size}:{status.st_mtime_ns}" if status and status.st_size else "")
        return tuple(found)

    def _shown(self, row: Row) -> str:
        return f"{readable(self.path)}:{row.path}"

    def _row(self, row: Row, data: bytes) -> Iterator[Record]:
        language = _language(row)
        if language is None:
            yield Reject(self._shown(row), "language is not read", row.language[:40], id=row.path)
            return
        if part_of(row.path) == "test":
            yield Reject(self._shown(row), "file holds tests, and none of code that is here", id=row.path)
            return
        if reason := left_out(row.path, data):
            yield Reject(self._shown(row), reason, f"{len(data)} bytes", id=row.path)
            return
        licence = own_licence(data) or spdx_of(row.licence)
        if self.limits.refuses(licence):
            yield Reject(
                self._shown(row), "licence is not among those asked for", licence or "none known", id=row.path
            )
            return
        file = File(language, normalised(data), self.limits.max_characters)
        repository = row.repository or self.name
        for found in (*file.questions(), *file.tested(file)):
            if isinstance(found, Left):
                yield Reject(self._shown(row), found.reason, line=found.line, id=f"{row.path}#{found.name}")
                continue
            yield example_of(
                found.asked,
                repository=repository,
                group=repository,
                path=row.path,
                name=found.name,
                source_id=f"{row.path}#{found.name}@{found.digest}",
                context=found.context,
                language=file.code.language.name,
                seconds=0.0,
                licence=licence,
            )


def _language(row: Row) -> Language | None:
    """What a row says of its language, more exactly where the path's suffix does (TSX is TypeScript)."""
    told, by_path = language_of_name(row.language), language_of_path(row.path)
    return by_path if by_path and (told is None or told.name == by_path.name) else told
