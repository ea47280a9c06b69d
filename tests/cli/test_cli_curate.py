"""`samloop curate` as a user calls it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest


def lines(path: Path, count: int, **more: object) -> Path:
    """Acceptable records as JSON lines."""
    records = (
        {
            "instruction": f"How many sides has a regular polygon with {number} corners?",
            "output": f"A polygon with {number} corners has {number} sides, one between each two neighbours.",
            **more,
        }
        for number in range(3, 3 + count)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_document_is_that_of_collect(run: Callable, home: Path, tmp_path: Path) -> None:
    first, second = lines(tmp_path / "a.jsonl", 20), lines(tmp_path / "b.jsonl", 25)
    with second.open("a") as file:
        file.write("no json\n")
    ran = run("--json", "curate", first, second, "--out", tmp_path / "out", "--rejects", tmp_path / "rejects.jsonl")
    assert (ran.code, ran.err) == (0, "")
    totals = ran.data["totals"]
    assert totals.pop("seconds") > 0
    assert totals == {"read": 46, "added": 25, "duplicate": 20, "rejected": 1, "review": 0, "redacted": {}}
    assert [(entry["source"], entry["location"], entry["added"]) for entry in ran.data["sources"]] == [
        ("datasets", str(first), 20),
        ("datasets", str(second), 5),
    ]
    assert ran.data["sources"][1]["reasons"] == {"broken JSON": 1}
    (reject,) = map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines())
    assert reject.keys() == {"location", "line", "id", "reason", "detail"}
    assert (reject["location"], reject["line"], reject["reason"]) == (str(second), 26, "broken JSON")
    assert not (home / "samloop.db").exists()  # the store has no part in it
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["totals"] == totals
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("accepted", "length.svg", "rejects.jsonl", "report.json", "report.md", "score.svg", "tokens.svg"),
    ]
    for name in ("score", "length", "tokens"):
        assert ElementTree.parse(tmp_path / "out" / f"{name}.svg").getroot().tag.endswith("svg")
        assert f"({name}.svg)" in (tmp_path / "out" / "report.md").read_text()


def test_people_are_told_the_counts_and_the_reasons(run: Callable, tmp_path: Path) -> None:
    source = lines(tmp_path / "a.jsonl", 9)
    with source.open("a") as file:
        file.write('{"instruction": "Anything?", "output": ""}\n')
    ran = run("curate", source, "--out", tmp_path / "out", "--format", "jsonl")
    assert ran.code == 0
    assert "a.jsonl" in ran.out
    assert "empty text" in ran.out
    assert "1 shard and report.md are in" in ran.out
    assert len((tmp_path / "out" / "accepted" / "part-00000.jsonl").read_text().splitlines()) == 9


def test_secrets_are_in_no_file_that_is_written(run: Callable, tmp_path: Path) -> None:
    address = "jane.roe" + "@" + "mail.polygons.org"
    source = lines(tmp_path / "a.jsonl", 3, context=f"Write to {address} about it.")
    ran = run("--json", "curate", source, "--out", tmp_path / "out", "--format", "jsonl")
    assert ran.data["totals"]["redacted"] == {"EMAIL": 3}
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file() and address.encode() in p.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").rglob("*"))


def test_the_recipe_applies(run: Callable, tmp_path: Path) -> None:
    source = lines(tmp_path / "a.jsonl", 5)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[curate]\nreject_below = 0.99\n")
    ran = run("--json", "--config", recipe, "curate", source, "--out", tmp_path / "out")
    assert (ran.data["totals"]["rejected"], ran.data["shards"]) == (5, [])
    assert "nothing was accepted" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.jsonl"], 1, "found nothing at"),
        (["."], 1, "expected data files in"),
        (["empty.jsonl"], 1, "the file is empty"),
        (["a.jsonl", "--engine", "spark"], 2, "expected the engine to be local"),
        (["a.jsonl", "--engine", "ray://127.0.0.1:1"], 1, "does not answer"),
        (["gs://bucket/key"], 1, "expected a path or s3://BUCKET/KEY"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    refused: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    if "ray" in arguments[-1]:
        pytest.importorskip("ray")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    if arguments != ["."]:
        lines(Path("a.jsonl"), 3)
        Path("empty.jsonl").touch()
    assert message in refused("curate", "--out", tmp_path / "out", *arguments, code=code)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from samloop.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_a_line_of_500_megabytes_is_turned_away_in_little_memory(home: Path, tmp_path: Path) -> None:
    source = lines(tmp_path / "a.jsonl", 3)
    with source.open("ab") as file:
        file.write(b'{"instruction": "q", "output": "')
        for _ in range(500):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n')
    with source.open("a") as file:
        file.write(lines(tmp_path / "b.jsonl", 5).read_text())
    command = ["--home", home, "--json", "curate", source, "--out", tmp_path / "out", "--workers", "1"]
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 3 * 2**30  # of addresses, not of memory
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, command)], capture_output=True, text=True, check=True
    )
    totals = json.loads(done.stdout)["data"]["totals"]
    assert (totals["read"], totals["added"], totals["duplicate"], totals["rejected"]) == (9, 5, 3, 1)
