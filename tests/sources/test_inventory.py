"""Drives walked, files told by what they hold, and copies found without reading more than needed."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samloop.sources import copies
from samloop.sources.copies import digest_whole
from samloop.sources.drives import Found, Trouble, Walk, is_candidate
from samloop.sources.inventory import SAMPLED, look_at
from samloop.sources.look import Look, NothingHere, Unreadable


def pair(number: int) -> dict[str, str]:
    return {"instruction": f"What does switch {number} do?", "output": f"Switch {number} turns on lamp {number}."}


def write(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def found(path: Path) -> Found:
    status = path.stat()
    return Found(path, status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)


def look(path: Path) -> Look:
    return look_at(found(path), {"name": "SAM"})


def names(walk: Walk) -> list[str]:
    return [met.path.name for met in walk if isinstance(met, Found)]


# --- walking -----------------------------------------------------------------------------------------------------


def test_each_file_is_met_once_whatever_links_there_are(tmp_path: Path) -> None:
    data = write(tmp_path / "a" / "data.jsonl", [pair(1)])
    os.link(data, tmp_path / "a" / "hard.jsonl")
    (tmp_path / "0-link.jsonl").symlink_to(data)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    outside = write(tmp_path / "elsewhere" / "blob", [pair(2)])
    (tmp_path / "a" / "outside.jsonl").symlink_to(outside)
    walk = Walk([tmp_path / "a", tmp_path, tmp_path / "a" / ".."])
    assert names(walk) == ["data.jsonl", "outside.jsonl"]
    assert walk.counts["links to folders"] == 1


def test_links_that_lead_nowhere_and_circles_are_told_in_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "away" / "data.jsonl")
    (tmp_path / "drive").symlink_to("/nowhere/at/all")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "libx.so").symlink_to("libx.so.1")  # nobody looking for data minds
    told = {Path(met.path).name: met for met in Walk([tmp_path]) if isinstance(met, Trouble)}
    assert sorted(told) == ["drive", "gone.jsonl", "one", "two"]
    assert all(trouble.dangling for trouble in told.values())
    assert told["drive"].problem == "a link to /nowhere/at/all, where nothing is"
    assert "circle" in told["one"].problem


def test_a_folder_that_cannot_be_entered_costs_a_line_and_no_more(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    write(public_folder / "open" / "data.jsonl", [pair(1)])
    (public_folder / "open").chmod(0o755)
    (public_folder / "closed").mkdir(mode=0o000)
    with unprivileged():
        met = list(Walk([public_folder]))
    assert [type(one) for one in met] == [Trouble, Found]
    assert isinstance(met[0], Trouble)
    assert met[0].path.endswith("closed")
    assert met[0].problem == "cannot be read (Permission denied)"


def test_what_is_no_file_of_a_person_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    write(tmp_path / "node_modules" / "x" / "data.jsonl", [pair(1)])
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "repository"], check=True)
    write(tmp_path / "repository" / "data.jsonl", [pair(1)])
    walk = Walk([tmp_path])
    assert names(walk) == []
    assert walk.counts["skipped folders"] == 2


def test_a_hidden_folder_is_walked_and_a_name_that_is_no_text_survives(tmp_path: Path) -> None:
    write(tmp_path / ".sam" / "training_data" / "a.jsonl", [pair(1)])
    odd = os.fsencode(tmp_path) + b"/\xff.jsonl"
    Path(os.fsdecode(odd)).write_text("{}")
    assert [os.fsencode(met.path)[-7:] for met in Walk([tmp_path]) if isinstance(met, Found)] == [
        b"\xff.jsonl",
        b"a.jsonl",
    ]


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("a.jsonl", True),
        ("A.JSON", True),
        ("a.jsonl.gz", True),
        ("a.jsonl.bak", True),
        ("a.csv~", True),
        ("training_data.db", True),
        ("export.zip", True),
        ("a.py", False),
        ("json", False),
        ("a.json.lock", False),
        ("a.jsonly", False),
    ],
)
def test_names_tell_which_files_are_opened(name: str, opened: bool) -> None:
    assert is_candidate(name) == opened


# --- one file ----------------------------------------------------------------------------------------------------


def as_lines(path: Path) -> Path:
    return write(path, [pair(n) for n in range(5)])


def as_array(path: Path) -> Path:
    path.write_text(json.dumps([pair(n) for n in range(5)], indent=1))
    return path


def as_gzip(path: Path) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(pair(n)) + "\n" for n in range(5)).encode()))
    return path


def as_csv(path: Path) -> Path:
    path.write_text("instruction,output\n" + "".join(",".join(pair(n).values()) + "\n" for n in range(5)))
    return path


def as_parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist([pair(n) for n in range(5)]), path)
    return path


@pytest.mark.parametrize(
    ("make", "container"),
    [
        (as_lines, "JSON Lines"),
        (as_array, "JSON array"),
        (as_gzip, "JSON Lines gzip"),
        (as_csv, "CSV"),
        (as_parquet, "Parquet"),
    ],
)
def test_records_are_counted_whatever_holds_them(
    make: Callable[[Path], Path], container: str, tmp_path: Path
) -> None:
    seen = look(make(tmp_path / "data.json"))  # the name lies on purpose
    assert (seen.kind, seen.format, seen.container) == ("dataset", "pair", container)
    assert (seen.records, seen.sampled, seen.broken, seen.problem) == (5, 5, 0, None)
    assert [example.input_text for example in seen.examples] == [pair(n)["instruction"] for n in range(5)]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "left-pad", "version": "1.3.0", "scripts": {"test": "tap"}}',
        "[1, 2, 3]",
        '{"data": {"children": []}}',
        "name,colour\nlamp,red\n",
        '{"text": 5}\n{"text": []}\n',
        "\x00\x01\x02",
        "   \n",
    ],
)
def test_files_of_other_things_are_no_training_data(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(NothingHere):
        look(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("record", "kind", "format_"),
    [
        ({"title": "Lamps", "mapping": {}, "current_node": "x"}, "chatgpt", "ChatGPT export"),
        ({"uuid": "x", "chat_messages": []}, "claude-ai", "Claude.ai export"),
        ({"sessionId": "x", "type": "user", "message": {}}, "claude-code", "Claude Code session"),
        ({"prompt": "def f():", "canonical_solution": "1", "test": "f()"}, None, "HumanEval"),
    ],
)
def test_what_another_source_reads_is_told_as_that(
    record: dict[str, Any], kind: str | None, format_: str, tmp_path: Path
) -> None:
    seen = look(write(tmp_path / "a.jsonl", [record] * 3))
    assert (seen.kind, seen.format, seen.records) == (kind, format_, 3)
    assert (seen.problem is not None) == (kind is None)


def test_the_sample_is_spread_over_the_file_and_bounded(tmp_path: Path) -> None:
    total = 40_000
    seen = look(write(tmp_path / "a.jsonl", [pair(n) for n in range(total)]))
    assert seen.records == total
    assert SAMPLED <= seen.sampled <= 2 * SAMPLED
    numbers = [int(example.input_text.split()[3]) for example in seen.examples]
    steps = {b - a for a, b in pairwise(numbers)}
    assert len(steps) == 1
    assert total - numbers[-1] <= steps.pop()


def test_a_file_that_breaks_off_tells_what_it_has(tmp_path: Path) -> None:
    as_gzip(tmp_path / "whole.gz")
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / "whole.gz").read_bytes()[:-12])
    seen = look(tmp_path / "cut.jsonl.gz")
    assert seen.records in (3, 4)
    assert seen.problem is not None
    assert seen.problem.startswith("truncated file")


def test_the_licence_is_the_files_or_that_of_its_records(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [pair(1) | {"license": "MIT"}, pair(2) | {"license": "CC0-1.0"}])
    assert look(tmp_path / "a.jsonl").licence == "several"
    write(tmp_path / "b.jsonl", [pair(1)])
    (tmp_path / "b.jsonl.license").write_text("SPDX-License-Identifier: CC-BY-4.0")
    assert look(tmp_path / "b.jsonl").licence == "CC-BY-4.0"


# --- databases and archives --------------------------------------------------------------------------------------


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as opened, opened:
        for statement in statements:
            opened.execute(statement)
    return path


EXAMPLES = ("CREATE TABLE training_examples (input_text, output_text)", "INSERT INTO training_examples VALUES (1, 2)")
DISTILLED = (
    "CREATE TABLE skill_templates (id)",
    "CREATE TABLE corrections (id)",
    "INSERT INTO corrections VALUES (1)",
)
OTHER_CODE = (
    "CREATE TABLE files (max_stars_repo_path, programming_language, source_code)",
    "INSERT INTO files VALUES (1, 2, 3)",
)
CODE = ('CREATE TABLE "the ""files""" (Path, Language, Content)', 'INSERT INTO "the ""files""" VALUES (1, 2, 3)')


@pytest.mark.parametrize(
    ("statements", "kind", "format_"),
    [
        (EXAMPLES, "sam-home", "training examples"),
        (DISTILLED, "sam-home", "distillation"),
        (CODE, "code", "code files"),
        (OTHER_CODE, "code", "code files"),
    ],
)
def test_databases_are_told_by_their_tables(
    statements: tuple[str, ...], kind: str, format_: str, tmp_path: Path
) -> None:
    path = database(tmp_path / "a db?.sqlite", *statements)
    seen = look(path)
    assert (seen.kind, seen.format, seen.container, seen.records) == (kind, format_, "SQLite", 1)
    assert sorted(tmp_path.iterdir()) == [path], "a look leaves nothing behind"


def test_a_database_that_is_written_or_of_another_schema_or_damaged(tmp_path: Path) -> None:
    held = database(tmp_path / "held.db", "CREATE TABLE training_examples (input_text, output_text)")
    with closing(sqlite3.connect(held, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert look(held).format == "training examples"
    other = database(tmp_path / "other.db", "CREATE TABLE contacts (name)")
    with pytest.raises(NothingHere):
        look(other)
    (tmp_path / "broken.db").write_bytes(held.read_bytes()[:100] + b"\xff" * 4000)
    with pytest.raises(Unreadable, match=r"malformed|not a database"):
        look(tmp_path / "broken.db")


def archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in members.items():
            made.writestr(name.replace("__", "/") + ".json", text)
    return path


def test_an_export_in_an_archive_is_counted_and_no_path_in_it_is_followed(tmp_path: Path) -> None:
    chats = json.dumps([{"title": str(n), "mapping": {}, "current_node": "x"} for n in range(3)])
    seen = look(archive(tmp_path / "a.zip", **{"..__..__conversations": chats, "user": "{}"}))
    assert (seen.kind, seen.format, seen.container, seen.records) == ("chatgpt", "ChatGPT export", "ZIP", 3)
    split = archive(tmp_path / "b.zip", **{"conversations-000": chats, "conversations-001": chats})
    assert look(split).records == 6
    claude = json.dumps([{"uuid": "x", "chat_messages": []}])
    assert look(archive(tmp_path / "c.zip", conversations=claude)).kind == "claude-ai"
    with pytest.raises(NothingHere):
        look(archive(tmp_path / "d.zip", other=chats))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as made,
        made.open("conversations.json", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(b" " * 2**20)
    with pytest.raises(Unreadable, match="500 times"):
        look(tmp_path / "bomb.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "bomb.zip").read_bytes()[:1000])
    with pytest.raises(Unreadable, match="not unpacked"):
        look(tmp_path / "cut.zip")


# --- copies ------------------------------------------------------------------------------------------------------


def test_only_what_could_be_equal_is_read(tmp_path: Path) -> None:
    head = b"x" * copies.HEAD_BYTES
    contents = {
        "a": head + b"1",
        "b": head + b"1",
        "c": head + b"2",  # as long, and equal up to there
        "d": b"y" * (copies.HEAD_BYTES + 1),  # as long
        "e": head + b"longer",
        "f": b"short",
        "g": b"short",
        "h": b"",
        "i": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    read: list[str] = []

    def whole(path: Path, size: int) -> str | None:
        read.append(path.name)
        return digest_whole(path, size)

    groups = copies.copies({tmp_path / name: len(content) for name, content in contents.items()}, whole)
    assert [[path.name for path in group] for group in groups] == [["a", "b"], ["f", "g"]]
    assert read == ["a", "b", "c"]


def test_a_file_that_changed_or_went_is_no_copy(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"as long")
    sizes = {tmp_path / name: 7 for name in "abc"}
    assert [[path.name for path in group] for group in copies.copies(sizes)] == [["a", "b"]]
    (tmp_path / "a").write_bytes(b"shorter"[:3])
    assert copies.copies(sizes) == []
