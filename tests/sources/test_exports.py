"""Exports as files and archives: what lies in them, what leads out of them, what breaks off or blows up."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from cases.chatgpt import Node, conversation, node
from chat_records import Found

from samloop.errors import SourceError
from samloop.sources import exports, unpack
from samloop.sources.chatgpt import read

ASK, ANSWER = "How do I prime the pump?", "Fill its housing with water, close the lid and switch it on."


def write(folder: Path, *talks: Node, name: str = "hand_written.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(list(talks)), encoding="utf-8")
    return path


GOOD = json.dumps([conversation("c", "Title", node("q", None, "user", ASK), node("a", "q", "assistant", ANSWER))])


def archive(folder: Path, members: dict[str, bytes], name: str = "made_up_export.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
    return path


def test_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    other = GOOD.replace('"c"', '"d"')
    members = {"conversations-000.json": GOOD, "conversations-001.json": other, "user.json": '{"id": 1}'}
    members |= {"chat.html": "<html>", "dalle/one.webp": "RIFF", "dalle/two.webp": "RIFF"}
    got = Found(read, archive(tmp_path, {name: text.encode() for name, text in members.items()}))
    assert len(got.examples) == 2
    assert [(r.reason, r.detail) for r in got.rejects] == [
        ("not conversations", "it holds the account and not conversations"),
        ("attachments are left out", "1 .html, 2 .webp; conversations name what they showed"),
    ]


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "C:\\evil.json", "a/../../evil.json", "\\evil.json"]
)
def test_paths_that_lead_out_of_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    got = Found(read, archive(tmp_path, {name: GOOD.encode(), "conversations.json": GOOD.encode()}))
    assert got.reasons == ["path leads out of the archive"]
    assert got.talks == [[ASK, ANSWER]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made_up_export.zip"]


def test_a_bomb_stops_at_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samloop.sources.archives.ALWAYS_BYTES", 2**20)
    assert unpack.MOST_RATIO < 1_000, "blanks shrink to a thousandth"
    bomb = b"[" + b" " * 30_000_000 + GOOD.encode()[1:]
    got = Found(read, archive(tmp_path, {"a.json": GOOD.encode(), "b.json": bomb}))
    assert got.talks == [[ASK, ANSWER]]
    assert "unpacks to too much" in got.reasons


def test_a_damaged_member_costs_itself(tmp_path: Path) -> None:
    path = archive(
        tmp_path, {"a.json": (GOOD[:-1] + " " * 99 + "]").encode(), "b.json": GOOD.replace('"c"', '"d"').encode()}
    )
    data = bytearray(path.read_bytes())
    data[60:64] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    got = Found(read, path)
    assert len(got.talks) >= 1
    assert set(got.reasons) <= {"truncated file", "broken JSON", "not valid UTF-8"}


def test_locked_members_are_named(tmp_path: Path) -> None:
    path = archive(tmp_path, {"a.json": GOOD.encode(), "b.json": GOOD.encode()})
    data = path.read_bytes()
    at = data.rfind(b"PK\x01\x02")
    path.write_bytes(data[: at + 8] + b"\x01" + data[at + 9 :])
    assert Found(read, path).reasons == ["encrypted"]


def test_a_file_that_breaks_off_gives_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "half_written.json"
    path.write_text(GOOD[:-1] + ", " + GOOD[1:200])
    got = Found(read, path)
    assert got.talks == [[ASK, ANSWER]]
    assert got.reasons == ["truncated file"]
    path.write_text(GOOD[:-1] + ", " + GOOD.replace('"c"', '"d"')[1:])
    assert len(Found(read, path, got.since).examples) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "does not begin like JSON"),
        (b"\x89PNG\r\n", "does not begin like JSON"),
        (b'[{"uuid": "u", "chat_messages": []}]', "collect it as 'claude-ai'"),
        (b'{"type": "user", "parentUuid": null}\n', "collect it as 'claude-code'"),
        (b'[{"instruction": "a", "output": "b"}]', "expected objects with 'mapping'"),
        (b"PK\x03\x04 and no more", "cannot be read; fetch it again"),
    ],
)
def test_what_is_no_export_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "no_export.json"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="expected a ChatGPT export") as caught:
        read(str(path), None)
    assert complaint in str(caught.value)


def test_other_files_of_a_folder_cost_a_line_once(tmp_path: Path) -> None:
    write(tmp_path, *json.loads(GOOD))
    (tmp_path / "user.json").write_text('{"id": 1}')
    (tmp_path / "notes.txt").write_text("nothing")
    first = Found(read, tmp_path)
    assert first.reasons == ["not conversations"]
    assert not Found(read, tmp_path, first.since).rejects


def test_an_empty_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found none; name another place"):
        read(str(tmp_path), None)
    with pytest.raises(SourceError, match="found nothing"):
        read(str(tmp_path / "gone"), None)


@pytest.mark.parametrize("wrong", ['"text"', "17", "[]", "null", '{"mapping": []}', '{"mapping": null}'])
def test_broken_conversations_cost_themselves(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "broken_by_hand.json"
    path.write_text(GOOD[:-1] + f", {wrong}]")
    got = Found(read, path)
    assert got.talks == [[ASK, ANSWER]]
    assert len(got.rejects) == 1


def test_a_conversation_longer_than_the_bound_is_not_held(tmp_path: Path) -> None:
    long = conversation("long", "Title", node("q", None, "user", ASK * 5_000), node("a", "q", "assistant", ANSWER))
    got = Found(read, write(tmp_path, long, *json.loads(GOOD)), max_line_bytes=10_000)
    assert got.talks == [[ASK, ANSWER]]
    assert got.reasons == ["record too long"]


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "marked.json"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert not Found(read, path).rejects


def test_a_directory_of_contents_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("conversations.json", GOOD)
    data = bytearray(buffer.getvalue())
    end = data.rfind(b"PK\x05\x06")
    data[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path = tmp_path / "huge_directory.zip"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="table of contents"):
        read(str(path), None)


def pair(id: str) -> Node:
    answer = node("a", "q", "assistant", "word " * 200)
    return conversation(id, "Title", node("q", None, "user", ASK), answer)


def test_reading_goes_on_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MARK_BYTES", 1)
    many = [pair(f"c{n}") for n in range(1_200)]
    for name in ("plain", "zipped"):
        path = write(tmp_path, *many, name=f"{name}.json")
        if name == "zipped":
            path = archive(tmp_path, {"conversations-000.json": path.read_bytes(), "conversations-001.json": b"[]"})
        whole = Found(read, path)
        middle = whole.marks[0]
        assert len(whole.marks) > 2
        rest = Found(read, path, middle)
        assert 0 < len(rest.examples) < 1_200
        assert [e.group_key for e in rest.examples] == [e.group_key for e in whole.examples[-len(rest.examples) :]]


def test_an_archive_with_nothing_but_a_path_that_leads_out_says_so(tmp_path: Path) -> None:
    write(tmp_path, conversation("c", "Title", node("q", None, "user", ASK), node("a", "q", "assistant", ANSWER)))
    archive(tmp_path, {"../conversations.json": GOOD.encode()})
    got = Found(read, tmp_path)
    assert got.reasons == ["path leads out of the archive"]
    assert got.talks == [[ASK, ANSWER]]


def test_a_bomb_is_one_line_and_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samloop.sources.archives.ALWAYS_BYTES", 2**20)
    bomb = b"[" + b" " * 60_000_000
    path = archive(tmp_path, {"a.json": GOOD.encode(), "b.json": bomb})
    tracemalloc.start()
    got = Found(read, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.reasons == ["unpacks to too much"]
    assert peak < 16_000_000
