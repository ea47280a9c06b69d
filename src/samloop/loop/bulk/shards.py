"""Output files: drafts of what was judged, and shards without those that turned out to be duplicates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from samloop.example import Example
from samloop.loop.bulk.unit import Format
from samloop.text.lines import to_line

if TYPE_CHECKING:
    from samloop.curate.engine import Judgement

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

_READY: Final = frozenset(
    {"input_text", "output_text", "system_prompt", "context", "rejected_output", "conversation_history"}
)
"""Columns that are Arrow's already, for the rules."""


class DraftWriter:
    """Writes what was judged to one file, from which `place` makes a shard. Use it as a context.

    For Parquet it is an Arrow file, which takes a tenth of the time to write and to read: hardly a shard of Parquet
    stays as it is when duplicates are known. For JSON lines it is the lines.
    """

    def __init__(self, path: Path, format: Format) -> None:
        self.path, self.format = path, format
        self._file: Any = _arrow(path) if format == "parquet" else path.open("wb")

    def add(self, judged: Judgement, chosen: np.ndarray) -> None:
        """Write those of a batch that `chosen` says (a boolean each)."""
        if self.format == "jsonl":
            self._file.writelines(_line(judged, at) for at in np.flatnonzero(chosen).tolist())
            return
        table = pa.table([_column(judged, at) for at in SCHEMA], schema=SCHEMA)
        self._file.write_table(table if chosen.all() else table.filter(pa.array(chosen)))

    def __enter__(self) -> DraftWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def draft_name(state: str, format: Format) -> str:
    """What the file of a `DraftWriter` is called."""
    return f"{state}.{'arrow' if format == 'parquet' else format}"


def _arrow(path: Path) -> Any:
    # As it is: to compress what is read once and removed takes four times as long as to write it.
    return pa.ipc.new_file(str(path), SCHEMA, options=pa.ipc.IpcWriteOptions(use_threads=False))


def _parquet(path: Path) -> pq.ParquetWriter:
    # Dictionaries help where few values come over and over; on texts they are built for nothing.
    few = ["source", "format", "domain", "quality_tier", "licence", "language", "state", "reason", "flags"]
    return pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=few)


def _column(judged: Judgement, column: pa.Field) -> pa.Array:
    if column.name == "cluster":  # known when all units are judged
        return pa.nulls(judged.batch.num_rows, column.type)
    if column.name in _READY:
        return judged.batch.column(column.name).cast(column.type)
    return pa.array(judged.values[column.name], column.type)


def _line(judged: Judgement, at: int) -> bytes:
    plain = {name: judged.values[name][at] for name in (*SCHEMA.names[:-1], "updated_at", "validated")}
    plain |= {name: orjson.loads(plain[name]) for name in ("metadata", "flags")}
    plain["conversation_history"] = judged.histories[at]
    return orjson.dumps(to_line(Example.from_dict(plain)), option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Make a shard of a draft, without the rows that go, in the output.

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
    """Put the rows of the draft `source` that `keep` says (a boolean per row) into `target`, with their clusters.

    Lines that all stay as they are make the same file under another name.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    if format == "parquet":
        _write(source, beside, keep, clusters)
    elif keep.all() and not clusters:
        try:
            beside.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, beside)
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


def _write(source: Path, target: Path, keep: np.ndarray, clusters: Mapping[int, str]) -> None:
    names = pa.array([clusters.get(at) for at in range(len(keep))], pa.string())
    at, pending, rows, size = 0, [], 0, 0
    with pa.OSFile(str(source)) as opened, _parquet(target) as out:
        drafts = pa.ipc.open_file(opened)
        for number in range(drafts.num_record_batches):
            batch = drafts.get_batch(number)
            staying = keep[at : at + batch.num_rows]
            batch = batch.set_column(len(SCHEMA) - 1, SCHEMA.field("cluster"), names.slice(at, batch.num_rows))
            at += batch.num_rows
            pending.append(batch if staying.all() else batch.filter(pa.array(staying)))
            rows, size = rows + pending[-1].num_rows, size + pending[-1].nbytes
            if rows >= GROUP_ROWS or size >= GROUP_CHARACTERS or number == drafts.num_record_batches - 1:
                if rows:
                    out.write_table(pa.Table.from_batches(pending), row_group_size=2**20)
                pending, rows, size = [], 0, 0
