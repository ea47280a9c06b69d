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
from samloop.text.looks import Looks, grouped
from samloop.text.table import PATTERNS, SECRET_FIELD, Pattern
from samloop.text.watch import Watch

__all__ = ["PATTERNS", "PLACEHOLDER", "SECRET_FIELD", "Pattern", "Placeholders", "Redactor", "redact"]

PLACEHOLDER: Final = re.compile(r"\[REDACTED_([A-Z]+(?:_[A-Z]+)*)(?:_([0-9]{1,6}))?\]")
"""What stands where a value was: [REDACTED_EMAIL], [REDACTED_EMAIL_2]."""

MAX_PASSES: Final = 16
"""How often a text of any length may be looked at again."""

PASSED_CHARACTERS: Final = 1_000_000
"""How many characters a shorter text may be looked at for, all looks together: a tenth of a second. It is enough for
300 values in a row without a break, each of which hides the one before it; prose has two."""


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

    @property
    def values(self) -> list[tuple[str, str]]:
        """Type and value, in its canonical form, of each thing that was replaced. Never to be kept as it is."""
        return list(self._given)

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
        patterns: what to look for, in this order.

    Attributes:
        patterns: as given.
        prefilters: for bulk: RE2 expressions, each with the bits of what may match in a text that it matches. A text
            that none of them matches is left as it is by `redact`.
    """

    def __init__(self, names: Sequence[str] = (), patterns: Sequence[Pattern] = PATTERNS) -> None:
        self.patterns = tuple(patterns)
        self._groups = grouped(self.patterns)
        wanted = sorted({n.strip() for n in names if n.strip()}, key=lambda n: (-len(n), n))
        self._names = _whole_words(wanted) if wanted else None
        self._names_bit = 1 << len(self.patterns)
        self.prefilters = (*_prefilters(self.patterns), *([(self._names_bit, _any_of(wanted))] if wanted else []))
        self._watch = Watch([expression for _, expression in self.prefilters])

    def seen(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """The places of the texts in which something may be to take out, and the bits of what: a bulk look at all."""
        return ((place, self._bits(which)) for place, which in self._watch.seen(texts))

    def _bits(self, which: Iterable[int]) -> int:
        bits = 0
        for number in which:
            bits |= self.prefilters[number][0]
        return bits

    def redact(self, text: str, placeholders: Placeholders, seen: int = -1) -> str:
        """`text` with every value the table knows replaced by its placeholder.

        A value may only be seen when another one is gone (the second of ``/home/a/home/b``), so a text that changed
        is looked at again until it changes no more. The bound on the looks keeps the time linear.

        Args:
            seen: the bits of the `prefilters` that match `text`, where that is known.
        """
        looks = Looks(text)
        for _ in range(max(MAX_PASSES, PASSED_CHARACTERS // max(1, len(text)))):
            done = self._passed(looks, placeholders, seen)
            if done is looks:
                break
            looks, seen = done, self._bits(self._watch.which(done.text))
        return looks.text

    def _passed(self, looks: Looks, placeholders: Placeholders, seen: int) -> Looks:
        """The text after one pass; the very same looks where nothing was found."""
        for group in self._groups:
            if not group.bits & seen or not looks.within(group):
                continue
            for bit, pattern in group.patterns:
                matches = looks.matches(pattern) if bit & seen else None
                if matches is not None:
                    done = _substituted(pattern, looks.text, matches, placeholders)
                    if done is not looks.text:
                        looks, seen = looks.after(done), self._bits(self._watch.which(done))
        if self._names is not None and self._names_bit & seen:
            done = _outside(self._names, looks.text, placeholders)
            return looks if done == looks.text else looks.after(done)
        return looks


def _prefilters(patterns: Sequence[Pattern]) -> Iterator[tuple[int, str]]:
    """One automaton for each bulk look, and one for each lead."""
    shared: dict[str, list[tuple[int, str]]] = {}
    for place, pattern in enumerate(patterns):
        if pattern.keyword:
            shared.setdefault(pattern.look, []).append((1 << place, pattern.keyword))
        yield from ((1 << place, lead) for lead in pattern.leads)
    for some in shared.values():
        yield sum(bit for bit, _ in some), "|".join(keyword for _, keyword in some)


def redact(text: str, names: Sequence[str] = ()) -> tuple[str, dict[str, int]]:
    """A single text without personal data and secrets, and how many values of each type were taken out."""
    placeholders = Placeholders([text])
    return Redactor(names).redact(text, placeholders), placeholders.counts


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


def _any_of(names: Sequence[str]) -> str:
    return "(?i:" + "|".join(map(_re2_literal, names)) + ")"


def _re2_literal(name: str) -> str:
    """`name` for RE2, at least as wide: Python knows four forms of i, and other folds beyond ASCII differ as well."""
    return "".join("[iI\u0130\u0131]" if c in "iI" else re.escape(c) if c.isascii() else ".{1,2}" for c in name)
