"""Signs of code and the beginning of a request: what each way of telling a domain starts from."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samloop.curate.looks import CODE, in_answers
from samloop.curate.measure import equals, head, matches

PROMPT_CHARACTERS: Final = 800
"""How much of the input keywords are looked for in: the task is asked at the beginning, pasted text follows it."""

_CODE_SOURCES: Final = ("git_commits", "code_patterns")
_PROGRAMMING: Final = (
    "python rust javascript typescript vue swift bash shell java go c c++ c# php ruby kotlin sql html css"
)


def asked(batch: pa.RecordBatch) -> pa.Array:
    """The beginning of each input, in lower case."""
    return pc.utf8_lower(head(batch.column("input_text"), PROMPT_CHARACTERS))


def is_code(batch: pa.RecordBatch) -> np.ndarray:
    """Boolean column: code in the answer or the input, a programming language, or a source of code."""
    found: np.ndarray = in_answers(batch, CODE) | matches(batch.column("input_text"), CODE)
    found |= equals(batch.column("source"), _CODE_SOURCES)
    language = batch.column("language")
    if language.null_count < len(language):
        found |= equals(pc.utf8_lower(language), _PROGRAMMING.split())
    return found
