"""The weights of the learnt models, as they ship: small integers with a scale, read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import load_file

FILE: Final = Path(__file__).with_name("weights.safetensors")

Weights = Mapping[str, np.ndarray]


@cache
def weights(model: str) -> Weights:
    """The float32 arrays of one model, by name.

    What is kept as int8 or uint8 has its scale under the same name with ``.scale``.
    """
    kept = load_file(FILE)
    found = {}
    for name, array in kept.items():
        if name.startswith(f"{model}.") and not name.endswith(".scale"):
            scale = kept.get(f"{name}.scale")
            plain = array.astype(np.float32)
            found[name.removeprefix(f"{model}.")] = plain if scale is None else plain * scale
    return found


def quantised(name: str, array: np.ndarray, *, signed: bool = True) -> dict[str, np.ndarray]:
    """The entries of `weights.safetensors` for an array: one byte per number, and one scale."""
    most = 127 if signed else 255
    scale = np.float32(max(float(np.abs(array).max()), 1e-9) / most)
    kept = np.round(array / scale).astype(np.int8 if signed else np.uint8)
    return {name: kept, f"{name}.scale": np.array([scale], dtype=np.float32)}


def chance(log_odds: np.ndarray) -> np.ndarray:
    """The logistic function, in float64, to four decimals: more than that the last bit of a processor may change."""
    return np.asarray(np.round(1.0 / (1.0 + np.exp(-np.clip(log_odds.astype(np.float64), -60.0, 60.0))), 4))


def layer(found: np.ndarray, factors: np.ndarray, start: np.ndarray) -> np.ndarray:
    """`start` + `found` @ `factors`, added up in one order whatever the number of rows.

    A matrix product of one row and of a thousand need not agree in the last bit, and an example must be judged the
    same alone and among others.
    """
    total = np.broadcast_to(start, (len(found), *start.shape[-1:])).copy()
    for at, row in enumerate(factors):
        total += found[:, at, None] * row
    return total


def hidden(found: np.ndarray, model: Weights) -> np.ndarray:
    """Log-odds of each row of measurements: standardised, one layer of tanh, one number."""
    inside = np.tanh(layer((found - model["mean"]) / model["spread"], model["inner"], model["inner_bias"]))
    return np.asarray((inside * model["outer"]).sum(axis=1) + model["outer_bias"])
