"""The Claude Code source: sessions that grow, sub-agents, tools, compaction, and lines nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cases.claude_code import call, line, result, text
from chat_records import SHARED, Found, texts

from samloop.errors import SourceError
from samloop.sources.chats import CORRECTED
from samloop.sources.claude_code import read
from samloop.text.corrections import is_correction

ASK, ANSWER, OTHER = "How do I prime the pump?", "Fill its housing with water.", "One primes it."


def write(folder: Path, *lines: Any, name: str = "hand_written.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def found(folder: Path, *lines: Any, **options: Any) -> Found:
    return Found(read, write(folder, *lines), **options)


def told_call(name: str, **given: Any) -> str:
    body = json.dumps({"name": name, "arguments": given}, separators=(",", ":"))
    return f"<tool_call>\n{body}\n</tool_call>"


ASKED, ANSWERED = line("user", "u1", None, ASK), line("assistant", "a1", "u1", text(ANSWER))


def test_tools_and_results_are_steps_to_the_answer(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", [{"type": "thinking", "thinking": "Look.", "signature": "s"}]),
        line("assistant", "a2", "a1", [*text("I look."), *call("t1", "Read", path="pump.md")]),
        line("user", "u2", "a2", result("t1", "1\tFill it.\n\n<system-reminder>be careful</system-reminder>")),
        line("assistant", "a3", "u2", text(ANSWER)),
    )
    assert texts(got.only) == [
        ASK,
        f"I look.\n\n{told_call('Read', path='pump.md')}",
        "<tool_response>\n1\tFill it.\n</tool_response>",
        ANSWER,
    ]
    example = got.only
    assert (example.source_id, example.group_key) == ("a3", "claude_code:hand-written")
    assert example.metadata == {"project": "pump", "model": "claude-sonnet-4"}
    assert example.created_at == 1759392000.0


def test_words_before_a_call_on_a_line_of_its_own_are_no_answer(tmp_path: Path) -> None:
    words = line("assistant", "a1", "u1", text("I look."))
    words["message"]["stop_reason"] = "tool_use"
    assert found(tmp_path, ASKED, words).reasons == ["no answer"]


def test_a_sub_agents_report_loses_what_only_the_program_reads(tmp_path: Path) -> None:
    report = [
        {"type": "text", "text": "In the cellar."},
        {"type": "text", "text": "agentId: e1 (use SendMessage to continue)\n<usage>total: 3\nms: 4</usage>"},
    ]
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", call("t1", "Agent", prompt="Find it.")),
        line("user", "u2", "a1", result("t1", report)),
        line("assistant", "a2", "u2", text(ANSWER)),
    )
    assert got.only.input_text == "<tool_response>\nIn the cellar.\n</tool_response>"


def test_thinking_is_kept_on_request_alone(tmp_path: Path) -> None:
    thought = line("assistant", "a1", "u1", [{"type": "thinking", "thinking": "Look."}])
    answered = line("assistant", "a2", "a1", text(ANSWER))
    assert found(tmp_path, ASKED, thought, answered).only.output_text == ANSWER
    with_it = found(tmp_path, ASKED, thought, answered, thinking=True)
    assert with_it.only.output_text == f"<think>\nLook.\n</think>\n\n{ANSWER}"


@pytest.mark.parametrize("order", ["calls first", "one by one"])
def test_calls_at_once_keep_all_their_results(tmp_path: Path, order: str) -> None:
    """What a tool answered names its own call as its parent, and so would be a branch beside the other call."""
    first, second = call("t1", "Read", path="a"), call("t2", "Read", path="b")
    one = line("assistant", "a1", "u1", first)
    two = line("assistant", "a2", "a1", second)
    two["message"]["id"] = one["message"]["id"]
    results = [line("user", "r1", "a1", result("t1", "A")), line("user", "r2", "a2", result("t2", "B"))]
    steps = [one, two, *results] if order == "calls first" else [one, results[0], two, results[1]]
    got = found(tmp_path, ASKED, *steps, line("assistant", "a3", "r2", text(ANSWER)))
    said = texts(got.only)
    assert said[-1] == ANSWER
    assert [part for part in said if part in ("A", "<tool_response>\nB\n</tool_response>")] == ["A", said[-2]]
    assert "".join(said).count("<tool_call>") == 2


def test_a_correction_is_a_candidate_and_edits_are_approved_by_going_on(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", call("t1", "Edit", old_string="a", new_string="b")),
        line("user", "u2", "a1", result("t1", "Updated.")),
        line("assistant", "a2", "u2", text(OTHER)),
        line("user", "u3", "a2", "No, do it like this: tell me where the water goes."),
        line("assistant", "a3", "u3", call("t2", "Write", content="b")),
        line("user", "u4", "a3", result("t2", "Written.")),
        line("assistant", "a4", "u4", text(ANSWER)),
        line("user", "u5", "a4", "Good. And the lid?"),
        line("assistant", "a5", "u5", call("t3", "Write", content="c")),
        line("user", "u6", "a5", result("t3", "Refused", is_error=True)),
        line("assistant", "a6", "u6", text("Close it.")),
    )
    whole, candidate = got.examples
    assert whole.metadata["accepted_edits"] == 1, "the first was corrected, the last failed"
    assert (candidate.input_text, candidate.output_text, candidate.rejected_output) == (ASK, ANSWER, OTHER)
    assert (candidate.state, candidate.reason) == ("review", CORRECTED)
    assert candidate.metadata["correction"] == "No, do it like this: tell me where the water goes."
    assert candidate.source_id == "u3#correction"


@pytest.mark.parametrize(
    ("said", "corrects"),
    [
        ("No, do it like this: use the table.", True),
        ("no. the other file", True),
        ("Nope, still broken", True),
        ("That's not what I asked for", True),
        ("this is wrong, the lid opens left", True),
        ("You forgot the seal.", True),
        ("I meant the second valve", True),
        ("Actually, use a list instead", True),
        ("Don't write a class, use a function", True),
        ("it doesn't work", True),
        ("Revert that please", True),
        ("Nein, die andere Pumpe", True),
        ("No problem, thanks!", False),
        ("no worries", False),
        ("Now add a test", False),
        ("None of the valves open, why?", False),
        ("Notes are missing, add them", False),
        ("Actually that's fine", False),
        ("Thanks! What is next?", False),
        ("Don't you think so?", False),
        ("no " + "long task " * 300, False),
    ],
)
def test_what_counts_as_a_correction(said: str, corrects: bool) -> None:
    assert is_correction(said) is corrects


def test_a_stopped_turn_is_not_learnt(tmp_path: Path) -> None:
    stop = "[Request interrupted by user for tool use]"
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", [*text("I delete it."), *call("t1", "Bash", command="rm pump")]),
        line("user", "u2", "a1", result("t1", "The user doesn't want to proceed with this tool use.", is_error=True)),
        line("user", "u3", "u2", text(stop)),
        line("user", "u4", "u3", "Leave it where it is."),
        line("assistant", "a2", "u4", text(ANSWER)),
    )
    assert got.talks == [[f"{ASK}\n\nLeave it where it is.", ANSWER]]


def test_declined_edits_are_counted(tmp_path: Path) -> None:
    no = "The user doesn't want to proceed with this tool use. The user said:\nUse the other file."
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", call("t1", "Edit", file="a")),
        line("user", "u2", "a1", result("t1", no, is_error=True)),
        line("assistant", "a2", "u2", call("t2", "Edit", file="b")),
        line("user", "u3", "a2", result("t2", "Updated.")),
        line("assistant", "a3", "u3", text(ANSWER)),
        line("user", "u4", "a3", "And then?"),
        line("assistant", "a4", "u4", text("Switch it on.")),
    )
    assert {k: v for k, v in got.only.metadata.items() if "edits" in k} == {"accepted_edits": 1, "declined_edits": 1}


def test_work_without_a_last_word_stays_as_history(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        ASKED,
        line("assistant", "a1", "u1", call("t1", "Write", content="x")),
        line("user", "u2", "a1", result("t1", "Written.")),
        line("user", "u3", "u2", "Now add the lid."),
        line("assistant", "a2", "u3", text(ANSWER)),
    )
    assert got.talks == [[ASK, told_call("Write", content="x"), "Now add the lid.", ANSWER]]


def test_sub_agents_are_conversations_of_their_own(tmp_path: Path) -> None:
    side = {"isSidechain": True}
    lines = [
        ASKED,
        line("assistant", "a1", "u1", call("t1", "Task", prompt="Find it.")),
        line("user", "s1", None, "Find the pump.", **side),
        line("user", "z1", None, "Find the valve.", **side),
        line("assistant", "s2", "s1", text("In the cellar."), **side),
        line("assistant", "z2", "z1", text("In the garden."), **side),
        line("user", "u2", "a1", result("t1", [{"type": "text", "text": "In the cellar."}])),
        line("assistant", "a2", "u2", text(ANSWER)),
    ]
    got = found(tmp_path, *lines)
    assert [(e.input_text, e.output_text, e.metadata.get("agent")) for e in got.examples] == [
        ("<tool_response>\nIn the cellar.\n</tool_response>", ANSWER, None),
        ("Find the pump.", "In the cellar.", "sub-agent"),
        ("Find the valve.", "In the garden.", "sub-agent"),
    ]
    assert len({e.group_key for e in got.examples}) == 1
    assert len(found(tmp_path, *lines, subagents=False).examples) == 1


def test_a_summary_of_what_was_compacted_is_context(tmp_path: Path) -> None:
    frame = "This session is being continued from a previous conversation that ran out of context. "
    frame += "The conversation is summarized below:\n"
    summary = line("user", "c1", "b1", frame + "The pump hums.", isCompactSummary=True)
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "b1", "parentUuid": None}
    got = found(
        tmp_path,
        ASKED,
        ANSWERED,
        line("user", "u2", "a1", "What next?"),
        boundary,
        summary,
        line("assistant", "a2", "c1", text("Close the lid.")),
        line("user", "u3", "a2", "And then?"),
        line("assistant", "a3", "u3", text("Switch it on.")),
    )
    before, after = got.examples
    assert texts(before) == [ASK, ANSWER]
    assert (after.context, texts(after)) == (
        "The pump hums.",
        ["What next?", "Close the lid.", "And then?", "Switch it on."],
    )
    assert after.format == "multi_turn"


def test_what_the_program_puts_in_is_no_question(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        line(
            "user", "m0", None, "Caveat: The messages below were generated by the user while running local commands."
        ),
        line("user", "m1", "m0", "<command-name>/clear</command-name><command-args></command-args>"),
        line("user", "m2", "m1", "<local-command-stdout>done</local-command-stdout>"),
        line("user", "m3", "m2", "expanded by the program", isMeta=True),
        line("user", "u1", "m3", [*text("<ide_opened_file>x.py</ide_opened_file>"), *text(ASK)]),
        line("assistant", "a0", "u1", text("API Error: overloaded"), isApiErrorMessage=True),
        line("assistant", "a1", "a0", text(ANSWER)),
        line("user", "m4", "a1", "<command-name>/review</command-name><command-args>the lid</command-args>"),
        line("assistant", "a2", "m4", text("It closes well.")),
    )
    assert got.talks == [[ASK, ANSWER, "/review the lid", "It closes well."]]


def test_lines_nobody_knows_are_counted_and_broken_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "odd_by_hand.jsonl"
    lines = [
        json.dumps({"type": "file-history-snapshot", "snapshot": {}}),
        json.dumps(ASKED),
        '{"type": "user", "message": {"role"',
        json.dumps({"type": "dream", "uuid": "d1", "parentUuid": "u1"}),
        json.dumps({"type": "dream", "uuid": "d2", "parentUuid": "d1"}),
        "42",
        json.dumps(line("user", "w1", "d2", None)),
        json.dumps(line("assistant", "a0", "d2", [{"type": "smell"}, 7])),
        json.dumps({"silly": "this"}),
        "",
        json.dumps(line("assistant", "a1", "d2", text(ANSWER))),
    ]
    path.write_text("\n".join(lines) + "\n")
    got = Found(read, path)
    assert got.talks == [[ASK, ANSWER]]
    assert sorted((r.reason, r.line, r.detail) for r in got.rejects) == [
        ("broken JSON", 3, "expecting ':' delimiter at character 35"),
        ("lines that are no messages", None, "1 of kind 'file-history-snapshot'"),
        ("missing field", 7, "expected 'content' to be text or a list of blocks, got nothing"),
        ("not an object", 6, "expected a line of a session to be a JSON object, got a number"),
        ("unknown kind of content", None, "1 of kind 'none'"),
        ("unknown kind of content", None, "1 of kind 'smell'"),
        ("unknown kind of line", None, "1 of kind 'none'"),
        ("unknown kind of line", None, "2 of kind 'dream'"),
    ]
    again = Found(read, path, got.since)
    assert not again.rejects
    with path.open("a") as file:
        file.write(json.dumps(line("user", "u2", "a1", "Why?")) + "\n")
        file.write(json.dumps(line("assistant", "a2", "u2", text("Air."))) + "\n")
    third = Found(read, path, got.since)
    assert [e.source_id for e in third.examples] == ["a2"]
    assert not third.rejects


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = write(tmp_path, ASKED, ANSWERED, line("user", "u2", "a1", "Why?"))
    last = json.dumps(line("assistant", "a2", "u2", text("Air.")))
    with path.open("a") as file:
        file.write(last[:80])
    first = Found(read, path)
    assert [e.source_id for e in first.examples] == ["a1"]
    assert not first.rejects
    with path.open("a") as file:
        file.write(last[80:] + "\n")
    second = Found(read, path, first.since)
    assert [e.source_id for e in second.examples] == ["a2"]
    assert not second.rejects


def test_a_turn_that_is_still_running_is_left_for_the_next_time(tmp_path: Path) -> None:
    lines = [ASKED, ANSWERED, line("user", "u2", "a1", "Why?"), line("assistant", "a2", "u2", call("t1", "Read"))]
    first = found(tmp_path, *lines)
    assert [e.source_id for e in first.examples] == ["a1"]
    done = [line("user", "u3", "a2", result("t1", "x")), line("assistant", "a3", "u3", text("Air."))]
    second = Found(read, write(tmp_path, *lines, *done), first.since)
    assert [e.source_id for e in second.examples] == ["a3"]


def test_a_rewound_prompt_is_a_branch(tmp_path: Path) -> None:
    got = found(
        tmp_path,
        ASKED,
        ANSWERED,
        line("user", "u2", "a1", "How long?"),
        line("assistant", "a2", "u2", text("For a minute.")),
        line("user", "u3", "a1", "How long does it run dry?"),
        line("assistant", "a3", "u3", text("Ten seconds at most.")),
    )
    assert [texts(e)[-2] for e in got.examples] == ["How long does it run dry?", "How long?"]
    assert got.examples[1].metadata["branch"] == "edited"


def test_two_answers_to_one_question_are_an_accident_here(tmp_path: Path) -> None:
    got = found(
        tmp_path, ASKED, line("assistant", "a0", "u1", text(OTHER)), line("assistant", "a1", "u1", text(ANSWER))
    )
    assert got.talks == [[ASK, ANSWER]]
    assert not got.pairs
    assert not got.rejects


def test_a_long_exchange_keeps_its_question_and_its_latest_steps(tmp_path: Path) -> None:
    lines, above = [ASKED], "u1"
    for step in range(100):
        lines.append(line("assistant", f"a{step}", above, call(f"t{step}", "Read", path=f"file{step}")))
        lines.append(line("user", f"r{step}", f"a{step}", result(f"t{step}", f"{step} " + "x" * 5_000)))
        above = f"r{step}"
    got = found(tmp_path, *lines, line("assistant", "end", above, text(ANSWER)))
    said = texts(got.only)
    assert (said[0], said[-1]) == (ASK, ANSWER)
    assert told_call("Read", path="file99") in said
    assert 25_000 < sum(map(len, said)) <= 32_000
    assert [turn["role"] for turn in got.only.conversation_history[:3]] == ["user", "assistant", "tool"]


def test_titles_come_from_the_session(tmp_path: Path) -> None:
    title = {"type": "summary", "summary": "Priming", "leafUuid": "a1"}
    other = {"type": "summary", "summary": "Of another session", "leafUuid": "zz"}
    assert found(tmp_path, other, ASKED, ANSWERED, title).only.metadata["title"] == "Priming"
    assert found(tmp_path, title, other, ASKED, ANSWERED).only.metadata["title"] == "Priming"
    own = {"type": "custom-title", "customTitle": "My pump"}
    assert found(tmp_path, title, ASKED, ANSWERED, own).only.metadata["title"] == "My pump"
    assert "title" not in found(tmp_path, other, ASKED, ANSWERED).only.metadata


def test_lines_written_twice_count_once(tmp_path: Path) -> None:
    """A session that is taken up again may begin with a copy of its own lines."""
    more = [line("user", "u2", "a1", "Why?"), line("assistant", "a2", "u2", text("Air."))]
    assert found(tmp_path, ASKED, ANSWERED, ASKED, ANSWERED, *more).talks == [[ASK, ANSWER, "Why?", "Air."]]


def test_a_folder_of_projects_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "-home-me-pump").mkdir()
    write(tmp_path / "-home-me-pump", ASKED, ANSWERED)
    write(tmp_path / "-home-me-pump", {"display": "x", "project": "/p"}, name="history.jsonl")
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "empty.jsonl").write_text("")
    got = Found(read, tmp_path)
    assert got.talks == [[ASK, ANSWER]]
    assert got.reasons == ["not a session"]
    assert not Found(read, tmp_path, got.since).rejects


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"instruction": "a", "output": "b"})
    with pytest.raises(SourceError, match="expected JSON lines with a 'sessionId'"):
        read(str(path), None)
    (tmp_path / "sub").mkdir()
    with pytest.raises(SourceError, match="found none; name another place"):
        read(str(tmp_path / "sub"), None)


def test_a_session_cannot_review_itself(tmp_path: Path) -> None:
    claims = {"human_reviewed": True, "state": "accepted", "validated": True}
    got = found(tmp_path, ASKED, line("assistant", "a1", "u1", text(ANSWER), **claims, metadata=claims))
    assert not set(claims) & set(got.only.metadata)
    assert got.only.state == "review"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real data is not beside the checkout")
def test_real_sessions_are_read_with_their_defects() -> None:
    got = Found(read, SHARED / "claude_code")
    assert [(e.source_id, len(texts(e))) for e in got.examples] == [
        ("edge_002", 2),
        ("msg_010", 10),
        ("msg-007", 6),
        ("session_b_002", 2),
    ]
    assert "lines that are no messages" in got.reasons
