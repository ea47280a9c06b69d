"""One unit of work: some portions of the input in, one folder with what came of them out.

A unit is named by its content and the settings, and its folder is there when it is whole and not before. So it does
not matter which process on which machine judges it, in which order, or how often one is killed: the folder that is
there in the end holds the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import xxhash

import samloop
from samloop.example import STATES, to_json
from samloop.loop.admission import Admission
from samloop.settings import Curate
from samloop.sources.portions import Portion

Format = Literal["parquet", "jsonl"]

LAYOUT: Final = 4
"""Raised when what a unit leaves behind changes, so that an older one is not taken for whole."""

ROWS: Final = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("portion", "<u4"),
        ("characters", "<u4"),
        ("score", "<f4"),
        ("reason", "<u2"),
        ("state", "u1"),
        ("kind", "u1"),
    ]
)
"""What is noted of each judged example, in order: content hash, portion of the unit, length, score, code of the
reason (0: none), place of the state in `STATES`, and kind as near-duplicates tell kinds apart."""

ACCEPTED, REJECTED = STATES.index("accepted"), STATES.index("rejected")

ROWS_FILE: Final = "rows.bin"
LISTED_FILE: Final = "listed.jsonl"
MANIFEST_FILE: Final = "manifest.json"
HASHES_FILE, MARKS_FILE, STARTS_FILE, NAMES_FILE = "hashes.bin", "marks.bin", "starts.bin", "names.bin"
PROMPTS_FILE, PROMPT_STARTS_FILE = "prompts.bin", "prompt-starts.bin"
"""Of what is not rejected, for near-duplicates: shingles (uint32) and their marks (uint8), where those of each row
begin (int64, one more than rows), and as JSON lines where each comes from. Once more the shingles of what is asked
alone, since many examples ask the same and only those are compared then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides what becomes of a record, beside the record itself.

    Attributes:
        variables: what to put for template variables.
        admission: decides which licences are let in.
        items: what evaluation asks, by suite; no example may contain it.
        base: the folder of the model whose tokenizer counts tokens.
        base_name: what the report calls it.
    """

    curate: Curate
    format: Format
    max_line_bytes: int
    variables: Mapping[str, str]
    admission: Admission
    items: Mapping[str, tuple[str, ...]]
    base: str
    base_name: str

    @property
    def digest(self) -> str:
        """128-bit xxh3 of the settings and of the code's version, 32 hex digits."""
        told: list[Any] = [
            self.curate.model_dump(mode="json"),
            self.format,
            self.max_line_bytes,
            dict(self.variables),
        ]
        told.extend((dict(self.items), self.admission.document()))
        return xxhash.xxh3_128_hexdigest(to_json([LAYOUT, samloop.__version__, self.base_name, *told]).encode())


@dataclass(frozen=True, slots=True)
class Unit:
    """Some portions, next to each other in the input; `name` is a digest of their content and of the settings."""

    name: str
    portions: tuple[Portion, ...]

    @property
    def size(self) -> int:
        """Bytes of input."""
        return sum(portion.size for portion in self.portions)

    def do(self, settings: Settings, folder: Path) -> None:
        """Judge it, and leave what came of it in a folder of its name in `folder`."""
        # By name: whoever has it done elsewhere does without all that judging needs.
        import_module("samloop.loop.bulk.judging").judge(self, settings, folder)


def rows_of(folder: Path) -> np.ndarray:
    """What is noted of the rows of the unit in `folder`, one entry of `ROWS` each, mapped and not loaded."""
    path = folder / ROWS_FILE
    return np.memmap(path, dtype=ROWS, mode="r") if path.stat().st_size else np.empty(0, dtype=ROWS)
