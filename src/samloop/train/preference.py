"""Direct preference optimisation: the loss, and what is reported of it.

Rafailov et al. (2023), "Direct Preference Optimization", equation 7: with a chosen answer c and a rejected one r,
−log σ(β · ((log π(c) − log ref(c)) − (log π(r) − log ref(r)))), where π is the model with its adapter and ref the
base alone. Each backend has this loss as its own tensors; here it is numpy, for validation and for the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from samloop.train.pairs import PairBatch

MEASURES = ("margin", "accuracy", "chosen_reward", "rejected_reward")
"""What is told of pairs beside their loss; see `measured`."""

SUMS = ("loss", "weight", "pairs", *MEASURES)
"""The names of what `measured` sums up."""


def measured(log_probabilities: np.ndarray, pairs: PairBatch, beta: float) -> dict[str, float]:
    """Sums over the pairs of a batch.

    Args:
        log_probabilities: float64 [2 · pairs], of chosen, rejected, chosen, … by the model with its adapter, in nats.

    Returns:
        {loss: Σ weight · loss in nats, weight: Σ weight, pairs, chosen_reward and rejected_reward: Σ β · (log π − log
        ref), margin: the sum of their differences, accuracy: pairs whose chosen answer has the larger reward}.
    """
    rewards = beta * (log_probabilities.reshape(-1, 2) - pairs.reference)
    margins = rewards[:, 0] - rewards[:, 1]
    return {
        "loss": float((np.logaddexp(0.0, -margins) * pairs.weights).sum()),
        "weight": pairs.total_weight,
        "pairs": float(len(pairs)),
        "margin": float(margins.sum()),
        "accuracy": float((margins > 0).sum()),
        "chosen_reward": float(rewards[:, 0].sum()),
        "rejected_reward": float(rewards[:, 1].sum()),
    }


def added(sums: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Sums of several batches as one; empty where there are none."""
    return {name: sum(one[name] for one in sums) for name in sums[0]} if sums else {}


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """{preference_loss: the weighted mean, margin, accuracy, chosen_reward, rejected_reward: plain means}."""
    return {
        "preference_loss": sums["loss"] / sums["weight"],
        **{name: sums[name] / sums["pairs"] for name in MEASURES},
    }
