"""Draw the mix: which of the candidates train, so that a large source cannot drown a small one.

Deterministic: candidates are taken in the order of a seeded hash of their ids, a person's own words first. A cap
bounds a source's share of the tokens that remain, the budget bounds them all, and what is replayed against forgetting
has its share of the budget before anything is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import xxhash

from samloop.example import Example

FLOOR_SOURCES: Final = frozenset({"user_correction", "user_preference"})
"""Sources whose examples are never drawn away: each is a person's own word."""

WINDOW_SHARE: Final = 0.85
"""How much of its time a run spends in training steps; the rest goes into validations, checkpoints and loading."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the draw needs to know of an example.

    Attributes:
        tokens: what it costs in one pass over the data; the tokens of both sides where it is a pair.
        floor: never drawn away, whatever its source.
    """

    id: str
    source: str
    tokens: int
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Mix:
    """The ids that train, and what was left out, by reason and source."""

    ids: frozenset[str]
    tokens_by_source: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]


def corrects(example: Example) -> bool:
    """Whether an example teaches what a user corrected, wherever it was read."""
    return (
        example.source == "user_correction"
        or (example.parent_id or "").startswith("correction:")
        or (example.format == "dpo" and "correction" in example.metadata)
    )


def is_own_word(example: Example) -> bool:
    """Whether an example says what a person wants: a correction or a preference."""
    return corrects(example) or example.source in FLOOR_SOURCES


def window_tokens(minutes: float, tokens_per_second: float, epochs: float) -> int:
    """The tokens of a dataset that `epochs` passes over it train within `minutes`."""
    return max(1, int(minutes * 60 * WINDOW_SHARE * tokens_per_second / epochs))


def draw(
    candidates: Sequence[Candidate], *, token_budget: int, source_caps: Mapping[str, float], seed: int = 0
) -> Mix:
    """Choose among `candidates`.

    Args:
        token_budget: tokens in all; 0 for no bound.
        source_caps: largest share of all chosen tokens, by source, 0..1.
        seed: another seed draws another subset.
    """
    order = sorted(candidates, key=lambda c: (not _stays(c), xxhash.xxh3_64_intdigest(c.id.encode(), seed=seed)))
    bounds = _bounds(candidates, token_budget, source_caps)
    taken: Counter[str] = Counter()
    left: dict[str, Counter[str]] = {"over_cap": Counter(), "over_budget": Counter()}
    chosen, total = [], 0
    for candidate in order:
        floor = _stays(candidate)
        if not floor and token_budget and total + candidate.tokens > token_budget:
            left["over_budget"][candidate.source] += 1
        elif not floor and taken[candidate.source] + candidate.tokens > bounds.get(candidate.source, float("inf")):
            left["over_cap"][candidate.source] += 1
        else:
            chosen.append(candidate.id)
            taken[candidate.source] += candidate.tokens
            total += candidate.tokens
    return Mix(frozenset(chosen), dict(taken), {reason: dict(counts) for reason, counts in left.items() if counts})


def replayed(candidates: Sequence[Candidate], tokens: float, seed: int = 0) -> frozenset[str]:
    """The ids of general examples that fill `tokens`, with the one that reaches it; all where too few."""
    chosen: list[str] = []
    for candidate in sorted(candidates, key=lambda c: xxhash.xxh3_64_intdigest(c.id.encode(), seed=seed)):
        if tokens <= 0:
            break
        chosen.append(candidate.id)
        tokens -= candidate.tokens
    return frozenset(chosen)


def _stays(candidate: Candidate) -> bool:
    return candidate.floor or candidate.source in FLOOR_SOURCES


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
