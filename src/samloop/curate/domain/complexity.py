"""How complex an example is, 1 to 10: a sum of plain measurements."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.measure import all_characters, counts, turns

_CONSTRAINT: Final = (
    r"\b(?:must|should|exactly|at (?:least|most)|no (?:more|less) than|only|without|ensure|make sure|do not"
    r"|don['’]t|never"
    r"|avoid|limited to|between [0-9]+ and|in [0-9]+ words|include|format|constraint)\b"
)
_STRUCTURE: Final = r"(?m:^[ \t]*(?:[-*•] |[0-9]{1,2}[.)] |#{1,5} |\|))"


def complexities(batch: pa.RecordBatch, asked: pa.Array, code: np.ndarray) -> np.ndarray:
    """1 to 10, one point each for

    length over 400, 1,500 and 5,000 characters; three and ten lines of structure (lists, headings, tables); code;
    one and three constraints in the prompt; two and six earlier turns.
    """
    structure, constraints, earlier = (
        counts(batch.column("output_text"), _STRUCTURE),
        counts(asked, _CONSTRAINT),
        turns(batch),
    )
    measured = (
        (all_characters(batch), (401, 1501, 5001)),
        (structure, (3, 10)),
        (constraints, (1, 3)),
        (earlier, (2, 6)),
    )
    points: np.ndarray = 1 + code.astype(np.int64)
    for column, bounds in measured:
        points += np.searchsorted(bounds, column, side="right")
    return np.asarray(np.minimum(points, 10))
