"""The ChatGPT source: trees of messages, branches as preferences, and exports that lie or break off."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cases.chatgpt import Node, conversation, node
from chat_records import SHARED, Found, texts

from samloop.sources.chatgpt import read
from samloop.sources.chats import CORRECTED

ASK, ANSWER = "How do I prime the pump?", "Fill its housing with water, close the lid and switch it on."
OTHER = "One primes pumps by priming them."


def write(folder: Path, *talks: Node, name: str = "hand_written.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(list(talks)), encoding="utf-8")
    return path


def found(folder: Path, *talks: Node, **options: Any) -> Found:
    return Found(read, write(folder, *talks), **options)


def says(content: Node, role: str = "user", **more: Any) -> tuple[str, Node]:
    """A node with content of any type, below "root"."""
    id, made = node("x", "root", role, "")
    made["message"] |= {"content": content, **more}
    return id, made


def answered(parent: str = "x") -> tuple[str, Node]:
    return node("answer", parent, "assistant", ANSWER)


def test_the_kept_branch_is_the_conversation_and_what_was_made_again_a_preference(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        conversation(
            "c",
            "Title",
            node("root", None),
            node("q", "root", "user", ASK),
            node("first", "q", "assistant", OTHER),
            node("second", "q", "assistant", "Not at all."),
            node("third", "q", "assistant", ANSWER),
        ),
    )
    assert got.talks == [[ASK, ANSWER]]
    assert got.pairs == [(ANSWER, OTHER), (ANSWER, "Not at all.")]
    assert [e.source_id for e in got.examples] == ["third", "first#regenerated", "second#regenerated"]
    assert {e.group_key for e in got.examples} == {"chatgpt:c"}
    assert got.examples[0].metadata == {"title": "Title", "model": "gpt-4o"}
    assert got.examples[1].metadata["rejected_model"] == "gpt-4o"


def test_current_node_and_not_the_last_answer_tells_what_was_kept(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("kept", "q", "assistant", ANSWER),
        node("again", "q", "assistant", OTHER),
    )
    assert found(tmp_path, talk | {"current_node": "kept"}).pairs == [(ANSWER, OTHER)]
    assert found(tmp_path, talk | {"current_node": "gone"}).pairs == [(OTHER, ANSWER)], "the latest counts then"


def test_an_edited_question_is_a_conversation_of_its_own(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        conversation(
            "c",
            "Title",
            node("q", None, "user", ASK),
            node("a", "q", "assistant", ANSWER),
            node("q2", "a", "user", "How long?"),
            node("a2", "q2", "assistant", "For a minute."),
            node("q3", "a", "user", "How long does it run dry?"),
            node("a3", "q3", "assistant", "Ten seconds at most."),
        ),
    )
    assert got.talks == [
        [ASK, ANSWER, "How long does it run dry?", "Ten seconds at most."],
        [ASK, ANSWER, "How long?", "For a minute."],
    ]
    assert "branch" not in got.examples[0].metadata
    assert got.examples[1].metadata["branch"] == "edited"
    assert got.examples[1].metadata["edited_to"] == "How long does it run dry?"
    assert not got.pairs


def test_an_answer_the_user_went_on_from_is_no_rejected_one(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        conversation(
            "c",
            "Title",
            node("q", None, "user", ASK),
            node("a", "q", "assistant", OTHER),
            node("q2", "a", "user", "Say more about that, please."),
            node("a2", "q2", "assistant", "Water goes in first."),
            node("b", "q", "assistant", ANSWER),
        ),
    )
    assert not got.pairs
    assert got.talks == [[ASK, ANSWER], [ASK, OTHER, "Say more about that, please.", "Water goes in first."]]
    assert got.examples[1].metadata["branch"] == "regenerated"


def test_answers_that_used_tools_or_were_stopped_are_not_compared(tmp_path: Path) -> None:
    tools = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("call", "q", "assistant", "1 + 1", kind="code", recipient="python"),
        node("out", "call", "tool", "2", kind="execution_output"),
        node("a", "out", "assistant", OTHER),
        node("b", "q", "assistant", ANSWER),
    )
    assert found(tmp_path, tools).reasons == ["answers cannot be compared"]
    stopped = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("a", "q", "assistant", OTHER, finish_details={"type": "interrupted"}),
        node("b", "q", "assistant", ANSWER),
    )
    got = found(tmp_path, stopped)
    assert got.talks == [[ASK, ANSWER]]
    assert got.reasons == ["answers cannot be compared"]


def test_a_stopped_answer_is_not_learnt_and_its_question_joins_the_next(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("a", "q", "assistant", "Fill its", finish_details={"type": "interrupted"}),
        node("q2", "a", "user", "The one in the cellar."),
        node("a2", "q2", "assistant", ANSWER),
    )
    assert found(tmp_path, talk).talks == [[f"{ASK}\n\nThe one in the cellar.", ANSWER]]


def test_an_answer_cut_by_its_length_is_put_together(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("a", "q", "assistant", "Fill its hou", finish_details={"type": "max_tokens"}),
        node("a2", "a", "assistant", "sing with water."),
    )
    assert found(tmp_path, talk).talks == [[ASK, "Fill its housing with water."]]


def test_what_is_hidden_or_weighs_nothing_is_left_out(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("root", None),
        node("h", "root", "user", "hidden", hidden=True),
        node("q", "h", "user", ASK),
        node("s", "q", "system", "Original custom instructions no longer available"),
        node("v", "s", "assistant", "unseen", is_visually_hidden_from_conversation=True),
        node("m", "v", "assistant", "User keeps pumps.", recipient="bio"),
        node("n", "m", "tool", "Model set context updated."),
        node("a", "n", "assistant", ANSWER),
        node("t", "a", "assistant", "being written"),
    )
    talk["mapping"]["t"]["message"]["status"] = "in_progress"
    talk["mapping"]["n"]["message"]["author"]["name"] = "bio"
    assert found(tmp_path, talk).talks == [[ASK, ANSWER]]


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        (
            {"content_type": "text", "parts": [""]},
            {
                "is_user_system_message": True,
                "user_context_message_data": {
                    "about_user_message": "I keep pumps.",
                    "about_model_message": "Be brief.",
                },
            },
        ),
        (
            {
                "content_type": "user_editable_context",
                "user_profile": "The user told this about themselves:\n```I keep pumps.```",
                "user_instructions": "How to respond:\n```Be brief.```",
            },
            {"is_visually_hidden_from_conversation": True},
        ),
    ],
)
def test_custom_instructions_are_the_system_prompt(tmp_path: Path, content: Node, metadata: Node) -> None:
    talk = conversation(
        "c", "Title", node("root", None), says(content, metadata=metadata), node("q", "x", "user", ASK), answered("q")
    )
    assert found(tmp_path, talk).only.system_prompt == "I keep pumps.\n\nBe brief."


IMAGE = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-7", "width": 3}
ATTACHED = {"attachments": [{"id": "file-7", "name": "pump plan.png"}, {"id": "file-8", "name": "log.csv"}]}
HEARD = {"content_type": "audio_transcription", "text": "It hums.", "direction": "in"}
SOUND = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_9"}
LIVE = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": SOUND}


@pytest.mark.parametrize(
    ("parts", "metadata", "told"),
    [
        ([IMAGE, "What is it?"], ATTACHED, "[file: log.csv]\n[image: pump plan.png]\nWhat is it?"),
        ([IMAGE, "What is it?"], {}, "[image]\nWhat is it?"),
        ([HEARD, LIVE], {}, "It hums."),
        ([SOUND], {}, "[voice]"),
        (["What", {"text": "is it?"}, None], {"attachments": "lost"}, "What\nis it?"),
    ],
)
def test_marks_stand_for_what_is_no_text(tmp_path: Path, parts: list[Any], metadata: Node, told: str) -> None:
    asked = says({"content_type": "multimodal_text", "parts": parts}, metadata=metadata)
    got = found(tmp_path, conversation("c", "Title", node("root", None), asked, answered()))
    assert got.only.input_text == told
    assert not got.rejects


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"content_type": "execution_output", "text": "\n<<ImageDisplayed>>"}, "[image]"),
        ({"content_type": "tether_browsing_display", "result": "# Pumps【0†x】", "summary": ""}, "# Pumps"),
        (
            {"content_type": "tether_quote", "title": "Pumps", "url": "u", "text": "They pump."},
            "[page: Pumps]\nThey pump.",
        ),
        ({"content_type": "sonic_webpage", "domain": "pumps", "snippet": "Short."}, "[page: pumps]\nShort."),
        ({"content_type": "system_error", "name": "Timeout", "text": "too slow"}, "Timeout: too slow"),
        ({"content_type": "computer_output", "screenshot": {}}, "[screenshot]"),
        ({"content_type": "text", "parts": [""]}, "(no output)"),
        ({"content_type": "text", "parts": ["a" * 3_000]}, "a" * 1_333 + "\n[… 1000 characters …]\n" + "a" * 667),
    ],
)
def test_what_a_tool_found_is_told_by_the_tool(tmp_path: Path, content: Node, told: str) -> None:
    _, result = says(content, "tool")
    result["parent"] = "call"
    talk = conversation(
        "c",
        "Title",
        node("root", None),
        node("q", "root", "user", ASK),
        node("call", "q", "assistant", 'search("pumps")', kind="code", recipient="browser"),
        ("x", result),
        answered(),
    )
    got = found(tmp_path, talk)
    assert got.only.input_text == f"<tool_response>\n{told}\n</tool_response>"
    call = '<tool_call>\n{"name":"browser","arguments":{"input":"search(\\"pumps\\")"}}\n</tool_call>'
    assert texts(got.only)[1] == call


def test_a_document_in_the_canvas_is_the_answer(tmp_path: Path) -> None:
    document = {"name": "prime", "type": "code/python", "content": "def prime():\n    fill()"}
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("doc", "q", "assistant", json.dumps(document), kind="code", recipient="canmore.create_textdoc"),
    )
    assert found(tmp_path, talk).talks == [[ASK, "```python\ndef prime():\n    fill()\n```"]]


def test_thoughts_are_kept_on_request_alone(tmp_path: Path) -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Water first."}]}
    id, thought = says(thoughts, "assistant")
    thought["parent"] = "q"
    recap = says({"content_type": "reasoning_recap", "content": "Thought for 3 seconds"}, "assistant")[1]
    recap["parent"] = id
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        (id, thought),
        ("recap", recap),
        node("a", "recap", "assistant", 'By \ue200entity\ue202["tool","pump"]\ue201. \ue200cite\ue202turn0\ue201'),
    )
    assert found(tmp_path, talk).talks == [[ASK, "By pump."]]
    assert found(tmp_path, talk, thinking=True).talks == [[ASK, "<think>\nWater first.\n</think>\n\nBy pump."]]


def test_unknown_kinds_are_counted_and_the_rest_goes_in(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("root", None),
        says({"content_type": "hologram", "light": 3}),
        node("q", "x", "user", ASK),
        node("odd", "q", "narrator", "Meanwhile"),
        node("a", "odd", "assistant", ANSWER),
    )
    talk["mapping"]["none"] = "no node"
    talk["mapping"]["list"] = {"message": {"content": [], "author": None}, "parent": 7}
    got = found(tmp_path, talk)
    assert got.talks == [[ASK, ANSWER]]
    assert [(r.reason, r.detail) for r in got.rejects] == [
        ("unknown kind of content", "1 of kind 'hologram'"),
        ("unknown kind of content", "1 of kind 'role_narrator'"),
    ]


def test_cycles_and_orphans_cost_a_line_and_not_the_rest(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("loop1", "loop2", "user", "round"),
        node("loop2", "loop1", "assistant", "and round"),
        node("self", "self", "user", "me"),
        node("lost", "gone", "assistant", "an answer to what?"),
        node("own", "gone", "user", "How loud may it be?"),
        node("own2", "own", "assistant", "Sixty decibels."),
        node("q", None, "user", ASK),
        node("a", "q", "assistant", ANSWER),
    )
    got = found(tmp_path, talk)
    assert got.talks == [[ASK, ANSWER], ["How loud may it be?", "Sixty decibels."]]
    assert got.examples[1].metadata["branch"] == "orphaned"
    assert [(r.reason, r.detail.split()[0], r.id) for r in got.rejects] == [
        ("cycle in a conversation", "3", "c"),
        ("orphaned messages", "1", "c"),
    ]


def test_a_conversation_whose_beginning_is_missing_goes_in(tmp_path: Path) -> None:
    talk = conversation("c", "Title", node("q", "gone", "user", ASK), node("a", "q", "assistant", ANSWER))
    got = found(tmp_path, talk)
    assert got.talks == [[ASK, ANSWER]]
    assert not got.rejects


@pytest.mark.slow
def test_ten_thousand_levels_are_told_by_windows(tmp_path: Path) -> None:
    nodes = [node("0", None, "user", "Question 0?")]
    for level in range(1, 10_000):
        role, text = ("user", f"Question {level}?") if level % 2 == 0 else ("assistant", f"Answer {level}.")
        nodes.append(node(str(level), str(level - 1), role, text))
    got = found(tmp_path, conversation("deep", "Deep", *nodes))
    assert len(got.examples) == 5_000
    assert got.examples[-1].output_text == "Answer 9999."
    assert max(sum(map(len, texts(example))) for example in got.examples) <= 32_000


def test_json_nested_without_end_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nested_by_hand.json"
    deep = '{"mapping": {"a": {"message": ' + "[" * 5_000 + "]" * 5_000 + "}}}"
    good = json.dumps(conversation("c", "Title", node("q", None, "user", ASK), node("a", "q", "assistant", ANSWER)))
    path.write_text(f"[{deep}, {good}]")
    got = Found(read, path)
    assert got.reasons == ["nested too deeply"]
    assert got.talks == [[ASK, ANSWER]]


def turns(count: int, length: int = 20) -> list[tuple[str, Node]]:
    return [
        node(
            f"n{at:04}",
            f"n{at - 1:04}" if at else None,
            "assistant" if at % 2 else "user",
            f"{at}. " + "word " * length,
        )
        for at in range(count)
    ]


def test_a_conversation_that_grew_tells_only_what_is_new(tmp_path: Path) -> None:
    first = Found(read, write(tmp_path, conversation("c", "Title", *turns(4), updated=1.7e9)))
    assert [e.source_id for e in first.examples] == ["n0003"]
    path = write(tmp_path, conversation("c", "Title", *turns(8), updated=1.7e9 + 5))
    second = Found(read, path, first.since)
    assert [e.source_id for e in second.examples] == ["n0007"]
    assert not Found(read, path, second.since).examples
    # The same conversation, with another title: nothing was said.
    renamed = Found(read, write(tmp_path, conversation("c", "Other", *turns(8), updated=1.7e9 + 9)), second.since)
    assert not renamed.examples
    assert not renamed.rejects


def test_a_long_conversation_that_grew_tells_only_its_new_windows(tmp_path: Path) -> None:
    first = Found(read, write(tmp_path, conversation("c", "Title", *turns(20, 600), updated=1.7e9)))
    assert [e.source_id for e in first.examples] == [f"n{at:04}" for at in range(1, 20, 2)]
    path = write(tmp_path, conversation("c", "Title", *turns(24, 600), updated=1.7e9 + 5))
    assert [e.source_id for e in Found(read, path, first.since).examples] == ["n0021", "n0023"]
    # Short before, long now: what was told as one is not told again in windows.
    short = Found(read, write(tmp_path, conversation("c", "Title", *turns(4, 600), updated=1.7e9)))
    grown = write(tmp_path, conversation("c", "Title", *turns(24, 600), updated=1.7e9 + 5))
    assert [e.source_id for e in Found(read, grown, short.since).examples] == [f"n{at:04}" for at in range(5, 24, 2)]


def test_windows_are_as_long_as_asked_for(tmp_path: Path) -> None:
    got = found(tmp_path, conversation("c", "Title", *turns(12, 30)), window_characters=1_000)
    assert len(got.examples) == 6
    assert [len(e.conversation_history) for e in got.examples] == [0, 2, 2, 2, 2, 2]


def test_a_new_export_beside_an_old_one_adds_what_is_new_and_an_old_one_nothing(tmp_path: Path) -> None:
    talk = [
        conversation("c", "Title", *turns(4), updated=1.7e9),
        conversation("d", "Title", *turns(2), updated=1.7e9),
    ]
    write(tmp_path, *talk, name="b_april.json")
    first = Found(read, tmp_path)
    write(tmp_path, conversation("c", "Title", *turns(6), updated=1.7e9 + 5), talk[1], name="c_may.json")
    second = Found(read, tmp_path, first.since)
    assert [e.source_id for e in second.examples] == ["n0005"]
    write(tmp_path, conversation("c", "Title", *turns(2), updated=1.7e9 - 5), name="a_march.json")
    third = Found(read, tmp_path, second.since)
    assert not third.examples
    assert not third.rejects


@pytest.mark.parametrize(("whole", "expected"), [(1.7e9, 1.7e9), (4e9, 1.75e9)])
def test_clocks_ahead_get_the_conversations_time_or_the_files(tmp_path: Path, whole: float, expected: float) -> None:
    path = write(
        tmp_path, conversation("c", "Title", node("q", None, "user", ASK), node("a", "q", "assistant", ANSWER))
    )
    talk = json.loads(path.read_text())
    talk[0]["mapping"]["a"]["message"]["create_time"] = time.time() + 400 * 86_400
    talk[0]["create_time"] = whole
    path.write_text(json.dumps(talk))
    os.utime(path, (1.75e9, 1.75e9))
    assert Found(read, path).only.created_at == expected


def test_a_conversation_cannot_review_itself(tmp_path: Path) -> None:
    claims = {"human_reviewed": True, "state": "accepted", "quality_tier": "gold", "validated": True, "weight": 9}
    talk = conversation("c", "Title", node("q", None, "user", ASK), node("a", "q", "assistant", ANSWER, **claims)) | {
        **claims,
        "metadata": claims,
    }
    example = found(tmp_path, talk).only
    assert not set(claims) & set(example.metadata)
    assert (example.state, example.quality_tier, example.validated, example.weight) == (
        "review",
        "unverified",
        False,
        1,
    )


def test_a_correction_is_a_candidate_for_a_person(tmp_path: Path) -> None:
    talk = conversation(
        "c",
        "Title",
        node("q", None, "user", ASK),
        node("a", "q", "assistant", OTHER),
        node("q2", "a", "user", "No, tell me the steps."),
        node("a2", "q2", "assistant", ANSWER),
    )
    got = found(tmp_path, talk)
    assert got.pairs == [(ANSWER, OTHER)]
    candidate = got.examples[1]
    assert (candidate.state, candidate.reason) == ("review", CORRECTED)
    assert candidate.metadata["correction"] == "No, tell me the steps."
    assert candidate.input_text == ASK


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real data is not beside the checkout")
def test_a_real_export_reads_as_one_conversation() -> None:
    got = Found(read, SHARED / "chatgpt_conversations.json")
    assert not got.rejects
    example = got.only
    roles = [turn["role"] for turn in example.conversation_history]
    assert (roles.count("user"), roles.count("tool")) == (8, 10)
    assert example.output_text.startswith("Here's the updated graph with the mean split frequency in green")
    title = "Average Distance in U(0,1)"
    assert example.metadata == {"title": title, "model": "gpt-4-code-interpreter", "attachments": 1}
