"""Looks are counted from the decisions that were kept, not from the clock."""

from __future__ import annotations

import time

import pytest

from samloop.errors import NotFoundError
from samloop.store import Store

DECISION = {"slot": "main", "verdict": "undecided", "challenger": "ad-b", "champion": "ad-a", "missing_items": 0}


def test_looks_count_the_evaluations_weighed_against_that_champion(store: Store) -> None:
    assert store.look_number("main", "ad-a", "e1") == 1
    store.add_decision("e1", decision={**DECISION, "look": 1})
    store.add_decision("e1", decision={**DECISION, "look": 1, "verdict": "refuse"})
    store.add_decision("other", decision={**DECISION, "look": 1, "champion": "base"})
    store.add_decision("elsewhere", decision={**DECISION, "look": 1, "slot": "complex"})
    store.add_decision("few", decision={**DECISION, "look": 0, "missing_items": 5})
    store.add_decision("e2", decision={**DECISION, "look": 2})
    assert [store.look_number("main", "ad-a", name) for name in ("e1", "e2", "e3", "few")] == [1, 2, 3, 3]
    assert store.look_number("main", "base", "e9") == 2
    assert store.look_number("complex", "ad-a", "elsewhere") == 1


def test_decisions_of_before_looks_were_counted_count_where_they_weighed(store: Store) -> None:
    store.add_decision("old", decision=DECISION)
    store.add_decision("old and few", decision={**DECISION, "missing_items": 3})
    assert store.look_number("main", "ad-a", "new") == 2


def test_a_clock_that_goes_back_changes_no_look(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_decision("e1", decision={**DECISION, "look": 1})
    yesterday = time.time() - 86400
    monkeypatch.setattr(time, "time", lambda: yesterday)
    store.add_decision("e2", decision={**DECISION, "look": 2})
    assert [store.look_number("main", "ad-a", name) for name in ("e1", "e2", "e3")] == [1, 2, 3]
    assert store.decisions(1)[0]["evaluation_id"] == "e2"


def test_a_decision_is_found_by_its_number(store: Store) -> None:
    store.add_decision("e1", decision=DECISION)
    (kept,) = store.decisions()
    assert store.get_decision(kept["number"]) == kept
    with pytest.raises(NotFoundError, match="no decision number 77"):
        store.get_decision(77)
