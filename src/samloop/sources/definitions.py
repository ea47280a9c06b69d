"""The small answers inside a section: terms with their meaning, in lists, sentences and tables; questions in bold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from samloop.sources.answers import (
    MIN_DEFINITION_CHARACTERS,
    Pair,
    is_announcement,
    speaks_of_numbered,
    without_guidance,
)
from samloop.sources.documents import Block, Section
from samloop.sources.questions import names_thing, ticked
from samloop.sources.verbs import GERUNDS, as_reader, is_imperative

MAX_TERM_CHARACTERS: Final = 60
MIN_MEANING_WORDS: Final = 4

_BULLETED: Final = re.compile(
    r"(?:\*\*|__)(?P<bold>[^*_\n]{2,60}?):?(?:\*\*|__)\s*(?P<mark1>[:–—-]|\s(?=is\b|are\b))\s*(?P<def1>\S.*)"
    r"|(?P<code>`[^`\n]{1,60}`)(?: \([^()\n]{1,40}\))?\s*(?::|–|—|-)\s+(?P<def2>\S.*)"
    r"|(?:\*\*|__)(?P<colon>[^*_\n]{2,60}?)[:.](?:\*\*|__)\s+(?P<def3>\S.*)",
    re.DOTALL,
)
_FIRST_SENTENCE: Final = re.compile(
    r"(?P<article>An? |The )?(?P<mark>\*\*|__|`)(?P<term>[^*_`\n]{2,50})(?P=mark)(?: \([^()\n]{1,60}\))? "
    r"(?:is|are|means|refers to|stands for|describes) (?!not |also |now |still |only )\S",
)
_NO_TERM: Final = re.compile(
    r"^(?:notes?|warning|caution|tips?|important|info|hint|example|examples|resolution|solution|problem"
    r"|answer|question|default"
    r"|defaults? to|result|output|input|step|optional|required|yes|no|true|false|null|none|description|details|usage"
    r"|syntax|parameters|arguments|returns?|see also|update|deprecated|remember|why|how|what|when|where|who"
    r"|filename|file|type|pros?|cons?|status|date|author|version|since|issue|attention|danger|todo|fix|tldr|first"
    r"|second"
    r"|tl;dr|n\.?b\.?|q|a|time|cost|before|after|bad|good|goal|use cases?|key points?|summary|options?|(?:(?:prep"
    r"|cook)\w*|total) time"
    r"|servings?|added in .*|changed in .*|deprecated .*|new in .*|[^a-z`]*)\W*(?:\d+)?$",
    re.IGNORECASE,
)
_PRAISE: Final = re.compile(
    r"^(?:fast|simple|easy|lightweight|secure|robust|modern|free|open|rich|safe|small|tiny|powerful|fun"
    r"|\w+(?:able|ible|ful|less|ly|ient|ive))$",
    re.IGNORECASE,
)
_CLAIM: Final = re.compile(
    r"\b(?:is|are|was|has|have|can|does|do|will|must|should|we|you|it|your|our)\b|[!?,;]", re.IGNORECASE
)
_IDENTIFIER: Final = re.compile(r"[a-z]+[A-Z]\w*|\w+(?:\.\w+)+(?:\(\))?|[a-z]\w*_\w+|\w+\(\)|--?[a-z][\w-]*")
_BOLD_QUESTION: Final = re.compile(
    r"(?:\*\*|__)(?:Q(?:uestion)?\s*\d*\s*[:.)]\s*|\d+[.)]\s+)?(?P<q>[^*\n]{8,160}\?)(?:\*\*|__)\s*(?P<a>.*)"
    r"|Q(?:uestion)?\s*\d*\s*[:.)]\s+(?P<plain>[^\n?]{8,160}\?)\s*(?P<b>.*)",
    re.DOTALL,
)
_ANSWER_MARK: Final = re.compile(r"^(?:\*\*)?A(?:nswer)?\s*\d*\s*[:.)]\s*(?:\*\*)?\s*")

_KINDS: Final = {
    "option": "What does the option {t} do{w}?",
    "flag": "What does the option {t} do{w}?",
    "switch": "What does the option {t} do{w}?",
    "command": "What does the command {t} do{w}?",
    "method": "What does {t} do{w}?",
    "function": "What does {t} do{w}?",
    "hook": "What does {t} do{w}?",
    "macro": "What does {t} do{w}?",
    "operator": "What does the operator {t} do{w}?",
    "shortcut": "What does the shortcut {t} do{w}?",
    "event": "When does the event {t} happen{w}?",
    "class": "What is the class {t} for{w}?",
    "parameter": "What is the parameter {t} for{w}?",
    "argument": "What is the argument {t} for{w}?",
    "property": "What is the property {t} for{w}?",
    "prop": "What is the property {t} for{w}?",
    "attribute": "What is the attribute {t} for{w}?",
    "field": "What is the field {t} for{w}?",
    "key": "What is {t} for{w}?",
    "setting": "What is the setting {t} for{w}?",
    "variable": "What is the variable {t} for{w}?",
    "environment variable": "What is the environment variable {t} for{w}?",
    "directive": "What does the directive {t} do{w}?",
    "element": "What is the element {t} for{w}?",
    "tag": "What is {t} for{w}?",
    "type": "What is the type {t}{w}?",
    "status code": "What does the status code {t} mean{w}?",
    "error": "What does the error {t} mean{w}?",
    "term": "What does “{t}” mean{w}?",
    "concept": "What does “{t}” mean{w}?",
    "word": "What does “{t}” mean{w}?",
    "keyword": "What does {t} mean{w}?",
    "name": "What is {t} for{w}?",
    "file": "What is the file {t} for{w}?",
    "folder": "What is the folder {t} for{w}?",
    "directory": "What is the folder {t} for{w}?",
    "module": "What is the module {t} for{w}?",
    "package": "What is the package {t} for{w}?",
    "rule": "What does the rule {t} say{w}?",
}
"""How a row of a table is asked about, by the head of its first column (in the singular)."""

_LISTED: Final = re.compile(
    r"^(?:all |the |available )?(?:options|settings|parameters|arguments|properties|fields|keys|flags|variables|list)"
    r" (?:of|for|in) (?:the )?",
    re.IGNORECASE,
)
_MEANS: Final = re.compile(
    r"(?:short )?(?:description|meaning|definition|purpose|explanation|what it does|what it is|details?|effect"
    r"|function|summary|action|means|does)",
    re.IGNORECASE,
)
_QUOTED_TERMS: Final = frozenset(("term", "concept", "word"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a term stands, for its question: the thing that has the parameters or options, and the project's name."""

    thing: str | None = None
    project: str | None = None

    def within(self, term: str, *, part: bool) -> str:
        """ " in THING" for what is a part of something, else " in PROJECT"; "" where the term names it already."""
        where = self.thing if part and self.thing else self.project or (self.thing if part else None)
        return f" in {where}" if where and where.strip("`").lower() not in term.lower() else ""


def definitions(section: Section, place: Place) -> Iterator[Pair]:
    """Terms that the section defines: "**term**: …" and "`term`: …" in lists and paragraphs, "A **term** is …"."""
    number = 0
    heading = section.path[-1].lower() if section.path else ""
    praise = bool(re.search(r"feature|benefit|advantage|highlight|why\b|goal|principle", heading))
    for block in section.blocks:
        if block.kind == "prose":
            begins = block.raw[:3]
            if "**" in begins or "__" in begins or "`" in begins or begins[:2] in ("A ", "An", "Th"):
                texts: tuple[str, ...] = (block.text,)
            else:
                continue
        elif (
            block.kind == "list"
            and not block.ordered
            and ("**" in block.raw or "`" in block.raw or "__" in block.raw)
        ):
            texts = block.items
        else:
            continue
        for text in texts:
            number += 1
            pair = _defined(text, number, block.kind, place, praise)
            if pair is not None:
                yield pair


def _defined(text: str, number: int, kind: str, place: Place, praise: bool) -> Pair | None:
    found = _BULLETED.match(text)
    if found is None:
        first = _FIRST_SENTENCE.match(text) if kind == "prose" else None
        if (
            first is None
            or len(text) < MIN_DEFINITION_CHARACTERS
            or is_announcement(text)
            or speaks_of_numbered(text)
        ):
            return None
        term = f"`{first['term']}`" if first["mark"] == "`" else first["term"].strip()
        meaning = without_guidance(text)
        if not meaning or not _is_term(term, praise):
            return None
        verb = "are" if re.search(r"[^s]s`?$", term) and " are " in text[:120] else "is"
        return Pair(
            f"definition-{number}",
            f"What {verb} {(first['article'] or '').lower()}{term}{place.within(term, part=False)}?",
            meaning,
        )
    term = (found["bold"] or found["code"] or found["colon"]).strip()
    term = ticked(term) if _IDENTIFIER.fullmatch(term) else term
    is_sentence = found["mark1"] is not None and not found["mark1"].strip()
    meaning = without_guidance(text if is_sentence else (found["def1"] or found["def2"] or found["def3"]).strip())
    if len(meaning) < MIN_DEFINITION_CHARACTERS or is_announcement(meaning) or speaks_of_numbered(meaning):
        return None
    words = term.split()
    first_word = words[0].lower()
    meaning = meaning[:1].upper() + meaning[1:]
    if (first_word in GERUNDS and len(words) > 1) or is_imperative(first_word, words):
        if len(meaning) < 60:
            return None
        action = " ".join((GERUNDS.get(first_word, first_word), *words[1:]))
        action = action if any(word[:1].isupper() for word in words[1:]) else action.lower()
        return Pair(f"definition-{number}", f"How do I {as_reader(action)}{place.within(term, part=False)}?", meaning)
    return Pair(f"definition-{number}", _asked_of(term, place), meaning) if _is_term(term, praise) else None


def _is_term(term: str, praise: bool) -> bool:
    """Whether a marked beginning is a thing with a meaning, and not a label, a claim or a word of praise."""
    if term.startswith("`"):
        return len(term) > 3 and not _NO_TERM.match(term.strip("`"))
    if _NO_TERM.match(term) or term.endswith("?") or len(term.split()) > 5 or not term[0].isalnum():
        return False
    return not (_CLAIM.search(term) or _PRAISE.match(term) or (praise and " " not in term))


def _asked_of(term: str, place: Place) -> str:
    if re.match(r"`-{1,2}\w", term):
        return f"What does the option {term} do{place.within(term, part=True)}?"
    if re.match(r"`[\w.$:#]+\(.*\)`$", term):
        return f"What does {term} do{place.within(term, part=False)}?"
    if term.startswith("`"):
        return f"What is {term} for{place.within(term, part=True)}?"
    where = place.within(term, part=False)
    return f"What does “{term}” mean{where}?" if len(term.split()) < 4 else f"Can you explain “{term}”{where}?"


def tabled(section: Section, place: Place) -> Iterator[Pair]:
    """Each row of a table that explains something: an option, a term, a command, with what the other cells say."""
    heading = _LISTED.sub("", section.path[-1]) if section.path else ""
    # What a table lists belongs to what stands above it: two tables of a page may list the same name.
    of_table = Place(heading, place.project) if names_thing(heading) else place
    for at, block in enumerate(section.blocks):
        if block.kind != "table" or not _may_explain(block):
            continue
        _ = block.text  # writes its rows
        rows = block.rows
        roles = _roles(rows[0]) if rows else None
        if roles is None:
            continue
        kind, means = roles
        for number, row in enumerate(rows[1:], 1):
            term, meaning = row[0].strip("*_ "), row[means].strip()
            if not term or len(term) > MAX_TERM_CHARACTERS or len(meaning.split()) < MIN_MEANING_WORDS:
                continue
            if speaks_of_numbered(meaning) or len(meaning) < 20 or not re.search("[A-Za-z]", term):
                continue
            shown = term if kind in _QUOTED_TERMS or " " in term.strip("`") or "`" in term else ticked(term)
            where = of_table.within(term, part=kind not in _QUOTED_TERMS)
            answer = f"{shown}: {meaning}"
            others = [
                f"- {head}: {cell}" for n, (head, cell) in enumerate(zip(rows[0], row, strict=True))
                if n not in (0, means) and head.strip() and cell.strip(" -–—")
            ]  # fmt: skip
            yield Pair(
                f"row-{at}-{number}",
                _KINDS[kind].format(t=shown, w=where),
                "\n\n".join((answer, "\n".join(others))) if others else answer,
            )


def _may_explain(block: Block) -> bool:
    """A look at the head of a table before its rows are taken apart."""
    return bool(_MEANS.search(block.raw[: block.raw.find("\n")]))


def _roles(head: list[str]) -> tuple[str, int] | None:
    """What the first column of a table holds, and which column explains it."""
    means = next((n for n, cell in enumerate(head) if n and _MEANS.fullmatch(cell.strip("*_ `"))), None)
    first = head[0].strip("*_ `:").lower()
    for kind in (first, first.removesuffix("s"), first.removesuffix("es"), first.split(" ")[0].removesuffix("s")):
        if kind in _KINDS and means is not None:
            return kind, means
        if first.endswith("ies") and first[:-3] + "y" in _KINDS and means is not None:
            return first[:-3] + "y", means
    return None


def asked_in_bold(section: Section) -> Iterator[Pair]:
    """Questions in bold, or marked "Q:", with the answer behind them or in the blocks up to the next one."""
    if not any("?" in block.raw for block in section.blocks if block.kind == "prose"):
        return
    open_question, parts, number = "", list[str](), 0
    for block in (*section.blocks, None):
        text = block.text if block is not None else ""
        found = _BOLD_QUESTION.match(text) if block is None or (block.kind == "prose" and "?" in text) else None
        if found is None and block is not None:
            parts.append(text)
            continue
        answer = _ANSWER_MARK.sub("", "\n\n".join(part for part in parts if part)).strip()
        if open_question and len(answer) >= MIN_DEFINITION_CHARACTERS:
            number += 1
            yield Pair(f"question-{number}", open_question, answer)
        if found is not None:
            open_question = (found["q"] or found["plain"]).strip()
            parts = [(found["a"] or found["b"] or "").strip()]
