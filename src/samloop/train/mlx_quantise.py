"""A base held in four bits on MLX: its own affine groups, on the way in, so that the whole is never in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from samloop.errors import MissingExtraError, ModelError
from samloop.train.base import Base
from samloop.train.quantise import NONE, method

if sys.platform != "darwin":
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")  # see mlx_backend
try:
    import mlx.core as mx
    from mlx import nn
except ImportError:
    raise MissingExtraError("mlx", "a base in four bits on MLX") from None

AFFINE4: Final = "affine4"
GROUPS: Final = (64, 32)
"""Weights that share one scale and one offset: the widest group that divides every row. MLX has 128 as well, which
rounds more coarsely and saves 6 % of the memory."""


def refuse(base: Base, form: str) -> None:
    """See, before anything is loaded, that MLX can hold `base` in `form`.

    Raises:
        ModelError: the files are quantised in a way that MLX does not read, or there is no such form.
    """
    if method(base.config) == "bitsandbytes":
        raise ModelError(
            f"the model in {base.folder} is quantised by bitsandbytes, which MLX does not read; train.backend = "
            "'torch' loads it; or take the model it was made from, with train.quantise = '4bit'"
        )
    if form not in (NONE, AFFINE4):
        raise ModelError(
            f"the backend mlx has no form '{form}' of a quantised base; train with train.quantise = '4bit', or "
            "answer with the backend that the adapter was trained on"
        )


def quantise(model: Any, base: Base, form: str) -> None:
    """Put quantised modules in place of the plain ones, in `form`; the arrays may still be unread.

    Raises:
        ModelError: the rows of a module do not divide into groups.
    """
    if form == NONE:
        return
    wide = {name: module for name, module in model.named_modules() if hasattr(module, "to_quantized")}
    group = _group(module.weight.shape[-1] for module in wide.values())
    if group is None:
        odd = next(name for name, m in wide.items() if m.weight.shape[-1] % GROUPS[-1])
        raise ModelError(
            f"{odd} of the model in {base.folder} is {wide[odd].weight.shape[-1]} wide, and MLX quantises "
            f"multiples of {GROUPS[-1]}; set train.quantise to '{NONE}', or train.backend to 'torch'"
        )
    nn.quantize(model, group_size=group, bits=4)


def rounded(widths: Iterable[int]) -> Callable[[np.ndarray, str], np.ndarray]:
    """A function that gives a float32 matrix as a base after `quantise` has it.

    Raises:
        ModelError: the rows do not divide into groups.
    """
    group = _group(widths)
    if group is None:
        raise ModelError(
            f"MLX quantises rows of multiples of {GROUPS[-1]}, and this base has others; it is not held so"
        )
    kinds = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}

    def through(matrix: np.ndarray, kind: str) -> np.ndarray:
        packed = mx.quantize(mx.array(matrix).astype(kinds[kind]), group_size=group, bits=4)
        words, scales, biases = packed
        whole = mx.dequantize(words, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=4)
        return np.array(whole)

    return through


def _group(widths: Iterable[int]) -> int | None:
    """The widest group that divides all rows; None where none does."""
    rows = set(widths)
    return next((group for group in GROUPS if not any(width % group for width in rows)), None)
