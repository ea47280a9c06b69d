"""What a base held in four bits comes to, matrix by matrix: for writing it out whole, as an adapter saw it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from samloop.train.quantise import FORMS

if TYPE_CHECKING:
    import numpy as np


def rounding(form: str, widths: Iterable[int]) -> Callable[[np.ndarray, str], np.ndarray] | None:
    """A function that gives a float32 matrix as the base had it in that form; None where it had it as it is.

    Its second argument is the kind of numbers in the base's files (F32, F16, BF16), which the form may start from.

    Args:
        form: ``none``, ``nf4`` or ``affine4``.
        widths: of all rows that are quantised.

    Raises:
        MissingExtraError: the library of that form is not installed.
        ModelError: it does not work here, or does not divide these widths.
    """
    if form == FORMS["torch"]:
        from samloop.train.torch_quantise import rounded as nf4

        return nf4()
    if form == FORMS["mlx"]:
        from samloop.train.mlx_quantise import rounded as affine4

        return affine4(widths)
    return None
