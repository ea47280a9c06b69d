"""`samloop inventory`: what lies there, what the store has of it, and what is remembered."""

from __future__ import annotations

import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from samloop.loop import inventory
from samloop.loop.inventory_page import size_text
from samloop.store.looks import PUTS_AT_ONCE, Looks


def pair(number: int) -> dict[str, str]:
    answer = f"Switch {number} turns on the lamp above door {number}; it goes out by itself after a minute."
    return {"instruction": f"What does switch {number} do?", "output": answer}


def write(path: Path, numbers: range) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(pair(number)) + "\n" for number in numbers)
    return path


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A folder with data, a copy of it, an empty file, small files, and what is none of this."""
    folder = tmp_path / "drive"
    data = write(folder / "data.jsonl", range(20))
    (folder / "copies").mkdir()
    (folder / "copies" / "data (1).jsonl").write_bytes(data.read_bytes())
    (folder / "empty.jsonl").touch()
    (folder / "package.json").write_text('{"name": "lamp"}')
    (folder / "gone.jsonl").symlink_to("/nowhere.jsonl")
    for number in range(8):
        write(folder / "days" / f"{number}.jsonl", range(100 + number, 102 + number))
    return folder


def by_name(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {Path(file["path"]).name: file for file in data["files"]}


def test_the_document_tells_all_there_is(run: Any, drive: Path) -> None:
    data = run("--json", "inventory", drive).data
    totals = data["totals"]
    assert (totals["files"], totals["with_data"], totals["records"]) == (12, 10, 56)
    files = by_name(data)
    file = files["data.jsonl"]
    assert (file["kind"], file["format"], file["container"], file["records"]) == ("dataset", "pair", "JSON Lines", 20)
    assert file["bytes"] == (drive / "data.jsonl").stat().st_size
    assert file["date"] == time.strftime("%Y-%m-%d", time.gmtime((drive / "data.jsonl").stat().st_mtime))
    assert (file["share_in_store"], file["sampled"], file["state"]) == (0.0, 20, "new")
    (group,) = data["duplicates"]
    assert group["paths"] == [str(drive / "data.jsonl"), str(drive / "copies" / "data (1).jsonl")]
    assert (group["spare_bytes"], group["drives"]) == (file["bytes"], 1)
    copy = files["data (1).jsonl"]
    assert (copy["copy_of"], copy["state"]) == (file["path"], "copy")
    assert data["empty"] == [str(drive / "empty.jsonl")]
    (tiny,) = data["tiny"]
    assert (tiny["folder"], tiny["files"], tiny["records"]) == (str(drive / "days"), 8, 16)
    assert [Path(row["path"]).name for row in data["dangling"]] == ["gone.jsonl"]
    assert data["problems"] == []
    assert sum(totals["by_state"].values()) == totals["bytes"] == sum(f["bytes"] for f in data["files"])
    assert totals["by_state"]["copies"] == file["bytes"]


def test_it_knows_what_is_in_the_store(run: Any, drive: Path) -> None:
    data = drive / "data.jsonl"
    run("collect", "dataset", data)
    files = by_name(run("--json", "inventory", data, drive / "days").data)
    assert (files["data.jsonl"]["share_in_store"], files["data.jsonl"]["state"]) == (1.0, "in store")
    assert files["3.jsonl"]["state"] == "new"
    write(data, range(20, 40))
    file = by_name(run("--json", "inventory", data).data)["data.jsonl"]
    assert (file["share_in_store"], file["state"]) == (0.5, "partly in store")


def test_redacted_and_filled_in_records_are_found_again(run: Any, tmp_path: Path) -> None:
    address = "@".join(("grace.waters", "waterworks-of-nowhere.net"))
    record = {
        "instruction": "Who are you, and who helps you?",
        "output": f"I am {{{{name}}}}. Ask {address} for help.",
    }
    path = tmp_path / "identity.jsonl"
    path.write_text("".join(json.dumps(record | {"input": f"Asked {n} times."}) + "\n" for n in range(9)))
    run("collect", "dataset", path)
    (file,) = run("--json", "inventory", path).data["files"]
    assert file["share_in_store"] == 1.0


def test_a_second_run_looks_at_what_is_new_alone(run: Any, drive: Path, home: Path) -> None:
    first = run("--json", "inventory", drive).data
    assert first["totals"]["remembered"] == 0
    second = run("--json", "inventory", drive).data
    assert second["totals"]["remembered"] == 11  # the file that holds nothing for us too
    assert second["files"] == first["files"]
    write(drive / "days" / "3.jsonl", range(500, 501))
    (drive / "days" / "4.jsonl").unlink()
    third = run("--json", "inventory", drive).data
    assert third["totals"]["remembered"] == 9
    assert by_name(third)["3.jsonl"]["records"] == 3
    assert "4.jsonl" not in by_name(third)
    assert (home / "inventory.db").stat().st_mode & 0o777 == 0o600


def test_other_settings_are_looked_at_anew(run: Any, drive: Path, tmp_path: Path) -> None:
    run("inventory", drive)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[curate.redact]\nnames = ["lamp"]\n')
    assert run("--json", "--config", recipe, "inventory", drive).data["totals"]["remembered"] == 0


def test_what_was_found_is_kept_while_it_is_found_and_made_anew_when_damaged(tmp_path: Path) -> None:
    path = tmp_path / "inventory.db"
    with pytest.raises(KeyboardInterrupt), Looks(path, "a") as stopped:
        for number in range(PUTS_AT_ONCE + 10):
            stopped.put(tmp_path / f"{number}.jsonl", 1, 2, {"format": "pair"})
            if number == PUTS_AT_ONCE:  # as a killed process would leave it
                with Looks(path, "a") as other:
                    assert other.get(tmp_path / "0.jsonl", 1, 2) == {"format": "pair"}
                    assert other.get(tmp_path / "0.jsonl", 1, 3) is None
        raise KeyboardInterrupt
    with Looks(path, "b") as others:
        assert others.get(tmp_path / "0.jsonl", 1, 2) is None
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with Looks(path, "a") as again:
        assert again.get(tmp_path / "0.jsonl", 1, 2) is None
        again.put(tmp_path / "0.jsonl", 1, 2, {"format": "pair"})


def test_a_drive_that_is_not_plugged_in_is_not_forgotten(run: Any, drive: Path) -> None:
    run("inventory", drive)
    drive.rename(drive.with_name("unplugged"))
    assert run("inventory", drive).code == 1
    drive.with_name("unplugged").rename(drive)
    assert run("--json", "inventory", drive).data["totals"]["remembered"] == 11


def test_a_file_that_grows_while_it_is_read_is_looked_at_again(
    run: Any, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_before = inventory.look_at

    def and_then_it_grows(found: Any, variables: Any) -> Any:
        look = read_before(found, variables)
        if found.path.name == "data.jsonl":
            write(found.path, range(40, 41))
        return look

    monkeypatch.setattr(inventory, "look_at", and_then_it_grows)
    assert by_name(run("--json", "inventory", drive).data)["data.jsonl"]["problem"] == "changes while it is read"
    monkeypatch.undo()
    assert by_name(run("--json", "inventory", drive).data)["data.jsonl"]["records"] == 21


class Cells(HTMLParser):
    """The texts and the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_obeys_no_file_name(run: Any, drive: Path, tmp_path: Path) -> None:
    hostile = write(drive / "<script>alert(1)<" / "a&b.jsonl", range(3))
    page = tmp_path / "page.html"
    ran = run("--json", "inventory", drive, "--page", page)
    assert ran.data["page"] == str(page)
    cells = Cells(page.read_text())
    assert str(hostile) in cells.texts
    tags = [tag for tag, _ in cells.tags]
    assert "script" not in tags
    assert not [a for _, a in cells.tags if "href" in a]
    assert not [a for tag, a in cells.tags if tag in ("img", "link") or "src" in a], "it is one file"
    bars = [str(a["style"]) for tag, a in cells.tags if tag == "i" and "width" in str(a.get("style"))]
    widths = [float(style.partition("width:")[2].removesuffix("%")) for style in bars]
    of_format = [sum(row["by_state"].values()) for row in ran.data["by_format"]]
    assert sum(widths) == pytest.approx(100 * sum(of_format) / max(of_format), abs=0.01 * len(widths))
    assert all(a.get("data-l") for tag, a in cells.tags if tag == "td"), "a card on a narrow screen has no head"
    assert {
        "Size by format and state",
        "Files ",
        "Equal files ",
        "Small files worth merging ",
        "Empty files ",
    } <= set(cells.texts)


def test_the_terminal_shows_tables_and_obeys_no_file_name(run: Any, drive: Path) -> None:
    write(drive / "a\x1b[31m\n.jsonl", range(3))
    out = run("inventory", drive).out
    assert "\x1b" not in out
    assert "a␛[31m␊.jsonl" in out
    for title in ("Equal files", "Small files worth merging", "Empty files", "Links that lead nowhere"):
        assert title in out
    assert re.search(r"pair +11 +59 ", out)
    assert "11 with training data" in out


def test_a_place_that_is_not_there_fails_alone_and_is_a_line_among_others(run: Any, drive: Path) -> None:
    gone = run("--json", "inventory", drive / "nothing")
    assert gone.code == 1
    assert gone.error["code"] == "source"
    assert "nothing: cannot be read (No such file or directory)" in gone.error["message"]
    both = run("--json", "inventory", drive / "nothing", drive / "data.jsonl")
    assert both.code == 0
    assert [Path(row["path"]).name for row in both.data["problems"]] == ["nothing"]


def test_a_drive_without_training_data_says_so(run: Any, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    ran = run("inventory", tmp_path / "void", "--page", tmp_path / "page.html")
    assert ran.code == 0
    assert "0 files in 1 folder: 0 with training data" in ran.out
    assert "<img" not in (tmp_path / "page.html").read_text()


def test_a_date_that_cannot_be_is_told(run: Any, drive: Path) -> None:
    os.utime(drive / "days" / "0.jsonl", (4e9, 4e9))
    assert by_name(run("--json", "inventory", drive).data)["0.jsonl"]["problem"] == "dated in the future"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (999_600, "1.0 MB"), (4.2e12, "4.2 TB")],
)
def test_sizes_are_told_in_units_of_a_thousand(size: float, text: str) -> None:
    assert size_text(size) == text
