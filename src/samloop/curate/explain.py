"""Why an example has its score, tier and state: terms, flags with what was measured against what, in words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from samloop.curate.engine import Curator
from samloop.curate.settings import Chosen
from samloop.example import Example
from samloop.text.rubric import Rubric


@dataclass(frozen=True, slots=True)
class Flag:
    """A rule that fired.

    Attributes:
        measure: what it measured, in the unit its docstring names.
        options: its thresholds in force, by name.
        about: the first sentence of its docstring.
    """

    rule: str
    outcome: str
    reason: str
    measure: float
    options: Mapping[str, Any]
    about: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What today's rules and rubric say of an example.

    Attributes:
        terms: name and amount of each part of the score, base first; they sum to it.
        tier_reason, state_reason, domain_reason: one sentence each.
    """

    rubric: str
    terms: Sequence[tuple[str, float]]
    score: float
    tier: str
    tier_reason: str
    state: str
    state_reason: str
    domain: str
    domain_reason: str
    complexity: int
    flags: Sequence[Flag]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; a term is {"name", "amount"}."""
        return asdict(self) | {"terms": [{"name": name, "amount": amount} for name, amount in self.terms]}


def explain(curator: Curator, example: Example) -> Explanation:
    """Judge `example` by `curator` and say why."""
    curated = curator.curate([example])
    row = curated.rows[0]
    flags = [_flag(curator.rules, entry) for entry in curated.log if entry["rule"] != "score"]
    score, tier, state = float(row["quality_score"]), str(row["quality_tier"]), str(row["state"])
    return Explanation(
        rubric=curator.rubric.name,
        terms=curator.explain(example),
        score=score,
        tier=tier,
        tier_reason=tier_reason(curator.rubric, score, tier),
        state=state,
        state_reason=str(row["reason"] or "no rule rejects it and none asks for a person"),
        domain=str(row["domain"]),
        domain_reason=curator.why_domain(example),
        complexity=int(row["complexity"]),
        flags=flags,
    )


def tier_reason(rubric: Rubric, score: float, tier: str) -> str:
    """Why a score makes a tier: its bound, and how far the next one is."""
    bounds = dict(zip(("gold", "silver", "bronze"), rubric.tiers, strict=True))
    if tier not in bounds:
        return f"{score:g} is under {bounds['bronze']:g}, where bronze begins"
    text = f"{score:g} reaches {bounds[tier]:g}, where {tier} begins"
    above = [(name, bound) for name, bound in bounds.items() if bound > score]
    return f"{text}; {above[-1][0]} begins at {above[-1][1]:g}" if above else text


def _flag(rules: Mapping[str, Chosen], entry: Mapping[str, Any]) -> Flag:
    chosen = rules.get(entry["rule"])
    options: dict[str, Any] = {}
    about = ""
    if chosen is not None:
        parameters = inspect.signature(chosen.rule).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} | dict(chosen.options)
        about = _first_sentence(inspect.getdoc(chosen.rule) or "")
    return Flag(entry["rule"], entry["outcome"], entry["reason"], float(entry["measure"]), options, about)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".") + "." if paragraph else ""
