"""Duplicates, statistics and exports."""

import json
import resource
import stat
from contextlib import contextmanager

import pytest

from samloop.errors import SamloopError, StoreError, UsageError
from samloop.store import DuplicateGroup, Filters
from samloop.store.rows import from_example
from samloop.store.statistics import health

# --- duplicates --------------------------------------------------------------------------------------------------


def test_the_best_answer_to_a_question_is_kept(store, make):
    best = make(1, input_text="Why?", quality_score=0.9)
    worse = make(2, input_text="why ", quality_score=0.8, metadata={"human_reviewed": True})
    other = make(3, input_text="How?")
    store.add_examples([worse, best, other])
    wanted = [DuplicateGroup(best.id, (worse.id,))]
    assert store.deduplicate("input", dry_run=True) == wanted
    assert (store.count(Filters(states=("rejected",))), store.revision()) == (0, 1)
    assert store.deduplicate("input") == wanted
    rejected = store.get_example(worse.id)
    assert (rejected.state, rejected.reason) == ("rejected", f"duplicate of {best.id}")
    assert store.validation_log(worse.id)[0]["rule"] == "duplicate"
    assert store.revision() == 2
    assert store.deduplicate("input") == []
    assert store.revision() == 2


def test_equal_scores_are_decided_by_review_then_length(store, make):
    short = make(1, input_text="Why?", output_text="so")
    reviewed = make(2, input_text="Why?", output_text="sooo", metadata={"human_reviewed": True})
    validated = make(3, input_text="Why?", output_text="soo", validated=True)
    long = make(4, input_text="Why?", output_text="so" * 50)
    store.add_examples([short, long, reviewed, validated])
    assert store.deduplicate("input") == [DuplicateGroup(reviewed.id, (validated.id, long.id, short.id))]


def test_what_only_looks_like_a_duplicate_stays(store, make):
    store.add_examples(
        [
            make(1, input_text="Why?", output_text="a"),
            make(2, input_text="Why?", output_text="b", context="another text"),
            make(3, input_text="Why?", output_text="c", system_prompt="be brief"),
            make(4, input_text="Why?", output_text="d", format="dpo", rejected_output="e"),
            make(5, input_text="Why?", output_text="f", state="rejected"),
        ]
    )
    assert store.deduplicate("input") == []
    with pytest.raises(UsageError, match="near"):
        store.deduplicate("near")


def test_content_that_came_in_under_two_ids_is_found(store, make):
    row = from_example(make(1))
    store.add_batch([row, {**row, "id": "legacy-1", "quality_score": 0.5}])
    assert store.deduplicate() == [DuplicateGroup("legacy-1", (make(1).id,))]


# --- statistics --------------------------------------------------------------------------------------------------


def test_statistics_have_the_shape_of_the_contract(store, make):
    store.add_examples(
        [
            make(1, quality_tier="gold", input_text="a" * 100, output_text="b" * 300),
            make(2, quality_tier="silver", source="knowledge", format="chat"),
            make(3),
            make(4, state="rejected", source="routing"),
        ]
    )
    figures = store.statistics()
    overall, summary = figures["overall"], figures["summary"]
    assert set(figures) == {"overall", "summary"}
    size = overall.pop("storage_bytes")
    assert size >= store.home.database.stat().st_size > 0
    assert overall == {
        "total_examples": 3,
        "by_source": {"knowledge": 1, "manual": 2},
        "by_format": {"instruction": 2, "chat": 1},
        "by_quality": {"gold": 1, "silver": 1, "bronze": 0, "unverified": 1},
        "avg_token_length": 36.3,
        "total_tokens": 109,
    }
    assert summary == {
        "total_examples": 3,
        "storage_mb": round(size / 2**20, 2),
        "healthy_sources": 2,
        "top_quality_percentage": 66.7,
    }
    json.dumps(figures)


def test_each_source_is_told_with_its_health(store, make, monkeypatch):
    day = 86400.0
    now = [2e9]
    monkeypatch.setattr("samloop.store.statistics.time.time", lambda: now[0])
    monkeypatch.setattr("samloop.store.ingest.time.time", lambda: now[0])
    now[0] -= 10 * day  # the week before last
    store.add_examples([make(n, source="knowledge", quality_tier="bronze") for n in range(4)])
    now[0] += 10 * day
    store.add_example(make(10, source="knowledge", quality_tier="gold"))
    store.add_example(make(11, source="knowledge", state="rejected"))
    now[0] += 15 * day
    store.add_examples([make(20, quality_tier="gold"), make(21, quality_tier="silver")])
    knowledge, manual = store.source_statistics()
    assert knowledge == {
        "source": "knowledge",
        "total_examples": 5,
        "quality_distribution": {"gold": 1, "silver": 0, "bronze": 4, "unverified": 0},
        "health_score": 0.5083,
        "health": {"freshness": 0.5, "volume_trend": 0.5, "top_quality": 0.2, "not_rejected": 0.8333},
        "healthy": False,
        "examples_24h": 0,
        "last_updated": 2e9,
    }
    assert (manual["total_examples"], manual["examples_24h"], manual["health_score"]) == (2, 2, 1.0)
    assert manual["healthy"] is True
    assert store.statistics()["summary"]["healthy_sources"] == 1


def test_the_trend_compares_the_last_two_weeks(store, make, monkeypatch):
    day, now = 86400.0, [2e9]
    monkeypatch.setattr("samloop.store.statistics.time.time", lambda: now[0])
    monkeypatch.setattr("samloop.store.ingest.time.time", lambda: now[0])
    store.add_examples([make(n) for n in range(4)])
    now[0] += 8 * day
    store.add_example(make(9))
    assert store.source_statistics()[0]["health"]["volume_trend"] == 0.25
    now[0] += 3 * day  # five minutes have gone by as well
    store.add_examples([make(n) for n in range(10, 20)])
    assert store.source_statistics()[0]["health"]["volume_trend"] == 1.0


def test_statistics_of_an_empty_store(store):
    assert store.source_statistics() == []
    figures = store.statistics()
    assert figures["overall"]["by_quality"] == {"gold": 0, "silver": 0, "bronze": 0, "unverified": 0}
    assert figures["summary"]["top_quality_percentage"] == 0.0


def test_statistics_are_never_stale_after_a_write(store, make):
    store.add_example(make(1))
    assert store.statistics() == store.statistics()
    store.add_example(make(2))
    assert store.statistics()["overall"]["total_examples"] == 2
    store.update_example(make(2).id, state="rejected")
    assert store.statistics()["overall"]["total_examples"] == 1
    store.update_example(make(1).id, quality_tier="gold")
    assert store.statistics()["summary"]["top_quality_percentage"] == 100.0


def test_statistics_are_kept_for_five_minutes(store, make, monkeypatch):
    now = [2e9]
    monkeypatch.setattr("samloop.store.statistics.time.time", lambda: now[0])
    store.add_example(make(1, quality_tier="gold"))
    assert store.statistics()["summary"]["healthy_sources"] == 1
    now[0] += 299
    assert store.statistics()["summary"]["healthy_sources"] == 1
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE training_examples SET quality_tier = 'bronze'")
    assert store.statistics()["overall"]["by_quality"]["gold"] == 1
    now[0] += 2
    assert store.statistics()["overall"]["by_quality"]["gold"] == 0


@pytest.mark.parametrize(
    ("figures", "score"),
    [
        ((0.0, 10, 10, 1.0, 0.0), 1.0),
        ((30.0, 0, 10, 0.0, 1.0), 0.0),
        ((15.0, 5, 10, 0.5, 0.5), 0.5),
        ((0.0, 10, 0, 0.0, 0.0), 0.75),
        ((90.0, 0, 0, 1.0, 0.0), 0.625),
    ],
)
def test_health_is_the_mean_of_its_four_parts(figures, score):
    names = ("newest_age_days", "added_last_week", "added_week_before", "top", "rejected")
    assert health(**dict(zip(names, figures, strict=True))) == pytest.approx(score)


# --- exports -----------------------------------------------------------------------------------------------------


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_export_writes_what_is_accepted_and_marks_it(store, make, tmp_path):
    store.add_examples([make(1), make(2, state="review"), make(3, format="chat")])
    path = tmp_path / "out.jsonl"
    assert store.export_to_jsonl(path) == 2
    first, second = sorted(read(path), key=lambda line: "messages" in line)
    assert (first["instruction"], first["output"]) == ("question 1", "answer 1")
    assert second["messages"][-1] == {"role": "assistant", "content": "answer 3"}
    assert store.get_example(make(1).id).used_in_training is False
    unused = Filters(states=("accepted",), exclude_used=True)
    assert store.export_to_jsonl(path, "instruction", unused, mark_as_used=True) == 2
    assert store.get_example(make(1).id).used_in_training is True
    assert store.export_to_jsonl(path, "instruction", unused, True) == 0
    assert path.read_text() == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert store.revision() == 1
    history = store.exports()
    assert [(h["examples"], h["marked_used"], h["format"]) for h in history] == [
        (0, True, "instruction"),
        (2, True, "instruction"),
        (2, False, "auto"),
    ]
    assert history[0]["filters"] == {"states": ["accepted"], "exclude_used": True}


@contextmanager
def files_no_larger_than(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_export_that_fails_leaves_the_older_file(store, make, tmp_path):
    store.add_examples(make(n, output_text="x" * 1000) for n in range(200))
    path = tmp_path / "out.jsonl"
    path.write_text("older\n")
    with files_no_larger_than(50_000), pytest.raises(StoreError, match=r"out\.jsonl cannot be written"):
        store.export_to_jsonl(path, mark_as_used=True)
    with pytest.raises(SamloopError):
        store.export_to_jsonl(path, "dpo", mark_as_used=True)
    with pytest.raises(StoreError, match="cannot be written"):
        store.export_to_jsonl(tmp_path / "nowhere" / "out.jsonl", mark_as_used=True)
    assert path.read_text() == "older\n"
    assert [p.name for p in tmp_path.iterdir() if p.name != "home"] == ["out.jsonl"]
    assert store.exports() == []
    assert store.count(Filters(exclude_used=True)) == 200
