"""A Markdown document as sections of clean blocks.

A real parser (markdown-it-py, CommonMark with tables) finds the blocks; each is written back as Markdown without what
only a web page can show: links keep their text, images and badges go, HTML tags and comments go, wrapped lines of a
paragraph are joined.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

MAX_HEADING_CHARACTERS: Final = 300
"""A heading is cut here; no question is made of one as long as that."""

Kind = Literal["prose", "code", "list", "table", "quote"]


@dataclass(slots=True)
class Block:
    """One block of a section.

    Attributes:
        text: clean Markdown.
        items: of a list, each item's clean Markdown.
        ordered: whether a list is numbered.
        language: of code, as its fence names it.
        missing: the block stands for something that is included from elsewhere, so that its text is not here.
    """

    kind: Kind
    text: str
    items: tuple[str, ...] = ()
    ordered: bool = False
    language: str = ""
    missing: bool = False


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


_FRONT: Final = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_LINE: Final = re.compile(r"^([A-Za-z][\w-]*)\s*[:=]\s*(.+?)\s*$", re.MULTILINE)
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>|<!\w[^<>]*>|<\?[^<>]*\?>")
_JSX: Final = re.compile(r"</?[A-Z][\w.]*(?:[^<>{}]|\{(?:[^{}]|\{[^{}]*\})*\})*>|\{/\*.*?\*/\}", re.DOTALL)
_BREAK: Final = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h\d|summary|details)>", re.IGNORECASE)
_INCLUDE: Final = re.compile(
    r"\{\{\s*#\w+[^}]*\}\}|\{%-?\s*(?:include|embed|raw)\b.*?%\}|\{[*!]>?\s*[\w./-]+.*?[*!]\}|^--8<--"
    r"|^<<<\s*@?/|\$\{\w+\}$"
    r"|\{\{<\s*\w+.*?>\}\}|^:::\s*\w+\.\w+",
    re.MULTILINE,
)
_MDX: Final = re.compile(r"^(?:import|export)\s.*(?:from\s+['\"]|=).*$")
_ATTRIBUTES: Final = re.compile(r"\s*\{\s*(?:[#.:][^{}]*|/\*.*?\*/)\}\s*$")
_ADMONITION: Final = re.compile(
    r"^(?:!!!|\?\?\?\+?|:::+)\s*\w*\s*(?:\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\])?\s*$|^\[!(?:note|tip|important"
    r"|warning|caution)\]\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_NEEDS_PARSER: Final = re.compile(r"[\[<!&]|https?:|  \n|\\\n")
_EMOJI: Final = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+|:[a-z][a-z_]{2,}[a-z]:")


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")


@cache
def _inline_parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


def parse(text: str) -> Document:
    """The sections of a Markdown document."""
    front, text, skipped = _front_matter(text.replace("\r\n", "\n").replace("\r", "\n"))
    environment: dict[str, Any] = {}
    tree = SyntaxTreeNode(_parser().parse(text, environment))
    sections = [Section(line=1 + skipped)]
    anchors: dict[str, int] = {}
    above: list[tuple[int, str]] = []
    for node in tree.children:
        if node.type == "heading":
            sections.append(_heading(node, above, anchors, environment, skipped))
        else:
            sections[-1].blocks += _blocks(node, environment)
    return Document(front, sections)


def _front_matter(text: str) -> tuple[dict[str, str], str, int]:
    found = _FRONT.match(text.removeprefix("\ufeff"))
    if not found:
        return {}, text, 0
    values = {key.lower(): value.strip("\"'") for key, value in _FRONT_LINE.findall(found[2])}
    return values, text[found.end() :], found[0].count("\n")


def _heading(
    node: SyntaxTreeNode, above: list[tuple[int, str]], anchors: dict[str, int], env: dict[str, Any], skipped: int
) -> Section:
    """The section that a heading begins; `above`, the open headings with their levels, is brought up to date."""
    level = int(node.tag[1])
    text = heading_text(node.children[0].content, env) if node.children else ""
    while above and above[-1][0] >= level:
        above.pop()
    above.append((level, text))
    slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") or "section"
    count = anchors.get(slug, 0)
    anchors[slug] = count + 1
    line = (node.map[0] if node.map else 0) + 1 + skipped
    return Section(tuple(title for _, title in above), f"{slug}-{count}" if count else slug, level, line)


def heading_text(content: str, env: dict[str, Any] | None = None) -> str:
    """A heading as plain words: code keeps its backticks, emphasis, links, emoji and attribute lists go."""
    text = inline(_ATTRIBUTES.sub("", content[:MAX_HEADING_CHARACTERS]), env or {})
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<![\w*_])([*_])(?=\S)(.+?)(?<=\S)\1(?![\w*_])", r"\2", text)
    return " ".join(_EMOJI.sub("", text).split()).strip(" #¶")


def _blocks(node: SyntaxTreeNode, env: dict[str, Any]) -> Iterator[Block]:
    block: Block | None = None
    if node.type == "paragraph":
        block = _paragraph(node.children[0].content, env)
    elif node.type in ("fence", "code_block"):
        block = _code(node)
    elif node.type in ("bullet_list", "ordered_list"):
        block = _list(node, env)
    elif node.type == "table":
        block = Block("table", _table(node, env))
    elif node.type == "blockquote":
        inner = [found for child in node.children for found in _blocks(child, env)]
        text = "\n\n".join(found.text for found in inner if found.text)
        quoted = "\n".join(f"> {line}".rstrip() for line in text.split("\n"))
        block = Block("quote", quoted if text else "", missing=any(found.missing for found in inner))
    elif node.type == "html_block":
        block = _html(node.content)
    elif node.type == "heading":
        block = Block("prose", f"**{heading_text(node.children[0].content, env)}**")
    if block is not None and (block.text or block.missing):
        yield block


def _paragraph(content: str, env: dict[str, Any]) -> Block:
    if _INCLUDE.search(content):
        return Block("prose", "", missing=True)
    if "{" in content:
        content = _JSX.sub("", content)
    lines = [line for line in content.split("\n") if not _MDX.match(line)]
    return Block("prose", inline(_ADMONITION.sub("", "\n".join(lines)).strip(), env))


def _code(node: SyntaxTreeNode) -> Block:
    content = node.content.rstrip("\n")
    language = re.split(r"[\s,{:]", node.info.strip(), maxsplit=1)[0].lower() if node.info else ""
    if _INCLUDE.search(content):
        return Block("code", "", language=language, missing=True)
    # Lines that a documentation tool hides are not meant to be read.
    if language in ("rust", "rs", ""):
        content = "\n".join(line for line in content.split("\n") if not re.match(r"# |#$", line) or language == "")
    if not content.strip():
        return Block("code", "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return Block("code", f"{fence}{language}\n{content}\n{fence}", language=language)


def _list(node: SyntaxTreeNode, env: dict[str, Any]) -> Block:
    ordered = node.type == "ordered_list"
    number = int(node.attrs.get("start", 1) or 1) if ordered else 1
    items, lines, missing = [], [], False
    for item in node.children:
        inner = [found for child in item.children for found in _blocks(child, env)]
        missing = missing or any(found.missing for found in inner)
        text = "\n".join(found.text for found in inner if found.text)
        if not text.strip():
            continue
        mark = f"{number}. " if ordered else "- "
        number += 1
        items.append(text)
        lines.append(mark + text.replace("\n", "\n" + " " * len(mark)))
    return Block("list", "\n".join(lines), items=tuple(items), ordered=ordered, missing=missing)


def _table(node: SyntaxTreeNode, env: dict[str, Any]) -> str:
    rows = []
    for part in node.children:
        for row in part.children:
            cells = [inline(cell.children[0].content if cell.children else "", env) for cell in row.children]
            rows.append("| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |")
            if part.type == "thead":
                rows.append("|" + " --- |" * len(cells))
    return "\n".join(rows)


def _html(content: str) -> Block | None:
    """The words of an HTML block, if it has a sentence's worth; badges and layout have not."""
    if re.search(r"<(?:script|style|svg|iframe|video|form|table|pre)\b", content, re.IGNORECASE):
        return None
    text = _strip_html(content)
    return Block("prose", text) if len(text.split()) >= 5 else None


def _strip_html(text: str) -> str:
    text = _BREAK.sub("\n", _JSX.sub("", _COMMENT.sub("", text)))
    text = html.unescape(_TAG.sub("", text))
    return "\n".join(line for line in (" ".join(part.split()) for part in text.split("\n")) if line)


def inline(content: str, env: dict[str, Any]) -> str:
    """The text of a paragraph or cell as clean Markdown in one line (hard breaks stay)."""
    if not _NEEDS_PARSER.search(content):
        return " ".join(content.split("\n"))
    tokens = _inline_parser().parseInline(content, env)
    text = "".join(_written(tokens[0].children or []))
    return re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \t]{2,}", " ", _COMMENT.sub("", text))).strip()


def _written(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "code_inline":
            fence = "`" * (1 + max(map(len, re.findall("`+", token.content)), default=0))
            pad = " " if len(fence) > 1 else ""
            yield f"{fence}{pad}{token.content}{pad}{fence}"
        elif token.type in ("em_open", "em_close", "strong_open", "strong_close"):
            yield token.markup
        elif token.type == "softbreak":
            yield " "
        elif token.type == "hardbreak" or (token.type == "html_inline" and _BREAK.match(token.content)):
            yield "\n"
        elif token.type in ("text", "text_special"):
            # "[text][reference]" whose target stands elsewhere, and footnote marks
            yield re.sub(r"\[([^\[\]]+)\]\[[^\[\]]*\]", r"\1", re.sub(r"\[\^[^\]]+\]", "", token.content))
