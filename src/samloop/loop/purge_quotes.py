"""Quotes of what is erased in files and figures that stay: found by their characters, and taken out.

Reports, samples of evaluations, cards and logs quote examples, whole or cut short. A text quotes an erased one where
it has `WINDOW` characters in a row in common with it, spacing and case apart, or where it is one of its lines. What
quotes is replaced as a whole by `ERASED`; the figures around it stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from samloop.example import collapse, normalise

ERASED: Final = "[ERASED]"

WINDOW: Final = 16
"""Characters in a row that make a quote: fewer are shared by chance, and what is cut short for a table keeps more."""

SHORTEST_LINE: Final = 6
"""Characters of a line that is looked for on its own; a shorter one says nothing of where it is from."""

PORTION_CHARACTERS: Final = 8_000_000
"""Erased texts looked for at once: eight bytes of memory for each character."""

_BASE: Final = 0x9E3779B97F4A7C15 | 1
Hashes = npt.NDArray[np.uint64]


class Quotes:
    """What is looked for.

    Args:
        texts: texts that are erased.
        needles: strings that are erased wherever they stand, e.g. what a person named.
        ids: examples whose lines and objects go as a whole.
    """

    def __init__(self, texts: Iterable[str], needles: Iterable[str] = (), ids: Collection[str] = ()) -> None:
        self.ids = frozenset(ids)
        self.needles = tuple(filter(None, (folded(needle) for needle in needles)))
        lines: set[str] = set()
        windows: list[Hashes] = []
        for text in texts:
            lines.update(line for one in text.splitlines() if len(line := folded(one)) >= SHORTEST_LINE)
            windows.append(_windows(folded(text)))
        self._lines = lines
        self._windows = np.unique(np.concatenate(windows)) if windows else np.empty(0, np.uint64)

    def in_text(self, text: str) -> bool:
        """Whether `text` quotes."""
        whole = folded(text)
        if whole in self._lines or any(needle in whole for needle in self.needles):
            return True
        if not len(self._windows):
            return False
        asked = _windows(whole)
        places = np.minimum(np.searchsorted(self._windows, asked), len(self._windows) - 1)
        return bool((self._windows[places] == asked).any())

    def out_of_lines(self, text: str) -> str:
        """`text` with each line that quotes replaced; as it was where none does."""
        if not self.in_text(text) and not any(folded(line) in self._lines for line in text.splitlines()):
            return text
        return "".join(
            ERASED + line[len(line.rstrip("\r\n")) :] if self.in_text(line) else line
            for line in text.splitlines(keepends=True)
        )

    def out_of_json(self, text: str) -> str:
        """JSON text with the strings that quote replaced, and without objects of the erased ids; else unchanged."""
        try:
            plain = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self.out_of_lines(text)
        after = self.out_of(plain)
        return text if after == plain else orjson.dumps(after).decode()

    def out_of(self, value: Any) -> Any:
        """Plain data with the strings that quote replaced, and lists without objects of the erased ids."""
        if isinstance(value, str):
            return ERASED if self.in_text(value) else value
        if isinstance(value, list):
            return [self.out_of(one) for one in value if not self.is_erased(one)]
        if isinstance(value, dict):
            return {ERASED if self._is_needle(key) else key: self.out_of(one) for key, one in value.items()}
        return value

    def is_erased(self, value: Any) -> bool:
        """Whether an object is of an erased example."""
        if not isinstance(value, Mapping):
            return False
        metadata = value.get("metadata")
        own = (
            value.get("id"),
            metadata.get("id") if isinstance(metadata, Mapping) else None,
            value.get("example_id"),
        )
        return any(isinstance(id, str) and id in self.ids for id in own)

    def _is_needle(self, key: str) -> bool:
        return any(needle in folded(key) for needle in self.needles)


def portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in portions that can be looked for at once; one at least, which may be empty."""
    portion: list[str] = []
    length, some = 0, False
    for text in texts:
        portion.append(text)
        length += len(text)
        if length >= PORTION_CHARACTERS:
            yield portion
            portion, length, some = [], 0, True
    if portion or not some:
        yield portion


def folded(text: str) -> str:
    """The form in which texts are compared: normalised, spacing and case apart."""
    return collapse(normalise(text)).casefold()


def strings_in(value: Any) -> Iterable[str]:
    """Every string in plain data that is prose: of the content of messages, or of several words."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from strings_in(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from (text for text in strings_in(one) if len(text.split()) > 2 or "content" in value)


def _windows(text: str) -> Hashes:
    """The hash of each run of `WINDOW` characters: a polynomial modulo 2⁶⁴."""
    if len(text) < WINDOW:
        return np.empty(0, np.uint64)
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64) + np.uint64(1)
    powers = np.array([pow(_BASE, WINDOW - 1 - at, 2**64) for at in range(WINDOW)], np.uint64)
    count = len(codes) - WINDOW + 1
    total = np.zeros(count, np.uint64)
    for at, power in enumerate(powers):
        total += codes[at : at + count] * power
    return total
