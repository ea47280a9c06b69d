"""Holding the base in four bits: what a setting means on a backend, and for a base that may be quantised already.

An adapter is trained against the rounded weights, so it has to answer on the same ones: the form is kept with the
adapter, and every later load is told it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from samloop.errors import MissingExtraError, ModelError, TrainingError

NONE: Final = "none"
"""The base as its files have it; a base that was published in four bits is none the less in four bits."""

FOUR_BITS: Final = "4bit"
"""Four bits in the form that the backend has."""

FORMS: Final[Mapping[str, str]] = {"torch": "nf4", "mlx": "affine4"}
"""By backend, its form of four bits: bitsandbytes' NF4 in blocks of 64, MLX's affine groups of 64 (or 32)."""


def quantisation(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the files of a base with this config.json are quantised; None: they are not."""
    for key in ("quantization", "quantization_config"):
        if isinstance(found := config.get(key), Mapping):
            return found
    return None


def method(config: Mapping[str, Any]) -> str | None:
    """What quantised the files of a base: "mlx", or the name that transformers knows it by; None: nothing did."""
    found = quantisation(config)
    if found is None:
        return None
    return str(found.get("quant_method") or "mlx")


def resolve(setting: str, backend: str, base: Path) -> str:
    """The form that `train.quantise` means for `base` on a backend: ``none``, ``nf4`` or ``affine4``.

    Raises:
        TrainingError: the backend does not have that form.
        MissingExtraError: its library is not installed; whether it works is seen when the base is loaded.
        ModelError: the base is quantised already and cannot be quantised anew.
    """
    if setting == NONE:
        return NONE
    form = FORMS.get(backend, NONE)
    if setting not in (FOUR_BITS, form) or form == NONE:
        fits = " or ".join(name for name, has in FORMS.items() if setting in (FOUR_BITS, has))
        raise TrainingError(
            f"train.quantise = '{setting}' is not a form of the backend {backend}; "
            f"set train.backend to {fits}, or train.quantise to '{FOUR_BITS if form != NONE else NONE}'"
        )
    made_by = method(_read_config(base))
    if made_by is None:
        if form == FORMS["torch"] and importlib.util.find_spec("bitsandbytes") is None:
            raise MissingExtraError("quantise", "a base in four bits (train.quantise)")
        return form
    if setting == FOUR_BITS:
        return NONE
    raise ModelError(
        f"the model in {base} is quantised already (by {made_by}), so train.quantise = '{setting}' cannot be had; "
        f"take the model it was made from, or set train.quantise to '{NONE}'"
    )


def _read_config(base: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # said by Base.open, and better
        return {}
    return config if isinstance(config, dict) else {}
