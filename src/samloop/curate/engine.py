"""The curator: examples in, judged rows out. One code for a single captured chat and for millions of lines.

Order: normalise → redact → validate → classify → grade → score → decontaminate → state. Exact
duplicates share an id, so that the store keeps one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from samloop.curate.batch import Columns, cleaned
from samloop.curate.decontaminate import Decontaminator
from samloop.curate.domain import Classifier
from samloop.curate.hashes import hashes_of
from samloop.curate.preference import add_signals
from samloop.curate.quality import Findings, features
from samloop.curate.redact import redact
from samloop.curate.settings import chosen_rules
from samloop.errors import PluginError
from samloop.example import ID_LENGTH, Example, Message, to_json
from samloop.protocols import SHALL_LOOK, Finding, Rule
from samloop.rows import Rows
from samloop.settings import Curate
from samloop.text.patterns import Redactor
from samloop.text.rubric import rubric_named

REVIEWING_SOURCES: Final = frozenset({"manual"})
"""Sources whose records a person has made by hand, so that their word on reviews is kept."""


@dataclass(frozen=True, slots=True)
class Curated:
    """What curation made of a batch.

    Attributes:
        rows: one per example, in order; keys are the columns of training_examples, JSON columns as text.
        log: one entry per flag or reject of each distinct example: example_id, rule, outcome, measure, reason.
        redacted: how many values of each type were taken out.
        identifiers: (example_id, digest) of each personal identifier taken out, where a key was given.
    """

    rows: Rows
    log: list[dict[str, Any]] = field(default_factory=list)
    redacted: dict[str, int] = field(default_factory=dict)
    identifiers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What curation made of a batch, as columns.

    Attributes:
        values: by column of training_examples what each example has there, JSON columns as text.
        batch: their texts, as rules read them.
        histories: the earlier turns of each.
        characters: int64, the length of each.
        redacted: how many values of each type were taken out.
    """

    values: Mapping[str, list[Any]]
    batch: pa.RecordBatch
    histories: Sequence[tuple[Message, ...]]
    characters: np.ndarray
    redacted: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Judged:
    """The columns that judging a batch yields."""

    findings: Findings
    features: Mapping[str, np.ndarray]
    score: np.ndarray
    tier: np.ndarray
    rejects: list[tuple[str, np.ndarray]]


class Curator:
    """Judges examples by the recipe.

    Args:
        settings: the recipe's section ``curate``.
        items: what evaluation asks, by suite; an example that contains one of them is rejected.
        identifier_key: the home's key, to keep a hash of each personal identifier that is redacted.

    Raises:
        RecipeError: the rubric, a rule, an option or what tells domains is unknown, or a value does not fit.
        PluginError: a rule cannot be loaded.
    """

    def __init__(
        self,
        settings: Curate,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        identifier_key: bytes | None = None,
    ) -> None:
        self.settings = settings
        self.identifier_key = identifier_key
        self.rubric = rubric_named(settings.rubric)
        self.rules = chosen_rules(settings.rules, self.rubric)
        self.classifier = Classifier(settings.domains)
        self.decontaminator = Decontaminator(items).as_rule() if items else None
        self.redactor = Redactor(settings.redact.names) if settings.redact.enabled else None

    def curate(self, examples: Sequence[Example], *, review: bool = False) -> Curated:
        """Judge `examples`; one row each, in order. What they say about their own state is ignored.

        Args:
            review: a person shall see each of them that is not rejected.

        Raises:
            PluginError: a rule failed on this batch, or answered with something other than a `Finding`.
        """
        if not examples:
            return Curated(Rows({}))
        columns, batch, judged = self._judge(examples)
        values = _values(columns, batch, judged, *self._states(columns, judged, review))
        ids = values["id"]
        identifiers = [(ids[i], digest) for i, digest in columns.identifiers]
        return Curated(Rows(values), _log(ids, judged), columns.redacted, identifiers)

    def judge(self, examples: Sequence[Example]) -> Judgement:
        """What `curate` makes of `examples`, with what it read to come there and without a log, for work in bulk.

        Raises:
            PluginError: as `curate`.
        """
        columns, batch, judged = self._judge(examples)
        values = _values(columns, batch, judged, *self._states(columns, judged, False))
        return Judgement(values, batch, columns.history, judged.features["characters"], columns.redacted)

    def explain(self, example: Example) -> list[tuple[str, float]]:
        """The terms of the example's score under this recipe, base first; they sum to the score."""
        _, _, judged = self._judge([example])
        return self.rubric.terms_of(judged.features)

    def why_domain(self, example: Example) -> str:
        """What speaks for the example's domain, in a line."""
        _, batch, _ = self._judge([example])
        return self.classifier.why(batch)

    def _judge(self, examples: Sequence[Example]) -> tuple[Columns, pa.RecordBatch, _Judged]:
        columns = cleaned(examples, REVIEWING_SOURCES.__contains__)
        if self.redactor is not None:
            redact(columns, self.redactor, self.identifier_key)
        add_signals(columns)
        batch, n = columns.to_batch(), len(columns)
        findings = {name: _found(c.rule, c.options, batch) for name, c in self.rules.items()}
        domain, complexity = self.classifier(batch)
        measured = features(columns, batch, findings, domain, complexity, self.rubric)
        score = self.rubric.score(measured, n)
        if self.decontaminator is not None:
            findings["decontaminate"] = _found(self.decontaminator, {}, batch)
        rejects = [(rule.reason, hit) for rule, hit, _ in findings.values() if rule.outcome == "reject"]
        rejects += self.rubric.rejected(measured, n)
        rejects.append((f"score below {self.settings.reject_below:g}", score < self.settings.reject_below))
        return columns, batch, _Judged(findings, measured, score, self.rubric.tier(score), rejects)

    def _states(self, columns: Columns, judged: _Judged, review: bool) -> tuple[list[str], list[str | None]]:
        """State and reason of each example; the first condition that holds decides."""
        n, bronze = len(columns), self.rubric.tiers[2]
        doubts = [
            (rule.reason, hit) for rule, hit, _ in judged.findings.values() if rule.outcome == "flag" and rule.doubt
        ]
        doubts.append((f"score below {bronze:g} (unverified)", judged.tier == "unverified"))
        if review:
            doubts.append(("its source is set to be reviewed", np.ones(n, dtype=bool)))
        for wish in sorted({e.reason for e in columns.examples if e.reason and e.reason.startswith(SHALL_LOOK)}):
            wished = [e.state == "review" and e.reason == wish for e in columns.examples]
            doubts.append((wish, np.array(wished, dtype=bool)))
        state, reason = ["accepted"] * n, [None] * n
        for name, conditions in (("review", doubts), ("rejected", judged.rejects)):
            for text, hit in reversed(conditions):
                for i in np.flatnonzero(hit):
                    state[i], reason[i] = name, text  # type: ignore[call-overload]
        return state, reason  # type: ignore[return-value]


def _found(rule: Rule, options: Mapping[str, Any], batch: pa.RecordBatch) -> tuple[Rule, np.ndarray, np.ndarray]:
    n = batch.num_rows
    try:
        found = rule(batch, **options)
    except Exception as error:  # a plug-in may raise anything; its message may hold text of the batch
        kind = type(error).__name__
        raise PluginError(
            f"the rule '{rule.rule_name}' failed with {kind} on a batch of {n} examples; "
            f"mend it, or leave it out with curate.rules.{rule.rule_name}.enabled = false"
        ) from error
    if not isinstance(found, Finding) or len(found.hit) != n or len(found.measure) != n or found.hit.null_count:
        raise PluginError(f"the rule '{rule.rule_name}' must return a Finding of {n} entries without nulls in hit")
    hit = np.asarray(found.hit.to_numpy(zero_copy_only=False), dtype=bool)
    return rule, hit, np.asarray(found.measure.to_numpy(zero_copy_only=False), dtype=np.float64)


def _flags(findings: Findings, n: int) -> list[list[dict[str, Any]]]:
    flags: list[list[dict[str, Any]]] = [[] for _ in range(n)]
    for name, (rule, hit, measure) in findings.items():
        for i in np.flatnonzero(hit):
            flags[i].append({"rule": name, "outcome": rule.outcome, "measure": round(float(measure[i]), 4)})
    return flags


def _values(
    columns: Columns, batch: pa.RecordBatch, judged: _Judged, state: list[str], reason: list[str | None]
) -> dict[str, list[Any]]:
    """The columns of training_examples, in order."""
    c, n = columns, len(columns)
    whole, asked = hashes_of(batch, c.history)
    return {
        "id": [one[:ID_LENGTH] for one in whole],
        "source": c.column("source"),
        "format": c.column("format"),
        "input_text": c.input_text,
        "output_text": c.output_text,
        "system_prompt": c.system_prompt,
        "context": c.context,
        "rejected_output": c.rejected_output,
        "preference_reason": c.preference_reason,
        "conversation_history": [to_json(history) if history else "[]" for history in c.history],
        "metadata": c.metadata_json,
        "domain": judged.features["domain"].tolist(),
        "complexity": judged.features["complexity"].tolist(),
        "quality_score": judged.score.tolist(),
        "quality_tier": judged.tier.tolist(),
        "created_at": c.column("created_at"),
        "updated_at": c.column("updated_at"),
        "source_id": c.source_id,
        "parent_id": c.column("parent_id"),
        "group_key": c.group_key,
        "licence": c.column("licence"),
        "language": c.column("language"),
        "content_hash": whole,
        "input_hash": asked,
        "state": state,
        "reason": reason,
        "flags": [to_json(one) if one else "[]" for one in _flags(judged.findings, n)],
        "weight": c.column("weight"),
        "validated": [True] * n,
        "used_in_training": [False] * n,
        "training_run_id": [None] * n,
    }


def _log(ids: list[str], judged: _Judged) -> list[dict[str, Any]]:
    first: dict[str, int] = {}
    for i, id in enumerate(ids):
        first.setdefault(id, i)
    log: list[dict[str, Any]] = []

    def add(hit: np.ndarray, rule: str, outcome: str, measure: np.ndarray, reason: str) -> None:
        for i in np.flatnonzero(hit).tolist():
            if first[ids[i]] == i:
                value = round(float(measure[i]), 4)
                entry = {"example_id": ids[i], "rule": rule, "outcome": outcome, "measure": value}
                log.append({**entry, "reason": reason})

    for name, (rule, hit, measure) in judged.findings.items():
        add(hit, name, rule.outcome, measure, rule.reason)
    rules_that_reject = sum(rule.outcome == "reject" for rule, _, _ in judged.findings.values())
    for reason, hit in judged.rejects[rules_that_reject:]:
        add(hit, "score", "reject", judged.score, reason)
    return log
