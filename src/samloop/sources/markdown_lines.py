"""Single lines of Markdown: what they begin, what they end, and where a list stops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from samloop.sources.markup import BLOCK_TAGS

INCLUDE: Final = re.compile(
    r"\{\{\s*#\w+[^}]*\}\}|\{%-?\s*(?:include|embed|render|partial)\b[^{}]*\}|\{[*!]>?\s*[\w./-]+[^{}]*[*!]\}|^--8<--"
    r"|^<<<\s*@?/|\$\{\w+\}$"
    r"|\{\{<\s*(?:include|readfile|code_sample|codenew|snippet|embed|partial|literalinclude)\b[^{}]*\}\}"
    r"|^:::\s*\w+\.\w+",
    re.MULTILINE,
)
MARKS_OF_INCLUDES: Final = ("{{", "{%", "{*", "{!", "--8<--", "<<<", "${", ":::")
RULE: Final = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
ITEM: Final = re.compile(r"( {0,3})(?:([-*+])|(\d{1,9})[.)])( +|$)")
ITEM_HEADING: Final = re.compile(r" {0,3}\d{1,9}[.)] +#{1,6} ")
HTML: Final = re.compile(r" {0,3}<(?:(!--)|[/]?([A-Za-z][\w.:-]*)(?=[\s/>]|$)|([?!]))")
ADMONITION: Final = re.compile(
    r"(?:!!!|\?\?\?\+?)\s*[\w-]*(?:[ \w-]*)(?:\"([^\"]*)\")?\s*$|===\+?!?\s*\"([^\"]*)\"\s*$"
)
LIQUID: Final = re.compile(
    r"\s*(?:\{%[^{}]*%\}|\{\{[<%][^{}]*[>%]\}\}|\{:[^{}]*\}|\[\[_?TOC_?\]\]|\[TOC\]|<InlineToc ?/>)\s*$",
    re.IGNORECASE,
)
NOTES: Final = frozenset(
    "note tip warning important hint caution attention danger error admonition tab-set tab-item dropdown details "
    "card "
    "versionadded versionchanged deprecated margin topic sidebar grid grid-item exercise prf:definition".split()
)
CODE_NAMES: Final = frozenset("code code-block sourcecode code-cell prompt parsed-literal".split())
ABSENT: Final = frozenset("include literalinclude eval-rst raw autosummary automodule autoclass autofunction".split())
SHOWN: Final = frozenset("toctree figure image contents math mermaid bibliography tableofcontents index glue".split())
_CELL_END: Final = re.compile(r"(?<!\\)\|")


def is_include(raw: str) -> bool:
    """Whether a text is pulled in from elsewhere."""
    # Each of `MARKS_OF_INCLUDES` holds one of these.
    may = "{" in raw or "<<<" in raw or ":::" in raw or "--8<--" in raw
    return may and any(mark in raw for mark in MARKS_OF_INCLUDES) and bool(INCLUDE.search(raw))


def interrupts(line: str) -> bool:
    """Whether a line ends the paragraph above it."""
    bare = line.lstrip(" ")
    if not bare:
        return True
    if len(line) - len(bare) > 3:
        return False
    first = bare[0]
    if first == "#":
        return bool(re.match(r"#{1,6}(?:\s|$)|#{2,6}[A-Za-z]", bare))
    if first in "`~":
        return bare.startswith(("```", "~~~"))
    if first in "-*+":
        return (bare[1:2] == " " and bool(bare[2:].strip())) or bool(RULE.match(line))
    if first == "1":
        return bool(re.match(r"1[.)] +\S", bare))
    if first == "_":
        return bool(RULE.match(line))
    if first == "<":
        found = HTML.match(line)
        name = found[2] if found else None
        return bool(found) and (not name or name.lower() in BLOCK_TAGS or name[0].isupper())
    if first in "!?=:":
        return bool(ADMONITION.match(bare)) or bare.startswith(":::")
    if first == "{":
        return bool(LIQUID.match(line))
    return first == ">"


def is_ruler(line: str) -> bool:
    """Whether a line is what stands between the head and the rows of a table."""
    return "-" in line and not line.strip("|:- \t") and ("|" in line or ":" in line)


def list_end(lines: list[str], at: int, ordered: bool) -> int:
    """The line after a list that begins at `at`."""
    after, last, blank, fence = at + 1, at + 1, False, ""
    while after < len(lines):
        line = lines[after]
        if line[:1] == "\t":
            line = lines[after] = line.expandtabs(4)
        bare = line.lstrip(" ")
        if not bare:
            blank = True
            after += 1
            continue
        indent = len(line) - len(bare)
        if indent < 2:
            item = ITEM.match(line)
            if item and bool(item[3]) == ordered and not RULE.match(line):
                if ITEM_HEADING.match(line):
                    break
                fence = ""
            elif blank or fence or interrupts(line):
                break
        if fence:
            fence = "" if bare.startswith(fence) and not bare.strip(fence[0] + " ") else fence
        elif bare.startswith(("```", "~~~")) and indent >= 2:
            fence = bare[:3]
        blank = False
        after += 1
        last = after
    return last


def items_of(raw: str) -> Iterator[str]:
    """The items of a list, each without its mark and indentation."""
    width, base, open_item = 0, 0, list[str]()
    for line in raw.split("\n"):
        found = ITEM.match(line)
        if found and (not open_item or (len(found[1]) <= base + 1 and len(found[1]) < max(width, 2))):
            if open_item:
                yield "\n".join(open_item).rstrip()
            base, blanks = len(found[1]), len(found[4])
            width = found.end() if blanks <= 4 else found.end() - blanks + 1
            open_item = [line[width:]]
        else:
            open_item.append(line[min(width, len(line) - len(line.lstrip(" "))) :])
    if open_item:
        yield "\n".join(open_item).rstrip()


def dedented(lines: list[str]) -> list[str]:
    """`lines` without the indentation that all of them share."""
    lines = [line.expandtabs(4) if "\t" in line else line for line in lines]
    shared = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
    return [line[shared:] for line in lines] if shared else lines


def without_options(body: list[str]) -> list[str]:
    """The content of a MyST directive without the options at its beginning."""
    at = 0
    while at < len(body) and re.match(r":[\w-]+:", body[at]):
        at += 1
    return body[at:]


def cells(line: str) -> list[str]:
    """The cells of a table's row, as they are written."""
    bare = line.strip().removeprefix("|")
    bare = bare[:-1] if bare.endswith("|") and not bare.endswith("\\|") else bare
    return _CELL_END.split(bare) if "\\" in bare else bare.split("|")
