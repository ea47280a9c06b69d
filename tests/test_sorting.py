"""How numpy is told to sort: no word that it does not understand, and the same order."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from samloop import sorting

SCRIPT = """
import hashlib, numpy
numbers = numpy.random.default_rng(1).integers(0, 2**32, 50_000, numpy.uint64)
print(hashlib.sha256(numpy.sort(numbers).tobytes()).hexdigest())
"""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which sorting is slow, whatever this machine is."""
    monkeypatch.setattr(sorting, "is_slow", lambda: True)
    for name in sorting._BY_USER:
        monkeypatch.delenv(name, raising=False)


def test_what_numpy_is_told_it_understands_and_the_order_is_the_same(slow: None) -> None:
    told = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={k: v for k, v in os.environ.items() if k not in sorting._BY_USER} | more,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, sorting.variables())
    ]
    assert told[0] == told[1] != ""


@pytest.mark.parametrize("name", sorting._BY_USER)
def test_what_the_user_said_stays(slow: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert sorting.variables() == {}


def test_where_sorting_is_fast_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "is_slow", lambda: False)
    assert sorting.variables() == {}
    assert sorting.nearly_sorted() == "quicksort"


@pytest.mark.parametrize("is_slow", [True, False])
def test_either_kind_sorts(monkeypatch: pytest.MonkeyPatch, is_slow: bool) -> None:
    monkeypatch.setattr(sorting, "is_slow", lambda: is_slow)
    numbers = np.random.default_rng(0).integers(0, 2**64, 1_000, np.uint64)
    assert np.array_equal(np.sort(numbers, kind=sorting.nearly_sorted()), sorted(numbers.tolist()))
