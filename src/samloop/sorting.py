"""How numpy sorts here: on some processors its widest instructions are its slowest.

Where numpy finds AVX-512 it sorts with it, and AMD's fourth generation takes 29 ns for a 32-bit number that way, 5 ns
with AVX2 (numpy 2.4; compressing into memory is written in microcode there). numpy leaves out what
NPY_DISABLE_CPU_FEATURES names, and reads that when it is loaded: it can be said to processes that are yet to start.
The order of what is sorted is the same either way.
"""

from __future__ import annotations

import os
import time
from functools import cache
from importlib import import_module
from typing import Final, Literal

import numpy as np

DISABLE: Final = "NPY_DISABLE_CPU_FEATURES"
_BY_USER: Final = (DISABLE, "NPY_ENABLE_CPU_FEATURES")

_NUMBERS: Final = 2**15
_SLOW_NS: Final = 15.0
"""For one of so many random 32-bit numbers: AVX2 takes 3, plain code and AVX-512 at its worst 20 and more."""


@cache
def is_slow() -> bool:
    """Whether numpy sorts numbers slower in this process than an order that is nearly there is mended."""
    numbers = np.random.default_rng(0).integers(0, 2**32, _NUMBERS, np.uint32)
    taken = []
    for _ in range(3):
        some = numbers.copy()
        began = time.process_time_ns()
        some.sort()
        taken.append(time.process_time_ns() - began)
    return min(taken) > _SLOW_NS * _NUMBERS


def nearly_sorted() -> Literal["stable", "quicksort"]:
    """The kind of sort for numbers of which long parts are in order already."""
    return "stable" if is_slow() else "quicksort"


def variables() -> dict[str, str]:
    """What the environment of a process needs to have, beside that of this one, so that numpy sorts fast in it."""
    if any(name in os.environ for name in _BY_USER) or not is_slow():
        return {}
    wide = [name for name in _features() if name.startswith(("X86_V4", "AVX512"))]
    return {DISABLE: " ".join(wide)} if wide else {}


def _features() -> list[str]:
    """What numpy found in this processor beyond what it takes for granted."""
    try:
        core = import_module("numpy._core._multiarray_umath")  # no public name tells it
    except ImportError:
        return []
    found = getattr(core, "__cpu_features__", {})
    return [name for name in getattr(core, "__cpu_dispatch__", ()) if found.get(name)]
