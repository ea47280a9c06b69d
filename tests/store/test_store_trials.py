"""Trials: one at a time per slot, and an ended one stays as it ended."""

from __future__ import annotations

import orjson
import pytest

from samloop.errors import GateError, NotFoundError
from samloop.store import Store


def start(store: Store, test_id: str, slot: str = "main") -> None:
    store.start_trial(test_id, slot=slot, champion="base", challenger=f"ad-{test_id}", share=0.5, after_row=3)


def test_one_trial_runs_per_slot(store: Store) -> None:
    start(store, "ab-1")
    start(store, "ab-2", "complex")
    with pytest.raises(GateError, match="ad-ab-1 is on trial in slot 'main'"):
        start(store, "ab-3")
    running = store.running_trial("main")
    assert running is not None
    told = {"test_id": "ab-1", "champion": "base", "challenger": "ad-ab-1", "share": 0.5, "after_row": 3}
    assert {name: running[name] for name in told} == told
    assert running["standing"] == {}
    assert store.running_trial("other") is None


def test_an_ended_trial_stays_as_it_ended_and_makes_room(store: Store) -> None:
    start(store, "ab-1")
    assert store.update_trial("ab-1", standing={"better": 3.0}, state="running", reason="so far") is True
    assert store.update_trial("ab-1", standing={"better": 21.0}, state="promoted", reason="better") is True
    assert store.update_trial("ab-1", standing={}, state="stopped", reason="late") is False
    ended = store.get_trial("ab-1")
    assert (ended["state"], ended["reason"], ended["standing"]) == ("promoted", "better", {"better": 21.0})
    start(store, "ab-2")
    assert [trial["test_id"] for trial in store.list_trials()] == ["ab-2", "ab-1"]
    assert [trial["test_id"] for trial in store.list_trials(slot="main", state="promoted")] == ["ab-1"]
    with pytest.raises(NotFoundError, match="no trial 'ab-9'"):
        store.get_trial("ab-9")


def test_a_trial_is_plain_data_as_a_report_needs_it(store: Store) -> None:
    start(store, "ab-1")
    for row in (store.get_trial("ab-1"), store.running_trial("main"), *store.list_trials()):
        assert {type(name) for name in row} == {str}
        assert orjson.loads(orjson.dumps(row)) == row
