"""The Claude.ai source: blocks, artifacts, attachments, branches, and what lies beside the conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cases.claude_ai import conversation, message
from chat_records import SHARED, Found, texts

from samloop.errors import SourceError
from samloop.sources.claude_ai import read

ASK, ANSWER, OTHER = "How do I prime the pump?", "Fill its housing with water.", "One primes it."


def write(folder: Path, *talks: Any) -> Path:
    path = folder / "hand_written.json"
    path.write_text(json.dumps(list(talks)), encoding="utf-8")
    return path


def found(folder: Path, *messages: dict[str, Any], **options: Any) -> Found:
    return Found(read, write(folder, conversation("c", "Title", *messages)), **options)


def use(name: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "name": name, "input": given}


def result(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "content": list(parts), **more}


def test_branches_are_conversations_and_preferences(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        message("h1", None, ASK, at=1),
        message("a1", "h1", OTHER, at=2),
        message("a2", "h1", ANSWER, at=3),
        message("h2", "a2", "How long?", at=4),
        message("a3", "h2", "For a minute.", at=5),
        message("h3", "a2", "How long does it run dry?", at=6),
        message("a4", "h3", "Ten seconds at most.", at=7),
    )
    assert got.talks == [
        [ASK, ANSWER, "How long does it run dry?", "Ten seconds at most."],
        [ASK, ANSWER, "How long?", "For a minute."],
    ]
    assert got.pairs == [(ANSWER, OTHER)]
    assert got.examples[-1].metadata == {
        "title": "Title",
        "branch": "edited",
        "edited_to": "How long does it run dry?",
    }
    assert {e.group_key for e in got.examples} == {"claude_ai:c"}


def test_the_leaf_the_export_names_is_the_kept_one(tmp_path: Path) -> None:
    talk = conversation(
        "c", "Title", message("h1", None, ASK), message("a1", "h1", use("search"), result("x"), ANSWER, at=1),
        message("a2", "h1", OTHER, at=2),
    )  # fmt: skip
    got = Found(read, write(tmp_path, talk | {"current_leaf_message_uuid": "a1"}))
    assert got.only.output_text == ANSWER
    assert got.only.source_id == "a1/2"
    assert got.reasons == ["answers cannot be compared"]


def test_messages_without_parents_follow_one_another(tmp_path: Path) -> None:
    messages = [
        message("h1", None, ASK),
        message("a1", None, ANSWER),
        message("h2", None, "Why?"),
        message("a2", None, "Air."),
    ]
    for one in messages:
        del one["parent_message_uuid"]
    got = found(tmp_path, *messages)
    assert got.talks == [[ASK, ANSWER, "Why?", "Air."]]
    assert got.only.created_at == 1741082400.0


def test_tools_and_their_results_take_turns_within_a_message(tmp_path: Path) -> None:
    page = {"type": "knowledge", "title": "Pumps", "url": "https://pumps.example", "is_missing": False}
    got = found(
        tmp_path,
        message("h1", None, ASK),
        message(
            "a1",
            "h1",
            {"type": "thinking", "thinking": "Search first.", "summaries": []},
            "I look it up.",
            use("web_search", query="prime"),
            result(page, {"type": "image"}, {"type": "text", "text": "Water first."}),
            {"type": "token_budget"},
            ANSWER,
        ),
    )
    call = '<tool_call>\n{"name":"web_search","arguments":{"query":"prime"}}\n</tool_call>'
    assert texts(got.only) == [
        ASK,
        f"I look it up.\n\n{call}",
        "<tool_response>\nPumps\nhttps://pumps.example\n[image]\nWater first.\n</tool_response>",
        ANSWER,
    ]
    assert not got.rejects


def test_thinking_is_kept_on_request_alone(tmp_path: Path) -> None:
    messages = message("h1", None, ASK), message("a1", "h1", {"type": "thinking", "thinking": "Water."}, ANSWER)
    assert found(tmp_path, *messages).only.output_text == ANSWER
    assert found(tmp_path, *messages, thinking=True).only.output_text == f"<think>\nWater.\n</think>\n\n{ANSWER}"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"type": "text/markdown", "content": "# Pump\n\nFill it."}, "# Pump\n\nFill it."),
        (
            {"type": "application/vnd.ant.code", "language": "python", "content": "fill()\n"},
            "```python\nfill()\n```",
        ),
        ({"type": "application/vnd.ant.react", "content": "<Pump />"}, "```jsx\n<Pump />\n```"),
        ({"type": "text/html", "content": "```x```"}, "````html\n```x```\n````"),
    ],
)
def test_a_document_beside_the_conversation_is_the_answer(tmp_path: Path, document: Any, told: str) -> None:
    made = use("artifacts", command="create", **document)
    got = found(tmp_path, message("h1", None, ASK), message("a1", "h1", "Here:", made, result("OK"), "Good luck."))
    assert got.only.output_text == f"Here:\n\n{told}\n\nGood luck."


def test_a_change_to_a_document_is_a_call(tmp_path: Path) -> None:
    changed = use("artifacts", command="update", old_str="a", new_str="b")
    got = found(tmp_path, message("h1", None, ASK), message("a1", "h1", changed, result("OK"), "Changed."))
    assert [turn["role"] for turn in got.only.conversation_history] == ["user", "assistant"]
    assert got.only.input_text == "<tool_response>\nOK\n</tool_response>"


def test_old_documents_in_tags_lose_their_tags(tmp_path: Path) -> None:
    text = (
        '<antThinking>A page.</antThinking>\nHere:\n\n<antArtifact identifier="p" type="application/vnd.ant.code" '
        'language="sh" title="P">\npump --on\n</antArtifact>\n\nThat is all.'
    )
    got = found(tmp_path, message("h1", None, ASK), message("a1", "h1", text))
    assert got.only.output_text == "Here:\n\n```sh\npump --on\n```\n\nThat is all."


def test_attachments_bring_their_text_and_files_their_names(tmp_path: Path) -> None:
    asked = message(
        "h1",
        None,
        "What is this?",
        attachments=[
            {"file_name": "a.log", "extracted_content": "x" * 9_000},
            {"file_name": "", "extracted_content": ""},
        ],
        files=[
            {"file_name": "b.PNG"},
            {"file_name": "c.pdf"},
            {"file_name": "d.m4a"},
            {"file_name": "image", "file_kind": "image"},
            "odd",
        ],
    )
    answer = message("a1", "h1", ANSWER)
    told = found(tmp_path, asked, answer).only.input_text
    assert told.startswith("[file: a.log]\n" + "x" * 5_333 + "\n[… 1000 characters …]\n")
    assert told.endswith(
        "[file: pasted text]\n\n[image: b.PNG]\n\n[file: c.pdf]\n\n[voice: d.m4a]\n\n[image]\n\nWhat is this?"
    )
    assert "xxx" not in found(tmp_path, asked, answer, attachment_characters=0).only.input_text


def test_the_text_stands_where_there_are_no_blocks(tmp_path: Path) -> None:
    asked, answered = message("h1", None), message("a1", "h1")
    asked |= {"text": ASK, "content": []}
    answered |= {"text": ANSWER}
    del answered["content"]
    assert found(tmp_path, asked, answered).talks == [[ASK, ANSWER]]


def test_a_stopped_answer_is_not_learnt(tmp_path: Path) -> None:
    got = found(tmp_path, message("h1", None, ASK), message("a1", "h1", "Fill its", stop_reason="user_canceled"))
    assert not got.examples
    assert got.reasons == ["no answer"]


def test_unknown_kinds_are_counted(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        message("h1", None, ASK, {"type": "smell", "of": "oil"}),
        message("s1", "h1", "…", sender="referee"),
        message("a1", "s1", {"type": "hologram"}, ANSWER, {"type": None}),
    )
    assert got.talks == [[ASK, ANSWER]]
    assert sorted(reject.detail for reject in got.rejects) == [
        "1 of kind 'hologram'",
        "1 of kind 'none'",
        "1 of kind 'sender_referee'",
        "1 of kind 'smell'",
    ]


@pytest.mark.parametrize("wrong", [{"chat_messages": {}}, {"chat_messages": None}, {"chat_messages": [1, "x"]}])
def test_broken_conversations_cost_themselves(tmp_path: Path, wrong: Any) -> None:
    good = conversation("c", "Title", message("h1", None, ASK), message("a1", "h1", ANSWER))
    got = Found(read, write(tmp_path, wrong, good))
    assert got.talks == [[ASK, ANSWER]]
    assert len(got.rejects) == 1


def test_cycles_and_orphans_cost_a_line(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        message("h1", None, ASK),
        message("a1", "h1", ANSWER),
        message("h8", "a8", "round"),
        message("a8", "h8", "and round"),
        message("a9", "gone", "to what?"),
    )
    assert got.talks == [[ASK, ANSWER]]
    assert got.reasons == ["cycle in a conversation", "orphaned messages"]


@pytest.mark.slow
def test_ten_thousand_messages_in_a_row_are_read(tmp_path: Path) -> None:
    messages = [message("h0", None, "Question 0?")]
    for at in range(1, 10_000):
        messages.append(message(f"{'ah'[at % 2 == 0]}{at}", messages[-1]["uuid"], f"{at}. " + "word " * 3))
    got = found(tmp_path, *messages)
    assert len(got.examples) == 5_000


def test_a_conversation_that_grew_tells_only_what_is_new(tmp_path: Path) -> None:
    old = [message("h1", None, ASK), message("a1", "h1", use("search"), result("x"), ANSWER)]
    first = Found(read, write(tmp_path, conversation("c", "Title", *old)))
    more = [message("h2", "a1", "Why?", at=50), message("a2", "h2", "Air.", at=51)]
    second = Found(read, write(tmp_path, conversation("c", "Title", *old, *more, updated=55)), first.since)
    assert [e.source_id for e in second.examples] == ["a2"]
    assert not second.rejects


@pytest.mark.parametrize("name", ["users.json", "projects.json", "memories.json"])
def test_what_lies_beside_is_left_out_with_a_reason(tmp_path: Path, name: str) -> None:
    write(tmp_path, conversation("c", "Title", message("h1", None, ASK), message("a1", "h1", ANSWER)))
    (tmp_path / name).write_text('[{"uuid": "u"}]')
    got = Found(read, tmp_path)
    assert got.reasons == ["not conversations"]
    assert "and not conversations" in got.rejects[0].detail


def test_another_services_export_is_sent_there(tmp_path: Path) -> None:
    path = tmp_path / "foreign.json"
    path.write_text('[{"title": "t", "mapping": {}}]')
    with pytest.raises(SourceError, match="collect it as 'chatgpt'"):
        read(str(path), None)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real data is not beside the checkout")
@pytest.mark.parametrize(("name", "turns"), [("claude_ai_python", 4), ("claude_ai_debugging", 4)])
def test_real_shapes_read_as_one_conversation(name: str, turns: int) -> None:
    got = Found(read, SHARED / f"{name}.json")
    assert not got.rejects
    assert len(texts(got.only)) == turns
