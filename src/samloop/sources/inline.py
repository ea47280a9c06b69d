"""The inside of a Markdown paragraph without what only a web page can show.

Links keep their text; images, badges, footnote marks, comments and tags go; code stays to the letter. One expression
walks through the text once, and no part of it can look at the same characters again and again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Container
from typing import Final

MAX_INLINE_CHARACTERS: Final = 20_000
"""A longer paragraph is no part of any answer, and is left as it is."""

MAX_HEADING_CHARACTERS: Final = 300
"""A heading is cut here; no question is made of one as long as that."""

_TARGET: Final = (
    r"\(\s*+(?:<[^<>\n]*+>|[^\s()]*+(?:\([^()\s]*+\)[^\s()]*+)*+)"
    r"(?:\s++(?:\"[^\"]*+\"|'[^']*+'|\([^()]*+\)))?\s*+\)"
)
_SPAN: Final = r"(?:`(?:[^`]|`(?!`))++``|[^`]++`)(?!`)"
_LABEL: Final = rf"(?:[^\[\]`\\]|\\.|`{_SPAN}|`|\[[^\[\]]*+\])*+"
# Each way begins with a character of its own, so that the search goes from one of these to the next.
_PARTS: Final = re.compile(
    rf"""`(?P<code>{_SPAN})
    | \\(?P<escaped>[!-/:-@\[-`{{-~\n])
    | <(?P<comment>!--(?:.*?-->|.*))
    | <(?P<auto>(?:https?|ftp|mailto):[^<>\s]*+|[\w.+-]+@[\w.-]+)>
    | <(?P<tag>/?(?P<name>[A-Za-z][\w.:-]*+)(?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*+)>)
    | !(?P<image>\[{_LABEL}\](?:{_TARGET}|\[[^\[\]]*+\])?)
    | \[(?P<foot>\^[^\]\s]++\])
    | \[(?P<label>{_LABEL})\](?P<target>{_TARGET}|\[[^\[\]]*+\])?
    | &(?P<entity>(?:\#\d{{1,7}}|\#[xX][\da-fA-F]{{1,6}}|[A-Za-z]\w{{1,30}});)
    | \{{(?P<macro>\{{[<%]?\s*+/?(?P<called>[\w-]+)(?P<given>[^{{}}]*+)[%>]?\}}\}})
    | \{{(?P<expression>/\*[^{{}}]*+\}}|%[^{{}}]*+\}}|:[^{{}}]*+\}}|[.\#][\w-][^{{}}]*+\}})
    | :(?P<emoji>(?<!\S:)[a-z][a-z0-9_+-]{{1,30}}:(?!\S))
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKS: Final = re.compile(r"[\[<&\\{]")
_SHORT_NAME: Final = re.compile(r":[a-z_]+:")
_HARD_BREAK: Final = re.compile(r" {2,}\n")
_BREAKS: Final = frozenset("br p div li tr h1 h2 h3 h4 h5 h6 summary details".split())
_AS_MARKDOWN: Final = {
    **dict.fromkeys(("code", "kbd", "tt", "samp", "var"), "`"),
    **dict.fromkeys(("b", "strong"), "**"),
    **dict.fromkeys(("em", "i"), "*"),
}
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ARGUMENTS: Final = re.compile(r"[\"']([^\"']*)[\"']")
_EMOJI: Final = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+|:[a-z][a-z_]{2,}[a-z]:")
_ATTRIBUTES: Final = re.compile(r"\s*\{\s*(?:[#.:][^{}]*|/\*[^{}]*\*/)\}\s*$")
_BOLD: Final = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EMPHASIS: Final = re.compile(r"(?<![\w*_])([*_])(?=\S)(.+?)(?<=\S)\1(?![\w*_])")
_BLANKS: Final = re.compile(r"[ \t]{2,}")
_LINE_ENDS: Final = re.compile(r"(?<!\\)[ \t]*\n[ \t]*")
_AROUND_HARD: Final = re.compile("[ \t]*\x1e[ \t\x1e]*")


def clean(text: str, labels: Container[str] = ()) -> str:
    """The text of a paragraph or cell as clean Markdown in one line (hard breaks stay).

    Args:
        labels: link targets that the document defines, lower case: "[such a label]" is a link, any other is text.
    """
    if "  \n" in text:
        text = _HARD_BREAK.sub(_HARD, text)
    if "\n" in text:
        text = (
            _LINE_ENDS.sub(" ", text) if " \n" in text or "\n " in text or "\\\n" in text else text.replace("\n", " ")
        )
    needs = _MARKS.search(text) or (":" in text and _SHORT_NAME.search(text))
    if needs and len(text) <= MAX_INLINE_CHARACTERS:
        text = _PARTS.sub(lambda part: _written(part, labels), text)
    if "  " in text:
        text = _BLANKS.sub(" ", text)
    return _AROUND_HARD.sub("\n", text).strip() if _HARD in text else text.strip()


_HARD: Final = "\x1e"
"""Stands for a line end that stays while the others become blanks."""


def _written(part: re.Match[str], labels: Container[str]) -> str:
    kind = part.lastgroup
    if kind == "code":
        return part[0]
    if kind == "escaped":
        return _HARD if part["escaped"] == "\n" else part["escaped"]
    if kind in ("attributes", "tag"):
        return _tag(part)
    if kind in ("label", "target"):
        return _link(part, labels)
    if kind == "auto":
        return part["auto"]
    if kind == "entity":
        return html.unescape(part[0])
    if kind in ("given", "macro"):
        return _macro(part)
    return ""


def _tag(part: re.Match[str]) -> str:
    name = part["name"]
    if name.startswith("doc:"):  # DocC's link to a page, by the page's name
        return _HUMP.sub(" ", name.removeprefix("doc:")).replace("-", " ")
    if name in _AS_MARKDOWN:
        return _AS_MARKDOWN[name]
    if name.lower() in _BREAKS:
        return _HARD
    if name in ("sup", "sub"):
        return "" if part[0][1] == "/" else "^" if name == "sup" else "_"
    before = part.string[part.start() - 1 : part.start()]
    # "Vec<T>" is a type and no tag.
    is_type = (
        name[0].isupper() and (before.isalnum() or before == "<") and part[0][1] != "/" and not part["attributes"]
    )
    return part[0] if is_type else ""


def _link(part: re.Match[str], labels: Container[str]) -> str:
    label, target = part["label"], part["target"]
    if target is None and " ".join(label.lower().split()) not in labels:
        return f"[{_PARTS.sub(lambda inner: _written(inner, labels), label)}]"
    return _PARTS.sub(lambda inner: _written(inner, labels), label)


def _macro(part: re.Match[str]) -> str:
    """What a wiki's macro shows: {{domxref("Node.append()", "append")}} is the text "append"; others show nothing."""
    given = _ARGUMENTS.findall(part["given"]) if part["given"].lstrip()[:1] == "(" else []
    if not given or re.search(
        "sidebar|compat|spec|prev|next|embed|ref$", part["called"].lower().removesuffix("xref")
    ):
        return ""
    shown: str = given[1] if len(given) > 1 and given[1] else given[0]
    if part["called"].lower() == "htmlelement":
        shown = f"<{shown}>"
    return shown if part["called"].lower() == "glossary" else f"`{shown}`"


def heading_text(content: str, labels: Container[str] = ()) -> str:
    """A heading as plain words: code keeps its backticks, emphasis, links, emoji and attribute lists go."""
    text = content[:MAX_HEADING_CHARACTERS]
    if not text.isascii() or not text.replace(" ", "").isalnum():
        text = clean(_ATTRIBUTES.sub("", text) if "}" in text else text, labels)
        if "*" in text or "_" in text:
            text = _EMPHASIS.sub(r"\2", _BOLD.sub(r"\2", text))
        if ":" in text or not text.isascii():
            text = _EMOJI.sub("", text)
    return " ".join(text.split()).strip(" #¶")
