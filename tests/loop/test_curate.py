"""Curation in bulk: every record is accounted for, and nothing depends on who judged what and when."""

from __future__ import annotations

import csv
import gzip
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_world import RECIPE, SCRIPT, balanced, ids, record, tree, world, write_lines

from samloop.errors import MissingExtraError, SamloopError, SourceError, UsageError
from samloop.example import Example
from samloop.loop import curate as stage
from samloop.loop.bulk import duplicates, plan, shards
from samloop.loop.bulk.unit import ROWS, ROWS_FILE
from samloop.loop.curate import curate
from samloop.protocols import Reject
from samloop.sources import portions


def test_every_container_is_read_and_the_first_of_equal_examples_stays(tmp_path: Path) -> None:
    records = [record(i) for i in range(12)]
    write_lines(tmp_path / "a.jsonl", records[:4])
    (tmp_path / "b.json").write_text(json.dumps(records[2:6]))
    with (tmp_path / "c.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["instruction", "input", "output"])
        table.writeheader()
        table.writerows(records[5:8])
    pq.write_table(pa.Table.from_pylist(records[7:10]), tmp_path / "d.parquet")
    (tmp_path / "e.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(r) + "\n" for r in records[9:11]).encode())
    )
    with pa.CompressedOutputStream(str(tmp_path / "f.jsonl.zst"), "zstd") as file:
        file.write((json.dumps(records[10]) + "\n" + json.dumps(records[11]) + "\n").encode())
    data = curate(RECIPE, [str(tmp_path)], tmp_path / "out")
    balanced(data)
    assert [(Path(e["location"]).name, e["read"], e["added"]) for e in data["sources"]] == [
        ("a.jsonl", 4, 4),
        ("b.json", 4, 2),
        ("c.csv", 3, 2),
        ("d.parquet", 3, 2),
        ("e.jsonl.gz", 2, 1),
        ("f.jsonl.zst", 2, 1),
    ]
    (shard,) = (tmp_path / "out" / "accepted").iterdir()
    assert pq.read_table(shard)["input_text"].to_pylist() == [r["instruction"] for r in records]
    assert pq.read_table(shard)["source_id"].to_pylist()[:5] == [
        "a.jsonl:1",
        "a.jsonl:2",
        "a.jsonl:3",
        "a.jsonl:4",
        "b.json:3",
    ]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_the_number_of_processes_changes_nothing(tmp_path: Path, small_units: None, format: Any) -> None:
    places = world(tmp_path / "in")
    alone = curate(RECIPE, places, tmp_path / "one", format=format, workers=1)
    beside = curate(RECIPE, places, tmp_path / "two", format=format, workers=2)
    balanced(alone)
    assert alone["totals"]["duplicate"] > 100
    assert alone["near_duplicates"]["removed"] > 50
    assert alone["near_duplicates"]["clustered"] > 0
    assert {**alone["totals"], "seconds": 0} == {**beside["totals"], "seconds": 0}
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_units_change_the_shards_and_not_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = world(tmp_path / "in")
    whole = curate(RECIPE, places, tmp_path / "whole", workers=1)
    monkeypatch.setattr(plan, "UNIT_BYTES", 10_000)
    cut = curate(RECIPE, places, tmp_path / "cut", workers=1)
    assert len(cut["shards"]) > len(whole["shards"]) == 2
    for state in ("accepted", "review"):
        assert ids(tmp_path / "cut", state) == ids(tmp_path / "whole", state) != []
    listed = [(tmp_path / name / "rejects.jsonl").read_text().splitlines() for name in ("cut", "whole")]
    assert sorted(listed[0]) == sorted(listed[1]) != []
    assert [e["reasons"] for e in cut["sources"]] == [e["reasons"] for e in whole["sources"]]


@pytest.mark.slow
def test_a_killed_run_goes_on_from_what_is_whole_and_ends_as_an_undisturbed_one(
    tmp_path: Path, small_units: None
) -> None:
    places = world(tmp_path / "in", 2_000)
    out, units = tmp_path / "out", tmp_path / "out" / ".work" / "units"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, "local", str(out), *places])
    while len(list(units.glob("[!.]*"))) < 5:
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = {path: path.stat().st_mtime_ns for path in units.glob("[!.]*/manifest.json")}
    assert not (out / "report.json").exists()
    judged: list[float] = []
    monitor = lambda news: judged.append(news["done"])  # noqa: E731
    seen: list[dict[Path, int]] = []
    data = curate(
        RECIPE,
        places,
        out,
        workers=2,
        on_progress=lambda news: (monitor(news), seen.append({p: p.stat().st_mtime_ns for p in whole})),
    )
    balanced(data)
    assert seen[-1] == whole  # they were not made again
    assert not (out / ".work").exists()
    curate(RECIPE, places, tmp_path / "undisturbed", workers=1)
    assert tree(out) == tree(tmp_path / "undisturbed")


def test_a_run_killed_while_it_hands_over_is_handed_over_again(
    tmp_path: Path, small_units: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, out = world(tmp_path / "in"), tmp_path / "out"
    placed: list[Path] = []
    place = shards.place

    def failing(source: Path, target: Path, *rest: Any) -> None:
        if len(placed) == 3:
            raise KeyboardInterrupt
        placed.append(target)
        place(source, target, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shards, "place", failing)
        curate(RECIPE, places, out, workers=1)
    assert len(placed) == 3
    curate(RECIPE, places, out, workers=1)
    curate(RECIPE, places, tmp_path / "undisturbed", workers=1)
    assert tree(out) == tree(tmp_path / "undisturbed")


def test_a_finished_run_is_not_done_again_nor_overwritten_by_another(tmp_path: Path) -> None:
    places, out = world(tmp_path / "in", 20), tmp_path / "out"
    first = curate(RECIPE, places, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = curate(RECIPE, places, out, rejects=tmp_path / "rejects.jsonl")
    assert {**again["totals"], "seconds": 0} == {**first["totals"], "seconds": 0}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path != out} == before
    assert (tmp_path / "rejects.jsonl").read_bytes() == (out / "rejects.jsonl").read_bytes() != b""
    with pytest.raises(UsageError, match="output of other input or settings"):
        curate(RECIPE.changed(curate={"reject_below": 0.5}), places, out)
    with Path(places[1]).open("a") as file:
        file.write("\n" + json.dumps(record(-5)))
    with pytest.raises(UsageError, match="output of other input or settings"):
        curate(RECIPE, places, out)


def test_other_peoples_folders_are_left_alone(tmp_path: Path) -> None:
    places = world(tmp_path / "in", 5)
    (tmp_path / "mine" / "accepted").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds other files"):
        curate(RECIPE, places, tmp_path / "mine")
    with pytest.raises(UsageError, match="got the file"):
        curate(RECIPE, places, Path(places[0]))
    with stage._owned(tmp_path / "out"), pytest.raises(UsageError, match="another run"):
        curate(RECIPE, places, tmp_path / "out")


def test_lines_written_are_read_back_as_the_same_examples(tmp_path: Path) -> None:
    turns = [("user", "Hello, who are you?"), ("assistant", "I am SAM."), ("user", "What is the capital of France?")]
    messages = [{"role": role, "content": text} for role, text in turns]
    answer = {"role": "assistant", "content": "The capital of France is Paris, on the river Seine."}
    source = write_lines(
        tmp_path / "in.jsonl",
        [
            record(1),
            {"messages": [{"role": "system", "content": "Be brief."}, *messages, answer]},
            {
                "prompt": "Name a prime number above ten.",
                "chosen": "Eleven is prime.",
                "rejected": "Twelve, of course.",
            },
        ],
    )
    curate(RECIPE, [str(source)], tmp_path / "lines", format="jsonl")
    curate(RECIPE, [str(source)], tmp_path / "table")
    (written,) = (tmp_path / "lines" / "accepted").glob("*.jsonl")
    assert curate(RECIPE, [str(written)], tmp_path / "again")["totals"]["added"] == 3
    assert ids(tmp_path / "again") == ids(tmp_path / "table")


# --- bad input ---------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[bytes, str]] = {
    "broken JSON": (b'{"instruction": "x", ', "broken JSON"),
    "a bare value": (b"17", "not an object"),
    "invalid UTF-8": (b'{"instruction": "caf\xe9", "output": "x"}', "not valid UTF-8"),
    "a NUL": (b'{"instruction": "a\0b", "output": "x"}', "NUL byte"),
    "a number out of range": (b'{"instruction": "q", "output": ' + b"9" * 5_000 + b"}", "number out of range"),
    "nested too deeply": (b'{"instruction": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "ragged": (b'{"instruction": {"a": [1, {"b": 2}]}, "output": ["x", 3]}', "wrong type"),
    "another schema": (b'{"title": "x", "body": "y"}', "unknown format"),
    "an over-long line": (b'{"instruction": "q", "output": "' + b"x" * 4_000_000 + b'"}', "line too long"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_counted_listed_and_survived(tmp_path: Path, small_units: None, name: str) -> None:
    line, reason = BAD[name]
    good = [json.dumps(record(i)).encode() for i in range(40)]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([*good[:20], line, *good[20:]]))
    recipe = RECIPE.changed(collect={"max_line_bytes": 2_000_000})
    data = curate(recipe, [str(tmp_path / "in.jsonl")], tmp_path / "out", workers=1)
    balanced(data)
    assert (data["totals"]["read"], data["totals"]["added"]) == (41, 40)
    assert data["sources"][0]["reasons"] == {reason: 1}
    (listed,) = map(json.loads, (tmp_path / "out" / "rejects.jsonl").read_text().splitlines())
    assert (listed["line"], listed["reason"]) == (21, reason)


def test_what_can_be_read_is_judged(tmp_path: Path) -> None:
    lines = [
        b'{"instruction": "What is a lone surrogate? \\ud83d", "output": "It becomes a replacement."}',
        b'{"instruction": "old", "instruction": "Which of two equal keys counts?", "output": "The last one does."}',
        b'{"messages": [{"role": "user", "content": "Does the format change midway?"}, '
        b'{"role": "assistant", "content": "Yes, and each line is read as what it is."}]}',
        json.dumps(
            {"instruction": "Write many marks.", "output": "e" + "\u0301" * 1_000_000 + " are enough."}
        ).encode(),
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    data = curate(RECIPE, [str(tmp_path / "in.jsonl")], tmp_path / "out")
    balanced(data)
    assert data["totals"]["read"] == 4
    assert data["sources"][0]["reasons"] == {"text is not decodable": 1}
    (shard, *_) = (tmp_path / "out" / "accepted").glob("*.parquet")
    asked = pq.read_table(shard)["input_text"].to_pylist()
    assert "Which of two equal keys counts?" in asked


def test_bad_files_among_good_ones_are_counted_and_a_bad_one_alone_is_an_error(tmp_path: Path) -> None:
    good = write_lines(tmp_path / "good.jsonl", [record(i) for i in range(3)])
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + bytes(100))
    whole = gzip.compress(b"".join(json.dumps(record(i)).encode() + b"\n" for i in range(10, 2_000)))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    names = ["good.jsonl", "empty.jsonl", "picture.png", "cut.parquet", "cut.jsonl.gz"]
    data = curate(RECIPE, [str(tmp_path / name) for name in names], tmp_path / "out")
    balanced(data)
    reasons = {Path(entry["location"]).name: entry["reasons"] for entry in data["sources"]}
    assert reasons.pop("good.jsonl") == {}
    assert set(reasons.pop("cut.jsonl.gz")) == {"truncated file"}
    assert reasons == {n: {"not a data file": 1} for n in ("empty.jsonl", "picture.png", "cut.parquet")}
    for name in ("empty.jsonl", "picture.png", "cut.parquet"):
        with pytest.raises(SourceError):
            curate(RECIPE, [str(tmp_path / name)], tmp_path / "none")
    with pytest.raises(SourceError, match="found nothing at"):
        curate(RECIPE, [str(good), str(tmp_path / "missing.jsonl")], tmp_path / "none")


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", [record(i) for i in range(9)])
    (file,) = portions.find([str(path)], alone=True)
    assert isinstance(file, portions.DataFile)
    (portion,) = portions.cut(file)
    path.write_text(path.read_text().replace("upwards", "UPWARDS"))
    with pytest.raises(SourceError, match="changed while it was read"):
        list(portions.read(portion, max_line_bytes=2**20))


# --- portions ----------------------------------------------------------------------------------------------------


def read_in_portions(path: Path, portion_bytes: int) -> list[tuple[str, Any, Any]]:
    """What reading a file portion by portion yields, last portion first, in the order of the file."""
    (file,) = portions.find([str(path)], alone=True)
    assert isinstance(file, portions.DataFile)
    read = [list(portions.read(p, max_line_bytes=500)) for p in [*portions.cut(file, None, portion_bytes)][::-1]]
    return [_told(one) for part in read[::-1] for one in part]


def _told(one: Example | Reject) -> tuple[str, Any, Any]:
    return (
        ("example", one.source_id, one.input_text) if isinstance(one, Example) else ("reject", one.line, one.reason)
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_portions_of_lines_yield_what_the_whole_file_yields(tmp_path: Path, ending: str, last: str) -> None:
    lines = [json.dumps(record(i)) for i in range(30)]
    lines[3:3] = ["", "{", "x" * 900, ""]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (ending.join(lines) + last).encode())
    whole = read_in_portions(path, 2**30)
    assert len(whole) == 32
    for size in (1, 7, 200, 1_000, 5_000):
        assert read_in_portions(path, size) == whole


def test_portions_of_a_table_yield_what_the_whole_file_yields(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist([record(i) for i in range(100)]), path, row_group_size=7)
    whole = read_in_portions(path, 2**30)
    assert [number for _, number, _ in whole] == [f"in.parquet:{i}" for i in range(1, 101)]
    for size in (1, 2_000, 5_000):
        assert read_in_portions(path, size) == whole


# --- duplicates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition_rows", [10, 1_000, 10**6])
def test_the_first_of_equal_hashes_stays_whatever_fits_into_memory(tmp_path: Path, partition_rows: int) -> None:
    rng = np.random.default_rng(0)
    folders, pairs = [], []
    for i, count in enumerate([300, 0, 1, 700]):
        rows = np.zeros(count, dtype=ROWS)
        rows["high"], rows["low"] = rng.integers(0, 20, count), rng.integers(0, 20, count)
        folder = tmp_path / f"unit-{i}"
        folder.mkdir()
        rows.tofile(folder / ROWS_FILE)
        folders.append(folder)
        pairs += list(zip(rows["high"].tolist(), rows["low"].tolist(), strict=True))
    (tmp_path / "spill").mkdir()
    found = duplicates.first_of_each(folders, tmp_path / "spill", partition_rows)
    seen: set[Any] = set()
    expected = [not (pair in seen or seen.add(pair)) for pair in pairs]  # type: ignore[func-returns-value]
    assert found.tolist() == expected
    assert not any((tmp_path / "spill").iterdir())


# --- clusters and buckets ----------------------------------------------------------------------------------------


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_an_engine_there_is_none_of_is_wrong_usage(tmp_path: Path) -> None:
    places = world(tmp_path / "in", 3)
    for engine in ("spark", "ray://", "ray:"):
        with pytest.raises(UsageError, match="expected the engine"):
            curate(RECIPE, places, tmp_path / "out", engine=engine)


def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path, closed_port: int) -> None:
    pytest.importorskip("ray")
    with pytest.raises(SamloopError, match="does not answer") as told:
        curate(RECIPE, world(tmp_path / "in", 3), tmp_path / "out", engine=f"ray://127.0.0.1:{closed_port}")
    assert not isinstance(told.value, MissingExtraError)


def on_ray(engine: str, out: Path, places: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Curate in a process of its own: Ray leaves threads and warnings behind."""
    command = [sys.executable, "-c", SCRIPT, engine, str(out), *places]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_a_cluster_that_never_speaks_is_one_sentence(tmp_path: Path, silent_port: int) -> None:
    pytest.importorskip("ray")
    ran = on_ray(f"ray://127.0.0.1:{silent_port}", tmp_path / "out", world(tmp_path / "in", 3))
    assert ran.returncode == 1
    assert "does not answer (no answer in 15 seconds)" in ran.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes(tmp_path: Path, small_units: None) -> None:
    pytest.importorskip("ray")
    places = world(tmp_path / "in")
    curate(RECIPE, places, tmp_path / "local", workers=2)
    ran = on_ray("ray://local", tmp_path / "ray", places)
    assert ran.returncode == 0, ran.stderr
    assert ids(tmp_path / "ray") == ids(tmp_path / "local") != []
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def test_an_address_that_is_no_bucket_is_one_sentence(tmp_path: Path) -> None:
    for place in ("s3://", "gs://bucket/key", "https://example.org/data.jsonl"):
        with pytest.raises(SourceError, match=r"expected a path or s3://BUCKET/KEY"):
            curate(RECIPE, [place], tmp_path / "out")


def test_a_bucket_that_does_not_answer_is_one_sentence(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(SourceError, match="cannot be read"):
        curate(RECIPE, ["s3://bucket/data.jsonl"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
