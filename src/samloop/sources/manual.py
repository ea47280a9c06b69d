"""Examples that a person wrote: files in the form of the editor, or in any format of data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from samloop.example import Example
from samloop.protocols import Record, source
from samloop.sources import datasets
from samloop.sources.sidecars import spdx_of


@source("manual", needs_location=True, in_parts=True)
def read(
    location: str,
    since: Mapping[str, Any] | None,
    *,
    licence: str | None = None,
    max_line_bytes: int = 64 * 2**20,
) -> Iterator[Record]:
    """The examples in the files at `location` that were not read before.

    The rubrics trust this source: name files here that a person wrote example by example, and public sets as
    ``dataset``.

    Args:
        location: a file, a folder (every file of examples below it) or a pattern such as ``notes/*.txt``.
        since: the last mark, see `samloop.sources.datasets.read`.
        licence: SPDX id of the files; without it, what lies beside each file tells.
        max_line_bytes: longer lines, or files of forms, are turned away.

    Raises:
        SourceError: nothing there can be read as examples; nothing was yielded.
    """
    options = datasets.Options(spdx_of(licence) or licence, max_line_bytes, None)
    return map(_grouped, datasets.read_files("manual", location, since, options))


def _grouped(record: Record) -> Record:
    """Each example that belongs to no other is a group of its own."""
    if isinstance(record, Example) and not record.group_key:
        return replace(record, group_key=f"manual:{record.source_id}")
    return record
