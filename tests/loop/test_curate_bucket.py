"""Curation of objects in a bucket, on a server that speaks S3."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from samloop.errors import SourceError
from samloop.loop.curate import curate
from samloop.recipe import Recipe

RECIPE = Recipe.parse({})


def lines(begin: int, end: int) -> bytes:
    """Plain, acceptable records as JSON lines."""
    records = [
        {"instruction": f"Which number follows {n}?", "output": f"The number {n + 1} follows {n}, as {n} + 1 shows."}
        for n in range(begin, end)
    ]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket called "team"."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("ENDPOINT_URL", f"http://{host}:{port}"),
        ("ACCESS_KEY_ID", "a"),
        ("SECRET_ACCESS_KEY", "b"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    yield boto3.resource("s3", region_name="us-east-1").create_bucket(Bucket="team")
    server.stop()


def test_a_bucket_gives_what_a_folder_gives(tmp_path: Path, bucket: Any) -> None:
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(lines(0, 30))
    (folder / "more" / "b.jsonl.gz").write_bytes(gzip.compress(lines(20, 50)))
    (folder / "notes.txt").write_text("no data")
    for path in folder.rglob("*.*"):
        bucket.upload_file(str(path), f"data/{path.relative_to(folder)}")
    local = curate(RECIPE, [str(folder)], tmp_path / "local")
    remote = curate(RECIPE, ["s3://team/data"], tmp_path / "remote")
    assert remote["totals"]["added"] == local["totals"]["added"] == 50
    assert [one["location"] for one in remote["sources"]] == [
        "s3://team/data/a.jsonl",
        "s3://team/data/more/b.jsonl.gz",
    ]
    kept = [pq.read_table(tmp_path / out / "accepted")["id"].to_pylist() for out in ("local", "remote")]
    assert kept[0] == kept[1]


def test_an_object_is_read_alone_and_one_that_is_missing_is_one_sentence(tmp_path: Path, bucket: Any) -> None:
    bucket.put_object(Key="one.jsonl", Body=lines(0, 10))
    assert curate(RECIPE, ["s3://team/one.jsonl"], tmp_path / "one")["totals"]["added"] == 10
    with pytest.raises(SourceError, match="found nothing; check the address"):
        curate(RECIPE, ["s3://team/other.jsonl"], tmp_path / "none")
    assert not (tmp_path / "none").exists()
