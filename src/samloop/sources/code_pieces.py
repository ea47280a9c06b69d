"""What a source file is made of: its functions with their descriptions, and what they stand on.

Trees are walked from container to container with a list of what is still to be opened, never by calling oneself, and
never into a function: a file nested ten thousand deep costs no more than a flat one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from samloop.sources.code_languages import HTML, VUE, VUE_TYPED, Language, parser_of

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_DEPTH: Final = 12
"""Containers within containers; what lies deeper is data or made up."""

MAX_BINDING_CHARACTERS: Final = 400
MAX_BINDINGS: Final = 400
_TEST_SUITES: Final = frozenset({"describe", "context", "suite"})
_TEST_CALLS: Final = frozenset({"it", "test", "specify"})
_WORD: Final = re.compile(r"[A-Za-z_$][\w$]*")
_ITS_TEST: Final = re.compile(r"#\[(?:\w+::)*test\b")


@dataclass(frozen=True, slots=True)
class Owner:
    """What a method belongs to: its name, and its first line ("class A(B):", "impl Foo for Bar {")."""

    name: str
    header: str
    is_test: bool = False


@dataclass(slots=True)
class Piece:
    """One function. All places are bytes in `Code.data`.

    Attributes:
        owners: what it belongs to, outermost first.
        start, end: with decorators and attributes, without a comment before it.
        body: where its body is.
        note: where its docstring or the comments before it are; None where it has none.
        is_test: whether it belongs to tests; `is_case`: whether it is one.
        broken: whether it could not be parsed whole.
    """

    name: str
    owners: tuple[Owner, ...]
    start: int
    end: int
    column: int
    body: tuple[int, int]
    note: tuple[int, int] | None
    is_test: bool
    is_case: bool
    broken: bool
    line: int

    @property
    def qualified(self) -> str:
        """Its name with those of what it belongs to: "Class.method"."""
        return ".".join((*(owner.name for owner in self.owners if owner.name), self.name))


@dataclass(slots=True)
class Code:
    """A parsed file."""

    language: Language
    data: bytes
    fence: str
    pieces: list[Piece] = field(default_factory=list)
    bindings: list[tuple[int, int]] = field(default_factory=list)
    broken: bool = False

    def text(self, start: int, end: int, column: int = 0) -> str:
        """The source between two places, moved left by `column` characters of indentation."""
        text = self.data[start:end].decode("utf-8", "replace")
        if not column:
            return text.rstrip()
        first, *rest = text.split("\n")
        cut = [line[column:] if not line[:column].strip(" \t") else line.lstrip(" \t") for line in rest]
        return "\n".join((first, *cut)).rstrip()

    def of(self, piece: Piece) -> str:
        """The source of a function, with its docstring."""
        return self.text(piece.start, piece.end, piece.column)

    def note(self, piece: Piece) -> str:
        """Its docstring or the comments before it, as they are written; "" where it has none."""
        return self.text(*piece.note, piece.column) if piece.note else ""

    def bare(self, piece: Piece) -> str:
        """The source of a function without its docstring."""
        if not self.language.docstring or piece.note is None:
            return self.of(piece)
        start, end = piece.note
        before, after = self.data[piece.start : start].rstrip(), self.data[end : piece.end].lstrip(b"; \t")
        after = re.sub(rb"^(?:[ \t]*\n)+", b"\n", after)
        return _shifted(before + (b"" if after.startswith(b"\n") else b"\n") + after, piece.column)

    def signature(self, piece: Piece) -> str:
        """All of a function before its body, without an opening brace."""
        text = self.text(piece.start, piece.body[0], piece.column).rstrip()
        return text.removesuffix("{").rstrip().removesuffix("=>").rstrip()

    def inside(self, piece: Piece) -> str:
        """The body of a function, without its docstring."""
        start, end = piece.body
        if self.language.docstring and piece.note:
            start = piece.note[1]
        return self.text(start, end, piece.column)


def _shifted(data: bytes, column: int) -> str:
    return Code.text(Code(None, data, ""), 0, len(data), column)  # type: ignore[arg-type]


def parse(language: Language, data: bytes) -> Code:
    """The functions of a file; of a Vue component, those in its script.

    Args:
        data: UTF-8 with line feeds.
    """
    if language is VUE:
        language, data = _script(data)
    code = Code(language, data, language.grammar[0].removeprefix("tree_sitter_"))
    tree = parser_of(language.grammar).parse(data)
    code.broken = tree.root_node.has_error
    _walk(code, tree.root_node)
    return code


def _script(data: bytes) -> tuple[Language, bytes]:
    """The script of a Vue component; where it has two, the one that sets it up."""
    tree = parser_of(HTML).parse(data)
    best: tuple[bool, Language, bytes] = (False, VUE, b"")
    for node in tree.root_node.children:
        if node.type != "script_element":
            continue
        inside = next((child for child in node.children if child.type == "raw_text"), None)
        tag = node.children[0].text or b""
        typed = re.search(rb"\blang\s*=\s*[\"']tsx?[\"']", tag) is not None
        setup = b"setup" in tag
        if inside is not None and (setup or not best[0]):
            best = (setup, VUE_TYPED if typed else VUE, data[inside.start_byte : inside.end_byte])
    return best[1], best[2]


def _walk(code: Code, root: Node) -> None:
    opened: list[tuple[Node, tuple[Owner, ...]]] = [(root, ())]
    while opened:
        node, owners = opened.pop()
        deeper = list(_read(code, node, owners, top=node is root))
        opened += reversed(deeper)
    code.pieces.sort(key=lambda piece: piece.start)


def _read(
    code: Code, container: Node, owners: tuple[Owner, ...], *, top: bool
) -> Iterator[tuple[Node, tuple[Owner, ...]]]:
    """Take the functions right inside a container; yield the containers right inside it."""
    language = code.language
    note: tuple[int, int, int] | None = None  # start, end, the row after it
    attributes: Node | None = None
    last_row = -1
    for node in container.children:
        kind = node.type
        if kind in language.comments:
            note = _joined(code, note, node, last_row)
            last_row = _last_row(node)
            continue
        if kind in language.attributes:
            attributes = attributes or node
            if note is not None and note[2] == node.start_point[0]:
                note = (note[0], note[1], _last_row(node) + 1)
            continue
        if not node.is_named:
            last_row = node.end_point[0]
            continue
        inner, name = _unwrap(language, node)
        start = attributes or node
        if inner.type in language.functions:
            adjacent = note is not None and start.start_point[0] - note[2] <= _blank_lines(code, note)
            piece = _piece(code, inner, name, owners, start, node, note[:2] if note and adjacent else None)
            if piece is not None:
                code.pieces.append(piece)
        elif inner.type in language.containers:
            if len(owners) < MAX_DEPTH:
                yield _opened(code, inner, name, owners, start)
        elif inner.type == "call_expression" and (found := _test_call(code, inner, owners, node)):
            yield found
        if top and inner.type not in language.functions and len(code.bindings) < MAX_BINDINGS:
            _bind(code, node)
        note, attributes, last_row = None, None, node.end_point[0]


def _blank_lines(code: Code, note: tuple[int, int, int]) -> int:
    """How many blank lines may stand between a comment and its function: one below a comment that is made for it."""
    return 1 if code.data.startswith(b"/**", note[0]) else 0


def _joined(code: Code, note: tuple[int, int, int] | None, node: Node, last_row: int) -> tuple[int, int, int] | None:
    """The run of comments that `node` belongs to; None for one that trails a statement on its line.

    Comments of two kinds, as ``//`` and ``///``, are no run, and what says which program runs a script is none.
    """
    row = node.start_point[0]
    if row == last_row and (note is None or note[2] != row + 1):
        return None
    after = _last_row(node) + 1
    if row == 0 and code.data.startswith(b"#!"):
        return None
    kind = _kind(code, node.start_byte)
    if note is not None and note[2] == row and kind == _kind(code, note[0]) != b"/*":
        return note[0], node.end_byte, after
    return node.start_byte, node.end_byte, after


def _kind(code: Code, start: int) -> bytes:
    mark = code.data[start : start + 3]
    return mark if mark in (b"///", b"//!") else mark[:2] if mark[:1] == b"/" else mark[:1]


def _last_row(node: Node) -> int:
    row, column = node.end_point
    return row if column else row - 1  # a line comment of Rust ends with its line


def _unwrap(language: Language, node: Node) -> tuple[Node, str]:
    """The function or container inside a node, and the name that what is around it gives."""
    name = ""
    for _ in range(8):
        way = language.wrappers.get(node.type)
        if way is None:
            break
        named = (
            node.child_by_field_name("name")
            or node.child_by_field_name("left")
            or node.child_by_field_name("key")
            or node.child_by_field_name("property")
        )
        if named is not None:
            name = _decoded(named)
        if way:
            inner = next((found for part in way.split() if (found := node.child_by_field_name(part))), None)
        else:
            inner = node.named_children[0] if node.named_child_count == 1 else None
        if inner is None:
            break
        node = inner
    return node, name


def _decoded(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace").strip("\"'`")[:120]


def _piece(
    code: Code,
    inner: Node,
    name: str,
    owners: tuple[Owner, ...],
    start: Node,
    node: Node,
    note: tuple[int, int] | None,
) -> Piece | None:
    body = inner.child_by_field_name("body")
    if body is None:
        return None
    own = inner.child_by_field_name("name")
    if not name or (own is not None and name == "module.exports"):
        name = _decoded(own) if own is not None else ""
    name = name.removeprefix("module.exports.").removeprefix("exports.").strip() or "the default export"
    language = code.language
    if language.docstring:
        note = _docstring(body)
    before = code.data[start.start_byte : inner.start_byte]
    marked = b"test" in before and _ITS_TEST.search(before.decode("utf-8", "replace")) is not None
    is_case = marked if language.name == "rust" else name.startswith("test")
    return Piece(
        name=name,
        owners=owners,
        start=start.start_byte,
        end=node.end_byte,
        column=_indentation(code.data, start.start_byte),
        body=(body.start_byte, body.end_byte),
        note=note,
        is_test=is_case or any(owner.is_test for owner in owners),
        is_case=is_case,
        broken=code.broken and node.has_error,
        line=start.start_point[0] + 1,
    )


def _indentation(data: bytes, start: int) -> int:
    """How many blanks stand before what begins at `start`, where nothing else does."""
    line = data.rfind(b"\n", 0, start) + 1
    before = data[line:start]
    return len(before) if not before.strip(b" \t") else len(before) - len(before.lstrip(b" \t"))


def _docstring(body: Node) -> tuple[int, int] | None:
    first = next((child for child in body.children if child.type != "comment"), None)
    if first is None:
        return None
    if first.type == "expression_statement" and first.named_child_count == 1:
        inner = first.named_children[0]
        if inner.type == "string":
            return first.start_byte, first.end_byte
    return None


def _opened(
    code: Code, inner: Node, name: str, owners: tuple[Owner, ...], start: Node
) -> tuple[Node, tuple[Owner, ...]]:
    key = code.language.containers[inner.type]
    body = inner.child_by_field_name("body") or inner
    own = inner.child_by_field_name(key) if key else None
    called = _decoded(own) if own is not None else name
    if not called:
        return body, owners
    head = code.data[inner.start_byte : body.start_byte if body is not inner else inner.start_byte]
    is_module = inner.type in ("mod_item", "internal_module", "module")
    shown = len(head) <= MAX_BINDING_CHARACTERS and not is_module
    header = head.decode("utf-8", "replace").strip() if shown else ""
    before = code.data[start.start_byte : inner.start_byte]
    is_test = b"cfg(test)" in before or (called == "tests" and inner.type == "mod_item") or b"XCTestCase" in head
    return body, (*owners, Owner(called.removeprefix("module.exports.").partition("<")[0], header, is_test))


def _test_call(
    code: Code, call: Node, owners: tuple[Owner, ...], node: Node
) -> tuple[Node, tuple[Owner, ...]] | None:
    """What a call such as ``describe("…", () => {…})`` opens; ``it("…", () => {…})`` becomes a piece."""
    function, given = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    if function is None or given is None or given.named_child_count < 2:
        return None
    word = _decoded(function)
    title, *_, last = given.named_children
    body = last.child_by_field_name("body") if last.type in code.language.functions else None
    if body is None or title.type not in ("string", "template_string"):
        return None
    if word in _TEST_SUITES and len(owners) < MAX_DEPTH:
        return body, (*owners, Owner(_decoded(title), "", True))
    if word in _TEST_CALLS:
        code.pieces.append(
            Piece(
                name=_decoded(title),
                owners=owners,
                start=node.start_byte,
                end=node.end_byte,
                column=_indentation(code.data, node.start_byte),
                body=(body.start_byte, body.end_byte),
                note=None,
                is_test=True,
                is_case=True,
                broken=code.broken and node.has_error,
                line=node.start_point[0] + 1,
            )
        )
    return None


def _bind(code: Code, node: Node) -> None:
    kind = node.type
    if kind == "export_statement":
        kind = node.named_children[0].type if node.named_child_count else kind
    if kind in code.language.bindings and node.end_byte - node.start_byte <= MAX_BINDING_CHARACTERS:
        code.bindings.append((node.start_byte, node.end_byte))


def words_of(text: str) -> frozenset[str]:
    """The identifiers in a text; ``$name`` counts as itself and as the name of a shell's variable."""
    found = _WORD.findall(text)
    if "$" in text:
        found += [word.lstrip("$") for word in found if word[0] == "$"]
    return frozenset(found)
