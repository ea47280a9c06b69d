"""The records of a data file, whatever holds them: JSON Lines, a JSON array, CSV, Parquet; plain, .gz or .zst.

Each reader yields blocks of numbered records and the place where reading can go on after the block. Memory is bounded
by a block and by the longest record allowed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import orjson

from samloop.errors import InputError
from samloop.sources.drafts import Unfit
from samloop.sources.json_split import Splitter
from samloop.text import form

BLOCK_BYTES: Final = 2**20
BLOCK_RECORDS: Final = 512


@dataclass(slots=True)
class Block:
    """Some records in a row.

    Attributes:
        records: (number, record) pairs; the number is a line, or the place in the array. A record is JSON text as
            bytes, an object, or the reason why it cannot be had.
        at: bytes (lines) or records (all else) of the file that are complete with this block.
        number: the last number given.
    """

    records: list[tuple[int, Any]]
    at: int
    number: int


class Hasher(Protocol):
    """What xxhash and hashlib have in common."""

    def update(self, data: bytes, /) -> None: ...


def line_blocks(
    file: BinaryIO,
    *,
    max_line_bytes: int,
    at: int = 0,
    number: int = 0,
    hasher: Hasher | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """The lines of `file` from byte `at` on, which is where it stands; `number` lines came before.

    `hasher` is given every complete line, so that with each block it is the digest of the file up to `Block.at`.
    A line longer than `max_line_bytes` is let go as it comes. What follows the last line end is a line too, but
    `Block.at` stays before it: it may still be growing.
    """
    pieces: list[bytes] = []  # of the line at hand; nothing where it is too long and let go
    let_go = 0  # bytes of the line at hand that were let go
    while chunk := file.read(block_bytes):
        head, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            pieces.append(chunk)
            if let_go or sum(map(len, pieces)) > max_line_bytes:
                let_go += _drop(pieces, hasher)
            continue
        records: list[tuple[int, Any]] = []
        data = b"".join((*pieces, head, newline))
        at += let_go + len(data)
        if hasher is not None:
            hasher.update(data)
        if let_go:
            first, _, data = data.partition(b"\n")
            number += 1
            records.append((number, _too_long(let_go + len(first), max_line_bytes)))
        lines: list[Any] = data.split(b"\n")
        lines.pop()  # what follows the last line end: nothing
        if len(data) > max_line_bytes:
            lines = [line if len(line) <= max_line_bytes else _too_long(len(line), max_line_bytes) for line in lines]
        records += enumerate(lines, number + 1)
        number += len(lines)
        pieces, let_go = [rest] if rest else [], 0
        yield Block(records, at, number)
    if pieces or let_go:
        size = let_go + sum(map(len, pieces))
        last = b"".join(pieces) if size <= max_line_bytes else _too_long(size, max_line_bytes)
        yield Block([(number + 1, last)], at, number)


def _drop(pieces: list[bytes], hasher: Hasher | None) -> int:
    size = 0
    for piece in pieces:
        size += len(piece)
        if hasher is not None:
            hasher.update(piece)
    pieces.clear()
    return size


def _too_long(size: int, limit: int) -> Unfit:
    return Unfit("line too long", f"expected at most {limit} bytes, got {size}")


def element_blocks(
    file: BinaryIO, *, array: bool, single: bool, max_line_bytes: int, skip: int = 0
) -> Iterator[Block]:
    """The elements of a JSON array (or of values one after the other) in blocks, without the first `skip`."""
    splitter = Splitter(file, 1 if array else 0, max_line_bytes, single)
    return _blocks(enumerate(splitter.elements(), 1), skip)


def _blocks(records: Iterator[tuple[int, Any]], skip: int) -> Iterator[Block]:
    """`records` in portions, the first `skip` left out; `Block.at` counts records, whatever their numbers."""
    portion: list[tuple[int, Any]] = []
    size = count = number = 0
    for number, record in records:
        count += 1
        if count <= skip:
            continue
        portion.append((number, record))
        size += len(record) if type(record) is bytes else 1_000
        if len(portion) >= BLOCK_RECORDS or size >= BLOCK_BYTES:
            yield Block(portion, count, number)
            portion, size = [], 0
    if portion:
        yield Block(portion, count, number)


def row_blocks(file: BinaryIO, *, delimiter: str, max_line_bytes: int, skip: int = 0) -> Iterator[Block]:
    """The rows of a CSV file with a header, as objects of texts; numbers are lines."""
    return _blocks(_rows(file, delimiter, max_line_bytes), skip)


def _rows(file: BinaryIO, delimiter: str, max_line_bytes: int) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(max_line_bytes)
    turned_away: list[tuple[int, Unfit]] = []
    lines = _text_lines(file, max_line_bytes, turned_away)
    reader = csv.reader(lines, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            yield reader.line_num, Unfit("field too long", f"expected at most {max_line_bytes} characters in a field")
            continue
        yield from turned_away
        turned_away.clear()
        if row is None:
            return
        if len(row) == len(header):
            yield reader.line_num, dict(zip(header, row, strict=True))
        elif row:
            detail = f"expected {len(header)} columns as in the header, got {len(row)}"
            yield reader.line_num, Unfit("wrong number of columns", detail)


def _text_lines(file: BinaryIO, max_line_bytes: int, turned_away: list[tuple[int, Unfit]]) -> Iterator[str]:
    for block in line_blocks(file, max_line_bytes=max_line_bytes):
        for number, line in block.records:
            if isinstance(line, Unfit):
                turned_away.append((number, line))
                yield "\n"
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError as error:
                turned_away.append((number, Unfit("not valid UTF-8", f"at byte {error.start} of the line")))
                yield "\n"


def form_blocks(file: BinaryIO, *, max_line_bytes: int, skip: int = 0) -> Iterator[Block]:
    """The examples of a file that a person wrote in the form of `samloop.text.form`; numbers count them."""
    yield from _blocks(enumerate(_forms(file, max_line_bytes), 1), skip)


def _forms(file: BinaryIO, max_bytes: int) -> Iterator[Any]:
    text = file.read(max_bytes + 1)
    if len(text) > max_bytes:
        yield Unfit("file too long", f"expected at most {max_bytes} bytes in one file of forms; cut it in two")
        return
    try:
        yield from map(form.record_of, form.parse(text.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        yield Unfit("not valid UTF-8", f"at byte {error.start} of the file")
    except InputError as error:
        yield Unfit("form not filled in as expected", str(error))


def table_blocks(path: Path, *, skip: int = 0, groups: range | None = None, number: int = 0) -> Iterator[Block]:
    """The rows of a Parquet file as objects: all, or those of the row groups `groups`, before which lie `number`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows(number: int) -> Iterator[tuple[int, Any]]:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=BLOCK_RECORDS, row_groups=None if groups is None else list(groups))
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError):
                    detail = f"the rows after row {number} cannot be read"
                    yield number + 1, Unfit("damaged file", detail)
                    return
                if batch is None:
                    return
                for row in _objects(batch):
                    number += 1
                    yield number, row

    return _blocks(rows(number), skip)


def _objects(batch: Any) -> list[Any]:
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        rows: list[Any] = []
        for index in range(batch.num_rows):
            try:
                rows += batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                rows.append(Unfit("not valid UTF-8", "a text of the row is not UTF-8"))
        return rows


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(text: bytes) -> Any:
    """The JSON value in `text`; what strict readers refuse and others write (NaN, half of a surrogate pair, a comma
    at the line's end) is mended.

    Raises:
        Unfit: it is no JSON, with the reason.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _mended(text)


def _mended(text: bytes) -> Any:
    import json

    if (zero := text.find(b"\0")) >= 0:
        raise Unfit("NUL byte", f"at byte {zero} of the record")
    try:
        plain = text.decode("utf-8-sig").strip().removesuffix(",")
        return _without_surrogates(json.loads(plain))
    except UnicodeDecodeError as error:
        raise Unfit("not valid UTF-8", f"at byte {error.start} of the record") from None
    except json.JSONDecodeError as error:
        raise Unfit("broken JSON", f"{error.msg.lower().removesuffix(' at')} at character {error.pos}") from None
    except RecursionError:
        raise Unfit("nested too deeply", "expected at most a few hundred levels") from None
    except ValueError:
        raise Unfit("number out of range", "a number has more digits than can be read") from None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value
