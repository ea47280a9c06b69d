"""The languages that code is read in: which node of which grammar is what, as data.

A tree is read from the outside in: `containers` are opened, `functions` are taken, and what stands inside a function
is never looked at, so that reading costs what parsing costs.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How code in one language is read and spoken of.

    Attributes:
        name: as `Example.language` has it; also the label of a code fence.
        title: as people write it.
        grammar: module and function that give the tree-sitter language.
        note: what people call a comment that describes a function.
        functions: node types that are functions with a body.
        containers: node types that hold functions, each with the field of its name ("" for none).
        wrappers: node types around a function or container, each with the field that leads inside ("" for the first
            named child).
        bindings: node types at the top of a file that give a name to something a function may use.
        attributes: node types that stand before a function and belong to it.
        comments: node types of comments.
        docstring: whether the description is the first statement of the body.
        line_comment: what begins a comment.
        maker: the method that makes an object.
        receiver: how a method reaches what belongs to its object, as a regular expression.
    """

    name: str
    title: str
    grammar: tuple[str, str]
    note: str
    functions: frozenset[str]
    containers: Mapping[str, str]
    wrappers: Mapping[str, str] = field(default_factory=dict)
    bindings: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    comments: frozenset[str] = frozenset({"comment"})
    docstring: bool = False
    line_comment: str = "//"
    maker: str = "constructor"
    receiver: re.Pattern[str] = re.compile(r"\bthis\.(\w+)")


PYTHON: Final = Language(
    name="python",
    title="Python",
    grammar=("tree_sitter_python", "language"),
    note="docstring",
    functions=frozenset({"function_definition"}),
    containers={"class_definition": "name"}
    | dict.fromkeys(("if_statement", "try_statement", "else_clause", "elif_clause", "except_clause", "block"), ""),
    wrappers={"decorated_definition": "definition"},
    bindings=frozenset({"import_statement", "import_from_statement", "expression_statement", "assignment"}),
    docstring=True,
    line_comment="#",
    maker="__init__",
    receiver=re.compile(r"\b(?:self|cls)\.(\w+)"),
)
RUST: Final = Language(
    name="rust",
    title="Rust",
    grammar=("tree_sitter_rust", "language"),
    note="doc comment",
    functions=frozenset({"function_item"}),
    containers={"impl_item": "type", "trait_item": "name", "mod_item": "name"},
    bindings=frozenset(
        {"use_declaration", "const_item", "static_item", "struct_item", "enum_item", "type_item", "macro_definition"}
    ),
    attributes=frozenset({"attribute_item"}),
    comments=frozenset({"line_comment", "block_comment"}),
    receiver=re.compile(r"\b(?:self\.|Self::)(\w+)"),
)
JAVASCRIPT: Final = Language(
    name="javascript",
    title="JavaScript",
    grammar=("tree_sitter_javascript", "language"),
    note="JSDoc comment",
    functions=frozenset(
        {
            "function_declaration",
            "generator_function_declaration",
            "method_definition",
            "arrow_function",
            "function_expression",
            "generator_function",
        }
    ),
    containers={"class_declaration": "name", "class": "name", "object": ""},
    wrappers={
        "export_statement": "declaration value",
        "expression_statement": "",
        "assignment_expression": "right",
        "lexical_declaration": "",
        "variable_declaration": "",
        "variable_declarator": "value",
        "pair": "value",
        "field_definition": "value",
    },
    bindings=frozenset({"import_statement", "lexical_declaration", "variable_declaration"}),
    attributes=frozenset({"decorator"}),
)
TYPESCRIPT: Final = replace(
    JAVASCRIPT,
    name="typescript",
    title="TypeScript",
    grammar=("tree_sitter_typescript", "language_typescript"),
    note="TSDoc comment",
    containers={
        **JAVASCRIPT.containers,
        "abstract_class_declaration": "name",
        "internal_module": "name",
        "module": "name",
    },
    wrappers={
        **JAVASCRIPT.wrappers,
        "public_field_definition": "value",
        "as_expression": "",
        "satisfies_expression": "",
    },
    bindings=JAVASCRIPT.bindings | {"interface_declaration", "type_alias_declaration", "enum_declaration"},
)
TSX: Final = replace(TYPESCRIPT, grammar=("tree_sitter_typescript", "language_tsx"))
VUE: Final = replace(JAVASCRIPT, name="vue", title="Vue")
VUE_TYPED: Final = replace(TYPESCRIPT, name="vue", title="Vue")
SWIFT: Final = Language(
    name="swift",
    title="Swift",
    grammar=("tree_sitter_swift", "language"),
    note="documentation comment",
    functions=frozenset({"function_declaration", "init_declaration"}),
    containers={"class_declaration": "name"},
    bindings=frozenset({"import_declaration", "property_declaration", "typealias_declaration"}),
    comments=frozenset({"comment", "multiline_comment"}),
    maker="init",
    receiver=re.compile(r"\b(?:self|Self)\.(\w+)"),
)
BASH: Final = Language(
    name="bash",
    title="Bash",
    grammar=("tree_sitter_bash", "language"),
    note="comment",
    functions=frozenset({"function_definition"}),
    containers={},
    bindings=frozenset({"variable_assignment", "declaration_command"}),
    line_comment="#",
    receiver=re.compile(r"(?!)"),
)
HTML: Final = ("tree_sitter_html", "language")

_BY_SUFFIX: Final = {
    **dict.fromkeys((".py", ".pyw"), PYTHON),
    ".rs": RUST,
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), JAVASCRIPT),
    **dict.fromkeys((".ts", ".mts", ".cts"), TYPESCRIPT),
    ".tsx": TSX,
    ".vue": VUE,
    ".swift": SWIFT,
    **dict.fromkeys((".sh", ".bash"), BASH),
}
SUFFIXES: Final = tuple(_BY_SUFFIX)
_BY_NAME: Final = {
    **{language.name: language for language in (PYTHON, RUST, JAVASCRIPT, TYPESCRIPT, VUE, SWIFT, BASH)},
    **{"py": PYTHON, "python3": PYTHON, "rs": RUST, "js": JAVASCRIPT, "jsx": JAVASCRIPT, "node": JAVASCRIPT},
    **{"ts": TYPESCRIPT, "tsx": TSX, "sh": BASH, "shell": BASH, "shellscript": BASH, "dash": BASH},
}
_SHEBANG: Final = re.compile(rb"#!\s*(?:\S*/env\s+(?:-S\s+)?)?(?:\S*/)?([a-z]+)[\d.]*(?:\s|$)")


def language_of_path(path: str) -> Language | None:
    """The language that a file's name tells, or None."""
    name, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return _BY_SUFFIX.get(f".{suffix.lower()}") if dot and name else None


def language_of_name(name: str) -> Language | None:
    """The language that is called so ("Python", "ts", "shell"), or None."""
    return _BY_NAME.get(name.strip().lower())


def language_of_shebang(data: bytes) -> Language | None:
    """The language of a script by its first line, or None."""
    found = _SHEBANG.match(data[:128].split(b"\n", 1)[0])
    return _BY_NAME.get(found[1].decode()) if found else None


@functools.cache
def parser_of(grammar: tuple[str, str]) -> Parser:
    """A parser for a grammar; loaded on first use."""
    import tree_sitter

    module = importlib.import_module(grammar[0])
    return tree_sitter.Parser(tree_sitter.Language(getattr(module, grammar[1])()))
