"""A rule: answers that are mostly capital letters are flagged."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from samloop.protocols import Finding, rule


@rule("shouting", outcome="flag", reason="answer is mostly capital letters")
def shouting(batch: pa.RecordBatch, *, share: float = 0.7) -> Finding:
    """Fires where more than `share` of an answer's ASCII letters are capitals; measures that share."""
    text = batch.column("output_text")
    capitals = pc.cast(pc.count_substring_regex(text, "[A-Z]"), pa.float64())
    letters = pc.cast(pc.count_substring_regex(text, "[A-Za-z]"), pa.float64())
    measure = pc.if_else(pc.greater(letters, 0.0), pc.divide(capitals, pc.max_element_wise(letters, 1.0)), 0.0)
    return Finding(hit=pc.greater(measure, share), measure=measure)
