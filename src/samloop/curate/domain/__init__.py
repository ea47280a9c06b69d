"""Domain and complexity of each example: by the trained model, by keywords, or by a model of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.domain import keywords
from samloop.curate.domain.complexity import MOST, complexities, request_points
from samloop.curate.domain.model import SHIPPED, DomainModel, loaded
from samloop.curate.domain.signs import asked, is_code
from samloop.errors import RecipeError
from samloop.files import absolute

MODEL: Final = "model"
KEYWORDS: Final = "keywords"


class Classifier:
    """Tells domain and complexity.

    Args:
        by: "model", "keywords", or the path of a model's file, from the root or from ``~`` on.

    Raises:
        RecipeError: it is none of them, or the file holds no model.
    """

    def __init__(self, by: str = MODEL) -> None:
        self.model: DomainModel | None = None
        if by == KEYWORDS:
            return
        path = SHIPPED if by == MODEL else absolute(by) if by.startswith("~") else Path(by)
        if not path.is_absolute():
            raise RecipeError(
                f"expected curate.domains to be {MODEL}, {KEYWORDS} or the whole path of a model's file, got '{by}'; "
                "name one of them"
            )
        self.model = loaded(path)

    def __call__(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """Domain (names) and complexity (integers) of each example.

        Code in the answer or the input, a programming language or a source of code decides for "code".
        """
        beginning, code = asked(batch), is_code(batch)
        complexity = complexities(batch, beginning, code)
        if self.model is None:
            return np.where(code, "code", keywords.told(beginning)), complexity
        told = np.where(code, "code", self.model.told(batch.column("input_text")))
        return told, np.minimum(complexity + request_points(batch, beginning, told), MOST)

    def why(self, batch: pa.RecordBatch) -> str:
        """Why the one example of `batch` has its domain, in a line."""
        if is_code(batch)[0]:
            return "code in its text, its language or its source"
        if self.model is not None:
            return self.model.why(batch.column("input_text")[0].as_py() or "")
        beginning = asked(batch)
        return keywords.why(beginning[0].as_py() or "", str(keywords.told(beginning)[0]))


def classified(batch: pa.RecordBatch, by: str = MODEL) -> tuple[np.ndarray, np.ndarray]:
    """Domain and complexity of each example, as `Classifier` tells them."""
    return Classifier(by)(batch)
