"""What a documentation format becomes: a document of sections, each with clean Markdown blocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["prose", "code", "list", "table", "quote"]

Written = tuple[str, tuple[str, ...]]
"""The text of a block and, of a list, that of each item."""

_FRONT: Final = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_LINE: Final = re.compile(r"^([A-Za-z][\w-]*)\s*[:=]\s*(.+?)\s*$", re.MULTILINE)
_NOT_IN_ANCHORS: Final = re.compile(r"[^\w\- ]")


class Unreadable(Exception):  # noqa: N818 - an outcome: it becomes a Reject
    """A document is turned away whole; the text is the reason, the same for all with this defect."""


@dataclass(slots=True)
class Block:
    """One block of a section.

    Most blocks of a long document never become part of an answer, so a block is written as clean Markdown only when
    its text is asked for.

    Attributes:
        raw: as the document has it: cheap to look at before `text` is asked for.
        language: of code, as its fence names it.
        ordered: whether a list is numbered.
        missing: the block stands for something that is included from elsewhere, so that its text is not here.
        write: from `raw` to the clean text; None where `raw` is clean already.
        rows: of a table, the cells of each row, the head first; filled when it is written.
    """

    kind: Kind
    raw: str = ""
    language: str = ""
    ordered: bool = False
    missing: bool = False
    write: Callable[[Block], Written] | None = None
    rows: list[list[str]] = field(default_factory=list)
    _written: Written | None = None

    @property
    def text(self) -> str:
        """Clean Markdown."""
        return self._all()[0]

    @property
    def items(self) -> tuple[str, ...]:
        """Of a list, each item's clean Markdown."""
        return self._all()[1]

    def _all(self) -> Written:
        if self._written is None:
            self._written = self.write(self) if self.write is not None else (self.raw, ())
        return self._written


@dataclass(slots=True)
class Section:
    """A heading with what stands directly under it, up to the next heading of any level.

    Attributes:
        path: headings from the top of the document to this one; empty for what stands before the first.
        anchor: as web pages name it: lower case, hyphens, "-1" for a second of the same name; "" before the first.
        line: of the heading, counted from one.
    """

    path: tuple[str, ...] = ()
    anchor: str = ""
    level: int = 0
    line: int = 1
    blocks: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """A parsed document: its front matter (simple "key: value" lines alone) and its sections in order."""

    front: dict[str, str]
    sections: list[Section]
    is_top_readme: bool = False

    @property
    def title(self) -> str | None:
        """The title: front matter, else the first heading where it is a top one."""
        if self.front.get("title"):
            return self.front["title"]
        first = next((section for section in self.sections if section.level), None)
        return first.path[-1] if first is not None and first.level <= 2 else None


class Outline:
    """Sections in the making: told of headings and blocks in the order of the document."""

    def __init__(self, line: int = 1) -> None:
        self.sections = [Section(line=line)]
        self._open: list[tuple[int, str]] = []
        self._anchors: dict[str, int] = {}

    def heading(self, level: int, text: str, line: int) -> None:
        """Begin the section under a heading of `level`."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, text))
        slug = _NOT_IN_ANCHORS.sub("", text.lower()).strip().replace(" ", "-") or "section"
        count = self._anchors.get(slug, 0)
        self._anchors[slug] = count + 1
        anchor = f"{slug}-{count}" if count else slug
        self.sections.append(Section(tuple(title for _, title in self._open), anchor, level, line))

    def block(self, block: Block) -> None:
        """Add a block to the section that is open."""
        self.sections[-1].blocks.append(block)


def front_matter(text: str) -> tuple[dict[str, str], str, int]:
    """What stands between "---" or "+++" at the top, the text behind it, and the lines it took."""
    found = _FRONT.match(text.removeprefix("\ufeff"))
    if not found:
        return {}, text, 0
    values = {key.lower(): value.strip("\"'") for key, value in _FRONT_LINE.findall(found[2])}
    return values, text[found.end() :], found[0].count("\n")
