"""Splits a stream of JSON bytes into its elements without building it: a 2 GB array takes the memory of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import orjson

from samloop.sources.drafts import Unfit

CHUNK_BYTES: Final = 2**20

MAX_DEPTH: Final = 10_000
"""No record is nested as deeply; a file that is has lost its closing brackets, or never had any."""

# Atomic and possessive throughout, so that no input makes a pattern go back.
_STRING: Final = rb'"[^"\\\x00]*+(?>(?:\\.|\x00)[^"\\\x00]*+)*+"'
"""NUL, which no JSON string holds, is there for speed: a set of three is looked up in a table, one of two is not."""
_TO_BRACKET = re.compile(rb'(?>[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])", re.DOTALL)
"""Up to and with the next bracket outside a string; no match where the bytes at hand do not reach it."""


def _over_pairs(levels: int) -> bytes:
    """What holds no bracket, or brackets in pairs that are nested at most `levels` deep."""
    inside = _over_pairs(levels - 1) if levels else b""
    pairs = rb"|\{" + inside + rb"\}|\[" + inside + rb"\]" if levels else b""
    return rb'(?>[^"{}\[\]]++|' + _STRING + pairs + rb")*+"


_TO_OWN_BRACKET = re.compile(_over_pairs(3) + rb"([{}\[\]])", re.DOTALL)
"""Like `_TO_BRACKET`, for the inside of an element: pairs that open and close on the way are passed over in one step.
Where they are nested deeper, the outermost is stopped at, so that no byte is looked at more than four times."""
_OUTSIDE = re.compile(rb'[^"{}\[\]]*+')
_IN_STRING = re.compile(rb"(?>[^\"\\]++|\\.)*+", re.DOTALL)
_FILLER = b", \t\r\n"


@dataclass(slots=True)
class Splitter:
    """The elements of a JSON text, one by one.

    Args:
        file: read from its current position.
        level: 0 for values one after the other, 1 for the elements of an array.
        max_element_bytes: longer elements are skipped without being held.
        single: stop at the end of the first array, whatever follows.
    """

    file: BinaryIO
    level: int
    max_element_bytes: int
    single: bool = False
    _buffer: bytes = b""
    _depth: int = 0

    def elements(self) -> Iterator[bytes | Unfit]:
        """The bytes of each object or array, an `Unfit` for each value that is none and for what cannot be had."""
        position = start = 0  # scanned up to; where the element at hand begins
        inside = False
        while True:
            found = (_TO_OWN_BRACKET if inside else _TO_BRACKET).match(self._buffer, position)
            if found is None:
                if inside and len(self._buffer) - start > self.max_element_bytes:
                    yield self._too_long()
                    inside = not self._discard(position)
                    position = start = 0
                    if inside:
                        break
                    continue
                self._buffer, position, start = self._buffer[start:], position - start, 0
                if not inside:
                    self._buffer = self._buffer.lstrip(_FILLER)  # a gigabyte of blanks is held by nobody
                    if len(self._buffer) > self.max_element_bytes:
                        yield Unfit("not an object", "expected JSON objects, got plain values; the rest was not read")
                        return
                if not self._more():
                    break
                continue
            end = found.end()
            if found[1] in b"{[":
                if self._depth == self.level and not inside:
                    yield from _values(self._buffer[position : end - 1])
                    inside, start = True, end - 1
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    break
            elif self._depth == 0:
                yield Unfit("broken JSON", "a bracket is closed that was never opened")
            else:
                self._depth -= 1
                if inside and self._depth == self.level:
                    too_long = end - start > self.max_element_bytes
                    yield self._too_long() if too_long else self._buffer[start:end]
                    inside = False
                elif self._depth < self.level:
                    yield from _values(self._buffer[position : end - 1])
                    if self.single:
                        return
            position = end
            if not inside:
                start = position
        if self._depth > MAX_DEPTH:
            yield Unfit(
                "nested too deeply", f"expected at most {MAX_DEPTH} levels; the rest of the file was not read"
            )
        elif inside or self._depth:
            yield Unfit("truncated file", "the file ends before its last bracket is closed")
        else:
            yield from _values(self._buffer[position:])

    def _too_long(self) -> Unfit:
        return Unfit("record too long", f"expected at most {self.max_element_bytes} bytes, got more")

    def _more(self) -> bool:
        chunk = self.file.read(max(CHUNK_BYTES, len(self._buffer)))
        self._buffer += chunk
        return bool(chunk)

    def _discard(self, position: int) -> bool:
        """Let go of the rest of the element, up to the buffer's new start; False where the file ends first."""
        in_string = False
        while True:
            position = (_IN_STRING if in_string else _OUTSIDE).match(self._buffer, position).end()  # type: ignore[union-attr]
            mark = self._buffer[position : position + 1]
            if mark in (b"", b"\\"):
                self._buffer = mark + self.file.read(CHUNK_BYTES)
                position = 0
                if len(self._buffer) == len(mark):
                    return False
                continue
            position += 1
            if mark == b'"':
                in_string = not in_string
            elif not in_string:
                self._depth += 1 if mark in b"{[" else -1
                if self._depth > MAX_DEPTH:
                    return False
                if self._depth == self.level:
                    self._buffer = self._buffer[position:]
                    return True


def _values(between: bytes) -> Iterator[Unfit]:
    """One `Unfit` per value between elements that is neither an object nor an array."""
    values = between.strip(_FILLER)
    if not values:
        return
    try:
        count = len(orjson.loads(b"[" + values + b"]"))
    except orjson.JSONDecodeError:
        yield Unfit("broken JSON", "expected an object, got something that is no JSON value")
        return
    for _ in range(count):
        yield Unfit("not an object", "expected a JSON object, got a plain value")


def next_bracket(text: bytes, position: int) -> int | None:
    """The offset after the next bracket outside a string, None where `text` ends before one."""
    found = _TO_BRACKET.match(text, position)
    return found.end() if found else None
