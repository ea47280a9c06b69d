"""Checks on an answer's text: what verifiable instructions and a user's own suite ask for.

A check is a plain object, ``{"check": NAME, …what it takes…}``, and a function of this file by that name: the answer
and what the object says in, true or false out. Those that count take ``at_least`` and ``at_most``. Where the wording
of a check is that of IFEval (Zhou et al., Instruction-Following Evaluation for Large Language Models, 2023, arXiv
2311.07911), it counts as the authors' program does, but for sentences and languages, which it leaves to libraries.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import re2

from samloop.evaluate import tongues

Check = Mapping[str, Any]

CHECKS: Final[dict[str, Callable[..., bool]]] = {}
"""Every check by its name."""


def _check(function: Callable[..., bool]) -> Callable[..., bool]:
    CHECKS[function.__name__.rstrip("_")] = function
    return function


def holds(check: Check, answer: str) -> bool:
    """Whether `answer` does what `check` asks; an answer without text does nothing."""
    options = {name: value for name, value in check.items() if name != "check"}
    return bool(answer.strip()) and CHECKS[str(check["check"])](answer, **options)


def fault(check: Any) -> str:
    """What is wrong with a check, as "expected …, got …"; "" where it can be used."""
    if not isinstance(check, dict) or not isinstance(check.get("check"), str):
        return f'expected a check as {{"check": NAME, …}}, got {_shown(check)}'
    name = check["check"]
    if name not in CHECKS:
        return f"expected a check out of {', '.join(sorted(CHECKS))}, got '{name}'"
    return options_fault(name, {key: value for key, value in check.items() if key != "check"}, CHECKS[name])


def options_fault(name: str, options: Mapping[str, Any], function: Callable[..., Any]) -> str:
    """What is wrong with the options of the check `name`, whose keyword-only parameters say what it takes."""
    wanted = {k: p for k, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    kinds = typing.get_type_hints(function)
    for key, value in options.items():
        if key not in wanted:
            return f"expected the check {name} to take {', '.join(wanted) or 'nothing'}, got '{key}'"
        if not _is(value, kinds[key]):
            return f"expected '{key}' of the check {name} to be {_KINDS[kinds[key]]}, got {_shown(value)}"
    missing = [
        key for key, parameter in wanted.items() if parameter.default is parameter.empty and key not in options
    ]
    if missing:
        return f"expected the check {name} to say '{missing[0]}', got none"
    if "pattern" in options and not _pattern(str(options["pattern"])):
        return f"expected '{name}' to hold a regular expression as RE2 knows them, got {_shown(options['pattern'])}"
    if "language" in options and options["language"] not in tongues.KNOWN:
        return f"expected a language out of {', '.join(sorted(tongues.KNOWN))}, got {_shown(options['language'])}"
    return ""


_KINDS: Final = {
    int: "a whole number",
    int | None: "a whole number",
    str: "text",
    bool: "true or false",
    list[str]: "a list of texts",
    list[str] | None: "a list of texts",
}


def _is(value: Any, kind: Any) -> bool:
    if kind in (list[str], list[str] | None):
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    if kind in (int, int | None):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _within(count: int, at_least: int | None, at_most: int | None) -> bool:
    return (at_least is None or count >= at_least) and (at_most is None or count <= at_most)


# --- words in it -------------------------------------------------------------------------------------------------


@_check
def contains(answer: str, *, words: list[str], whole: bool = False, any: bool = False) -> bool:
    """All of `words` stand in it, in capital letters or not; `whole`: as whole words; `any`: one is enough."""
    found = [_occurs(word, answer, whole) for word in words]
    return (True in found) if any else (False not in found)


@_check
def not_contains(answer: str, *, words: list[str], whole: bool = False) -> bool:
    """None of `words` stands in it."""
    return not [word for word in words if _occurs(word, answer, whole)]


def _occurs(word: str, answer: str, whole: bool) -> bool:
    if not whole:
        return word.casefold() in answer.casefold()
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) is not None


@_check
def keyword(answer: str, *, word: str, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How often `word` stands in it, in capital letters or not."""
    return _within(answer.casefold().count(word.casefold()), at_least, at_most)


@_check
def letter(answer: str, *, letter: str, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How often a letter stands in it, capital or not."""
    return _within(answer.lower().count(letter.lower()), at_least, at_most)


@_check
def equals(answer: str, *, text: str, ignore_case: bool = False) -> bool:
    """It is `text`, but for outer spaces."""
    one, other = answer.strip(), text.strip()
    return one.casefold() == other.casefold() if ignore_case else one == other


@_check
def one_of(answer: str, *, texts: list[str]) -> bool:
    """One of `texts` stands in it, letter by letter."""
    return True in [text in answer for text in texts]


@_check
def regex(answer: str, *, pattern: str) -> bool:
    """An expression of RE2 is found in it; RE2 takes time in proportion to the answer, whatever the expression."""
    compiled = _pattern(pattern)
    return compiled is not None and compiled.search(answer) is not None


@functools.lru_cache(256)
def _pattern(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


# --- lengths -----------------------------------------------------------------------------------------------------


@_check
def words(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    r"""How many words it has: runs of \w."""
    return _within(len(re.findall(r"\w+", answer)), at_least, at_most)


@_check
def sentences(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many sentences it has."""
    return _within(len(split_sentences(answer)), at_least, at_most)


_ABBREVIATED: Final = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|no|fig|inc|ltd|co|jr|sr|approx)|\b[A-Za-z])\.$", re.IGNORECASE
)
_SENTENCE_END: Final = re.compile(r"(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？।]|\n\s*\n)")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text: ended by a mark and a space, or an empty line; not by an abbreviation or initial."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.end()].strip()
        follows = text[end.end() :].lstrip()[:1]
        if end[0].strip() == "." and (_ABBREVIATED.search(piece) or follows.islower()):
            continue
        if re.search(r"\w", piece):
            found.append(piece)
        start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if re.search(r"\w", rest) else found


@_check
def paragraphs(answer: str, *, at_least: int | None = None, at_most: int | None = None, split: str = "\n\n") -> bool:
    """How many paragraphs it has; what parts them is an empty line or the mark `split`, such as ***."""
    return _within(len(_paragraphs(answer, split)), at_least, at_most)


def _paragraphs(answer: str, split: str) -> list[str]:
    pieces = re.split(r"\n\s*\n", answer) if split == "\n\n" else answer.split(split)
    return [piece.strip() for piece in pieces if piece.strip()]


@_check
def paragraph_begins(answer: str, *, paragraph: int, word: str, split: str = "\n\n") -> bool:
    """The first word of a paragraph, counted from 1."""
    found = _paragraphs(answer, split)
    if not 1 <= paragraph <= len(found):
        return False
    first = re.split(r"[.,?!'\"]", found[paragraph - 1].split()[0].lstrip("'\""))[0]
    return first.casefold() == word.casefold()


@_check
def capital_words(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many words are in capital letters throughout."""
    return _within(sum(word.isupper() for word in re.findall(r"[\w'-]+", answer)), at_least, at_most)


# --- form --------------------------------------------------------------------------------------------------------


@_check
def bullets(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many bullet points it has: lines that begin with * or -."""
    stars = re.findall(r"^\s*\*[^\*].*$", answer, re.MULTILINE)
    return _within(len(stars) + len(re.findall(r"^\s*-.*$", answer, re.MULTILINE)), at_least, at_most)


@_check
def highlights(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many parts are marked *so* or **so**."""
    single = [part for part in re.findall(r"\*[^\n\*]*\*", answer) if part.strip("*").strip()]
    double = [part for part in re.findall(r"\*\*[^\n\*]*\*\*", answer) if part.strip("*").strip()]
    return _within(len(single) + len(double), at_least, at_most)


@_check
def placeholders(answer: str, *, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many places are left open [so]."""
    return _within(len(re.findall(r"\[.*?\]", answer)), at_least, at_most)


@_check
def sections(answer: str, *, mark: str, at_least: int | None = None, at_most: int | None = None) -> bool:
    """How many numbered sections it has, such as "Section 1"."""
    return _within(len(re.findall(rf"\s?{re.escape(mark)}\s?\d+\s?", answer)), at_least, at_most)


@_check
def title(answer: str) -> bool:
    """It has a title <<so>>."""
    return True in [bool(part.strip("<>").strip()) for part in re.findall(r"<<[^\n]+>>", answer)]


@_check
def postscript(answer: str, *, mark: str = "P.S.") -> bool:
    """A line further down begins with the mark, spaced or not."""
    pattern = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}.get(
        mark, rf"\s*{re.escape(mark.lower())}.*$"
    )
    return re.search(pattern, answer.lower(), re.MULTILINE) is not None


@_check
def quotation(answer: str) -> bool:
    """All of it stands in double quotation marks."""
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@_check
def starts_with(answer: str, *, text: str) -> bool:
    """It begins with `text`, in capital letters or not."""
    return answer.strip().casefold().startswith(text.strip().casefold())


@_check
def ends_with(answer: str, *, text: str) -> bool:
    """It ends with `text`, in capital letters or not."""
    return answer.strip().strip('"').casefold().endswith(text.strip().casefold())


@_check
def two_answers(answer: str) -> bool:
    """It is two different answers, parted by six asterisks."""
    pieces = answer.split("******")
    outer = [at for at in (0, len(pieces) - 1) if not pieces[at].strip()]
    given = [piece.strip() for at, piece in enumerate(pieces) if at not in outer]
    return len(given) == 2 and "" not in given and given[0] != given[1]


@_check
def json(answer: str, *, keys: list[str] | None = None) -> bool:
    """It is JSON, in a code fence or not; with `keys`: an object that has them all."""
    text = re.sub(r"^```(?:json)?\s*|\s*```$", "", answer.strip(), flags=re.IGNORECASE)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return keys is None or (isinstance(value, dict) and all(key in value for key in keys))


# --- case and language -------------------------------------------------------------------------------------------


@_check
def lower_case(answer: str) -> bool:
    """No letter is a capital."""
    return answer.islower()


@_check
def upper_case(answer: str) -> bool:
    """Every letter is a capital."""
    return answer.isupper()


@_check
def language(answer: str, *, language: str) -> bool:
    """It is in the language of that two-letter code."""
    return tongues.likeliest(answer) == language


# --- loosely -----------------------------------------------------------------------------------------------------


def loosely(answer: str) -> list[str]:
    """The eight readings of an answer that the loose measure tries (Zhou et al. 2023, section 2.2): without the first
    line, the last or both, which often only greet; each with and without asterisks, which only set type."""
    lines = answer.split("\n")
    cut = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cut, *(text.replace("*", "") for text in cut)]


def holds_loosely(check: Check, answer: str) -> bool:
    """Whether one of the readings of `answer` does what `check` asks."""
    return True in [holds(check, reading) for reading in loosely(answer)]
