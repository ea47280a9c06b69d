"""What a preference says beside its texts: signals for choosing among pairs, kept in the metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from samloop.curate.batch import Columns
from samloop.example import to_json

OPPOSITE: Final = "the opposite preference stands beside it"
"""Reason of a rejected pair whose contradiction is in its batch or in the store."""

SCORES: Final = ("chosen_score", "rejected_score")
"""Metadata keys of the scores of both answers; the readers of data sets put them there."""


def add_signals(columns: Columns) -> None:
    """Put `length_delta` and, where both answers were scored, `margin` into the metadata of every dpo example.

    length_delta: characters of the chosen answer minus those of the rejected one; pairs that teach length alone
    show in its average (Singhal et al. 2023, "A long way to go: investigating length correlations in RLHF").
    margin: score of the chosen minus score of the rejected answer, in the unit of the data set.
    """
    for i, (form, rejected) in enumerate(zip(columns.column("format"), columns.rejected_output, strict=True)):
        if form != "dpo" or rejected is None:
            continue
        known = columns.metadata[i]
        signals: dict[str, Any] = {"length_delta": len(columns.output_text[i]) - len(rejected)}
        margin = _margin(known)
        if margin is not None:
            signals["margin"] = margin
        columns.metadata[i] = {**known, **signals}
        columns.metadata_json[i] = to_json(columns.metadata[i])


def _margin(known: Mapping[str, Any]) -> float | None:
    chosen, rejected = (known.get(key) for key in SCORES)
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (chosen, rejected)):
        return None
    margin = float(chosen) - float(rejected)  # type: ignore[arg-type]  # both are numbers
    return round(margin, 6) if math.isfinite(margin) else None
