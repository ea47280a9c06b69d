"""What a rubric measures of a batch, from the columns, the rules' findings and the examples' metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from samloop.curate.batch import Columns
from samloop.curate.measure import all_characters, characters, equals, fences, turns
from samloop.curate.rules.reasoning import reasoning_steps
from samloop.protocols import Rule
from samloop.text.rubric import Rubric

_FLAGS_OF_RUBRICS: Final = ("incomplete", "repetition", "refusal", "loop", "wrong_language")
"""Flags that terms name; one that does not run has not fired."""

_MEASURES: Final = (
    ("repetition", "repetition", 0.0),
    ("chance:misfit", "misfit", 0.0),
    ("chance:unfinished", "unfinished", 0.0),
)
"""Measurements that terms name: feature, rule, and what stands for a rule that does not run."""

Findings = Mapping[str, tuple[Rule, np.ndarray, np.ndarray]]
"""By rule name: the rule, where it fired, what it measured."""


def features(
    columns: Columns,
    batch: pa.RecordBatch,
    findings: Findings,
    domain: np.ndarray,
    complexity: np.ndarray,
    rubric: Rubric,
) -> dict[str, np.ndarray]:
    """One column per feature that a rubric may name: numbers, names, and ``flag:RULE`` for each rule that flags."""
    n = batch.num_rows
    found: dict[str, np.ndarray] = {
        "source": _names(batch, "source"),
        "format": _names(batch, "format"),
        "domain": domain,
        "complexity": complexity,
        "characters": all_characters(batch),
        "output_characters": characters(batch.column("output_text")),
        "code_blocks": fences(batch.column("output_text")) // 2,
    }
    flags = {name: hit for name, (rule, hit, _) in findings.items() if rule.outcome == "flag"}
    for name in _FLAGS_OF_RUBRICS:
        found[f"flag:{name}"] = np.zeros(n, dtype=bool)
    found |= {f"flag:{name}": hit for name, hit in flags.items()}
    for name, by, otherwise in _MEASURES:
        found[name] = findings[by][2] if by in findings else np.full(n, otherwise)
    rejected = np.zeros(n, dtype=bool)
    for rule, hit, _ in findings.values():
        rejected |= hit if rule.outcome == "reject" else False
    found["valid_format"] = ~rejected & (~equals(batch.column("format"), ["multi_turn"]) | (turns(batch) > 0))
    found["flags_without_own_term"] = _flags_without_own_term(flags, found, rubric.own, n)
    if any(condition.feature == "reasoning_steps" for term in rubric.terms for condition in term.when):
        found["reasoning_steps"] = reasoning_steps(batch.column("output_text"))
    return found | _stated(columns, found.get("reasoning_steps", np.zeros(n)))


def _flags_without_own_term(
    flags: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], own: frozenset[str], n: int
) -> np.ndarray:
    total = np.zeros(n, dtype=np.int64)
    for name, hit in flags.items():
        if name not in own:
            total += hit & (found["repetition"] <= 0.4) if f"{name} over 40 %" in own else hit
    return total


def _stated(columns: Columns, steps: np.ndarray) -> dict[str, np.ndarray]:
    """What the metadata says, where the source may say it."""
    metadata, n = columns.metadata, len(columns)
    correction = [e.source == "user_correction" for e in columns.examples]
    reviewed = principle = direct = [False] * n
    if any(metadata):
        kinds = [m.get("reasoning_type") for m in metadata]
        correction = [c or k == "correction" for c, k in zip(correction, kinds, strict=True)]
        reviewed = [m.get("human_reviewed") is True or m.get("verified") is True for m in metadata]
        principle = [bool(m.get("principle") or m.get("principles")) for m in metadata]
        direct = [k == "direct" for k in kinds]
        unstated = np.array([k is None for k in kinds])
    else:
        unstated = np.ones(n, dtype=bool)
    return {
        "correction": np.array(correction, dtype=bool),
        "human_reviewed": np.array(reviewed, dtype=bool),
        "principle": np.array(principle, dtype=bool),
        "direct": np.array(direct, dtype=bool) | (unstated & (steps < 1)),
    }


def _names(batch: pa.RecordBatch, column: str) -> np.ndarray:
    return np.array(batch.column(column).to_pylist(), dtype=np.str_)
