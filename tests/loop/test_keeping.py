"""Lineage both ways, model cards, and pruning: on a home with generated runs, examples and adapters."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_world import Finished, Open

from samloop.adapters.card import licence, plain
from samloop.adapters.folders import CARD, MANIFEST
from samloop.adapters.pruning import to_prune
from samloop.adapters.registry import Registry
from samloop.errors import NotFoundError, UsageError
from samloop.example import Example
from samloop.home import Home
from samloop.loop.cards import read_card, write_card
from samloop.loop.context import Context, open_context
from samloop.loop.lineage import of_example, trace
from samloop.loop.prune import prune
from samloop.text.corrections import CORRECTION

DAY = 86_400.0


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with open_context(Home(tmp_path / "home")) as opened:
        yield opened


def example(text: str, **more: Any) -> Example:
    values = {"source": "manual", "format": "instruction", "output_text": f"answer to {text}", "state": "accepted"}
    return Example(**{"input_text": text, "created_at": 1.0, "reason": None, **values, **more}).sealed()


def make_adapter(context: Context, number: int, ids: dict[str, list[str]], *, days_old: float = 0, **run: Any) -> str:
    """A completed run with its dataset, checkpoints and registered adapter."""
    name = f"run-{number:04}"
    dataset = context.home.datasets / f"{number:012x}"
    dataset.mkdir(parents=True, exist_ok=True)
    lines = [
        {"messages": [], "metadata": {"id": id, "source": "manual", "licence": "MIT", "tokens": 10}}
        for id in ids["train"]
    ]
    (dataset / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = {
        "digest": f"{number:012x}{0:052}",
        "created_at": 1.0,
        "examples": {split: len(found) for split, found in ids.items()},
        "counts": {"source": {"manual": len(ids["train"])}, "licence": {"MIT": len(ids["train"])}},
    }
    (dataset / MANIFEST).write_text(json.dumps(manifest))
    context.store.add_run(
        name,
        dataset_digest=f"{number:012x}{0:052}",
        dataset_path=str(dataset),
        backend="torch",
        base="/home/somebody/models/small",
        base_digest="b" * 64,
        revision=1,
        recipe={"train": {"rank": 4, "method": "sft", "model": "/home/somebody/models/small"}},
        **run,
    )
    folder = context.home.runs / name / "adapter"
    folder.mkdir(parents=True)
    # One number each, so that the ids differ: by the letter of the safetensors format.
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    header += b" " * (-len(header) % 8)
    data = bytes([number % 256, number // 256, 0, 0])
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    (folder / "adapter_config.json").write_text("{}")
    (folder.parent / "checkpoints" / "step-1").mkdir(parents=True)
    (folder.parent / "checkpoints" / "step-1" / "optimiser.safetensors").write_bytes(b"x" * 1000)
    (folder.parent / "result.json").write_text("{}")
    context.store.complete_run(name, examples=ids)
    adapter = Registry(context.home, context.store).register(name, "main")
    age(context, name, adapter, days_old)
    return adapter


def age(context: Context, run: str, adapter: str, days: float) -> None:
    then = time.time() - days * DAY
    context.store.update_adapter(adapter, created_at=then)
    with context.store._database.write() as connection:
        from sqlalchemy import text

        connection.execute(
            text("UPDATE training_runs SET updated_at = :then WHERE run_id = :run"), {"then": then, "run": run}
        )


# --- lineage -------------------------------------------------------------------------------------------------------


def test_lineage_answers_both_ways_and_follows_what_was_derived(context: Context) -> None:
    first, other = example("first"), example("other")
    edited = example("first, edited", parent_id=first.id)
    again = example("first, edited twice", parent_id=edited.id)
    context.store.add_examples([first, other, edited, again])
    one = make_adapter(context, 1, {"train": [first.id, other.id], "valid": []})
    two = make_adapter(context, 2, {"train": [again.id], "valid": [other.id]})

    told = trace(context, one)
    assert (told["kind"], told["adapter"], told["run"]) == ("adapter", one, "run-0001")
    assert told["examples"] == {"train": sorted([first.id, other.id]), "valid": [], "test": []}
    assert told["sources"] == {"manual": 2}
    assert told["same_data"] == []

    seen = trace(context, first.id[:10])
    assert (seen["kind"], seen["example"], seen["input_text"], seen["erased"]) == (
        "example",
        first.id,
        "first",
        False,
    )
    assert [(row["adapter"], row["split"], row["via"]) for row in seen["seen_by"]] == [
        (one, "train", None),
        (two, "train", again.id),
    ]
    assert [row["id"] for row in seen["derived"]] == [edited.id, again.id]
    assert [row["id"] for row in trace(context, again.id)["ancestors"]] == [edited.id, first.id]
    assert [(row["adapter"], row["split"]) for row in trace(context, other.id)["seen_by"]] == [
        (one, "train"),
        (two, "valid"),
    ]


def test_an_erased_example_is_said_to_be_erased_and_its_adapters_are_still_known(context: Context) -> None:
    gone = "f" * 24
    child = example("derived from it", parent_id=gone)
    context.store.add_examples([child])
    adapter = make_adapter(context, 1, {"train": [gone, child.id]})
    told = trace(context, gone)
    assert told["erased"]
    assert told["input_text"] is None
    assert [row["adapter"] for row in told["seen_by"]] == [adapter, adapter]
    assert trace(context, child.id)["ancestors"] == [{"id": gone, "erased": True}]
    with pytest.raises(NotFoundError, match=r"neither an adapter nor an example 'f{10}' .* whole id"):
        trace(context, "f" * 10)


def test_the_examples_of_one_correction_know_each_other(context: Context) -> None:
    parent = f"{CORRECTION}abc"
    both = [example("question", parent_id=parent), example("dialogue", parent_id=parent)]
    context.store.add_examples(both)
    told = of_example(context.store, both[0].id)
    assert [row["id"] for row in told["siblings"]] == [both[1].id]
    assert [(row["id"], row["erased"]) for row in told["ancestors"]] == [(parent, False)]


def test_a_ring_of_parents_comes_to_an_end(context: Context) -> None:
    one = example("one")
    two = example("two", parent_id=one.id)
    context.store.add_examples([one, two])
    context.store.update_example(one.id, parent_id=two.id)
    told = of_example(context.store, one.id)
    assert [row["id"] for row in told["ancestors"]] == [two.id]


def test_a_quick_run_without_an_adapter_is_told_as_a_run(context: Context) -> None:
    one = example("one")
    context.store.add_examples([one])
    context.store.add_run("run-x", dataset_digest="d", backend="torch", base="b", revision=1, quick=True)
    context.store.record_run_examples("run-x", {"train": [one.id]})
    (seen,) = of_example(context.store, one.id)["seen_by"]
    assert (seen["adapter"], seen["run_id"], seen["run_state"]) == (None, "run-x", "pending")


# --- cards ---------------------------------------------------------------------------------------------------------


def front_matter(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    return yaml.safe_load(head)


def test_a_turn_leaves_a_card_with_data_recipe_scores_and_the_gates_word(finished: Finished, after: Open) -> None:
    with after() as context:
        registry = Registry(context.home, context.store)
        name = finished.challenger
        text = (registry.path(name) / CARD).read_text()
        assert registry.verify(name) == [], "the card is no part of the adapter's digest"
        assert read_card(context, name).split("It was ")[0] == text.split("It was ")[0]
    head = front_matter(text)
    assert head["base_model"] == "pocket"
    assert head["library_name"] == "peft"
    assert "lora" in head["tags"]
    assert f"# {name}" in text
    train = Path(finished.report["dataset"]["path"], "train.jsonl").read_text().splitlines()
    lines = [json.loads(line)["metadata"] for line in train]
    for source in {line["source"] for line in lines}:
        mine = [line["tokens"] for line in lines if line["source"] == source]
        assert f"| {source} | {len(mine):,} | {sum(mine):,} |" in text
    assert "| rank | " in text
    assert "| bits per byte |" in text
    assert f"The gate's word: {finished.report['decision']['verdict']}." in text
    for reason in finished.report["decision"]["reasons"]:
        assert f"- {reason}" in text
    for private in (str(context.home.path), str(Path.home()), "rows", "more.jsonl", "/tmp"):
        assert private not in text


def test_a_card_is_one_that_the_hub_reads(context: Context) -> None:
    hub = pytest.importorskip("huggingface_hub")
    adapter = make_adapter(context, 1, {"train": ["a" * 24]})
    write_card(context, adapter)
    card = hub.ModelCard((context.home.adapters / "main" / adapter / CARD).read_text())
    assert card.data.base_model == "small"
    assert card.data.to_dict()["library_name"] == "peft"
    assert card.data.license == "mit"
    assert "somebody" not in card.content


def test_a_card_tells_no_text_that_somebody_wrote() -> None:
    assert [plain(one) for one in ("git_commits", "a@b.example", "/home/x", "x" * 99)] == [
        "git_commits", "other", "other", "other",
    ]  # fmt: skip
    assert [licence(one) for one in ("MIT", "MIT OR Apache-2.0", "Jane Doe", "Jane", "unknown", "GPL-3.0-only")] == [
        "MIT", "MIT OR Apache-2.0", "other", "other", "unknown", "GPL-3.0-only",
    ]  # fmt: skip


def test_the_card_of_an_adapter_whose_dataset_is_gone_says_so(context: Context) -> None:
    import shutil

    adapter = make_adapter(context, 1, {"train": ["a" * 24]})
    shutil.rmtree(context.home.datasets)
    assert "The dataset is no longer on disk." in read_card(context, adapter)


# --- prune ---------------------------------------------------------------------------------------------------------


def test_what_serves_served_before_waits_or_is_young_stays(context: Context) -> None:
    ids = [make_adapter(context, n, {"train": ["a" * 24]}, days_old=100 - n) for n in range(10)]
    registry = Registry(context.home, context.store)
    registry.promote("main", ids[0])
    registry.promote("main", ids[1])
    told = prune(context, keep=2, days=30)
    assert told["dry_run"] is True
    # The champion, the one before, and the two newest, the newest of which waits as well.
    assert [one["adapter"] for one in told["adapters"]] == ids[2:8]
    assert all((context.home.adapters / "main" / id).is_dir() for id in ids)
    assert told["kept"] == 4
    done = prune(context, keep=2, days=30, dry_run=False)
    assert done == {**told, "dry_run": False}
    left = {
        path.name for path in (context.home.adapters / "main").iterdir() if path.is_dir() and path.name != "current"
    }
    assert left == {ids[0], ids[1], ids[8], ids[9]}
    assert registry.rollback("main") == ids[0]


def test_lineage_outlives_the_files(context: Context) -> None:
    one = example("one")
    context.store.add_examples([one])
    ids = [make_adapter(context, n, {"train": [one.id]}, days_old=90 - n) for n in range(3)]
    prune(context, keep=1, days=1, dry_run=False)
    assert {row["adapter"] for row in trace(context, one.id)["seen_by"]} == set(ids)
    assert trace(context, ids[0])["examples"]["train"] == [one.id]
    with pytest.raises(NotFoundError, match="was pruned"):
        Registry(context.home, context.store).verify(ids[0])


def test_checkpoints_of_ended_runs_go_and_those_of_open_ones_stay(context: Context) -> None:
    ids = [make_adapter(context, n, {"train": ["a" * 24]}, days_old=60) for n in range(3)]
    context.store.update_run("run-0000", state="stopped")
    with context.store._database.write() as connection:
        from sqlalchemy import text

        connection.execute(text("UPDATE training_runs SET updated_at = 1"))
    before = sum(f.stat().st_size for f in context.home.path.rglob("*") if f.is_file() and f.suffix != ".db-wal")
    told = prune(context, keep=0, days=30, dry_run=False)
    assert {one["run_id"] for one in told["runs"]} == {"run-0001", "run-0002"}
    assert (context.home.runs / "run-0000" / "checkpoints").is_dir(), "it can be gone on with"
    assert not (context.home.runs / "run-0001" / "checkpoints").exists()
    assert ids[0] not in {one["adapter"] for one in told["adapters"]}
    after_ = sum(f.stat().st_size for f in context.home.path.rglob("*") if f.is_file() and f.suffix != ".db-wal")
    assert before - after_ >= told["bytes"] > 2000


def test_the_policy_counts_by_slot() -> None:
    rows = [
        {"adapter_id": f"{slot}{n}", "slot": slot, "created_at": float(n)}
        for slot in ("main", "complex")
        for n in range(3)
    ]
    gone = to_prune(rows, keep=1, days=0, protected={"main0"}, now=10.0)
    assert {row["adapter_id"] for row in gone} == {"main1", "complex0", "complex1"}
    assert to_prune(rows, keep=0, days=1, protected=(), now=10.0) == []


def test_numbers_below_zero_are_refused(context: Context) -> None:
    with pytest.raises(UsageError, match="0 and more"):
        prune(context, keep=-1)
