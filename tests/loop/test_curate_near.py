"""Near-duplicates in bulk: who goes and who stays hangs on the examples alone, however little is held at once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bulk_world import RECIPE, SCRIPT, balanced, ids, story, tree, world, write_lines

from samloop.curate.near import compare
from samloop.curate.near.examples import Cut
from samloop.curate.near.groups import ROUNDS
from samloop.curate.near.shingles import WHOLE
from samloop.curate.near.templates import Frequencies, slots_for
from samloop.example import Example
from samloop.loop.bulk import near, plan
from samloop.loop.curate import curate


def rejects(out: Path) -> list[dict[str, Any]]:
    """What was turned away as near-duplicate."""
    listed = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    return [entry for entry in listed if entry["reason"] == "near-duplicate"]


def table(out: Path, state: str = "accepted") -> dict[str, dict[str, Any]]:
    """The examples of a state, by their origin."""
    rows = [row for path in sorted((out / state).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["source_id"]: row for row in rows}


def test_the_better_one_stays_and_the_other_is_listed_with_it(tmp_path: Path) -> None:
    longer = story(3, 1)
    longer["output"] = longer["output"][:-1] + ", and more."
    first = write_lines(tmp_path / "a.jsonl", [story(n) for n in range(5)])
    second = write_lines(tmp_path / "b.jsonl", [story(7), longer, story(1), story(8)])
    data = curate(RECIPE, [str(first), str(second)], tmp_path / "out")
    balanced(data)
    totals = data["totals"]
    assert [totals[name] for name in ("read", "added", "duplicate", "rejected", "review")] == [9, 7, 1, 1, 0]
    assert data["sources"][0]["reasons"] == {"near-duplicate": 1}
    rows = table(tmp_path / "out")
    assert "a.jsonl:4" not in rows
    (entry,) = rejects(tmp_path / "out")
    assert (entry["location"], entry["id"]) == (str(first), "a.jsonl:4")
    assert rows["b.jsonl:2"]["id"] in entry["detail"]
    (pair,) = data["near_duplicates"]["pairs"]
    assert (pair["kept"], data["near_duplicates"]["removed"]) == (rows["b.jsonl:2"]["id"], 1)
    assert 0.8 <= pair["alike"] < 1
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"| {pair['kept']} | {pair['id']} | {pair['alike']:.0%} |" in page


def test_who_asks_the_same_shares_a_cluster(tmp_path: Path) -> None:
    asked, other = story(1), story(2)
    again = {**asked, "output": other["output"]}
    source = write_lines(tmp_path / "a.jsonl", [story(5), asked, story(6), again])
    data = curate(RECIPE, [str(source)], tmp_path / "out")
    rows = table(tmp_path / "out")
    first = rows["a.jsonl:2"]["id"]
    assert [row["cluster"] for row in rows.values()] == [None, first, None, first]
    assert data["near_duplicates"] == {"removed": 0, "clustered": 2, "pairs": []}
    curate(RECIPE, [str(source)], tmp_path / "lines", format="jsonl")
    (shard,) = (tmp_path / "lines" / "accepted").iterdir()
    told = [json.loads(line)["metadata"] for line in shard.read_text().splitlines()]
    assert [line.get("cluster") for line in told] == [None, first, None, first]


def test_it_can_be_switched_off_and_tuned(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", [story(1), story(1, 1), story(2)])
    off = curate(RECIPE.changed(curate={"near": {"enabled": False}}), [str(source)], tmp_path / "off")
    assert (off["totals"]["added"], off["near_duplicates"]) == (3, None)
    assert "Near-duplicates" not in (tmp_path / "off" / "report.md").read_text()
    strict = curate(RECIPE.changed(curate={"near": {"jaccard": 0.99}}), [str(source)], tmp_path / "strict")
    assert strict["totals"]["added"] == 3
    assert curate(RECIPE, [str(source)], tmp_path / "out")["totals"]["added"] == 2


def test_fillings_of_a_template_stay(tmp_path: Path) -> None:
    asked, told = (" ".join(story(n)["output"] for n in some) for some in (range(3), range(3, 6)))
    records = [
        {**story(n), "instruction": f"{asked} {story(n)['output'][18:50]}?", "output": f"{told} {n}."}
        for n in range(101, 221)
    ]
    source = [str(write_lines(tmp_path / "in.jsonl", records))]
    assert curate(RECIPE, source, tmp_path / "out")["near_duplicates"]["removed"] == 0
    # Where a hundred and twenty examples are no template yet: the reason why there is a bound.
    many = RECIPE.changed(curate={"near": {"template_examples": 200}})
    assert curate(many, source, tmp_path / "many")["near_duplicates"]["removed"] > 100


@pytest.mark.parametrize("held", ["units", "pieces", "shingles", "counts"])
def test_how_much_is_held_at_once_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    places = world(tmp_path / "in")
    whole = curate(RECIPE, places, tmp_path / "whole", workers=1)
    assert whole["near_duplicates"]["removed"] > 50
    if held == "units":
        monkeypatch.setattr(plan, "UNIT_BYTES", 10_000)
    if held == "pieces":
        monkeypatch.setattr(near, "PIECE_ROWS", 40)
    if held == "shingles":
        monkeypatch.setattr(near, "PIECE_SHINGLES", 4_000)
        monkeypatch.setattr(compare, "SHINGLES_AT_ONCE", 1_000)
    if held == "counts":
        monkeypatch.setattr(near, "COUNTS", 3)
        monkeypatch.setattr(near, "PIECE_ROWS", 50)
    cut = curate(RECIPE, places, tmp_path / "cut", workers=1)
    assert cut["near_duplicates"] == whole["near_duplicates"]
    listed = [sorted(map(json.dumps, rejects(tmp_path / name))) for name in ("cut", "whole")]
    assert listed[0] == listed[1]
    for state in ("accepted", "review"):
        assert ids(tmp_path / "cut", state) == ids(tmp_path / "whole", state) != []
        clusters = [
            {k: row["cluster"] for k, row in table(tmp_path / name, state).items()} for name in ("cut", "whole")
        ]
        assert clusters[0] == clusters[1]


@pytest.mark.parametrize("partition_keys", [300, 5_000, 10**9])
def test_whoever_goes_is_like_what_stays_and_nothing_alike_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partition_keys: int
) -> None:
    """Against all pairs, compared one by one."""
    monkeypatch.setattr(near, "PARTITION_KEYS", partition_keys)
    rng = random.Random(3)
    records = [story(rng.randrange(80), rng.randrange(3)) for _ in range(300)]
    curate(RECIPE, [str(write_lines(tmp_path / "a.jsonl", records))], tmp_path / "out")
    examples = [
        Example(source="x", format="instruction", input_text=one["instruction"], output_text=one["output"]).sealed()
        for one in records
    ]
    kept = set(ids(tmp_path / "out"))
    at = {example.id: number for number, example in enumerate(examples)}
    cut = Cut.of(examples)
    frequencies = Frequencies(np.zeros(slots_for(len(cut.marked.sets.hashes)), np.uint8))
    frequencies.add(Cut.of([examples[number] for number in at.values()]).marked.part(WHOLE))
    gone = rejects(tmp_path / "out")
    assert len(gone) > 50
    for entry in gone:
        number = int(entry["id"].split(":")[1]) - 1
        (by,) = [id for id in kept if id in entry["detail"]]
        assert cut.compare(frequencies, np.array([number]), np.array([at[by]])).same.all()
    left = np.array(sorted(at[id] for id in kept))
    one, two = (left[side] for side in np.triu_indices(len(left), 1))
    # A sketch misses two of a thousand pairs, and who stood for another that went later is not looked for again.
    assert cut.compare(frequencies, one, two).same.sum() <= 2


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path: Path, small_units: None) -> None:
    places, out = world(tmp_path / "in"), tmp_path / "out"
    script = SCRIPT.replace("try:", "from samloop.loop.bulk import near\nnear.PIECE_ROWS = 2\ntry:", 1)
    process = subprocess.Popen([sys.executable, "-c", script, "local", str(out), *places])
    while len(list((out / ".work" / "near").glob("keys-*"))) < 20:
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "report.json").exists()
    units = {path: path.stat().st_mtime_ns for path in (out / ".work" / "units").glob("[!.]*/manifest.json")}
    seen: list[dict[Path, int]] = []
    curate(
        RECIPE, places, out, workers=2, on_progress=lambda _: seen.append({p: p.stat().st_mtime_ns for p in units})
    )
    assert seen[-1] == units != {}
    assert not (out / ".work").exists()
    curate(RECIPE, places, tmp_path / "undisturbed", workers=1)
    assert tree(out) == tree(tmp_path / "undisturbed")


def test_texts_of_next_to_nothing_and_huge_ones_are_survived(tmp_path: Path) -> None:
    huge = " ".join(story(n)["output"] for n in range(3_000))
    records: list[Any] = [
        {"instruction": "a", "output": "b"},
        {"instruction": "=-=-=-", "output": "!!!"},
        {"instruction": "中", "output": "。"},
        {"instruction": "\U0001f600" * 50, "output": "\U0001f601" * 50},
        {"instruction": "x" * 2**20, "output": "y" * 2**20},
        {**story(1), "output": huge},
        {**story(1), "output": huge.replace("river", "rivers", 9)},
        {"prompt": story(4)["instruction"], "chosen": story(4)["output"], "rejected": story(5)["output"]},
        story(4),
        {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]},
    ]
    source = write_lines(tmp_path / "a.jsonl", records)
    recipe = RECIPE.changed(curate={"rules": {"over_length": {"enabled": False}}})
    data = curate(recipe, [str(source)], tmp_path / "out")
    balanced(data)
    assert data["totals"]["read"] == 10
    (entry,) = rejects(tmp_path / "out")
    assert entry["id"] in ("a.jsonl:6", "a.jsonl:7")
    # A pair and a plain answer to one question both stay, on one side of a split.
    rows = table(tmp_path / "out")
    assert rows["a.jsonl:8"]["cluster"] == rows["a.jsonl:9"]["cluster"] == rows["a.jsonl:8"]["id"]


def test_a_thousand_strangers_that_ask_one_thing_cost_one_comparison_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{**story(n), "instruction": "What is there to tell of the old harbour, then?"} for n in range(1_000)]
    compared: list[int] = []
    plain = near.Shelf.compare

    def counting(shelf: Any, first: Any, *rest: Any) -> Any:
        compared.append(len(first))
        return plain(shelf, first, *rest)

    monkeypatch.setattr(near.Shelf, "compare", counting)
    data = curate(RECIPE, [str(write_lines(tmp_path / "a.jsonl", records))], tmp_path / "out")
    assert data["near_duplicates"]["clustered"] == data["totals"]["added"] + data["totals"]["review"] > 900
    assert sum(compared) < ROUNDS * len(records)
