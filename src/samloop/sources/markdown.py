"""A Markdown document as sections of clean blocks.

Lines are looked at once, from top to bottom, by what they begin with, as CommonMark and its common extensions say:
tables, definition lists, admonitions, MDX, the shortcodes of site generators. What stands inside a list or a quote is
taken apart only when its text is asked for. A parser that writes the tree of a page takes five times as long and
recurses as deeply as the document says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

from samloop.sources import markdown_lines as on
from samloop.sources.documents import Block, Document, Outline, Written, front_matter
from samloop.sources.inline import clean, heading_text
from samloop.sources.markup import BLOCK_TAGS, code_block, defined, fragment, label, table_text, words

MAX_DEPTH: Final = 8
"""Lists and quotes inside one another deeper than this are plain text."""

MAX_BLOCK_CHARACTERS: Final = 50_000
"""A longer item or quote is no part of any answer: it is not taken apart."""

MAX_TAG_LINES: Final = 40
"""A tag with more lines of attributes is none."""

Event = Block | tuple[int, str, int]
"""A block, or a heading: its level, text and line."""

# Both yield events and return the line after them; the second one None where a line begins something else.
Advance = Generator[Event, None, int]
Reading = Generator[Event, None, int | None]

_LABELS: Final = re.compile(r"^ {0,3}\[([^\]\n^][^\]\n]{0,200})\]:[ \t]*\S", re.MULTILINE)

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RAW_HTML: Final = frozenset(("script", "style", "textarea"))
_REFERENCE: Final = re.compile(r" {0,3}\[[^\]\n]{1,200}\]:[ \t]*\S?")
_DEFINITION: Final = re.compile(r" {0,3}[:~][ \t]+(?=\S)")
_CONTAINER: Final = re.compile(r":::+.*$|\[![A-Za-z]+\][+-]?\s*$")
_HIGHLIGHT: Final = re.compile(r"\s*(?:\{%-?\s*highlight\s+([\w+#-]+)|\{\{[<%]\s*highlight\s+([\w+#-]+))")
_ESM: Final = re.compile(r"(?:import\s+(?:[\w*{'\"]).*(?:from\s|['\"])|export\s+(?:const|default|function|\{))")
_AFTER_LANGUAGE: Final = re.compile(r"[\s,{:]")
_MYST: Final = re.compile(r"\{([\w:.-]+)\}\s*(.*)$")
_TERM_ITEM: Final = re.compile(r"\A([^\n]{1,200})\n+[-*+] : (.*)\Z", re.DOTALL)


def parse(text: str, *, mdx: bool = False) -> Document:
    """The sections of a Markdown document.

    Args:
        mdx: read as MDX: indentation means nothing outside lists, imports and exports are no text.
    """
    front, text, skipped = front_matter(text.replace("\r\n", "\n").replace("\r", "\n"))
    outline = Outline(1 + skipped)
    for event in _Scanner.of(text, mdx).events(text.split("\n")):
        if isinstance(event, tuple):
            level, title, line = event
            outline.heading(level, title, line + 1 + skipped)
        else:
            outline.block(event)
    return Document(front, outline.sections)


@dataclass(slots=True)
class _Scanner:
    """What one document needs to be known for each of its lines.

    Attributes:
        labels: link targets that it defines, lower case.
        includes: it may pull in text from elsewhere.
    """

    labels: frozenset[str]
    includes: bool
    mdx: bool
    depth: int = 0
    deeper: list[_Scanner] = field(default_factory=list)

    @classmethod
    def of(cls, text: str, mdx: bool) -> _Scanner:
        labels = frozenset(map(str.lower, _LABELS.findall(text))) if "]:" in text else frozenset[str]()
        return cls(labels, any(mark in text for mark in on.MARKS_OF_INCLUDES), mdx)

    def inside(self) -> _Scanner:
        """The scanner for what stands inside a list or quote."""
        if not self.deeper:
            self.deeper.append(_Scanner(self.labels, self.includes, self.mdx, self.depth + 1))
        return self.deeper[0]

    def events(self, lines: list[str]) -> Iterator[Event]:
        """Blocks and headings of `lines`, in order."""
        at, end = 0, len(lines)
        while at < end:
            line = lines[at]
            first = line[:1]
            if not first or first in " \t":
                line = lines[at] = line.expandtabs(4)
                bare = line.lstrip(" ")
                if not bare:
                    at += 1
                    continue
                if len(line) - len(bare) > 3:
                    if not self.mdx:
                        at = yield from self._indented(lines, at)
                        continue
                    line = lines[at] = bare
                first = bare[0]
            reader = _READERS.get(first)
            after = None
            if reader is not None:
                after = yield from reader(self, lines, at)
            at = after if after is not None else (yield from self._paragraph(lines, at))

    # Each reader yields what begins at a line and returns the line after it, or None where it is something else.

    def _heading(self, lines: list[str], at: int) -> Reading:
        bare = lines[at].lstrip(" ")
        title = bare.lstrip("#")
        level = len(bare) - len(title)
        if level > 6 or (title and not title[0].isspace() and (level == 1 or not title[0].isalpha())):
            return None
        title = title.strip()
        closed = title.rstrip("#")
        if not closed or closed[-1].isspace():
            title = closed.rstrip()
        yield level, heading_text(title, self.labels), at
        return at + 1

    def _fence(self, lines: list[str], at: int) -> Reading:
        opened = _FENCE.match(lines[at])
        if not opened or ("`" in opened[1] and "`" in opened[2]):
            return None
        mark, indent = opened[1], len(lines[at]) - len(lines[at].lstrip(" "))
        after, sign = at + 1, mark[0]
        while after < len(lines) and (mark not in lines[after] or lines[after].strip().strip(sign)):
            after += 1
        body = lines[at + 1 : after]
        if indent:
            body = [line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in body]
        yield from self._fenced(opened[2].strip(), body)
        return after + 1

    def _fenced(self, info: str, body: list[str]) -> Iterator[Event]:
        language = info.lower() if info.isalnum() else _AFTER_LANGUAGE.split(info, maxsplit=1)[0].lower()
        directive = _MYST.match(info) if info[:1] == "{" else None
        if directive:
            name = directive[1].lower()
            if name in on.ABSENT:
                yield Block("code", missing=True)
                return
            if name in on.SHOWN:
                return
            body = on.without_options(body)
            if name in on.NOTES:
                yield from self._nested(body, directive[2])
                return
            language = directive[2].split(" ")[0].lower() if name in on.CODE_NAMES else re.split(r"\W", name)[0]
        yield self._code(body, language)

    def _code(self, body: list[str], language: str) -> Block:
        content = "\n".join(body).rstrip()
        if self.includes and on.is_include(content):
            return Block("code", language=language, missing=True)
        if language in ("rust", "rs") and "#" in content:  # what a documentation tool hides is not meant to be read
            content = "\n".join(line for line in content.split("\n") if f"{line.lstrip()} "[:2] != "# ")
        if not content.strip():
            return Block("code")
        return code_block(content, language if len(language) < 30 else "")

    def _nested(self, lines: list[str], title: str = "") -> Iterator[Event]:
        """Blocks inside an admonition or a tab; its title comes first where that is a question or a label."""
        if title and (title.endswith("?") or len(title.split()) < 4):
            yield Block("prose", f"**{clean(title, self.labels)}**" + ("" if title.endswith("?") else ":"))
        if self.depth >= MAX_DEPTH:
            yield self._prose("\n".join(lines))
            return
        for event in self.inside().events(on.dedented(lines)):
            yield Block("prose", f"**{event[1]}**") if isinstance(event, tuple) else event

    def _indented(self, lines: list[str], at: int) -> Advance:
        after, body, kept = at, list[str](), 0
        while after < len(lines):
            line = lines[after]
            if line[:1] == "\t":
                line = line.expandtabs(4)
            if line.strip() and not line.startswith("    "):
                break
            body.append(line[4:])
            after += 1
            if line.strip():
                kept = len(body)
        yield self._code(body[:kept], "")
        return at + kept

    def _quote(self, lines: list[str], at: int) -> Reading:
        after, body, open_paragraph = at, list[str](), False
        while after < len(lines):
            bare = lines[after].lstrip(" ")
            if bare.startswith(">"):
                body.append(bare[2:] if bare[1:2] == " " else bare[1:])
                open_paragraph = bool(bare.strip("> "))
            elif not open_paragraph or not bare or on.interrupts(lines[after]):
                break
            else:
                body.append(lines[after])
            after += 1
        # The announcement of a note ("[!NOTE]") in a quote: what follows is text like any other.
        if body and _CONTAINER.fullmatch(body[0].strip()):
            yield from self._nested(body[1:])
        else:
            yield Block("quote", "\n".join(body), write=self._write_quote)
        return after

    def _write_quote(self, block: Block) -> Written:
        inner = self._inner(block.raw)
        text = "\n\n".join(found.text for found in inner if found.text)
        block.missing = any(found.missing for found in inner)
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text else "", ()

    def _inner(self, raw: str) -> list[Block]:
        """The blocks of what stands inside a list item or a quote."""
        if self.depth >= MAX_DEPTH or len(raw) > MAX_BLOCK_CHARACTERS:
            return [Block("prose", " ".join(raw[:MAX_BLOCK_CHARACTERS].split()))]
        return list(self._nested(raw.split("\n")))  # type: ignore[arg-type]  # it yields blocks alone

    def _list(self, lines: list[str], at: int) -> Reading:
        if on.RULE.match(lines[at]):
            return at + 1
        found = on.ITEM.match(lines[at])
        if not found:
            return None
        if on.ITEM_HEADING.match(lines[at]) and self.depth < MAX_DEPTH:
            return (yield from self._item_with_heading(lines, at, found))
        ordered = bool(found[3])
        after = on.list_end(lines, at, ordered)
        raw = "\n".join(lines[at:after])
        yield Block("list", raw, ordered=ordered, write=self._write_list)
        return after

    def _item_with_heading(self, lines: list[str], at: int, found: re.Match[str]) -> Advance:
        """A numbered question and its answer: "1. ### What is …?" with text that is indented below it."""
        width = found.end()
        after = at + 1
        while after < len(lines):
            line = lines[after]
            if line.strip() and (len(line) - len(line.lstrip()) < 2 or on.ITEM_HEADING.match(line)):
                break
            after += 1
        inside = [
            lines[at][width:],
            *(line[min(width, len(line) - len(line.lstrip(" "))) :] for line in lines[at + 1 : after]),
        ]
        for event in self.inside().events(inside):
            yield (event[0], event[1], event[2] + at) if isinstance(event, tuple) else event
        return after

    def _write_list(self, block: Block) -> Written:
        number = int(on.ITEM.match(block.raw)[3] or 1) if block.ordered else 1  # type: ignore[index]  # it begins so
        items, lines = list[str](), list[str]()
        for raw in on.items_of(block.raw):
            if "\n" not in raw and raw[:1] not in _READERS:
                text = self._cleaned(raw)
            else:
                inner = self._inner(raw)
                block.missing = block.missing or any(found.missing for found in inner)
                text = "\n".join(found.text for found in inner if found.text)
            if not text or text.isspace():
                continue
            if " : " in text and (term := _TERM_ITEM.match(text)):
                text = defined(term[1], " ".join(term[2].split("\n")))
            mark = f"{number}. " if block.ordered else "- "
            number += 1
            items.append(text)
            lines.append(mark + (text.replace("\n", "\n" + " " * len(mark)) if "\n" in text else text))
        return "\n".join(lines), tuple(items)

    def _markup(self, lines: list[str], at: int) -> Reading:
        found = on.HTML.match(lines[at])
        if not found:
            return None
        name = found[2] or ""
        if name and name.lower() not in BLOCK_TAGS and not name[0].isupper():
            bare = lines[at].strip()
            if bare[-1] != ">" or len(re.sub(r"<[^<>]*>", "", bare)) > 0:
                return None
        if name[:1].isupper():
            return (yield from self._component(lines, at))
        stop = "-->" if found[1] else f"</{name.lower()}" if name.lower() in _RAW_HTML else ""
        if name.lower() == "pre":
            stop = "</pre"
        after, body = at, list[str]()
        while after < len(lines):
            line = lines[after]
            if not stop and not line.strip():
                break
            body.append(line)
            after += 1
            if stop and stop in line.lower():
                break
        rest = body[-1].partition("-->")[2] if found[1] else ""
        if name.lower() in _RAW_HTML or (found[1] and not rest.strip()):
            return after
        if found[1]:
            yield self._prose(rest)
        else:
            yield from fragment("\n".join(body))
        return after

    def _component(self, lines: list[str], at: int) -> Advance:
        """A JSX tag on lines of its own, without what it encloses: that is Markdown, and is read as such."""
        after, tag = at + 1, lines[at].strip()
        while ">" not in tag and after < min(len(lines), at + MAX_TAG_LINES) and lines[after].strip():
            tag += " " + lines[after].strip()
            after += 1
        if words(tag):
            yield self._prose(tag)
        else:
            yield from label(tag)
        return after

    def _container(self, lines: list[str], at: int) -> Reading:
        """Lines that are marks of an extension: admonitions, tabs, containers, shortcodes."""
        bare = lines[at].strip()
        if bare.startswith(":::"):
            after = at + 1
            if self.includes and on.INCLUDE.match(bare):
                yield Block("prose", missing=True)
                while after < len(lines) and lines[after].startswith(" "):
                    after += 1
            return after
        found = on.ADMONITION.match(bare)
        if found:
            after = at + 1
            while after < len(lines) and (not lines[after].strip() or lines[after].startswith(("    ", "\t"))):
                after += 1
            yield from self._nested(lines[at + 1 : after], (found[1] or found[2] or "").strip())
            return after
        return None

    def _shortcode(self, lines: list[str], at: int) -> Reading:
        line = lines[at]
        if found := _HIGHLIGHT.match(line):
            after = next(
                (
                    n
                    for n in range(at + 1, min(len(lines), at + 500))
                    if "endhighlight" in lines[n] or "/highlight" in lines[n]
                ),
                None,
            )
            if after is not None:
                yield self._code(lines[at + 1 : after], (found[1] or found[2]).lower())
                return after + 1
        if self.includes and on.is_include(line):
            yield Block("prose", missing=True)
            return at + 1
        return at + 1 if on.LIQUID.match(line) else None

    def _bracket(self, lines: list[str], at: int) -> Reading:
        yield from ()
        line = lines[at]
        if on.LIQUID.match(line):
            return at + 1
        if not _REFERENCE.match(line):
            return None
        if line.lstrip()[1] != "^":
            return at + 1
        after = at + 1  # a footnote goes with all of its lines
        while after < len(lines) and lines[after].strip():
            after += 1
        return after

    def _table_row(self, lines: list[str], at: int) -> Reading:
        if at + 1 < len(lines) and on.is_ruler(lines[at + 1]) and "|" in lines[at]:
            after = at + 2
            while after < len(lines) and "|" in lines[after]:
                after += 1
            yield Block("table", "\n".join(lines[at:after]), write=self._write_table)
            return after
        return None

    def _write_table(self, block: Block) -> Written:
        raw = block.raw.split("\n")
        block.rows = [
            [self._cleaned(cell).replace("\\|", "|").replace("\n", " ") for cell in on.cells(line)]
            for number, line in enumerate(raw)
            if number != 1
        ]
        width = len(block.rows[0])
        block.rows = [(row + [""] * width)[:width] for row in block.rows]
        return table_text(block.rows), ()

    def _paragraph(self, lines: list[str], at: int) -> Advance:
        after, end = at + 1, len(lines)
        while after < end:
            line = lines[after]
            if line[:1] not in _MAY_INTERRUPT:
                after += 1
                continue
            if not line or line.isspace():
                break
            if _UNDERLINE.match(line):
                title = heading_text(" ".join(part.strip() for part in lines[at:after]), self.labels)
                yield 1 if line.lstrip()[0] == "=" else 2, title, at
                return after + 1
            if after == at + 1 and "|" in lines[at] and on.is_ruler(line):
                break
            if _DEFINITION.match(line) and after == at + 1:
                return (yield from self._definitions(lines, at))
            if on.interrupts(line):
                break
            after += 1
        if after < end and after == at + 1 and "|" in lines[at] and on.is_ruler(lines[after]):
            return (yield from self._table_row(lines, at)) or after
        if after + 1 < end and after == at + 1 and _DEFINITION.match(lines[after + 1]) and not lines[after].strip():
            return (yield from self._definitions(lines, at))
        if self.mdx and _ESM.match(lines[at]):
            return after
        yield self._prose("\n".join(lines[at:after]))
        return after

    def _definitions(self, lines: list[str], at: int) -> Advance:
        """Terms, each with paragraphs below it that begin with a colon."""
        items = list[str]()
        after = at
        while after < len(lines):
            below = after + 1 if after + 1 < len(lines) and lines[after + 1].strip() else after + 2
            if below >= len(lines) or not lines[after].strip() or not _DEFINITION.match(lines[below]):
                break
            term, after, meaning = lines[after].strip(), below + 1, [_DEFINITION.sub("", lines[below], count=1)]
            while after < len(lines):
                line = lines[after]
                if _DEFINITION.match(line):
                    meaning += ["", _DEFINITION.sub("", line, count=1)]
                elif line.strip() and not line.startswith(" ") and not lines[after - 1].strip():
                    break
                else:
                    meaning.append(line[min(4, len(line) - len(line.lstrip(" "))) :])
                after += 1
            inner = self._inner("\n".join(meaning).strip("\n"))
            items.append(defined(self._cleaned(term), "\n".join(found.text for found in inner if found.text)))
            while after < len(lines) and not lines[after].strip():
                after += 1
        text = "\n".join("- " + item.replace("\n", "\n  ") for item in items)
        written = (text, tuple(items))
        yield Block("list", text, write=lambda _: written)
        return after

    def _prose(self, raw: str) -> Block:
        if self.includes and on.is_include(raw):
            return Block("prose", missing=True)
        return Block("prose", raw, write=self._write_prose)

    def _write_prose(self, block: Block) -> Written:
        return self._cleaned(block.raw), ()

    def _cleaned(self, raw: str) -> str:
        return clean(raw.strip(), self.labels)


Reader = Callable[[_Scanner, list[str], int], Reading]

_READERS: Final[dict[str, Reader]] = {
    "#": _Scanner._heading,
    "`": _Scanner._fence,
    "~": _Scanner._fence,
    ">": _Scanner._quote,
    "<": _Scanner._markup,
    "|": _Scanner._table_row,
    "[": _Scanner._bracket,
    "{": _Scanner._shortcode,
    **dict.fromkeys("-*+_0123456789", _Scanner._list),
    **dict.fromkeys(":!?=", _Scanner._container),
}
_MAY_INTERRUPT: Final = frozenset(["", *" \t#`~>-*+0123456789<=:!?{"])
