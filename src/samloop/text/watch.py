"""Which of many texts one of some RE2 expressions matches, and which of them: for bulk looks that are taken again and
again.

Arrow compiles an expression in every call and RE2 builds its automaton while it looks, so that a look at a batch is
for a third building and each expression needs a look of its own. Here one automaton for all of them is built once and
passes over all texts of a batch in one go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import re2

_MEMORY_BYTES: Final = 2**26
"""For the states of an automaton; what has no room for them goes on without, and slowly."""


class Watch:
    """Some RE2 expressions, looked for together. None of them may match the empty text.

    Args:
        expressions: may see the ends of a text as the ends of a line, since texts are looked at side by side.
    """

    def __init__(self, expressions: Sequence[str]) -> None:
        self.expressions = tuple(expressions)

    def seen(self, texts: Sequence[str]) -> Iterator[tuple[int, Sequence[int]]]:
        """The places of the texts in which something may match, and the numbers of the expressions that do.

        No match is missed. Where none is told, a match goes on into the next text, and is none of this one's.
        """
        encoded = [text.encode() for text in texts]
        raw = b"\n".join(encoded)
        begins = list(accumulate((len(text) + 1 for text in encoded), initial=0))
        at, size, search = 0, len(raw), self._any.search
        while at < size and (match := search(raw, at)) is not None:
            place = bisect_right(begins, match.start()) - 1
            if which := self._which(encoded[place]):
                yield place, which
            at = begins[place + 1]

    def which(self, text: str) -> Sequence[int]:
        """The numbers of the expressions that may match one text."""
        return self._which(text.encode("utf-8", "replace"))

    def _which(self, encoded: bytes) -> Sequence[int]:
        told: list[int] | None = self._each.Match(encoded)
        if told is None and self._any.search(encoded) is not None:  # it had no room for the states of a huge text
            return range(len(self.expressions))
        return told or ()

    @cached_property
    def _any(self) -> Any:
        return re2.compile("|".join(f"(?:{one})" for one in self.expressions).encode(), _options())

    @cached_property
    def _each(self) -> Any:
        told = re2.Set.SearchSet(_options())
        for one in self.expressions:
            told.Add(one)
        told.Compile()
        return told


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return options
