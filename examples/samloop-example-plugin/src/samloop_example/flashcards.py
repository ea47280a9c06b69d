"""A source: text files of flashcards, one ``question<TAB>answer`` per line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark, Record, Reject, source


@source("flashcards")
def read(location: str, since: Mapping[str, Any] | None, *, licence: str | None = None) -> Iterator[Record]:
    """The cards in the file `location` that were added below the line where the last reading ended."""
    try:
        lines = Path(location).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"expected a text file of flashcards at {location}: {error}") from error
    done = int((since or {}).get("lines", 0))
    for number, line in enumerate(lines[done:], start=done + 1):
        question, tab, answer = line.partition("\t")
        if not tab:
            yield Reject(location, "no tab between question and answer", line=number)
            continue
        yield Example(
            source="flashcards",
            format="instruction",
            input_text=question,
            output_text=answer,
            source_id=f"{Path(location).name}:{number}",
            group_key=location,
            licence=licence,
            created_at=Path(location).stat().st_mtime,
        )
    yield Mark({"lines": len(lines)})
