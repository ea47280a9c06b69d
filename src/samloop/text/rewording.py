"""Put a question into other words by templates, so that what was learnt can be asked for in another way.

The templates are data (rewordings.toml). What comes out depends on the text and the templates alone. Code stays as it
is: only a sentence of prose is rebuilt, or words are put around the whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.text.held_out import words

TEMPLATES: Final = Path(__file__).with_name("rewordings.toml")
ENGLISH: Final = "en"

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-ZÄÖÜ])")
_FENCE = re.compile(r"^\s*(?:```|~~~)")


@dataclass(frozen=True, slots=True)
class _Form:
    """A sentence that can be rebuilt, and how."""

    language: str
    pattern: re.Pattern[str]
    to: tuple[str, ...]
    command: bool


@dataclass(frozen=True, slots=True)
class _Templates:
    words: dict[str, frozenset[str]]
    forms: tuple[_Form, ...]
    around: dict[tuple[str, str], tuple[str, ...]]


@cache
def _templates() -> _Templates:
    plain = tomllib.loads(TEMPLATES.read_text(encoding="utf-8"))
    return _Templates(
        {language: frozenset(found) for language, found in plain["words"].items()},
        tuple(_form(plain_form) for plain_form in plain["form"]),
        {(a["language"], a["kind"]): tuple(a["to"]) for a in plain["around"]},
    )


def _form(plain: Mapping[str, Any]) -> _Form:
    pattern = re.compile(plain["pattern"], re.IGNORECASE)
    return _Form(plain["language"], pattern, tuple(plain["to"]), plain.get("command", False))


def rewordings(text: str) -> list[str]:
    """`text` in other words, what changes more of it first; empty for a language that has no templates.

    Which template comes first differs from text to text, by hash, so that many questions are not all reworded alike.
    None has the same words in the same order as `text`, and no two have.
    """
    text = text.strip()
    language = _language(text)
    found: dict[tuple[str, ...], str] = {words(text): text}
    for several in (_rebuilt(text, language), _surrounded(text, language)):
        for one in sorted(several, key=lambda each: xxhash.xxh3_64_intdigest(each.encode())):
            found.setdefault(words(one), one)
    return list(found.values())[1:]


def _language(text: str) -> str:
    said = set(words(text))
    counts = {language: len(said & known) for language, known in _templates().words.items()}
    best = max(counts, key=lambda language: counts[language])
    if counts[best]:
        return best
    return ENGLISH if text.isascii() else "other"


def _rebuilt(text: str, language: str) -> Iterator[str]:
    """`text` with its first sentence that fits a form rebuilt; the rest, code above all, stays."""
    for start, sentence in _sentences(text):
        for form in _templates().forms:
            match = form.pattern.match(sentence) if form.language == language else None
            if match:
                said = {name: _inside(name, value) for name, value in match.groupdict().items()}
                for template in form.to:
                    yield text[:start] + template.format(**said) + text[start + len(sentence) :]
                return


def _inside(name: str, value: str) -> str:
    """What a group matched, as it is written in the middle of a sentence: "Write it" → "write it"; "I" stays."""
    value = value.strip().rstrip(":")
    first = value.split()[0] if value.split() else ""
    plain = first[1:].islower() and first[:1].isupper()
    return value[:1].lower() + value[1:] if plain and name in ("asks", "rest") else value


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence of prose begins, and the sentence; lines of fenced or indented code are none."""
    at, fenced = 0, False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.startswith(("    ", "\t", ">>>", "$ ")):
            place = 0
            for sentence in _SENTENCE_END.split(line.rstrip()):
                place = line.index(sentence, place)
                yield at + place, sentence
                place += len(sentence)
        at += len(line)


def _surrounded(text: str, language: str) -> Iterator[str]:
    for template in _templates().around.get((language, _kind(text, language)), ()):
        if "\n" in text:
            if not template.endswith("{text}"):  # what comes after a block of code is read as part of it
                continue
            template = template.replace(" {text}", "\n\n{text}")
        yield template.format(text=text)


def _kind(text: str, language: str) -> str:
    first = next((sentence for _, sentence in _sentences(text)), "")
    commands = [form for form in _templates().forms if form.language == language and form.command]
    if any(form.pattern.match(first) for form in commands):
        return "command"
    return "question" if first.endswith("?") or text.endswith("?") else "other"
