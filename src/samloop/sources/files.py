"""Which files lie at a location, and what each one holds, told by its first bytes and not by its name."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from samloop.errors import SourceError
from samloop.sources.drafts import Unfit
from samloop.sources.json_split import Splitter, next_bracket
from samloop.sources.unpack import DAMAGE, open_bytes
from samloop.text.form import is_form

HEAD_BYTES: Final = 2**18
"""Bytes that are looked at to tell what a file holds."""

DATA_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".gz", ".zst"})
"""In a folder, a file with such a name that holds no data is worth a word; others (README, LICENSE) are not."""

RECORD_KEYS: Final = frozenset(
    {"messages", "conversations", "conversation", "chosen", "rejected", "prompt", "instances"}
    | {"conversation_a", "conversation_b", "completion"}
)
"""Keys whose list belongs to one record, so that it is not a list of records."""

Kind = Literal["lines", "values", "array", "csv", "parquet", "form"]
Known = Callable[[frozenset[str]], bool]


class NotData(Exception):  # noqa: N818 - an outcome: a SourceError for a file that was named, a Reject in a folder
    """A file holds no records that this source can read."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Container:
    """What a file holds.

    Attributes:
        kind: JSON lines, JSON values one after the other, an array of them, CSV, Parquet, or the form in which people
            write examples.
        start: offset of the first byte of content, in the decompressed file.
        single: an array inside an object: what follows it is not ours.
        sample: the first objects found, to look at.
    """

    kind: Kind
    compression: str | None = None
    start: int = 0
    single: bool = False
    delimiter: str = ","
    sample: tuple[Any, ...] = ()


def find(location: str) -> tuple[Path, list[Path]]:
    """The folder that paths are told from, and the files at `location`: a file, a folder (all below it) or a pattern.

    Raises:
        SourceError: there is nothing there.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        return path, sorted(_below(path))
    if path.exists() or path.is_symlink():
        if not path.is_file():
            raise SourceError(f"expected a data file or a folder, got {path}, which is neither; name another")
        return path.parent, [path]
    if any(sign in location for sign in "*?["):
        matches = (Path(match) for match in glob.iglob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
        found = sorted(match for match in matches if match.is_file())
        if found:
            return Path(os.path.commonpath([match.parent for match in found])), found
        raise SourceError(f"expected data files that match {location}, found none; check the pattern")
    raise SourceError(f"expected a data file or a folder, found nothing at {location}; check the path")


def _below(folder: Path) -> Iterator[Path]:
    """The files in and below `folder`, and each folder that cannot be listed: reading it will tell why."""
    closed: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: closed.append(error.filename)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path
    yield from map(Path, closed)


def look(path: Path, known: Known) -> Container:
    """What the file at `path` holds; `known` tells whether records with these keys have a format.

    Raises:
        NotData: nothing that can be read as records.
        OSError: it cannot be read at all.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise NotData("the file is empty", "remove it, or write to it first")
    if magic == b"PAR1":
        return _table(path)
    compression = "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else None
    head = _head(path, compression)
    whole = len(head) < HEAD_BYTES
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotData("the file is UTF-16", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8")
    body = head[start:].lstrip()
    start = len(head) - len(body)
    if not body:
        raise NotData("there is nothing but blanks in it", "remove it, or write to it first")
    if body[:1] == b"[" and not _lines_of_values(body):
        return Container("array", compression, start, sample=_first(body, 1))
    if body[:1] == b"[":
        return Container("lines", compression, start, sample=_first(body, 0))
    if body[:1] == b"{":
        return _objects(body, compression, start, whole, known)
    if is_form(body):
        return Container("form", compression, start)
    return _text(body, compression, start, known)


def _head(path: Path, compression: str | None) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        with open_bytes(path, compression) as file:
            while size < HEAD_BYTES and (part := file.read(min(8192, HEAD_BYTES - size))):
                parts.append(part)
                size += len(part)
    except (*DAMAGE, OSError):
        if compression is None:
            raise
        if not parts:
            raise NotData(f"it begins like {compression} and cannot be decompressed", "fetch it again") from None
    return b"".join(parts)


def _table(path: Path) -> Container:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
    except (pa.ArrowException, OSError):
        raise NotData("it begins like Parquet and cannot be read", "fetch it again") from None
    return Container("parquet", sample=(dict.fromkeys(names),))


def _lines_of_values(body: bytes) -> bool:
    """Whether a file that begins like an array holds one value per line, the first of which is an array."""
    first, _, rest = body.partition(b"\n")
    second = next((line for line in rest.split(b"\n", 8)[:8] if line.strip()), b"")
    return isinstance(_loads(first), list) and _loads(second) is not None


def _first(body: bytes, level: int) -> tuple[Any, ...]:
    """The first few objects in the head of an array (level 1) or a sequence (level 0)."""
    sample: list[Any] = []
    for element in Splitter(io.BytesIO(body), level, HEAD_BYTES).elements():
        if not isinstance(element, Unfit) and isinstance(value := _loads(element), dict):
            sample.append(value)
        if len(sample) >= 64:
            break
    return tuple(sample)


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _objects(body: bytes, compression: str | None, start: int, whole: bool, known: Known) -> Container:
    """A file that begins with a brace: lines, an object that holds the records, or objects over several lines."""
    first, newline, rest = body.partition(b"\n")
    sample = _first(body, 0)
    only = bool(sample) and not (newline and rest.strip()) and isinstance(_loads(first), dict)
    if isinstance(_loads(first), dict) and not only:
        return Container("lines", compression, start, sample=sample)
    if whole and len(sample) == 1 and (only or isinstance(_loads(body), dict)):
        keys = frozenset(key for key, value in sample[0].items() if key != "data" or not _holds_objects(value))
        if known(keys) or (offset := _list_in(body)) is None:
            return Container("lines" if only else "values", compression, start, sample=sample)
        return Container("array", compression, start + offset, single=True, sample=_first(body[offset:], 1))
    others = [isinstance(_loads(line), dict) for line in rest.split(b"\n")[:20] if line.strip()]
    if newline and sum(others) >= max(1, len(others) // 2) and not first.rstrip().endswith((b"[", b",")):
        return Container("lines", compression, start, sample=sample)
    if (offset := _list_in(body)) is not None:
        return Container("array", compression, start + offset, single=True, sample=_first(body[offset:], 1))
    one_line = not newline or (first.rstrip()[-1:] == b"}" and rest.lstrip()[:1] in (b"", b"{"))
    return Container("lines" if one_line else "values", compression, start, sample=sample)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _list_in(body: bytes) -> int | None:
    """Where the list of records begins in an object that holds one; None where it holds none."""
    depth = position = 0
    while (end := next_bracket(body, position)) is not None:
        bracket, before = body[end - 1 : end], body[position : end - 1]
        if bracket == b"[" and depth == 1 and body[end:].lstrip()[:1] == b"{":
            key = re.search(rb'"([^"\\]*)"\s*:\s*$', before)
            if key and key[1].decode("utf-8", "replace") not in RECORD_KEYS:
                return end - 1
        depth += 1 if bracket in b"{[" else -1
        position = end
    return None


def _text(body: bytes, compression: str | None, start: int, known: Known) -> Container:
    """A file that begins with neither bracket nor brace: lines with a bad start, or CSV with a header we know."""
    lines = [line for line in body.split(b"\n")[:200] if line.strip()]
    objects = [value for line in lines[1:] if line[:1] == b"{" and isinstance(value := _loads(line), dict)]
    if objects and len(objects) * 2 >= len(lines) - 1:
        return Container("lines", compression, start, sample=tuple(objects[:64]))
    try:
        header = lines[0].decode().removesuffix("\r")
    except UnicodeDecodeError:
        header = "\0"
    if header.isprintable() or "\t" in header:
        for delimiter in ",;\t|":
            names = next(csv.reader([header.strip("\r\n")], delimiter=delimiter), [])
            keys = frozenset(name.strip().lower().replace(" ", "_") for name in names)
            if known(keys) and (len(keys) > 1 or delimiter == ","):
                return Container("csv", compression, start, delimiter=delimiter, sample=(dict.fromkeys(keys),))
    raise NotData(
        f"{_look_of(body)}, not JSON Lines, JSON, Parquet, or CSV with a header of known columns",
        "name a data file in one of these formats",
    )


_MAGIC: Final = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "bzip2; unpack it first"),
    (b"\xfd7zXZ", "xz; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"ARROW1", "an Arrow file"),
    (b"version https://git-lfs", "the pointer to a file that Git LFS has not fetched (git lfs pull)"),
    (b"<", "HTML or XML"),
)


def _look_of(body: bytes) -> str:
    """What a file that is no data seems to be, for a message."""
    for magic, name in _MAGIC:
        if body.startswith(magic):
            return f"it looks like {name}"
    return "it looks like binary data" if b"\0" in body[:4096] else "it looks like plain text"
