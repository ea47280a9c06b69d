"""Examples from code: description ↔ function, function ↔ test, bug → fix.

A folder, one file, a bare repository (its newest commit) or a database of code. Of a repository, commits that mend a
bug are read besides. A `Mark` holds a hash of every file read so far, so that the next call parses only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.example import Example, normalise
from samloop.files import readable
from samloop.protocols import Mark, Record, Reject, source
from samloop.sources.code_answers import File, Found, Left
from samloop.sources.code_database import Row, rows
from samloop.sources.code_files import Entry, Folder, Tree, language_of, left_out, normalised, open_tree
from samloop.sources.code_fixes import Fix, Fixes
from samloop.sources.code_languages import Language, language_of_name, language_of_path
from samloop.sources.code_licences import own_licence
from samloop.sources.code_questions import Asked
from samloop.sources.code_stamps import Stamps
from samloop.sources.code_tests import Index
from samloop.sources.paths import part_of
from samloop.sources.sidecars import spdx_of
from samloop.sources.sqlite_files import is_database

SOURCE: Final = "code_patterns"
MARK_FILES: Final = 256
"""Files between two marks at least. A mark holds all files, so the more there are, the further apart marks stand."""

KEPT_FILES: Final = 64
"""Parsed files that wait for a test of theirs."""


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
    reader = _Reader(tree, stamps, limits, tests=tests)
    commits = known.get("commits")
    yield from reader.records(commits)
    if fixes and repository is None and isinstance(tree, Folder) and (tree.root / ".git").exists():
        yield Reject(readable(tree.root), "history cannot be read", "git is missing, or does not trust its owner")
    if fixes and repository is not None:
        found = Fixes(repository, max_function_characters, reader.fix)
        files = stamps.text(whole=True)
        yield from found.records(commits, lambda value: Mark({"files": files, "commits": value}))


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken at all."""

    max_characters: int
    licences: frozenset[str] | None

    def refuses(self, licence: str | None) -> bool:
        """Whether something under this licence is left out."""
        if self.licences is None:
            return False
        return not any(part.strip() in self.licences for part in (licence or "unknown").split(" OR "))


class _Reader:
    """Turns the files of a tree into records."""

    def __init__(self, tree: Tree, stamps: Stamps, limits: Limits, *, tests: bool) -> None:
        self.tree, self.stamps, self.limits, self.tests = tree, stamps, limits, tests
        self._parsed: dict[str, File | None] = {}
        self._entries: dict[str, Entry] = {}
        self._index = Index(())

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
        self._entries = {entry.path: entry for entry in found}
        self._index = Index(self._entries)
        new = [entry for entry in found if not self.stamps.seen(*self._key(entry))]
        done = 0
        for entry, data in self.tree.contents(new):
            if isinstance(data, Reject):
                yield data
                continue
            yield from self._file(entry, data)
            done += 1
            if done >= max(MARK_FILES, len(self.stamps) // 16):
                yield Mark({"files": self.stamps.text(whole=False), "commits": commits})
                done = 0
        yield Mark({"files": self.stamps.text(whole=True), "commits": commits})

    def _key(self, entry: Entry) -> tuple[str, ...]:
        """What changes when a file changes, or the code that a file of tests is named after."""
        partner = self._index.by_name(entry.path) if self.tests else None
        return (entry.path, entry.stamp, self._entries[partner].stamp if partner else "")

    def _file(self, entry: Entry, data: bytes) -> Iterator[Record]:
        key = self._key(entry)
        content = ("content", entry.path, xxhash.xxh3_64_hexdigest(data), key[2])
        known = self.stamps.seen(*content)
        self.stamps.keep(*key)
        self.stamps.keep(*content)
        language = language_of(entry.path, data)
        if known or language is None:
            return
        if reason := left_out(entry.path, data):
            yield Reject(self.tree.shown(entry.path), reason, f"{len(data)} bytes")
            return
        licence = own_licence(data) or self.tree.licence(entry.path)
        if self.limits.refuses(licence):
            yield Reject(self.tree.shown(entry.path), "licence is not among those asked for", licence or "none known")
            return
        file = File(language, normalised(data), self.limits.max_characters)
        is_test = part_of(entry.path) == "test"
        if is_test:
            yield from self._tests(entry, file)
            return
        for record in file.questions():
            yield self._record(entry.path, record, licence, entry.modified, file)
        if self.tests:
            for record in file.tested(file):
                yield self._record(entry.path, record, licence, entry.modified, file)

    def _tests(self, entry: Entry, file: File) -> Iterator[Record]:
        """Pairs of a file of tests and the code that it tests."""
        count = 0
        if self.tests and file.tests():
            for partner in self._index.partners(entry.path, file.code.data.decode("utf-8", "replace")):
                code = self._partner(partner)
                if code is None:
                    continue
                licence = own_licence(code.code.data) or self.tree.licence(partner)
                for record in code.tested(file):
                    count += 1
                    yield self._record(partner, record, licence, entry.modified, code)
        if not count:
            yield Reject(self.tree.shown(entry.path), "file holds tests, and none of code that is here")

    def _partner(self, path: str) -> File | None:
        """The parsed file at `path`, None where it cannot be had; some are kept, since several tests may ask."""
        if path not in self._parsed:
            if len(self._parsed) >= KEPT_FILES:
                self._parsed.pop(next(iter(self._parsed)))
            ((_, data),) = self.tree.contents([self._entries[path]])
            usable = isinstance(data, bytes) and left_out(path, data) is None
            language = language_of(path, data) if isinstance(data, bytes) and usable else None
            if language is None or not isinstance(data, bytes):
                self._parsed[path] = None
            else:
                self._parsed[path] = File(language, normalised(data), self.limits.max_characters)
        return self._parsed[path]

    def _record(self, path: str, found: Found | Left, licence: str | None, modified: float, file: File) -> Record:
        if isinstance(found, Left):
            return Reject(self.tree.shown(path), found.reason, line=found.line, id=f"{path}#{found.name}")
        return _example(
            found.asked,
            repository=self.tree.name,
            path=self.tree.prefix + path,
            name=found.name,
            source_id=f"{path}#{found.name}@{found.digest}",
            context=found.context,
            language=file.code.language.name,
            seconds=modified,
            licence=licence,
        )

    def fix(self, fix: Fix) -> Record:
        """The example of a mended bug."""
        licence = own_licence(fix.data) or self.tree.licence(fix.path)
        if self.limits.refuses(licence):
            return Reject(self.tree.shown(fix.path), "licence is not among those asked for", id=fix.commit)
        return _example(
            fix.asked,
            repository=self.tree.name,
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
            yield _example(
                found.asked,
                repository=repository,
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


def _example(
    asked: Asked,
    *,
    repository: str,
    path: str,
    name: str,
    source_id: str,
    context: str | None,
    language: str,
    seconds: float,
    licence: str | None,
) -> Example:
    return Example(
        source=SOURCE,
        format="instruction",
        input_text=normalise(asked.question),
        output_text=normalise(asked.answer),
        context=normalise(context) if context else None,
        metadata={"repository": repository, "path": path, "name": name, "kind": asked.kind},
        created_at=seconds,
        updated_at=seconds,
        source_id=f"{source_id}:{asked.kind}",
        group_key=f"code:{repository}:{path}",
        licence=licence,
        language=language,
    )
