"""How complex an example is, 1 to 10: a sum of plain measurements, and of what the request's domain asks for."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.looks import STRUCTURE, in_answers
from samloop.curate.measure import all_characters, characters, counts, turns

MOST: Final = 10

_CONSTRAINT: Final = (
    r"\b(?:must|should|exactly|at (?:least|most)|no (?:more|less) than|only|without|ensure|make sure|do not"
    r"|don['’]t|never"
    r"|avoid|limited to|between [0-9]+ and|in [0-9]+ words|include|format|constraint)\b"
)


def complexities(batch: pa.RecordBatch, asked: pa.Array, code: np.ndarray) -> np.ndarray:
    """1 to 10, one point each for

    length over 400, 1,500 and 5,000 characters; three and ten lines of structure (lists, headings, tables); code;
    one and three constraints in the prompt; two and six earlier turns.
    """
    structure, constraints, earlier = (
        counts(batch.column("output_text"), STRUCTURE, in_answers(batch, STRUCTURE)),
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
    return np.asarray(np.minimum(points, MOST))


_WORK: Final = {"creative": 1, "reasoning": 1, "code": 1, "planning": 2}
"""Points for what a domain asks of an answer at least: a fact or a greeting none, a plan most."""

_REQUEST_CHARACTERS: Final = (61, 181, 401)
_NUMBERS: Final = (3, 6)


def request_points(batch: pa.RecordBatch, asked: pa.Array, domain: np.ndarray) -> np.ndarray:
    """0 to 7, for what is asked rather than what was answered:

    one for code, reasoning and creative requests and two for planning; one each for a request of more than 60, 180
    and 400 characters, and for three and six numbers in a reasoning one.
    """
    points = np.zeros(batch.num_rows, dtype=np.int64)
    for name, work in _WORK.items():
        points[domain == name] = work
    points += np.searchsorted(_REQUEST_CHARACTERS, characters(batch.column("input_text")), side="right")
    reasoning = domain == "reasoning"
    if reasoning.any():
        numbers = counts(asked.filter(pa.array(reasoning)), r"\b[0-9]")
        points[reasoning] += np.searchsorted(_NUMBERS, numbers, side="right")
    return points
