"""`samloop decisions`: what a person finds who asks why nothing was promoted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from samloop.adapters.gate import gate
from samloop.home import Home
from samloop.loop.context import open_context
from samloop.protocols import Comparison, Interval
from samloop.settings import Gate


def decided(home: Path, items: int, look: int) -> None:
    one = Interval(mean=2.0, low=1.9, high=2.1)
    found = Comparison(
        suite="perplexity", name="bits_per_byte", unit="bits per byte", better="lower", items=items, groups=items,
        champion=one, challenger=one, gain=Interval(mean=0.001, low=-0.1, high=0.1), worse_chance=0.4, error=0.05,
    )  # fmt: skip
    decision = gate([found], Gate(), slot="main", challenger="ad-new", champion="base", look=look)
    with open_context(Home(home)) as context:
        context.store.add_decision(f"eval-{items}-{look}", run_id=None, decision=decision.to_dict())


def test_nothing_was_decided_yet(run: Callable[..., Any]) -> None:
    assert run("--json", "decisions", "list").data == []
    assert "'samloop turn' trains and evaluates a challenger" in run("decisions", "list").out
    ran = run("decisions", "show")
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_decisions_are_listed_and_shown_with_reasons_and_what_is_left(run: Callable[..., Any], home: Path) -> None:
    decided(home, 400, 1)
    decided(home, 400, 2)
    decided(home, 10, 3)
    listed = run("--json", "decisions", "list").data
    assert [(one["verdict"], one["look"]) for one in listed] == [("refuse", 0), ("undecided", 2), ("undecided", 1)]
    assert run("--json", "decisions", "list", "--limit", 1).data == listed[:1]
    assert run("--json", "decisions", "list", "--slot", "complex").data == []
    assert "undecided" in run("decisions", "list").out
    second = listed[1]["number"]
    assert run("--json", "decisions", "show", second).data == listed[1]
    assert "48% of its 5% is left" in " ".join(run("decisions", "show", second).out.split())
    assert "190 held-out items" in run("decisions", "show").out
    assert "no decision number 99" in run("decisions", "show", 99).err
