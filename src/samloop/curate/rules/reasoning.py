"""Rules on a teacher's answers; they run with the distillation rubric."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.measure import characters, counts, finding, matches
from samloop.protocols import Finding, rule

_STEP: Final = (
    r"(?im)^\s{0,8}(?:#{1,4} |\*\*)?(?:step [0-9]{1,2}\b|[0-9]{1,2}[.)] \S|first(?:ly)?\b|second(?:ly)?\b"
    r"|third(?:ly)?\b"
    r"|next\b|then\b|finally\b|therefore\b|thus\b|hence\b)|\b(?:because|therefore|which means|it follows|so we"
    r"|this means)\b"
)
_UNCERTAIN: Final = (
    r"(?i)\bi(?: am|['’]m) not (?:entirely |completely |quite )?(?:sure|certain)\b|\bi (?:think|believe|guess"
    r"|suppose) (?:it|that"
    r"|this|the)\b|\b(?:might|may) (?:or may not|possibly)\b|\bif i (?:recall|remember) correctly\b"
)


def reasoning_steps(column: pa.Array) -> np.ndarray:
    """Number of steps each text shows: numbered or named ones, and words that draw a conclusion."""
    return counts(column, _STEP)


@rule("no_reasoning", outcome="flag", reason="answer shows no reasoning")
def no_reasoning(batch: pa.RecordBatch, *, steps: int = 1) -> Finding:
    """Fewer than `steps` steps of reasoning. Measure: steps."""
    found = reasoning_steps(batch.column("output_text"))
    return finding(found < steps, found)


@rule("too_short", outcome="flag", reason="answer is too short to teach reasoning")
def too_short(batch: pa.RecordBatch, *, characters: int = 100) -> Finding:
    """An answer under `characters`. Measure: characters. 100 is where the rubric's own penalty begins."""
    length = _length(batch)
    return finding(length < characters, length)


@rule("too_long", outcome="flag", reason="answer is too long to learn from whole")
def too_long(batch: pa.RecordBatch, *, characters: int = 8_000) -> Finding:
    """An answer over `characters`. Measure: characters. 8,000 are about 2,000 tokens, the longest training
    sequence of the presets."""
    length = _length(batch)
    return finding(length > characters, length)


def _length(batch: pa.RecordBatch) -> np.ndarray:
    return characters(batch.column("output_text"))


@rule("code_only", outcome="flag", reason="answer is code without a word")
def code_only(batch: pa.RecordBatch, *, prose_characters: int = 20) -> Finding:
    """Code fences with fewer than `prose_characters` around them. Measure: characters outside fences."""
    column = batch.column("output_text")
    prose = pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"(?s)```.*?```", ""))
    outside = characters(prose)
    return finding(matches(column, "```") & (outside < prose_characters), outside)


@rule("uncertain", outcome="flag", reason="answer is unsure of itself")
def uncertain(batch: pa.RecordBatch) -> Finding:
    """The answer hedges its own truth ("I'm not sure", "if I recall correctly"). Measure: how often."""
    found = counts(batch.column("output_text"), _UNCERTAIN)
    return finding(found > 0, found)
