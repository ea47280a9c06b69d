"""The learning rate over a run: linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, *, peak: float, warmup_share: float) -> float:
    """The learning rate of optimiser step `step` (0-based) of `steps`.

    The first step already learns (peak / warm-up steps), and the last one still does.
    """
    warmup = math.ceil(steps * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
