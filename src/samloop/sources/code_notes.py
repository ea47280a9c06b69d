"""Comments and docstrings: what one says, and whether it says anything.

Pure functions on text.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import Final

from samloop.sources.verbs import is_verb

MAX_NOTE_CHARACTERS: Final = 1500
MIN_WORDS: Final = 4
"""A description of fewer words is a label ("Constructor.", "Main function")."""

MIN_SESSIONS: Final = 2
"""Calls with their results that tell enough of a function without a word of prose."""

MIN_NEW_WORDS: Final = 2
"""Words that a description must add to those of the function's name and parameters, filler aside."""

_PYTHON_QUOTES: Final = re.compile(r"^[rRuUbBfF]{0,2}(\"\"\"|'''|\"|')(.*)\1$", re.DOTALL)
_BLOCK: Final = re.compile(r"^/\*+!?[ \t]*\n?(.*?)\s*\*+/$", re.DOTALL)
_STAR: Final = re.compile(r"^[ \t]*\*(?!\*)[ \t]?", re.MULTILINE)
_LINE_MARK: Final = {"//": re.compile(r"^[ \t]*//[/!]?[ \t]?", re.M), "#": re.compile(r"^[ \t]*#+[ \t]?", re.M)}
_RULE: Final = re.compile(r"^[\s\-=*#~_/+.]{3,}$")
# What no reader of the code could know, or what speaks of the code's keeping and not of what it does.
_UNKNOWABLE: Final = re.compile(
    r"^\s*(?:[@\\](?:author|since|version|date|copyright|licen[cs]e|memberof|private|protected|public|internal|api"
    r"|name|function|method|constructor|class|static|async|ignore|category|module|export|override|todo|fileoverview"
    r"|package)\b.*"
    r"|(?:swiftlint|eslint|tslint|jshint|pylint|flake8|shellcheck|prettier|istanbul|c8|v8|biome|clippy|rustfmt|noqa|nosec"
    r"|pragma|sourcery|fmt|yapf|isort|type)[-: ] ?(?:\w+\s*=\s*)?(?:disable|enable|ignore|next|skip|off|on|no)\b.*"
    r"|(?:to-?do|fix-?me|x{3}|hack)\b.*|@__\w+__|[@#]__PURE__|@ts-\w+.*|:author:.*|\.\. versionadded::.*)$",
    re.IGNORECASE,
)
_VERSIONS: Final = re.compile(
    r"^([ \t]*)\.\. version(?:added|changed)::.*(?:\n|\Z)(?:\1[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)*+", re.MULTILINE
)
"""Since when something is so, which nobody can tell from the code, with its indented text and the blanks below."""

_LEADING_MARK: Final = re.compile(r"^\s*(?:\*(?!/)|//[/!]?|#+)")
_SECTION: Final = re.compile(
    r"^\s*(?:(?:args|arguments|parameters?|params|returns?|return value|raises?|throws?|yields?|examples?|usage"
    r"|notes?|see also|references?|attributes|keyword arguments|other parameters|warnings?|globals|outputs?|inputs?"
    r"|errors|panics|safety|complexity|options|doctests?|tests?|sources?|wikipedia|reference)\s*:?\s*(?:-+)?$"
    r"|(?:usage|args|arguments|parameters|params|returns?|raises|throws|yields|example|examples|globals|outputs?|inputs?)\s*:"
    r"|#+\s|[@\\]\w|:\w[^:\n]*:|>>>|```|-\s*(?:parameters?|returns|throws)\b|\.\. |-{3,}|={3,})",
    re.IGNORECASE,
)
_SHAPED: Final = re.compile(r"^(?:\s|[-*+•|>]|\d+[.)]\s|\w+\s*(?:--|==|:)\s|.*[:;{}]$)")
_BLANKS: Final = re.compile(r"\n{3,}")
_EMPTY_COMMENT: Final = re.compile(r"^\s*(?:#|//)[\s#/*=~_-]*$")
_AT_END: Final = re.compile(r"(?:[ \t]*\n)+([ \t]*(?:\"{3}|'{3}))\Z")
_EMPTY_END: Final = re.compile(r"(?m)(?:^[ \t]*\*[ \t]*\n)+(?=^[ \t]*\*/)")
_LICENCE: Final = re.compile(
    r"copyright|licen[cs]ed? under|all rights reserved|SPDX-|permission is hereby|redistribution and use",
    re.IGNORECASE,
)
# One of these is in all that `_LICENCE` finds: looking for them takes a tenth of its time.
_LICENCE_MARKS: Final = ("copyright", "licen", "all rights", "spdx-", "permission", "redistribution")
_DEPRECATED: Final = re.compile(r"@deprecated|\.\. deprecated::|^\W*deprecated\b", re.IGNORECASE | re.MULTILINE)
_DIRECTIVE: Final = re.compile(
    r"^\s*(?:to-?do|fix-?me|x{3}|hack|see\b|@see|\{?@inherit-?doc|inherited|eslint|jshint|jslint|istanbul|prettier|tslint"
    r"|c8 |v8 |biome|@ts-|type:|noqa|pylint|mypy|pragma|flake8|ruff|fmt:|yapf|isort|nosec|shellcheck|region|endregion"
    r"|mark:|swiftlint|swift-format|clippy|rustfmt|nolint|@internal"
    r"|for internal use|this method is internal|not implemented|undocumented|overrides?\b|implements\b|same as\b"
    r"|as above|ditto"
    r"|we\b|i\b|i['’]m\b|let['’]?s\b|because\b|hacky|temporar|work-?around|not sure|maybe\b|perhaps\b"
    r"|this is (?:a |an )?(?:hack|ugly|needed|necessary|required|temporary|workaround|bit)"
    r"|alias (?:for|of|to)\b|shortcut (?:for|to)\b|note to self|end of|\d+\.\s*$)",
    re.IGNORECASE,
)
_CODE_END: Final = re.compile(
    r"[;{}]\s*$|^\s*(?:if|for|while|return|var|let|const|def|import|from|echo|fi|done)\b.*[{};=]"
)
_CODE_SIGN: Final = re.compile(r"[{};=]")
_WORDS: Final = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?")
_FILLER: Final = frozenset(
    """a an the this that these those it its of for to in on with by from as at into and or is are be been was will do
    does can should may might must if when whether not no get gets getting set sets return returns returned returning
    retrieve retrieves fetch fetches give gives given take takes make makes create creates compute computes calculate
    calculates perform performs do does handle handles run runs execute executes call calls function method class
    object instance value values helper utility simple wrapper main constructor initialize initializes initialise
    initialises initialiser initializer new current all some any one new used use uses using implementation implements
    internal private public param params parameter parameters argument arguments result results self none null true
    false string int integer number boolean bool list array dict""".split()
)
_FOREIGN: Final = re.compile(r"[^\W\d_a-zA-Z]")
_LETTER: Final = re.compile(r"[^\W\d_]")
_ENDING: Final = re.compile(r"(?:ings?|ers?|ors?|ed|es|s|e)$")
_CAMEL: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")


def clean(raw: str, line_comment: str, *, docstring: bool = False) -> str:
    """What a comment or docstring says, without its marks."""
    text = raw.strip()
    if docstring:
        found = _PYTHON_QUOTES.match(text)
        text = inspect.cleandoc(found[2].replace("\\\\", "\\")) if found else ""
    elif found := _BLOCK.match(text):
        text = inspect.cleandoc("\n" + _STAR.sub("", found[1]))
    else:
        text = inspect.cleandoc("\n" + _LINE_MARK[line_comment].sub("", text))
    if ".. version" in text:
        text = _VERSIONS.sub("", text)
    lines = [line.rstrip() for line in text.split("\n")]
    kept = [line for line in lines if not _UNKNOWABLE.match(line)]
    while kept and (not kept[0] or _RULE.match(kept[0])):
        kept.pop(0)
    while kept and (not kept[-1] or _RULE.match(kept[-1])):
        kept.pop()
    return _spaced("\n".join(kept))


def _spaced(text: str) -> str:
    """`text` with one blank line where there are more."""
    return _BLANKS.sub("\n\n", text) if "\n\n\n" in text else text


def tidied(raw: str) -> str:
    """A comment as it is written, without the lines that `clean` leaves out as well."""
    if ".. version" in raw:
        raw = _AT_END.sub(r"\n\1", _VERSIONS.sub("", raw))
    lines = [line for line in raw.split("\n") if not _UNKNOWABLE.match(_LEADING_MARK.sub("", line))]
    for end in (0, -1):
        while len(lines) > 1 and _EMPTY_COMMENT.match(lines[end]):
            lines.pop(end)
    text = "\n".join(lines)
    return _EMPTY_END.sub("", text) if "*/" in text else text


@functools.lru_cache(maxsize=64)
def prose_of(note: str) -> str:
    """The part of a note that says what the code does: what comes before parameters, examples and the like."""
    lines: list[str] = []
    skipping = False
    for line in note.split("\n"):
        skipping = skipping and bool(line.strip())
        if skipping:
            continue
        tagged = re.match(r"^\s*[@\\](?:description|desc|brief|summary|abstract)\s+(.+)", line)
        if tagged:
            line = tagged[1]
        elif _SECTION.match(line):
            if any(lines):
                break
            skipping = True
            continue
        lines.append(line)
    return _spaced("\n".join(lines).strip())


def unwrapped(note: str) -> str:
    """A note with the lines of each paragraph of prose joined, up to its first section."""
    paragraphs = note.split("\n\n")
    for at, paragraph in enumerate(paragraphs):
        lines = paragraph.split("\n")
        if any(_SECTION.match(line) for line in lines):
            break
        if not any(_SHAPED.match(line) for line in lines) and max(map(len, lines)) > 40:
            paragraphs[at] = " ".join(line.strip() for line in lines)
    return "\n\n".join(paragraphs)


def turned_away(note: str, names: str) -> str | None:
    """Why nothing can be learnt from a description, or None.

    Args:
        note: as `clean` left it.
        names: what a reader sees without it: the names of the function, its parameters and what it belongs to.
    """
    if len(note) > MAX_NOTE_CHARACTERS:
        return "comment is too long"
    lower = note.lower()
    if any(mark in lower for mark in _LICENCE_MARKS) and _LICENCE.search(note[:600]):
        return "comment is a licence"
    if "deprecated" in lower and _DEPRECATED.search(note):
        return "function is deprecated"
    if _DIRECTIVE.match(note):
        return "comment does not describe the code"
    prose = prose_of(note)
    if not prose and note.count(">>> ") >= MIN_SESSIONS:
        return None
    if not prose:
        return "comment does not describe the code"
    if _CODE_SIGN.search(prose):
        lines = prose.split("\n")
        if sum(bool(_CODE_END.search(line)) for line in lines) * 2 > len(lines):
            return "comment is code that is switched off"
    if not prose.isascii() and 5 * len(_FOREIGN.findall(prose)) > len(_LETTER.findall(prose)):
        return "comment is not in English"
    words = [word.lower() for word in _WORDS.findall(prose)]
    if len(words) < MIN_WORDS:
        return "comment says too little"
    known = {_stem(word.lower()) for word in _CAMEL.findall(names)}
    told = {stem for word in words if word not in _FILLER and (stem := _stem(word)) not in known and len(stem) > 1}
    return "comment only repeats the name" if len(told) < MIN_NEW_WORDS else None


_BEGINNINGS: Final = frozenset(
    "a an the whether true this helper function wrapper used given similar like array variant".split()
)


_CODE_VERBS: Final = frozenset(
    """accept append apply ask begin build call carry clamp clip close collapse concatenate copy cut decide
    deduplicate decrement divide draw drop dump echo emit empty encode end enqueue estimate expand fall
    fill flatten flip flush fold forward free give go grep grow hash increment intersect interleave keep
    kill list locate look lookup mail mix multiply mutate name negate open order overwrite pad pick pipe
    poll pop prefix print prune pull push put quote raise recurse reduce refill remember repair report
    reverse rotate round run save say scale scan schedule see set shift show shuffle shut skip slice
    solve sort spawn split square start stop strip subtract sum swap sweep take tell test throw tick
    toggle trace translate traverse trim truncate try turn union unwrap use verify visit wait walk warn
    watch wipe work yield zip""".split()
)


def describes(note: str, name: str) -> bool:
    """Whether a comment that may speak of anything says what the code below it does: "Adds …", "Whether …"."""
    words = re.findall(r"[\w$]+", note.lower())
    while words and words[0].endswith("ly"):
        words.pop(0)
    if not words:
        return False
    first = words[0]
    forms = {first, first.removesuffix("s"), first.removesuffix("es"), re.sub("ies$", "y", first)}
    return (
        first in _BEGINNINGS or first == name.lower() or any(form in _CODE_VERBS or is_verb(form) for form in forms)
    )


@functools.lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    """A word without the commonest endings, so that "parses" and "parsing" are "pars"."""
    return _ENDING.sub("", word) if len(word) > 4 else word.removesuffix("s")


# --- what of a body is worth learning ------------------------------------------------------------------------------

_COMMENT_LINE: Final = {"//": re.compile(r"^\s*(?://|/\*|\*)"), "#": re.compile(r"^\s*#")}
_STUB: Final = re.compile(
    r"^(?:pass|\.\.\.|return|return (?:None|null|undefined|true|false|True|False|0|nil|this|self|\"\"|''|\[\]|\{\})"
    r"|raise NotImplementedError.*|raise NotImplemented|return NotImplemented"
    r"|throw new Error\(['\"`].{0,80}(?:implement|abstract|override).*"
    r"|(?:todo|unimplemented|unreachable)!\(.*|fatalError\(.*|:|true|assert False.*)[;,]?$",
    re.IGNORECASE | re.DOTALL,
)
_THROWN: Final = re.compile(r"^(?:throw|raise)\b")
_GETTER: Final = re.compile(
    r"^return [\w.$]+;?$|^(?:return )?&?(?:mut )?(?:self|this|cls)(?:\.|::)[\w.$]+"
    r"(?:\.(?:clone|as_ref|as_str|to_owned|len|is_empty)\(\))?;?$"
    r"|^(?:self|this|cls)\.[\w$]+ = [\w.$]+(?:;?|; ?return this;?)$"
)
_PASSED_ON: Final = re.compile(
    r"^(?:return )?(?:await )?[\w.$:&?!]+(?:::<[^>]*>)?\(\s*(?:[\w\s,.=&$:?!\"'@]|\*(?=\w))*\)[?;]*(?:\.await\??;?)?$"
)


def trivial(body: str, line_comment: str) -> str | None:
    """Why a function's body teaches nothing, or None.

    Args:
        body: its source, with braces where the language has them, without a docstring.
    """
    text = body.strip()
    if text.startswith(("{", "(")) and text.endswith(("}", ")")):
        text = text[1:-1]
    comment = _COMMENT_LINE[line_comment]
    lines = [line.strip() for line in text.split("\n") if line.strip() and not comment.match(line)]
    code = " ".join(lines)
    if not code or _STUB.match(code):
        return "function has no body"
    if len(lines) == 1 and _THROWN.match(code):
        return "function has no body"
    if len(lines) == 1 and (_GETTER.match(code) or _PASSED_ON.match(code)):
        return "function is trivial"
    return "function is trivial" if len(code) < 30 else None
