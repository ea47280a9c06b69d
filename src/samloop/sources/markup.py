"""HTML and JSX inside Markdown: the words, code, lists, tables and definitions of a fragment."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from samloop.sources.documents import Block
from samloop.sources.inline import clean

MAX_FRAGMENT_CHARACTERS: Final = 200_000
"""A longer piece of HTML is a page's layout or a picture, and nothing to learn from."""

MIN_WORDS: Final = 5
"""Less in a fragment is a badge, a button or a caption."""

BLOCK_TAGS: Final = frozenset(
    """address article aside base blockquote body br caption center col colgroup dd details dialog dir div dl dt
    fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe img legend li
    link main menu menuitem nav noframes ol optgroup option p param picture pre script search section source style
    summary svg table tbody td template textarea tfoot th thead title tr track ul video""".split()
)
"""Tags that begin a block wherever they begin a line (CommonMark 0.31, HTML blocks 1 and 6, and a few)."""

_LAYOUT: Final = re.compile(r"<(?:script|style|svg|iframe|video|form)\b", re.IGNORECASE)
_PIECES: Final = re.compile(
    r"<!--(?:.*?-->|.*)|<(/?)([A-Za-z][\w.:-]*+)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>", re.DOTALL
)
_LABEL: Final = re.compile(r"\b(?:label|title|summary|slot)\s*=\s*(?:\"([^\"<>]{1,80})\"|'([^'<>]{1,80})')")
_ARROW: Final = re.compile(r"=>|\{(?:[^{}]|\{[^{}]*\})*\}")
_ENDS: Final = frozenset("p div br section article header footer main aside ul ol dl table tbody thead".split())
_ITEMS: Final = frozenset("li dt dd tr summary td th h1 h2 h3 h4 h5 h6".split())
_SILENT: Final = frozenset("button nav figcaption title head option select label".split())


def fragment(source: str) -> Iterator[Block]:
    """The blocks of an HTML or JSX fragment: none where it shows nothing but layout and badges."""
    if len(source) > MAX_FRAGMENT_CHARACTERS or _LAYOUT.search(source):
        return
    if "{" in source:
        source = _ARROW.sub("", source)
    yield from _Fragment().read(source)


def words(tag: str) -> str:
    """What is left of a line of tags without them."""
    return _PIECES.sub("", _ARROW.sub("", tag) if "{" in tag or "=>" in tag else tag).strip()


def label(tag: str) -> Iterator[Block]:
    """What a component shows before what it encloses: the name of a tab, the summary of something that unfolds."""
    found = None if tag.endswith("/>") or tag.startswith("</") else _LABEL.search(tag)
    if found:
        yield Block("prose", f"**{html.unescape(found[1] or found[2]).strip()}**:")


class _Fragment:
    """One fragment: text gathers until a tag says what it was."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.items: list[str] = []
        self.rows: list[list[str]] = []
        self.term = ""
        self.code = False
        self.silent = 0
        self.ordered = False

    def read(self, source: str) -> Iterator[Block]:
        position = 0
        for tag in _PIECES.finditer(source):
            if not self.silent:
                self.text.append(source[position : tag.start()])
            position = tag.end()
            if tag[2]:
                yield from self._tag(tag[2], bool(tag[1]), tag[3])
        self.text.append(source[position:])
        yield from self._rest()

    def _tag(self, name: str, closes: bool, attributes: str) -> Iterator[Block]:
        lower = name.lower()
        if lower == "pre":
            yield from self._pre(closes)
        elif self.code:
            return
        elif name[0].isupper():
            yield from self._rest()
        elif lower in _SILENT:
            self.silent = max(0, self.silent + (-1 if closes else 1)) if not attributes.endswith("/") else self.silent
        elif lower in _ITEMS:
            yield from self._item(lower, closes)
        elif lower in _ENDS:
            self.ordered = lower == "ol" if not closes and lower in ("ol", "ul") else self.ordered
            yield from self._rest() if closes or lower != "br" else ()
            self.text.append("<br>" if lower == "br" else "")
        else:
            self.text.append(f"<{'/' if closes else ''}{name}>")

    def _pre(self, closes: bool) -> Iterator[Block]:
        if closes and self.code:
            content = html.unescape("".join(self.text)).strip("\n")
            self.text.clear()
            if content.strip():
                yield code_block(content, "")
        elif not closes:
            yield from self._rest()
        self.code = not closes

    def _item(self, name: str, closes: bool) -> Iterator[Block]:
        if not closes and name in ("dd", "td", "th", "li", "dt"):
            text = self._taken()
            if text and name in ("dd", "dt") and not self.term and name == "dd":
                self.term = text
            elif text and not self.items and not self.rows:
                yield Block("prose", text)
            return
        if name == "tr":
            if not closes:
                self.rows.append([])
            return
        text = self._taken()
        if name in ("td", "th"):
            if self.rows:
                self.rows[-1].append(text.replace("\n", " "))
        elif name == "dt" and closes:
            self.term = text
        elif name == "dd" and closes:
            self.items.append(defined(self.term, text) if self.term else text)
        elif name == "li" and closes and text:
            self.items.append(text)
        elif closes and text:  # a heading or the summary of something that unfolds
            yield from self._rest()
            yield Block("prose", f"**{text}**")

    def _taken(self) -> str:
        text = clean(html.unescape(" ".join("".join(self.text).split(" "))), ())
        self.text.clear()
        return text

    def _rest(self) -> Iterator[Block]:
        text = self._taken()
        if len(text.split()) >= MIN_WORDS:
            yield Block("prose", text)
        if self.items:
            mark = [f"{number}. " if self.ordered else "- " for number in range(1, len(self.items) + 1)]
            lines = "\n".join(m + item.replace("\n", "\n  ") for m, item in zip(mark, self.items, strict=True))
            written = (lines, tuple(self.items))
            yield Block("list", lines, ordered=self.ordered, write=lambda _: written)
            self.items = []
        rows = [row for row in self.rows if any(row)]
        if len(rows) > 1 and len(rows[0]) > 1:
            yield Block("table", table_text(rows), rows=rows)
        self.rows = []


def defined(term: str, meaning: str) -> str:
    """A definition as an item of a list: "**term**: meaning", and code stays code."""
    term = term.strip().rstrip(":")
    shown = term if term.startswith("`") else f"**{term.strip('*_')}**"
    return f"{shown}: {meaning}"


def code_block(content: str, language: str) -> Block:
    """Code inside a fence that is longer than any inside it."""
    fence = "```"
    while fence in content:
        fence += "`"
    return Block("code", f"{fence}{language}\n{content}\n{fence}", language=language)


def table_text(rows: list[list[str]]) -> str:
    """Cells as a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)
