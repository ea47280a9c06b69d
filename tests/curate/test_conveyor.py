"""The conveyor: order kept, work under way bounded, and workers that sit where there is only one core."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from samloop.curate import conveyor
from samloop.curate.conveyor import Conveyor, Judges
from samloop.curate.workers import Workers
from samloop.example import Example
from samloop.settings import Curate


def batch(number: int, size: int) -> list[Example]:
    return [
        Example(
            source="dataset",
            format="instruction",
            input_text=f"What is the square of {number * 1000 + i}?",
            output_text=f"It is {(number * 1000 + i) ** 2}, which is the number times itself.",
            created_at=0.0,
            updated_at=0.0,
        )
        for i in range(size)
    ]


def test_what_comes_out_is_in_order_and_never_many_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "LARGE", 100)
    monkeypatch.setattr(conveyor, "_cores", lambda: 8)
    monkeypatch.setattr(Workers, "ready", True)
    sizes = [60, 1, 200, 0, 3, 150, 2, 90, 0, 1, 7, 300]
    out: list[int] = []
    with Judges(Curate(), workers=2) as judges:
        belt = Conveyor[int](judges, review=False, under_way=3)
        for number, size in enumerate(sizes):
            for curated, label in belt.put(batch(number, size), number):
                assert [row["input_text"] for row in curated.rows] == [
                    e.input_text for e in batch(label, sizes[label])
                ]
                out.append(label)
            assert number - len(out) < 4
        assert len(out) < len(sizes)
        out += [label for _, label in belt.rest()]
    assert out == list(range(len(sizes)))


def test_metadata_that_cannot_travel_is_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conveyor, "LARGE", 0)
    monkeypatch.setattr(conveyor, "_cores", lambda: 2)
    monkeypatch.setattr(Workers, "ready", True)
    odd = [replace(example, metadata={"lock": threading.Lock()}) for example in batch(1, 2)]
    with Judges(Curate(), workers=2) as judges:
        belt = Conveyor[int](judges, review=False, under_way=4)
        out = [*belt.put(batch(0, 2), 0), *belt.put(odd, 1), *belt.put(batch(2, 2), 2), *belt.rest()]
    assert [label for _, label in out] == [0, 1, 2]
    assert [row["metadata"][:16] for row in out[1][0].rows] == ['{"lock":"<unlock'] * 2


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (8, 0)])
def test_without_a_core_or_the_wish_for_workers_there_are_none(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(conveyor, "LARGE", 0)
    monkeypatch.setattr(conveyor, "_cores", lambda: cores)
    monkeypatch.setattr(conveyor, "Workers", None)  # calling it would fail
    with Judges(Curate(), workers=workers) as judges:
        belt = Conveyor[str](judges, review=False, under_way=4)
        ((curated, label),) = belt.put(batch(0, 3), "a")
        assert (len(curated.rows), label, list(belt.rest())) == (3, "a", [])
