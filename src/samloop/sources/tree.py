"""The documents under one root: from the bytes of a file to its examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.example import Example, normalise
from samloop.files import readable
from samloop.protocols import Reject
from samloop.sources.asker import Asker
from samloop.sources.documents import Document, Unreadable
from samloop.sources.english import MIN_ENGLISH_SHARE, is_foreign
from samloop.sources.markdown import parse
from samloop.sources.project import Licences, Project, first_bytes

SOURCE: Final = "knowledge"
RESTRUCTURED: Final = (".rst", ".rest")
SUFFIXES: Final = (".md", ".markdown", ".mdown", ".mkd", ".mdx", *RESTRUCTURED)
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""Larger files are generated; hand-written ones stay under half a megabyte."""

Entry = list[Any]
"""What is known of a file that was read: size, time in nanoseconds, digest."""

Job = tuple[str, str, Entry | None]
"""A file to read: its path, its path under the root, what was known of it."""

_NOT_PROSE: Final = re.compile(
    r"^(?:change(?:s|log|_log|-log)?|history|news|releases?|release[-_]?notes|licen[cs]e.*|copying|notice"
    r"|authors|contributors"
    r"|maintainers|codeowners|code[-_]of[-_]conduct|backers|sponsors|summary|_?sidebar|_?navbar|toc"
    r"|pull_request_template"
    r"|issue_template|bug_report|feature_request|copyright|third[-_]party.*|acknowledge?ments|credits"
    r"|governance|todo)$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Tree:
    """The documents under one root."""

    root: Path
    project: Project
    max_answer_characters: int
    _licences: Licences | None = field(default=None, repr=False)

    def read(self, job: Job) -> tuple[list[Example | Reject], Entry | None]:
        """The records of one file, and what is now known of it; None where it could not be read."""
        path, relative, before = Path(job[0]), job[1], job[2]
        try:
            status = path.stat()
            data = first_bytes(path, MAX_FILE_BYTES + 1)
        except OSError as error:
            return [Reject(readable(path), "file cannot be read", error.strerror or "")], None
        digest = xxhash.xxh3_64_hexdigest(data)
        # Of a file that grew or shrank while it was read, the digest alone counts: it is looked at again next time.
        size = status.st_size if status.st_size == len(data) or len(data) > MAX_FILE_BYTES else -1
        entry = [size, status.st_mtime_ns, digest]
        if before is not None and before[2] == digest:
            return [], entry
        reason, text = _readable(path, data)
        if reason is None:
            try:
                return list(self._records(path, relative, text, status.st_mtime)), entry
            except Unreadable as error:
                reason = str(error)
        return [Reject(readable(path), reason, f"{len(data)} bytes")], entry

    def _records(self, path: Path, relative: str, text: str, modified: float) -> Iterator[Example | Reject]:
        document = self._parsed(path, text)
        document.is_top_readme = path.parent == self.root and path.stem.lower() == "readme"
        self._licences = self._licences or Licences(self.root)
        licence = self._licences.of(path.parent)
        asker = Asker(self.project, document, text, self.max_answer_characters)
        for section in document.sections:
            reason, pairs = asker.pairs(section)
            if reason is not None and (section.level or section.blocks):
                yield Reject(readable(path), reason, line=section.line, id=f"{relative}#{section.anchor}")
            for pair in pairs:
                yield Example(
                    source=SOURCE,
                    format="instruction",
                    input_text=normalise(pair.question),
                    output_text=normalise(pair.answer),
                    context=asker.context(section, pair),
                    metadata={"path": relative, "headings": list(section.path), "part": pair.part or "section"},
                    created_at=modified,
                    updated_at=modified,
                    source_id=f"{relative}#{section.anchor}" + (f":{pair.part}" if pair.part else ""),
                    group_key=f"docs:{self.root.name}:{relative}",
                    licence=licence,
                    language="en",
                )

    def _parsed(self, path: Path, text: str) -> Document:
        suffix = path.suffix.lower()
        if suffix in RESTRUCTURED:
            from samloop.sources.restructured import parse as parse_restructured  # docutils takes 0.2 s to load

            return parse_restructured(text)
        return parse(text, mdx=suffix == ".mdx")


def _readable(path: Path, data: bytes) -> tuple[str | None, str]:
    """The text of a file, or the reason why it is turned away whole."""
    if len(data) > MAX_FILE_BYTES:
        return "file is too large", ""
    if _NOT_PROSE.match(path.stem):
        return "file holds no documentation (changelog, licence, contents)", ""
    if b"\0" in data:
        return "file is not text", ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "file is not UTF-8", ""
    if not text.strip():
        return "file is empty", ""
    return ("file is not in English", "") if is_foreign(text, MIN_ENGLISH_SHARE) else (None, text)
