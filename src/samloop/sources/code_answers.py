"""From the functions of a file to questions and answers, with what a reader has to see besides."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

import xxhash

from samloop.sources.code_languages import Language
from samloop.sources.code_notes import clean, describes, tidied, trivial, turned_away
from samloop.sources.code_pieces import Code, Piece, parse, words_of
from samloop.sources.code_questions import MADE_FOR, Asked, Subject, describe, fenced, passing, test_of, write

MAX_CONTEXT_CHARACTERS: Final = 700
MAX_MAKER_CHARACTERS: Final = 400
"""A class's way of making its objects is shown whole up to this length: it names what their methods work on."""

MAX_UNSEEN: Final = 2
"""Other members of its class that a method may lean on unseen; with more, its body cannot be known from its name."""

_FUNCTION: Final = "function"
_IMPORT: Final = re.compile(r"(?:from|import|use|pub use|export \{)\b")
_FROM: Final = re.compile(r"\bfrom\s+['\"].*")
_CALLED: Final = re.compile(r"([A-Za-z_$][\w$]*)(?:::<[^>]*>|!)?\(")
_REACHED: Final = re.compile(r"[.:]([A-Za-z_$][\w$]*)")
_REMARK: Final = re.compile(r"\s+(?:#|//).*")
_BOUND: Final = re.compile(
    r"(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|declare|const|let|var|static|struct|enum|type|interface"
    r"|typealias|readonly|local|mut|macro_rules!)\s+|#\[[^\]]*\]\s*|//[^\n]*\n\s*)*([A-Za-z_$][\w$]*)"
)
_PARTS_OF_A_COMPONENT: Final = {"methods": "method", "computed": "computed property", "watch": "watcher"}
_KEYWORDS: Final = frozenset("from import as use self crate super std pub const let var type".split())


@dataclass(frozen=True, slots=True)
class Found:
    """A question and answer about a piece of a file."""

    asked: Asked
    context: str | None
    name: str
    digest: str
    line: int


@dataclass(frozen=True, slots=True)
class Left:
    """A piece of a file that is left out, with the reason."""

    reason: str
    name: str
    line: int


_Case = tuple[Piece, Subject, frozenset[str], frozenset[str]]
"""A test with its source, the names it calls, and those it gets at through something else."""


class File:
    """One parsed file, read for what can be learnt from it."""

    def __init__(self, language: Language, data: bytes, max_characters: int) -> None:
        self.code: Code = parse(language, data)
        self.max_characters = max_characters
        self._top: tuple[list[tuple[int, str]], dict[str, list[int]]] | None = None
        self._functions: dict[str, list[Piece]] | None = None
        self._lines: dict[int, str] = {}
        self._cases: list[_Case] | None = None

    def questions(self) -> Iterator[Found | Left]:
        """What can be asked about each function that has a description; for each other one, why not."""
        seen: set[tuple[str, int]] = set()
        for piece in self.code.pieces:
            if piece.is_test:
                continue
            reason, subject = self._subject(piece)
            if subject is None:
                yield Left(reason, piece.qualified, piece.line)
                continue
            if (piece.qualified, subject.seed) in seen:
                continue
            seen.add((piece.qualified, subject.seed))
            context, unseen = self._around(piece, subject)
            if unseen <= MAX_UNSEEN and not self._mostly_note(subject):
                yield self._found(piece, subject, write(subject), context)
                described = describe(subject)
            else:
                described = describe(subject)
                if described is None:
                    yield Left("function leans on what cannot be seen", piece.qualified, piece.line)
            if described is not None:
                yield self._found(piece, subject, described, self.place(piece))
        yield from self._script()

    def subject(self, piece: Piece) -> Subject:
        """A function without its description."""
        code = self.code
        return Subject(
            language=code.language,
            fence=code.fence,
            name=piece.name,
            what=_what(piece),
            signature=code.signature(piece),
            code=code.bare(piece),
        )

    def _found(self, piece: Piece, subject: Subject, asked: Asked, context: str | None) -> Found:
        return Found(asked, context, piece.qualified, _digest(subject.code), piece.line)

    def _subject(self, piece: Piece) -> tuple[str, Subject | None]:
        """A described function that is worth asking about, or the reason why it is not."""
        code, mark = self.code, self.code.language.line_comment
        if piece.note is None:
            return "function has no comment", None
        if piece.end - piece.start > self.max_characters + (piece.note[1] - piece.note[0]):
            return "function is too long", None
        if piece.broken:
            return "function cannot be parsed", None
        raw = code.note(piece)
        note = clean(raw, mark, docstring=code.language.docstring)
        shown = " ".join((piece.name, code.text(piece.start, piece.body[0]), *(owner.name for owner in piece.owners)))
        reason = turned_away(note, shown) or trivial(code.inside(piece), mark)
        if not reason and not raw.startswith(MADE_FOR) and not describes(note, piece.name):
            reason = "comment does not describe the code"
        if reason:
            return reason, None
        plain = self.subject(piece)
        if len(plain.code) > self.max_characters:
            return "function is too long", None
        return "", Subject(
            language=plain.language,
            fence=plain.fence,
            name=plain.name,
            what=plain.what,
            signature=plain.signature,
            code=plain.code,
            note=note,
            raw=tidied(code.text(*piece.note, _column(code, piece))),
            indent=" " * max(0, _column(code, piece) - piece.column) or "    ",
        )

    def _mostly_note(self, subject: Subject) -> bool:
        """Whether there is hardly any code under a long description: then only the description is the answer."""
        return len(subject.note) > 4 * len(subject.code)

    def _around(self, piece: Piece, subject: Subject, where: str = "In the same file") -> tuple[str | None, int]:
        """What a reader must see to write a function, and how much of what it uses still is unseen."""
        code, used = self.code, words_of(subject.code)
        parts: list[tuple[int, str]] = []
        room = MAX_CONTEXT_CHARACTERS
        top, bound = self._bound()
        for at in sorted({at for name in used & bound.keys() for at in bound[name]}):
            start, text = top[at]
            if len(text) <= room and not (piece.start <= start < piece.end):
                parts.append((start, text))
                room -= len(text) + 1
        if header := self._header(piece):
            parts.append((piece.start - 1, header))
            room -= len(header)
        members = frozenset(code.language.receiver.findall(subject.code)) - {piece.name}
        maker = self._named().get(code.language.maker, ()) if members else ()
        for other in maker:
            text = textwrap.indent(code.of(other), "    ") if other.owners == piece.owners else ""
            if other is not piece and 0 < len(text) <= min(room, MAX_MAKER_CHARACTERS):
                parts.append((piece.start, text))
                room -= len(text) + 1
        for other in self._named_in(used - {piece.name, code.language.maker}):
            if other.owners and (other.owners != piece.owners or other.name not in members):
                continue
            if other.start not in self._lines:
                self._lines[other.start] = _line(code.signature(other))
            text = self._lines[other.start]
            if len(text) <= room:
                parts.append((piece.start if other.owners else other.start, f"  {text}" if other.owners else text))
                room -= len(text) + 3
        shown = "\n".join(text for _, text in sorted(dict.fromkeys(parts)))
        if members:
            members -= words_of(f"{shown} {subject.note} {subject.signature}")
        return (f"{where}:\n\n{fenced(shown, code.fence)}" if shown else None), len(members)

    def _bound(self) -> tuple[list[tuple[int, str]], dict[str, list[int]]]:
        """The statements at the top of the file, by place, and which of them give a name to what."""
        if self._top is None:
            texts = [(start, self.code.text(start, end)) for start, end in self.code.bindings]
            names: dict[str, list[int]] = {}
            for at, (_, text) in enumerate(texts):
                for name in _names_bound(text):
                    names.setdefault(name, []).append(at)
            self._top = texts, names
        return self._top

    def _named(self) -> dict[str, list[Piece]]:
        """The functions of the file, without its tests, by name."""
        if self._functions is None:
            self._functions = {}
            for piece in self.code.pieces:
                if not piece.is_test:
                    self._functions.setdefault(piece.name, []).append(piece)
        return self._functions

    def _named_in(self, names: frozenset[str]) -> list[Piece]:
        """The functions that are called so, in the order of the file."""
        known = self._named()
        return sorted(
            (piece for name in names & known.keys() for piece in known[name]), key=lambda piece: piece.start
        )

    def _header(self, piece: Piece) -> str:
        return next((owner.header for owner in reversed(piece.owners) if owner.header), "")

    def place(self, piece: Piece) -> str | None:
        """What a function belongs to, for one who only reads it."""
        header = self._header(piece)
        return f"In the same file:\n\n{fenced(header, self.code.fence)}" if header else None

    def _script(self) -> Iterator[Found]:
        """A short shell script with a description at its top is asked about as a whole."""
        code = self.code
        if code.language.name != "bash" or len(code.data) > self.max_characters or code.broken:
            return
        text = code.data.decode("utf-8", "replace").strip()
        found = re.match(r"(#!.*\n)?\s*((?:^#.*\n)+)\s*\n", text + "\n", re.MULTILINE)
        if not found or "BEGIN INIT INFO" in text:
            return
        note = clean(found[2], "#")
        rest = re.sub(r"\A(?:\s*^#.*\n)+", "", text[found.end() :], flags=re.MULTILINE).strip()
        if turned_away(note, "") or not describes(note, "") or len(rest) < 60 or len(note.split()) < 6:
            return
        subject = Subject(
            language=code.language,
            fence=code.fence,
            name="script",
            what="script",
            signature="",
            code=f"{(found[1] or '').strip()}\n\n{rest}".strip(),
            note=note,
            raw=found[2].strip(),
        )
        for asked in (write(subject), describe(subject)):
            if asked is not None:
                yield Found(asked, None, "", _digest(subject.code), 1)

    # --- tests ---------------------------------------------------------------------------------------------------

    def tests(self) -> list[Piece]:
        """The tests in this file."""
        return [piece for piece in self.code.pieces if piece.is_case and not piece.broken]

    def _short_cases(self) -> list[_Case]:
        """The tests in this file that are short enough to be learnt, with what they name: read once, since several
        files may be asked about them."""
        if self._cases is None:
            self._cases = []
            for test in self.tests():
                code = self.subject(test)
                if 40 <= len(code.code) <= self.max_characters * 2 // 3:
                    inside = self.code.inside(test)
                    called, reached = frozenset(_CALLED.findall(inside)), frozenset(_REACHED.findall(inside))
                    self._cases.append((test, code, called, reached))
        return self._cases

    def tested(self, tests: File) -> Iterator[Found]:
        """Questions about the functions of this file that a test of `tests` names; one test for each function."""
        used: set[str] = set()
        cases = tests._short_cases()
        if not cases:
            return
        known = Counter(piece.name for piece in self.code.pieces if not piece.is_test)
        named = {
            piece.name: piece
            for piece in self.code.pieces
            if known[piece.name] == 1 and not piece.is_test and self._testable(piece)
        }
        for test, code, called, reached in cases:
            best = _meant(test.name, called, reached, named.keys())
            if best is None or best in used:
                continue
            used.add(best)
            piece = named[best]
            subject = self.subject(piece)
            shown = None if tests is self else tests._around(test, code, "In the file of the tests")[0]
            found = test_of(subject, code, _framework(tests.code, test))
            if subject.seed % 3 == 0 and piece.note is None:
                found = passing(subject, code)
                shown, unseen = self._around(piece, subject)
                if unseen:
                    continue
            yield Found(found, shown, piece.qualified, _digest(subject.code), piece.line)

    def _testable(self, piece: Piece) -> bool:
        body = self.code.inside(piece)
        return (
            not piece.broken
            and len(piece.name) > 2
            and piece.end - piece.start <= self.max_characters
            and trivial(body, self.code.language.line_comment) is None
        )


def _what(piece: Piece) -> str:
    """What people call a function that stands where this one does."""
    owner = piece.owners[-1] if piece.owners else None
    if owner is None:
        return _FUNCTION
    return "method" if owner.header else _PARTS_OF_A_COMPONENT.get(owner.name, _FUNCTION)


def _column(code: Code, piece: Piece) -> int:
    """The indentation of a description."""
    assert piece.note is not None  # noqa: S101
    start = piece.note[0]
    return start - (code.data.rfind(b"\n", 0, start) + 1) if code.language.docstring else piece.column


def _names_bound(text: str) -> frozenset[str]:
    """What a statement at the top of a file gives a name to."""
    first = text.lstrip()
    if "require(" in first:
        return words_of(first.partition("=")[0]) - _KEYWORDS
    if _IMPORT.match(first):
        named = first.partition(" import ")[2] if first.startswith("from ") else _FROM.sub("", first)
        return words_of(named) - _KEYWORDS
    found = _BOUND.match(first)
    return frozenset({found[1]}) if found else frozenset()


def _line(signature: str) -> str:
    """A signature on one line, without decorators."""
    lines = [line.strip() for line in signature.split("\n") if not line.strip().startswith(("@", "#[", "#", "//"))]
    return _REMARK.sub("", "\n".join(lines)).replace("\n", " ")


def _meant(test: str, called: frozenset[str], reached: frozenset[str], names: Set[str]) -> str | None:
    """The function that a test is about: one that its name speaks of, or the only one that it calls.

    Args:
        called, reached: the names that a test calls, and those it gets at through something else.
        names: the functions that it may be about.
    """
    called = called & names
    plain = _plain(test)
    named = [name for name in called | (reached & names) if len(name) > 3 and _plain(name) in plain]
    if named:
        return max(named, key=lambda name: (len(name), name))
    return next(iter(called)) if len(called) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _framework(code: Code, test: Piece) -> str:
    """What people call the way that a test is written."""
    name, head = code.language.name, code.data[:4000]
    if name == "python":
        return "unittest" if any("TestCase" in owner.header for owner in test.owners) else "pytest"
    if name == "swift":
        return "XCTest"
    if name == "rust":
        return "Rust"
    for mark, framework in ((b"vitest", "Vitest"), (b"chai", "Mocha"), (b"assert", "Mocha"), (b"jest", "Jest")):
        if mark in head:
            return framework
    return "Jest" if b"expect(" in code.data else "Mocha"


def _digest(code: str) -> str:
    return xxhash.xxh3_64_hexdigest(code.encode("utf-8", "replace"))[:12]
