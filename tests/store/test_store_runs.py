"""Runs, what went into them, adapters, champions and decisions."""

import pytest

from samloop.errors import NotFoundError, UsageError
from samloop.store import Filters

RUN = {"dataset_digest": "d1", "backend": "torch", "base": "pocket", "revision": 1}
ADAPTER = {"slot": "main", "base": "pocket", "backend": "torch"}


def test_a_run_is_recorded_once(store):
    assert store.add_run("run-1", **RUN, recipe={"rank": 4}, path="/runs/run-1") is True
    assert store.add_run("run-1", **{**RUN, "backend": "mlx"}) is False
    run = store.get_run("run-1")
    assert run["backend"] == "torch"
    assert (run["state"], run["recipe"], run["metrics"], run["path"]) == ("pending", {"rank": 4}, {}, "/runs/run-1")
    assert run["started_at"] is run["finished_at"] is run["error"] is None


def test_the_times_of_a_run_follow_its_state(store):
    store.add_run("run-1", **RUN)
    store.update_run("run-1", state="training")
    started = store.get_run("run-1")["started_at"]
    assert started > 1.7e9
    store.update_run("run-1", state="paused")
    store.update_run("run-1", state="training", metrics={"loss": 2.5})
    run = store.get_run("run-1")
    assert (run["started_at"], run["finished_at"], run["metrics"]) == (started, None, {"loss": 2.5})
    store.update_run("run-1", state="failed", error="out of memory")
    run = store.get_run("run-1")
    assert run["finished_at"] >= started
    assert run["error"] == "out of memory"


def test_wrong_names_of_runs_are_refused(store):
    with pytest.raises(NotFoundError, match="nosuch"):
        store.get_run("nosuch")
    with pytest.raises(NotFoundError, match="nosuch"):
        store.update_run("nosuch", state="failed")
    with pytest.raises(NotFoundError, match="nosuch"):
        store.record_run_examples("nosuch", {"train": ["a"]})
    with pytest.raises(NotFoundError, match="nosuch"):
        store.complete_run("nosuch")
    store.add_run("run-1", **RUN)
    with pytest.raises(UsageError, match="'done'"):
        store.update_run("run-1", state="done")
    with pytest.raises(UsageError, match="did you mean 'metrics'"):
        store.update_run("run-1", metric={})
    assert store.get_run("run-1")["state"] == "pending"


def test_runs_are_listed_newest_first(store):
    for name in ("run-b", "run-a", "run-c"):
        store.add_run(name, **RUN)
    store.update_run("run-a", state="stopped")
    assert [r["run_id"] for r in store.list_runs()] == ["run-c", "run-a", "run-b"]
    assert [r["run_id"] for r in store.list_runs(limit=1)] == ["run-c"]
    assert [r["run_id"] for r in store.list_runs(state="stopped")] == ["run-a"]
    assert store.last_completed_run() is None


def test_a_completed_run_marks_its_train_split_and_leaves_the_revision(store, make):
    examples = [make(n) for n in range(4)]
    store.add_examples(examples)
    revision = store.revision()
    store.add_run("run-1", **{**RUN, "revision": revision})
    ids = [e.id for e in examples]
    store.record_run_examples("run-1", {"train": ["gone", *ids[3:]]})
    store.record_run_examples("run-1", {"train": ids[:2], "valid": ids[2:3]})
    assert store.complete_run("run-1", metrics={"loss": 1.5}) == 2
    assert store.revision() == revision
    assert {e.id for e in store.select(Filters(exclude_used=True))} == set(ids[2:])
    assert store.get_example(ids[0]).training_run_id == "run-1"
    assert store.last_completed_run()["metrics"] == {"loss": 1.5}
    assert store.run_example_ids("run-1") == sorted(ids[:3])
    assert store.run_example_ids("run-1", "valid") == [ids[2]]
    assert store.complete_run("run-1", examples={"train": ids[3:]}, result={"steps": 3}) == 1
    assert store.get_run("run-1")["result"] == {"steps": 3}
    assert store.run_example_ids("run-1") == ids[3:]
    store.record_run_examples("run-1", {"train": ids[:2], "valid": ids[2:3]})
    assert store.runs_of_example(ids[2]) == [{"run_id": "run-1", "split": "valid"}]


def test_new_means_accepted_after_a_revision_and_not_used(store, make):
    store.add_examples(make(n) for n in range(3))
    revision = store.revision()
    assert store.new_accepted_since(0) == 3
    assert store.new_accepted_since(revision) == 0
    store.add_examples([make(3), make(4, state="review"), make(5, used_in_training=True)])
    assert store.new_accepted_since(revision) == 1
    store.update_example(make(4).id, state="accepted")
    assert store.new_accepted_since(revision) == 2


def test_an_adapter_is_recorded_once_and_changed(store):
    store.add_run("run-1", **RUN)
    details = {"run_id": "run-1", "licences": ["MIT"], "lineage": {"examples": 3}, "scores": {"a": 1.0}}
    assert store.add_adapter("a1", **ADAPTER, **details) is True
    assert store.add_adapter("a1", slot="main", base="other", backend="mlx") is False
    adapter = store.get_adapter("a1")
    assert {k: adapter[k] for k in details} == details
    assert (adapter["state"], adapter["base"]) == ("candidate", "pocket")
    store.update_adapter("a1", state="rejected", scores={"a": 2.0})
    assert store.list_adapters(state="rejected", slot="main", run_id="run-1")[0]["scores"] == {"a": 2.0}
    assert store.list_adapters(slot="complex") == []
    with pytest.raises(UsageError, match="'great'"):
        store.update_adapter("a1", state="great")
    with pytest.raises(NotFoundError, match="a9"):
        store.update_adapter("a9", state="rejected")


def champions(store):
    return [a["adapter_id"] for a in store.list_adapters(state="champion")]


def name(adapter):
    return adapter and adapter["adapter_id"]


def test_one_champion_serves_per_slot(store):
    for adapter in ("a", "b"):
        store.add_adapter(adapter, **ADAPTER)
    store.add_adapter("big", slot="complex", base="3b", backend="torch")
    assert store.champion("main") is None
    store.set_champion("main", "a", "first")
    store.set_champion("complex", "big", "first")
    store.set_champion("main", "b", "better")
    store.set_champion("main", "b", "again")
    assert name(store.champion("main")) == "b"
    assert sorted(champions(store)) == ["b", "big"]
    assert store.get_adapter("a")["state"] == "retired"
    assert [(h["adapter_id"], h["reason"]) for h in store.champion_history("main")] == [
        ("b", "better"),
        ("a", "first"),
    ]


def test_rollbacks_go_further_back_each_time(store):
    for adapter in ("a", "b", "c", "d"):
        store.add_adapter(adapter, **ADAPTER)
    for adapter in ("a", "b", "c"):
        store.set_champion("main", adapter, "better")
    assert name(store.previous_champion("main")) == "b"
    store.set_champion("main", "b", "rollback")
    assert name(store.previous_champion("main")) == "a"
    store.set_champion("main", "d", "better")
    assert name(store.previous_champion("main")) == "b"
    store.update_adapter("b", state="rejected")
    assert name(store.previous_champion("main")) == "a"
    store.set_champion("main", "a", "rollback")
    assert store.previous_champion("main") is None
    store.set_champion("main", None, "rollback to the base")
    assert store.champion("main") is None
    assert champions(store) == []
    assert len(store.champion_history("main")) == 7


def test_a_wrong_champion_is_refused_and_the_right_one_stays(store):
    for adapter in ("a", "bad"):
        store.add_adapter(adapter, **ADAPTER)
    store.set_champion("main", "a", "first")
    store.update_adapter("bad", state="rejected")
    for slot, adapter, kind in (
        ("main", "nosuch", NotFoundError),
        ("main", "bad", UsageError),
        ("complex", "a", UsageError),
    ):
        with pytest.raises(kind, match=adapter):
            store.set_champion(slot, adapter, "no")
    for adapter, state in (("a", "retired"), ("a", "rejected"), ("bad", "champion")):
        with pytest.raises(UsageError, match="set_champion"):
            store.update_adapter(adapter, state=state)
    assert name(store.champion("main")) == "a"
    assert champions(store) == ["a"]


def test_a_decision_is_appended_once_as_long_as_it_says_the_same(store):
    figures = {"slot": "main", "challenger_id": "a", "scores": {"a": [1, 2]}, "comparisons": [{"name": "p"}]}
    assert store.add_evaluation("e1", **figures) is True
    assert store.add_evaluation("e1", slot="complex") is False
    assert {k: store.get_evaluation("e1")[k] for k in figures} == figures
    decision = {"slot": "main", "verdict": "promote", "challenger": "a", "champion": "base", "reasons": ["better"]}
    assert store.is_decided("run-1") is False
    assert store.add_decision("e1", run_id="run-1", decision=decision) is True
    assert store.add_decision("e1", run_id="run-1", decision=decision) is False
    assert store.add_decision("e2", decision={**decision, "verdict": "undecided"}) is True
    assert store.is_decided("run-1") is True
    assert [d["evaluation_id"] for d in store.decisions()] == ["e2", "e1"]
    assert [d["verdict"] for d in store.decisions(1)] == ["undecided"]
    kept = store.decisions()[1]
    assert {k: kept[k] for k in decision} == decision
    assert (kept["run_id"], kept["number"]) == ("run-1", 1)
    assert store.decisions(slot="complex") == []
    assert [e["evaluation_id"] for e in store.list_evaluations(slot="main")] == ["e1"]
    assert store.add_decision("e1", run_id="run-1", decision={**decision, "verdict": "refuse"}) is True
    assert store.add_decision("e1", run_id="run-1", decision=decision) is True
    assert [d["verdict"] for d in store.decisions()] == ["promote", "refuse", "undecided", "promote"]
    with pytest.raises(UsageError, match="champion"):
        store.add_decision("e3", decision={"slot": "main", "verdict": "promote", "challenger": "a"})
