"""Databases and archives as an inventory tells them: recognised by their tables and members, never changed."""

from __future__ import annotations

import io
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from samloop.sources.code_database import code_in
from samloop.sources.drafts import Unfit
from samloop.sources.files import HEAD_BYTES
from samloop.sources.json_split import Splitter
from samloop.sources.look import Look, NothingHere, Unreadable
from samloop.sources.sidecars import licence_of
from samloop.sources.sqlite_files import Unreadable as Undone
from samloop.sources.sqlite_files import opened, quoted, tables_of
from samloop.sources.unpack import ALWAYS_BYTES, MOST_RATIO

MAX_ELEMENT_BYTES: Final = 64 * 2**20
MAX_TABLES: Final = 1_000

_DISTILLATION: Final = frozenset(
    "reasoning_patterns corrections principles review_queue chain_of_thought preference_pairs skill_templates "
    "raw_interactions".split()
)


def look_at_database(path: Path) -> Look:
    """What an SQLite file holds: examples, distilled answers, or code.

    No lock is taken, and no file appears beside it. What another program is writing at the time may be missing from
    the counts.

    Raises:
        NothingHere: its tables hold nothing known.
        Unreadable: it is damaged, or another program is writing it.
    """
    try:
        with opened(path, glance=True) as database:
            return _tables(path, database)
    except Undone as problem:
        raise Unreadable(f"{problem.reason}: {problem.detail.partition(';')[0]}") from None


def _tables(path: Path, database: sqlite3.Connection) -> Look:
    tables = tables_of(database)[:MAX_TABLES]
    columns = {table.name: frozenset(map(str.lower, table.columns)) for table in tables}
    kind: str | None = "sam-home"
    if "store_meta" in columns and "training_examples" in columns:
        kind, format_, wanted = None, "samloop store", ["training_examples"]
    elif {"input_text", "output_text"} <= columns.get("training_examples", frozenset()):
        format_, wanted = "training examples", ["training_examples"]
    elif wanted := sorted(_DISTILLATION & columns.keys()):
        format_ = "distillation"
    elif wanted := [table.name for table in tables if code_in(table)]:
        kind, format_ = "code", "code files"
    else:
        raise NothingHere("none of its tables holds examples or code")
    counts = [database.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0] for name in wanted]  # noqa: S608
    return Look(kind=kind, format=format_, container="SQLite", records=sum(counts), licence=licence_of(path))


def look_at_archive(path: Path, known: Callable[[Mapping[str, Any]], str | None]) -> Look:
    """What a .zip holds, where it is the export of conversations.

    Raises:
        NothingHere: it is none.
        Unreadable: it is damaged, encrypted, or unpacks to far too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if _is_conversations(info.filename)]
            if not members:
                raise NothingHere("an archive without conversations")
            return _members(archive, members, known)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"not unpacked: {error}") from None


def _is_conversations(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.startswith("conversations") and base.endswith(".json")


def _members(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], known: Callable[[Mapping[str, Any]], str | None]
) -> Look:
    if any(info.file_size > max(ALWAYS_BYTES, info.compress_size * MOST_RATIO) for info in members):
        raise Unreadable(f"unpacks to more than {MOST_RATIO} times its size; unpack it by hand if you trust it")
    with archive.open(members[0]) as member:
        head = io.BytesIO(member.read(HEAD_BYTES))
    first = next((one for one in Splitter(head, 1, HEAD_BYTES).elements() if isinstance(one, bytes)), None)
    value = None
    if first is not None:
        try:
            value = orjson.loads(first)
        except orjson.JSONDecodeError:
            value = None
    name = known(value) if isinstance(value, dict) else None
    if name is None or "|" not in name:
        # A first conversation longer than the head cannot be looked into; by its name it is one all the same.
        name = "ChatGPT export|chatgpt" if value is None and head.getvalue().lstrip()[:1] == b"[" else None
    if name is None:
        raise NothingHere("an archive without conversations")
    records = 0
    for info in members:
        with archive.open(info) as file:
            records += _count(file)  # type: ignore[arg-type]  # a stream of bytes, as BinaryIO is
    format_, _, kind = name.partition("|")
    return Look(kind=kind, format=format_, container="ZIP", records=records)


def _count(file: BinaryIO) -> int:
    return sum(not isinstance(one, Unfit) for one in Splitter(file, 1, MAX_ELEMENT_BYTES).elements())
