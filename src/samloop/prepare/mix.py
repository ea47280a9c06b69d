"""Draw the mix: which of the candidates train, so that a large source cannot drown a small one.

Deterministic: candidates are taken in the order of a seeded hash of their ids, corrections first. A cap bounds a
source's share of the tokens that remain, the budget bounds them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xxhash

FLOOR_SOURCES = frozenset({"user_correction", "user_preference"})
"""Sources whose examples are never drawn away: each is a person's own word."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the draw needs to know of an example."""

    id: str
    source: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Mix:
    """The ids that train, and what was left out, by reason and source."""

    ids: frozenset[str]
    tokens_by_source: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]


def draw(
    candidates: Sequence[Candidate], *, token_budget: int, source_caps: Mapping[str, float], seed: int = 0
) -> Mix:
    """Choose among `candidates`.

    Args:
        token_budget: tokens in all; 0 for no bound.
        source_caps: largest share of all chosen tokens, by source, 0..1.
        seed: another seed draws another subset.
    """
    order = sorted(
        candidates, key=lambda c: (c.source not in FLOOR_SOURCES, xxhash.xxh3_64_intdigest(c.id.encode(), seed=seed))
    )
    bounds = _bounds(candidates, token_budget, source_caps)
    taken: Counter[str] = Counter()
    left: dict[str, Counter[str]] = {"over_cap": Counter(), "over_budget": Counter()}
    chosen = []
    for candidate in order:
        floor = candidate.source in FLOOR_SOURCES
        if not floor and token_budget and taken.total() + candidate.tokens > token_budget:
            left["over_budget"][candidate.source] += 1
        elif not floor and taken[candidate.source] + candidate.tokens > bounds.get(candidate.source, float("inf")):
            left["over_cap"][candidate.source] += 1
        else:
            chosen.append(candidate.id)
            taken[candidate.source] += candidate.tokens
    return Mix(frozenset(chosen), dict(taken), {reason: dict(counts) for reason, counts in left.items() if counts})


def _bounds(candidates: Sequence[Candidate], token_budget: int, source_caps: Mapping[str, float]) -> dict[str, float]:
    """Tokens each capped source may bring, so that its share of what is chosen keeps to the cap.

    With U tokens from uncapped sources and caps that sum to C < 1, the whole is at most U / (1 - C), so a source
    capped at c may bring c · U / (1 - C). Without uncapped sources the caps are shares of all there is.
    """
    available: Counter[str] = Counter()
    for candidate in candidates:
        available[candidate.source] += candidate.tokens
    uncapped = sum(tokens for source, tokens in available.items() if source not in source_caps)
    capped = {source: cap for source, cap in source_caps.items() if source in available}
    room = 1 - sum(capped.values())
    whole = uncapped / room if uncapped and room > 0 else float(available.total())
    if token_budget:
        whole = min(whole, token_budget)
    return {source: cap * whole for source, cap in capped.items()}
