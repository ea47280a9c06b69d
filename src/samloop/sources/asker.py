"""Which questions a section answers, and in what context they are asked."""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

from samloop.sources.answers import Pair, answer_of, is_thin
from samloop.sources.definitions import Place, asked_in_bold, definitions, tabled
from samloop.sources.documents import Document, Section
from samloop.sources.english import SentenceCase, is_foreign
from samloop.sources.procedures import commands, explained_code, plain_task, purposes, without_placeholders
from samloop.sources.project import Project, bare_name
from samloop.sources.questions import asked, nearest_thing
from samloop.sources.stock import is_empty

EMPTY: Final = "section teaches nothing (links, credits, licence, releases)"
FOREIGN: Final = "section is not in English"
ELSEWHERE: Final = "section's text stands elsewhere"
STUB: Final = "section is empty or a stub"
TOO_LONG: Final = "section begins with more than fits an answer"
NO_QUESTION: Final = "heading leads to no question"
STRANGE: Final = "section does not take up what its heading names"

_STEM_LETTERS: Final = 4
_WORDS: Final = re.compile(r"[a-z]{3,}|[^\W\d_]{2,}")
_SAYS_NOTHING: Final = frozenset(
    "what which when where does should know about explain tell that with from this there have them they into more "
    "need can could the and for how are you meant done show example examples give work works used using use".split()
)


_IS_ONE_THING: Final = re.compile(r"`[^`]+`|@?[\w.-]+/[\w.-]+|[a-z][\w.+-]*|\w+[-_.]\w[\w.-]*")
_IS_PROGRAM: Final = re.compile(r"[a-z][\w.+-]*(?: [a-z][\w.+-]*){0,2}")
_CODE: Final = re.compile(r"[`<@$].*|[\w.]+\(.*\)|\w*[a-z][A-Z_.]\w+|--?\w[\w-]*")
_LISTS_PARTS: Final = re.compile(
    r"(?:props|parameters?|arguments?|options?|properties|attributes|fields|methods|flags|returns?|events|keys"
    r"|values?"
    r"|instance \w+|static \w+)$",
    re.IGNORECASE,
)


class Asker:
    """What can be asked of one document.

    Args:
        text: the document as it was read, for how it writes its words.
        max_answer_characters: an answer ends at the last block's end before this.
    """

    def __init__(self, project: Project, document: Document, text: str, max_answer_characters: int) -> None:
        self._project, self._document = project, document
        self._most = max_answer_characters
        self._lower = SentenceCase(text)
        title = document.title
        # A page of its own subject ("`fetch`", "@scope/plugin"), not a chapter on the project.
        own = title and title != project.name and not document.is_top_readme and _IS_ONE_THING.fullmatch(title)
        self._subject = title if own else None
        self._program = title if title and _IS_PROGRAM.fullmatch(title) else self._subject
        self._above = (title,) if title and title != project.name else ()

    def pairs(self, section: Section) -> tuple[str | None, list[Pair]]:
        """What one section yields, with the reason where there is nothing to ask about the whole of it."""
        if any(map(is_empty, section.path)):
            return EMPTY, []
        pairs = self._parts(section)
        answer = answer_of(section, self._most)
        if len(answer) > 300 and is_foreign(answer):
            return FOREIGN, []
        if is_thin(answer):
            if pairs:
                return None, pairs
            if any(block.missing for block in section.blocks):
                return ELSEWHERE, []
            return (TOO_LONG if sum(len(block.raw) for block in section.blocks) > self._most else STUB), []
        if self._program and section.path[-1:] == (self._document.title,) and _of_commands(pairs):
            asks = f"What does the command `{self._program}` do, and how is it used?"
            return None, [Pair("", asks, _as_commands(answer)), *pairs]
        reason, wording = self._whole(section, answer)
        if wording is not None:
            return None, [Pair("", wording, answer), *pairs]
        return (None if pairs else reason), pairs

    def _parts(self, section: Section) -> list[Pair]:
        """The smaller questions inside a section, none of them twice."""
        if not section.blocks:
            return []
        thing = nearest_thing(section.path, self._lower)
        name = self._project.short_name
        has_parts = thing and (_CODE.fullmatch(thing) or (section.path and _LISTS_PARTS.match(section.path[-1])))
        place = Place(thing if has_parts else None, name)
        where = f" in {name}" if name else ""
        found = chain(
            asked_in_bold(section),
            definitions(section, place),
            tabled(section, place),
            purposes(section, where),
            commands(section, f" with {self._program}" if self._program else where),
            explained_code(section),
        )
        return list({pair.question: pair for pair in found if len(pair.answer) <= self._most * 1.5}.values())

    def _whole(self, section: Section, answer: str) -> tuple[str, str | None]:
        """The question that the whole section answers, or the reason why there is none."""
        heading = section.path[-1] if section.path else self._document.title or ""
        overview = self._is_overview(section)
        above = section.path[:-1]
        if section.path and self._above and section.path[0] not in self._above:
            above = (*self._above, *above)
        asked_heading = "Overview" if overview else heading
        found = asked(asked_heading, above, self._project.name, self._lower, answer, self._subject)
        if not found.wordings:
            return NO_QUESTION, None
        below = answer.lower()
        # That an answer names the project says nothing of what a heading names.
        known = frozenset(_WORDS.findall((self._project.name or "").lower())) if found.by_name else frozenset[str]()
        for wording in found.wordings:
            if (wording.lower() != heading.lower() or heading.endswith("?")) and takes_up(wording, below, known):
                return "", wording
        return (STRANGE, None) if found.by_name else ("", found.wordings[0])

    def _is_overview(self, section: Section) -> bool:
        """Whether a section introduces the whole: under the name itself, or before the first heading of a README."""
        if section.path:
            return (
                len(section.path) == 1
                and self._project.name is not None
                and bare_name(section.path[0]) == self._project.name
            )
        return self._document.is_top_readme and not self._document.front.get("title")

    def context(self, section: Section, pair: Pair) -> str | None:
        """What the project is, and where in which document the answer stands."""
        path = section.path if pair.part else section.path[:-1]
        title = self._document.title
        places = [part for part in dict.fromkeys((title, *path)) if part and part != self._project.name]
        tagline = self._project.tagline
        told = tagline is not None and tagline in pair.answer  # an answer in its own question is none
        introduced = self._project.name if told else self._project.introduced
        lines = [line for line in (introduced, " > ".join(places)) if line]
        return "\n".join(lines) or None


def takes_up(question: str, answer: str, known: frozenset[str] = frozenset()) -> bool:
    """Whether an answer, in lower case, begins a word as the question does; `known` words do not count."""
    words = [word for word in _WORDS.findall(question.lower()) if word not in _SAYS_NOTHING and word not in known]
    return not words or any(word[:_STEM_LETTERS] in answer for word in words)


def _of_commands(pairs: list[Pair]) -> bool:
    """Whether a section is a list of tasks with the commands that do them."""
    return sum(pair.part.startswith("command") for pair in pairs) > 1


def _as_commands(answer: str) -> str:
    """Such a list as a reader would write it down."""
    return "\n".join(without_placeholders(_plain_line(line.removeprefix("> "))) for line in answer.split("\n"))


def _plain_line(line: str) -> str:
    return line[:2] + plain_task(line[2:]) if line.startswith("- ") else line
