"""The cheap looks at a text that is about to be redacted: each is taken once, and only when a pattern asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from samloop.text import checks
from samloop.text.table import DENSE, NUMERIC, Pattern

_DENSE: Final = re.compile(DENSE)
_NUMERIC: Final = re.compile(NUMERIC)
_CAPITALS: Final = re.compile("[A-Z]+")


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbours in the table that one look passes over together.

    Attributes:
        patterns: each with its bit in the answer of a bulk look.
        bits: those of all its patterns.
        dense, numeric: as in `Pattern`, of all of them.
        needles: lower-case literals of which one stands, in any case, in every text that one of them matches; empty:
            always look.
    """

    patterns: tuple[tuple[int, Pattern], ...]
    bits: int
    dense: bool
    numeric: bool
    needles: tuple[str, ...]


def grouped(patterns: Sequence[Pattern]) -> tuple[Group, ...]:
    """The table cut into groups of neighbours with the same `look`."""
    groups: list[list[tuple[int, Pattern]]] = []
    for place, pattern in enumerate(patterns):
        if not groups or groups[-1][-1][1].look != pattern.look:
            groups.append([])
        groups[-1].append((1 << place, pattern))
    return tuple(_group(some) for some in groups)


def _group(some: Sequence[tuple[int, Pattern]]) -> Group:
    patterns = [pattern for _, pattern in some]
    literals = [pattern.needles or pattern.begins for pattern in patterns]
    wanted = {literal.lower() for some in literals for literal in some} if all(literals) else set()
    least = sorted(w for w in wanted if not any(other != w and other in w for other in wanted))
    return Group(
        patterns=tuple(some),
        bits=sum(bit for bit, _ in some),
        dense=all(pattern.dense for pattern in patterns),
        numeric=all(pattern.numeric for pattern in patterns),
        needles=tuple(least),
    )


class Looks:
    """What is known of one text."""

    __slots__ = ("_dense", "_gates", "_low", "_numeric", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._dense: str | None = None
        self._low: str | None = None
        self._numeric: str | None = None
        self._gates: dict[str, bool] = {}

    def after(self, text: str) -> Looks:
        """The looks at what became of the text when values were replaced by placeholders.

        A run that was not there cannot be there now: it holds no bracket, so it would be a piece of what was left, or
        lie inside a placeholder, where no pattern matches. The same goes for a gate that no run held.
        """
        looks = Looks(text)
        looks._dense = "" if self._dense == "" else None
        looks._numeric = "" if self._numeric == "" else None
        looks._gates = {gate: False for gate, found in self._gates.items() if not found}
        return looks

    def within(self, group: Group) -> bool:
        """Whether a pattern of `group` may match."""
        if group.dense:
            return bool(self._runs())
        if group.numeric:
            return bool(self._numbers())
        return not group.needles or _any_in(group.needles, self._lowered())

    def matches(self, pattern: Pattern) -> Iterable[re.Match[str]] | None:
        """Where the shape is, in order; None where a cheap look says that it is nowhere."""
        if pattern.dense and not self._runs():
            return None
        if pattern.gate and not self._open(pattern):
            return None
        seen = self._lowered() if pattern.folded else self.text
        if pattern.needles and not _any_in(pattern.needles, seen):
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
        if not pattern.numeric:
            return re.search(gate, self.text) is not None
        found = self._gates.get(gate)
        if found is None:
            found = self._gates[gate] = re.search(gate, self._numbers()) is not None
        return found

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
            self._low = lowered(self.text)
        return self._low


def lowered(text: str) -> str:
    """`text` with ASCII letters in lower case, each character at its place."""
    low = text.lower()
    return low if len(low) == len(text) else _CAPITALS.sub(lambda m: m[0].lower(), text)


def _any_in(needles: tuple[str, ...], text: str) -> bool:
    for needle in needles:  # noqa: SIM110  a generator costs more than the look itself
        if needle in text:
            return True
    return False
