"""Output files: rows written in order, and written again without those that turned out to be duplicates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from samloop.example import Example
from samloop.text.lines import to_line

Format = Literal["parquet", "jsonl"]

_NONE: Final[Mapping[int, str]] = MappingProxyType({})

GROUP_ROWS: Final = 8_192
GROUP_CHARACTERS: Final = 2**24
"""A row group ends with the batch in which it reaches one of these."""

_TEXT = pa.large_string()
_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", _TEXT)]))

SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("input_text", _TEXT),
        ("output_text", _TEXT),
        ("system_prompt", _TEXT),
        ("context", _TEXT),
        ("rejected_output", _TEXT),
        ("preference_reason", _TEXT),
        ("conversation_history", _TURNS),
        ("metadata", pa.string()),
        ("domain", pa.string()),
        ("complexity", pa.int32()),
        ("quality_score", pa.float64()),
        ("quality_tier", pa.string()),
        ("created_at", pa.float64()),
        ("source_id", pa.string()),
        ("parent_id", pa.string()),
        ("group_key", pa.string()),
        ("licence", pa.string()),
        ("language", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("flags", pa.string()),
        ("weight", pa.float64()),
        ("content_hash", pa.string()),
        ("input_hash", pa.string()),
        ("cluster", pa.string()),
    ]
)
"""The columns of a Parquet shard: the fields of an example, with metadata and flags as JSON text; and its cluster,
the id of the first of those that belong on one side of a split with it."""

_JSON: Final = ("conversation_history", "metadata", "flags")


class ShardWriter:
    """Writes rows, as `Curator.curate` gives them, to one file. Use it as a context: at its end it is whole."""

    def __init__(self, path: Path, format: Format) -> None:
        self.path, self.format = path, format
        self._file: Any = _parquet(path) if format == "parquet" else path.open("wb")
        self._pending: list[pa.Table] = []
        self._rows = self._characters = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `rows`."""
        if self.format == "jsonl":
            self._file.writelines(map(_line, rows))
            return
        table = pa.table([_column(rows, at) for at in SCHEMA], schema=SCHEMA)
        self.add_table(table)

    def add_table(self, table: pa.Table) -> None:
        """Write rows that have the columns of `SCHEMA`; Parquet only."""
        self._pending.append(table)
        self._rows += table.num_rows
        self._characters += table.nbytes
        if self._rows >= GROUP_ROWS or self._characters >= GROUP_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.concat_tables(self._pending), row_group_size=2**20)
        self._pending, self._rows, self._characters = [], 0, 0

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._file.close()


def _parquet(path: Path) -> pq.ParquetWriter:
    # Dictionaries help where few values come over and over; on texts they are built for nothing.
    few = ["source", "format", "domain", "quality_tier", "licence", "language", "state", "reason", "flags"]
    return pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=few)


def _column(rows: Sequence[Mapping[str, Any]], column: pa.Field) -> pa.Array:
    if column.name == "cluster":  # known when all units are judged
        return pa.nulls(len(rows), column.type)
    values = [row[column.name] for row in rows]
    if column.name == "conversation_history":
        values = [[] if text == "[]" else orjson.loads(text) for text in values]
    return pa.array(values, column.type)


def _line(row: Mapping[str, Any]) -> bytes:
    plain = {name: orjson.loads(row[name]) if name in _JSON else row[name] for name in SCHEMA.names[:-1]}
    plain |= {"updated_at": row["updated_at"], "validated": True}
    return orjson.dumps(to_line(Example.from_dict(plain)), option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Put a shard of a unit, without the rows that go, into the output.

    Attributes:
        source, target: paths.
        keep: a byte per row: 1 if it stays.
        clusters: the cluster of rows that have one, by their number.
    """

    source: str
    target: str
    keep: bytes
    clusters: Mapping[int, str]

    def do(self, settings: Any, folder: Path) -> None:  # noqa: ARG002  where the units lie is part of `source`
        """Put it there."""
        keep = np.frombuffer(self.keep, np.bool_)
        place(Path(self.source), Path(self.target), settings.format, keep, self.clusters)


def place(source: Path, target: Path, format: Format, keep: np.ndarray, clusters: Mapping[int, str] = _NONE) -> None:
    """Put the rows of the shard `source` that `keep` says (a boolean per row) into `target`, with their clusters.

    A shard that keeps all its rows as they are is the same file under another name.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    if keep.all() and not clusters:
        try:
            beside.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, beside)
    elif format == "parquet":
        _without(source, beside, keep, clusters)
    else:
        with source.open("rb") as lines, beside.open("wb") as out:
            told = enumerate(zip(lines, keep.tolist(), strict=True))
            out.writelines(_with(line, clusters.get(at)) for at, (line, stays) in told if stays)
    beside.chmod(0o600)
    with beside.open("rb") as opened:
        os.fsync(opened.fileno())
    beside.replace(target)


def _with(line: bytes, cluster: str | None) -> bytes:
    if cluster is None:
        return line
    told = orjson.loads(line)
    told["metadata"]["cluster"] = cluster
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _without(source: Path, target: Path, keep: np.ndarray, clusters: Mapping[int, str]) -> None:
    names = pa.array([clusters.get(at) for at in range(len(keep))], pa.string())
    at = 0
    with pq.ParquetFile(source) as file, ShardWriter(target, "parquet") as out:
        for batch in file.iter_batches(batch_size=2_048):
            stays = pa.array(keep[at : at + batch.num_rows])
            table = pa.Table.from_batches([batch]).cast(SCHEMA)
            table = table.set_column(table.num_columns - 1, "cluster", names.slice(at, batch.num_rows))
            at += batch.num_rows
            out.add_table(table.filter(stays))
