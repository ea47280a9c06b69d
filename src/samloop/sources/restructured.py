"""A reStructuredText document as sections of clean Markdown blocks.

docutils reads it, with the roles and directives of Sphinx taken for what they show: code, notes, definitions of
functions and options. What it does not know keeps its text. Nothing is included from other files, and nothing raw.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.utils import new_document

from samloop.sources.documents import Block, Document, Outline, Unreadable
from samloop.sources.inline import heading_text
from samloop.sources.markup import code_block, defined, table_text

MAX_CHARACTERS: Final = 1_000_000
"""docutils reads about 0.2 MB a second: a longer file would take minutes, and no person wrote it."""

MAX_LINE_CHARACTERS: Final = 20_000
"""docutils gives up on a document with a longer line."""

MAX_INDENT: Final = 200
"""Blanks at the beginning of a line; with more, blocks lie so deep inside one another that no page shows them."""

TOO_DEEP: Final = "blocks lie too deep inside one another"
_DEEP: Final = re.compile(rf"^ {{{MAX_INDENT}}} *\S", re.MULTILINE)

_DIRECTIVE: Final = re.compile(r"^\s*(?:\S+\s+)??\.\. (?:\|[^|\n]+\| )?([\w:+.-]+?)::", re.MULTILINE)
_ROLE: Final = re.compile(r":([\w+.-]+(?::[\w+.-]+)*):`|`:([\w+.-]+(?::[\w+.-]+)*):")
_LABEL: Final = re.compile(
    r"^\.\. _([^:\n`]{1,100}):[ \t]*\n+(?:[=~^\"'#*+-]{3,}[ \t]*\n)?[ \t]*(\S.{0,150})\n[=~^\"'#*+-]{3,}",
    re.MULTILINE,
)
_LITERAL: Final = re.compile(r"``([^`\n]+)``")
_TITLED: Final = re.compile(r"^(.*?)\s*<([^<>]*)>$", re.DOTALL)
_SIGNATURE_KINDS: Final = frozenset(
    "function method class data attribute property option exception decorator module envvar confval setting describe "
    "object staticmethod classmethod cfunction cmdoption program type macro member var enum struct event command "
    "http:get http:post http:put http:delete http:patch templatetag templatefilter fieldlookup django-admin "
    "rst:directive rst:role automethod".split()
)
_CODE: Final = frozenset(
    "code code-block sourcecode highlight-block ipython prompt parsed-literal testcode doctest".split()
)
_ABSENT: Final = frozenset(
    "include literalinclude raw automodule autoclass autofunction automethod autoexception autodata autoattribute "
    "autosummary program-output command-output click csv-table-file cog currentmodule-include".split()
)
_SILENT: Final = frozenset(
    "toctree contents image figure index meta currentmodule highlight module py:module default-domain tabularcolumns "
    "math sectionauthor codeauthor moduleauthor only-html replace unicode date role default-role title sectnum "
    "header "
    "footer class target-notes bibliography inheritance-diagram graphviz plot mermaid testsetup testcleanup "
    "testoutput "
    "plot youtube video audio seealso".split()
)
_VERSIONS: Final = {
    "versionadded": "Added in version",
    "versionchanged": "Changed in version",
    "deprecated": "Deprecated since version",
    "versionremoved": "Removed in version",
}
_PLAIN_ROLES: Final = frozenset(
    "ref doc term abbr any numref title-reference sub sup dfn emphasis strong pep rfc guilabel menuselection".split()
)


class _AnyOption(dict[str, Any]):
    """Takes every option of a directive as it is written."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, name: str) -> Callable[[Any], Any]:
        return lambda value: value


class _Absent(nodes.General, nodes.Element):  # type: ignore[misc]
    """Stands for text that is included from elsewhere."""


class _Anything(Directive):  # type: ignore[misc]
    """Any directive: taken for what a reader would see of it."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = _AnyOption()

    def run(self) -> list[nodes.Node]:
        name = self.name.lower()
        short = name.rpartition(":")[2]
        if short in _ABSENT or "file" in self.options:
            return [_Absent()]
        if short in _SILENT or name in _SILENT:
            return []
        if short in _CODE:
            code = nodes.literal_block("", "\n".join(self.content))
            code["language"] = self._argument().split(" ")[0].lower()
            return [code]
        if short in _VERSIONS:
            return [self._version(_VERSIONS[short])]
        if short in _SIGNATURE_KINDS or name in _SIGNATURE_KINDS:
            return [self._described()]
        body = self._inside()
        return [*self._titled(), *body.children]

    def _argument(self) -> str:
        return self.arguments[0] if self.arguments else ""

    def _inside(self) -> nodes.Element:
        body = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, body, match_titles=False)
        return body

    def _titled(self) -> list[nodes.Node]:
        """The argument in bold: the title of a topic, the name of a tab."""
        if not self.arguments:
            return []
        inline, messages = self.state.inline_text(self._argument(), self.lineno)
        return [nodes.paragraph("", "", nodes.strong("", "", *inline)), *messages]

    def _version(self, said: str) -> nodes.Node:
        number, rest = (*self._argument().split(maxsplit=1), "", "")[:2]
        inline, _ = self.state.inline_text(rest, self.lineno)
        first = nodes.paragraph("", f"{said} {number}" + (": " if rest else "."), *inline)
        return nodes.container("", first, *self._inside().children)

    def _described(self) -> nodes.Node:
        """A function, option or setting with what is said of it, as a definition."""
        signatures = [line.strip() for line in self._argument().split("\n") if line.strip()]
        term = nodes.term("", "", *(nodes.literal("", signature) for signature in signatures[:1]))
        body = nodes.definition("", *self._inside().children)
        return nodes.definition_list("", nodes.definition_list_item("", term, body))


def _any_role(
    name: str,
    rawtext: str,
    text: str,
    lineno: int,  # noqa: ARG001 - docutils gives each role these
    inliner: Any,
    options: Any = None,  # noqa: ARG001
    content: Sequence[str] = (),  # noqa: ARG001
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Any role: its title, or what it names; as code, unless it is of those that show plain text."""
    text = text.replace("\x00", "")
    titled = _TITLED.match(text)
    short = name.lower().rpartition(":")[2]
    if titled and titled[1]:
        shown = titled[1]
    else:
        shown = text.lstrip("!")
        if shown.startswith("~"):
            shown = shown[1:].rpartition(".")[2]
    if short in ("ref", "numref", "doc", "std"):
        labels = getattr(inliner.document, "labels_of_titles", {})
        if not (titled and titled[1]):
            page = shown.strip("/").rpartition("/")[2] if short == "doc" else shown
            shown = labels.get(shown.lower()) or re.sub(r"[-_/]+", " ", page).strip()
        return [nodes.Text(shown)], []
    if short in _PLAIN_ROLES:
        return [nodes.Text(shown)], []
    return [nodes.literal(rawtext, shown)], []


def parse(text: str) -> Document:
    """The sections of a reStructuredText document.

    Raises:
        Unreadable: it is longer or deeper than what docutils can be given.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("file is too large")
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(8)
    if max(map(len, text.split("\n"))) > MAX_LINE_CHARACTERS:
        raise Unreadable("a line is too long")
    if _DEEP.search(text):
        raise Unreadable(TOO_DEEP)
    _make_known(text)
    try:
        outline = Outline()
        _Writer(outline, text).sections(_tree(text), 1)
    except RecursionError:
        raise Unreadable(TOO_DEEP) from None
    except Exception as error:  # docutils fails on some documents with whatever its code meets
        raise Unreadable(f"docutils fails on it ({type(error).__name__})") from error
    return Document({}, outline.sections)


def _make_known(text: str) -> None:
    """Have docutils take each directive and role of the text for what it shows."""
    for name in set(_DIRECTIVE.findall(text)):
        if name.lower() not in _OWN:
            directives.register_directive(name, _Anything)
    for one, other in set(_ROLE.findall(text)):
        if (one or other).lower() not in ("math",):
            roles.register_local_role((one or other).lower(), _any_role)


_OWN: Final = frozenset(
    "note tip warning important hint caution attention danger error admonition table list-table epigraph highlights "
    "pull-quote compound container topic sidebar line-block".split()
)
"""Directives that docutils itself reads as it should."""


_SETTINGS: Final = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,  # nobody reads its warnings
    "halt_level": 6,
    "syntax_highlight": "none",
    "line_length_limit": MAX_LINE_CHARACTERS,
}


def _tree(text: str) -> nodes.document:
    settings = get_default_settings(Parser)
    for name, value in _SETTINGS.items():
        setattr(settings, name, value)
    settings.warning_stream = io.StringIO()
    document = new_document("", settings)
    document.labels_of_titles = {label.lower().strip("`"): title for label, title in _LABEL.findall(text)}
    Parser().parse(text, document)
    return document


class _Writer:
    """Writes docutils' tree as sections and blocks."""

    def __init__(self, outline: Outline, text: str) -> None:
        self._outline = outline
        found = re.findall(r"^\.\. \|([^|\n]+)\| replace:: (.+)$", text, re.MULTILINE)
        self._substitutions = {name: _LITERAL.sub(r"`\1`", shown.strip()) for name, shown in found}

    def sections(self, node: nodes.Element, level: int) -> None:
        """Headings and blocks under `node`, in order."""
        for child in node.children:
            if isinstance(child, nodes.section):
                title = child.next_node(nodes.title)
                line = (title.line if title is not None and title.line else child.line) or 1
                shown = heading_text(self.inline(title)) if title is not None else ""
                self._outline.heading(min(level, 6), shown, max(1, line - 1))
                self.sections(child, level + 1)
            elif not isinstance(child, nodes.title):
                for block in self.blocks(child):
                    self._outline.block(block)

    def blocks(self, node: nodes.Node) -> Iterator[Block]:
        """The blocks that a node becomes."""
        if isinstance(node, _Absent):
            yield Block("prose", missing=True)
        elif isinstance(node, (nodes.paragraph, nodes.line_block)):
            yield Block("prose", self.inline(node))
        elif isinstance(node, (nodes.literal_block, nodes.doctest_block)):
            language = node.get("language", "") or next((c for c in node.get("classes", ()) if c != "code"), "")
            is_doctest = isinstance(node, nodes.doctest_block)
            yield code_block(
                node.astext().rstrip(), "pycon" if is_doctest else "" if language == "none" else language
            )
        elif isinstance(node, (nodes.bullet_list, nodes.enumerated_list)):
            yield _listed([self.inside(item) for item in node.children], isinstance(node, nodes.enumerated_list))
        elif isinstance(node, nodes.definition_list):
            yield _listed([self._definition(item) for item in node.children], False)
        elif isinstance(node, (nodes.field_list, nodes.option_list)):
            yield _listed([self._field(item) for item in node.children], False)
        elif isinstance(node, nodes.table):
            yield from self._table(node)
        elif isinstance(node, nodes.block_quote):
            text = self.inside(node, "\n\n")
            if text:
                yield Block("quote", "\n".join(f"> {line}".rstrip() for line in text.split("\n")))
        elif isinstance(node, nodes.rubric):
            yield Block("prose", f"**{self.inline(node)}**")
        elif isinstance(
            node,
            (
                nodes.comment,
                nodes.system_message,
                nodes.target,
                nodes.substitution_definition,
                nodes.footnote,
                nodes.citation,
                nodes.image,
                nodes.pending,
                nodes.transition,
            ),
        ):
            return
        elif isinstance(node, nodes.Element):
            for child in node.children:
                if isinstance(child, nodes.title):
                    yield Block("prose", f"**{self.inline(child)}**")
                else:
                    yield from self.blocks(child)

    def inside(self, node: nodes.Node, between: str = "\n") -> str:
        """The text of all that stands inside a node."""
        return between.join(block.text for child in node.children for block in self.blocks(child) if block.text)

    def _definition(self, item: nodes.Element) -> str:
        term, meaning = "", ""
        for child in item.children:
            if isinstance(child, nodes.term):
                term = self.inline(child)
            elif isinstance(child, nodes.definition):
                meaning = self.inside(child)
        return defined(term, meaning) if meaning else term

    def _field(self, item: nodes.Element) -> str:
        """``:param name: meaning`` and the like, and options of a command."""
        if isinstance(item, nodes.option_list_item):
            return defined(f"`{item.children[0].astext()}`", self.inside(item.children[1]))
        name, body = item.children[0].astext(), self.inside(item.children[1])
        said = re.match(r"(?:param|parameter|arg|argument|key|keyword|attr)\s+(?:.*\s)?(\S+)$", name)
        return defined(f"`{said[1]}`", body) if said else f"{name}: {body}"

    def _table(self, node: nodes.table) -> Iterator[Block]:
        rows = [
            [self.inside(entry, " ").replace("\n", " ") for entry in row.children] for row in node.findall(nodes.row)
        ]
        width = len(rows[0]) if rows else 0
        rows = [(row + [""] * width)[:width] for row in rows]
        if width:
            yield Block("table", table_text(rows), rows=rows)

    def inline(self, node: nodes.Node) -> str:
        """A paragraph or title as Markdown."""
        text = "".join(self._pieces(node))
        return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()

    def _pieces(self, node: nodes.Node) -> Iterator[str]:
        for child in node.children:
            if isinstance(child, nodes.Text):
                yield child.astext().replace("\n", " ")
            elif isinstance(child, nodes.literal):
                text = " ".join(child.astext().split())
                yield f"`` {text} ``" if "`" in text else f"`{text}`"
            elif isinstance(child, (nodes.strong, nodes.emphasis)):
                mark = "**" if isinstance(child, nodes.strong) else "*"
                yield f"{mark}{''.join(self._pieces(child)).strip()}{mark}"
            elif isinstance(child, nodes.substitution_reference):
                yield self._substitutions.get(child.astext(), child.astext())
            elif isinstance(child, nodes.line):
                yield from self._pieces(child)
                yield "\n"
            elif isinstance(child, (nodes.footnote_reference, nodes.citation_reference, nodes.image, nodes.target)):
                continue
            elif isinstance(child, (nodes.problematic, nodes.system_message)):
                yield child.astext() if isinstance(child, nodes.problematic) else ""
            else:
                yield from self._pieces(child)


def _listed(items: list[str], ordered: bool) -> Block:
    items = [item for item in items if item.strip()]
    marks = [f"{number}. " if ordered else "- " for number in range(1, len(items) + 1)]
    text = "\n".join(
        mark + item.replace("\n", "\n" + " " * len(mark)) for mark, item in zip(marks, items, strict=True)
    )
    written = (text, tuple(items))
    return Block("list", text, ordered=ordered, write=lambda _: written)
