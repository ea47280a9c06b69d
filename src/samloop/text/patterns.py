"""Taking out of text what must not be stored: one code for bulk and for a single captured text.

The table of patterns (`samloop.text.table`) is applied in order. Everything else here saves time: a pattern is only
tried where one of its literals or its gate stands in the text, and a bulk engine may leave out the texts in which no
pattern can match (`Redactor.prefilters`, in RE2). None of these looks ever decides what is taken out, so that every
way gives the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from samloop.text import checks
from samloop.text.table import DENSE, NUMERIC, PATTERNS, SECRET_FIELD, Pattern

__all__ = ["PATTERNS", "PLACEHOLDER", "SECRET_FIELD", "Pattern", "Placeholders", "Redactor", "redact"]

PLACEHOLDER: Final = re.compile(r"\[REDACTED_([A-Z]+(?:_[A-Z]+)*)(?:_([0-9]{1,6}))?\]")
"""What stands where a value was: [REDACTED_EMAIL], [REDACTED_EMAIL_2]."""

_DENSE = re.compile(DENSE)
_NUMERIC = re.compile(NUMERIC)
_CAPITALS = re.compile("[A-Z]+")
MAX_PASSES: Final = 16
"""How often a text of any length may be looked at again."""

PASSED_CHARACTERS: Final = 4_000_000
"""How many characters a shorter text may be looked at for, all looks together: a fifth of a second. It is enough for
600 values in a row without a break, each of which hides the one before it; prose has two."""


class Placeholders:
    """The placeholders of one example: the same value gets the same one, a further distinct value the next number.

    Numbers go on after those that already stand in `texts`, so that text redacted earlier keeps its meaning.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.counts: dict[str, int] = {}
        self._given: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        for text in texts:
            for kind, number in PLACEHOLDER.findall(text) if "[REDACTED_" in text else ():
                self._last[kind] = max(self._last.get(kind, 0), int(number or 1))

    def put(self, kind: str, value: str) -> str:
        """The placeholder for `value`, counted once per occurrence."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        key = (kind, checks.canonical(kind, value))
        if key not in self._given:
            number = self._last[kind] = self._last.get(kind, 0) + 1
            self._given[key] = f"[REDACTED_{kind}]" if number == 1 else f"[REDACTED_{kind}_{number}]"
        return self._given[key]


class Redactor:
    """Takes personal data and secrets out of text.

    Args:
        names: further names to take out, whole words in any case.
        extra: further patterns, after the built-in ones.

    Attributes:
        patterns: the table, in the order it is applied.
        prefilters: RE2 expressions; a text that none of them matches is left as it is by `redact`. Two, because
            one automaton for words and tokens together would be several times as slow.
    """

    def __init__(self, names: Sequence[str] = (), extra: Sequence[Pattern] = ()) -> None:
        self.patterns = (*PATTERNS, *extra)
        wanted = sorted({n.strip() for n in names if n.strip()}, key=lambda n: (-len(n), n))
        self._names = _whole_words(wanted) if wanted else None
        tokens = [p.keyword for p in self.patterns if p.dense]
        words = [p.keyword for p in self.patterns if not p.dense]
        if wanted:
            words.append("(?i:" + "|".join(_re2_literal(n) for n in wanted) + ")")
        self.prefilters = tuple("|".join(dict.fromkeys(some)) for some in (words, tokens))

    def redact(self, text: str, placeholders: Placeholders) -> str:
        """`text` with every value the table knows replaced by its placeholder.

        A value may only be seen when another one is gone (the second of ``/home/a/home/b``), so a text that changed
        is looked at again until it changes no more. The bound on the looks keeps the time linear.
        """
        for _ in range(max(MAX_PASSES, PASSED_CHARACTERS // max(1, len(text)))):
            done = self._passed(text, placeholders)
            if done == text:
                break
            text = done
        return text

    def _passed(self, text: str, placeholders: Placeholders) -> str:
        looks = _Looks(text)
        for pattern in self.patterns:
            matches = looks.matches(pattern)
            if matches is not None:
                done = _substituted(pattern, looks.text, matches, placeholders)
                if done is not looks.text:
                    looks = _Looks(done)
        return looks.text if self._names is None else _outside(self._names, looks.text, placeholders)


def redact(text: str, names: Sequence[str] = ()) -> tuple[str, dict[str, int]]:
    """A single text without personal data and secrets, and how many values of each type were taken out."""
    placeholders = Placeholders([text])
    return Redactor(names).redact(text, placeholders), placeholders.counts


class _Looks:
    """The cheap looks at one text, each taken once and only when a pattern asks for it."""

    __slots__ = ("_dense", "_gates", "_low", "_needles", "_numeric", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._dense: str | None = None
        self._low: str | None = None
        self._numeric: str | None = None
        self._gates: dict[str, bool] = {}
        self._needles: dict[tuple[str, ...], bool] = {}

    def matches(self, pattern: Pattern) -> Iterable[re.Match[str]] | None:
        """Where the shape is, in order; None where a cheap look says that it is nowhere."""
        if pattern.dense and not self._runs():
            return None
        if pattern.gate and not self._open(pattern):
            return None
        seen = self._lowered() if pattern.folded else self.text
        if pattern.needles and not self._holds(pattern.needles, seen):
            return None
        if not pattern.begins:
            return pattern.compiled.finditer(self.text)
        # Two hundred prefixes are looked for in the runs alone, which are a small part of the text.
        where = self._runs() if pattern.dense and not pattern.folded else seen
        literals = [literal for literal in pattern.begins if literal in where]
        return self._beginning(pattern, literals, seen) if literals else None

    def _beginning(self, pattern: Pattern, literals: Sequence[str], seen: str) -> Iterator[re.Match[str]]:
        starts: set[int] = set()
        for literal in literals:
            at = seen.find(literal)
            while at >= 0:
                starts.add(at)
                at = seen.find(literal, at + 1)
        for start in sorted(starts):
            if match := pattern.compiled.match(self.text, start):
                yield match

    def _open(self, pattern: Pattern) -> bool:
        gate = pattern.gate
        if gate not in self._gates:
            where = self._numbers() if pattern.numeric else self.text
            self._gates[gate] = bool(where) and re.search(gate, where) is not None
        return self._gates[gate]

    def _holds(self, needles: tuple[str, ...], seen: str) -> bool:
        if needles not in self._needles:
            self._needles[needles] = _any_in(needles, seen)
        return self._needles[needles]

    def _runs(self) -> str:
        """The dense runs that look random, one per line."""
        if self._dense is None:
            long = "\n".join([word for word in self.text.split() if len(word) >= 15])
            jumbled = checks.JUMBLED.search
            self._dense = "\n".join([run for run in _DENSE.findall(long) if jumbled(run)]) if long else ""
        return self._dense

    def _numbers(self) -> str:
        """The runs of numbers, one per line."""
        if self._numeric is None:
            self._numeric = "\n".join(_NUMERIC.findall(self.text))
        return self._numeric

    def _lowered(self) -> str:
        if self._low is None:
            self._low = _lowered(self.text)
        return self._low


def _lowered(text: str) -> str:
    """`text` with ASCII letters in lower case, each character at its place."""
    low = text.lower()
    return low if len(low) == len(text) else _CAPITALS.sub(lambda m: m[0].lower(), text)


def _any_in(needles: tuple[str, ...], text: str) -> bool:
    for needle in needles:  # noqa: SIM110  a generator costs more than the look itself
        if needle in text:
            return True
    return False


def _substituted(pattern: Pattern, text: str, matches: Iterable[re.Match[str]], placeholders: Placeholders) -> str:
    """The text with each real match of `pattern` replaced; the very same object where there is none."""
    parts: list[str] = []
    end = 0
    for match in matches:
        start = match.start()
        if start < end or (pattern.check is not None and not pattern.check(match)):
            continue
        group: int | str = next((name for name, found in match.groupdict().items() if found and name != "k"), 0)
        kind = pattern.type
        if kind == "PASSWORD" and not checks.is_password_key(match):
            kind = "SECRET"
        parts += [text[end : match.start(group)], placeholders.put(kind, match[group])]
        end = match.end(group)
    return "".join([*parts, text[end:]]) if parts else text


def _outside(names: re.Pattern[str], text: str, placeholders: Placeholders) -> str:
    """Replace `names` everywhere but inside placeholders, so that a name such as "Email" cannot break them."""
    parts, end = [], 0
    for held in PLACEHOLDER.finditer(text):
        parts += [names.sub(lambda m: placeholders.put("NAME", m[0]), text[end : held.start()]), held[0]]
        end = held.end()
    return "".join([*parts, names.sub(lambda m: placeholders.put("NAME", m[0]), text[end:])])


def _whole_words(names: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)


def _re2_literal(name: str) -> str:
    """`name` for RE2, at least as wide: Python knows four forms of i, and other folds beyond ASCII differ as well."""
    return "".join("[iI\u0130\u0131]" if c in "iI" else re.escape(c) if c.isascii() else ".{1,2}" for c in name)
