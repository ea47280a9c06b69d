"""From one file of a tree of code to its examples, whichever process reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from samloop.example import Example, normalise
from samloop.protocols import Reject
from samloop.sources.code_answers import File, Found, Left
from samloop.sources.code_files import Entry, Tree, language_of, left_out, normalised
from samloop.sources.code_licences import own_licence
from samloop.sources.code_questions import Asked
from samloop.sources.code_tests import Index
from samloop.sources.paths import part_of

SOURCE: Final = "code_patterns"
KEPT_FILES: Final = 64
"""Parsed files that wait for a test of theirs."""

Job = tuple[Entry, bytes]
"""A file and what it holds."""


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


@dataclass(slots=True)
class Files:
    """The files of one tree.

    Attributes:
        entries: all of them by path: code that a file of tests is about is read when it is asked for.
        tests: whether tests are paired with the functions they test.
    """

    tree: Tree
    entries: Mapping[str, Entry]
    limits: Limits
    tests: bool
    index: Index = field(init=False)
    _parsed: dict[str, File | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = Index(self.entries)

    def read(self, job: Job) -> list[Example | Reject]:
        """The records of one file, in their order; none where its language is not read."""
        return list(self._file(*job))

    def _file(self, entry: Entry, data: bytes) -> Iterator[Example | Reject]:
        language = language_of(entry.path, data)
        if language is None:
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

    def _tests(self, entry: Entry, file: File) -> Iterator[Example | Reject]:
        """Pairs of a file of tests and the code that it tests."""
        count = 0
        if self.tests and file.tests():
            for partner in self.index.partners(entry.path, file.code.data.decode("utf-8", "replace")):
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
            data = self.tree.content(self.entries[path])
            usable = isinstance(data, bytes) and left_out(path, data) is None
            language = language_of(path, data) if isinstance(data, bytes) and usable else None
            if language is None or not isinstance(data, bytes):
                self._parsed[path] = None
            else:
                self._parsed[path] = File(language, normalised(data), self.limits.max_characters)
        return self._parsed[path]

    def _record(
        self, path: str, found: Found | Left, licence: str | None, modified: float, file: File
    ) -> Example | Reject:
        if isinstance(found, Left):
            return Reject(self.tree.shown(path), found.reason, line=found.line, id=f"{path}#{found.name}")
        return example_of(
            found.asked,
            repository=self.tree.name,
            group=self.tree.group,
            path=self.tree.prefix + path,
            name=found.name,
            source_id=f"{path}#{found.name}@{found.digest}",
            context=found.context,
            language=file.code.language.name,
            seconds=modified,
            licence=licence,
        )


def example_of(
    asked: Asked,
    *,
    repository: str,
    group: str,
    path: str,
    name: str,
    source_id: str,
    context: str | None,
    language: str,
    seconds: float,
    licence: str | None,
) -> Example:
    """The example of a question about code.

    Args:
        repository, group: what it is called, and by what it is told apart from others.
        path, name: of the file in its repository, and of the function in it.
        seconds: when the code was written, as Unix seconds.
    """
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
        group_key=f"code:{group}:{path}",
        licence=licence,
        language=language,
    )
