"""OpenAssistant's trees: the best ways, and ranks as preferences. Hand-written."""

from __future__ import annotations

import pytest

from samloop.example import Example
from samloop.sources.drafts import Unfit
from samloop.sources.formats import RecordReader
from samloop.sources.origin import Origin

QUESTION, ANSWER = "What floats?", "A cork floats."


def read(record: object) -> list[Example]:
    return RecordReader(Origin("datasets", "/data/trees.jsonl", "trees.jsonl")).read(record, 7)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_a_tree_gives_the_best_ways_and_the_ranks_as_preferences() -> None:
    def reply(name: str, text: str, role: str, rank: int | None, *replies: dict, **more: object) -> dict:
        return {"message_id": name, "text": text, "role": role, "rank": rank, "replies": list(replies), **more}

    after = reply("q2", "Why?", "prompter", None, reply("a3", "It is light.", "assistant", 0))
    tree = {
        "message_tree_id": "t1",
        "prompt": reply(
            "q1",
            QUESTION,
            "prompter",
            None,
            reply("a2", "A brick.", "assistant", 1),
            reply("a1", ANSWER, "assistant", 0, after, lang="en"),
            reply("a0", "Spam!", "assistant", None, deleted=True),
        ),
    }
    way, preference = read(tree)
    assert (way.format, way.input_text, way.output_text) == ("multi_turn", "Why?", "It is light.")
    assert way.conversation_history == (turn("user", QUESTION), turn("assistant", ANSWER))
    assert (preference.format, preference.output_text, preference.rejected_output) == ("dpo", ANSWER, "A brick.")
    assert (preference.language, preference.source_id) == ("en", "t1#a1/preferred")
    assert way.group_key == preference.group_key == "tree:t1"


def said(name: str, role: str, rank: int | None = None, *replies: dict, **more: object) -> dict:
    """A message of a tree whose text is its name, told at length."""
    text = f"This is what {name} says of it."
    return {"message_id": name, "text": text, "role": role, "rank": rank, "replies": list(replies), **more}


def tree_of(*replies: dict, state: str = "ready_for_export", **prompt: object) -> dict:
    root = said("q1", "prompter", None, *replies, **prompt)
    return {"message_tree_id": "t1", "tree_state": state, "prompt": root}


def pairs(tree: dict) -> list[tuple[str, str]]:
    found = [example for example in read(tree) if example.format == "dpo"]
    return [(e.output_text.split()[3], str(e.rejected_output).split()[3]) for e in found]


def test_a_reply_without_a_rank_takes_no_pair_from_those_with_one() -> None:
    ranked = [said("a2", "assistant", 1), said("a0", "assistant"), said("a1", "assistant", 0)]
    assert pairs(tree_of(*ranked)) == [("a1", "a2")]
    assert pairs(tree_of(said("a1", "assistant"), said("a2", "assistant"))) == []
    assert pairs(tree_of(said("a1", "assistant", 0), said("a2", "assistant", True))) == []


@pytest.mark.parametrize("away", [{"deleted": True}, {"review_result": False}, {"review_result": None}])
def test_what_reviewers_deleted_refused_or_never_saw_is_left_out(away: dict) -> None:
    kept = said("a2", "assistant", 1, review_result=True)
    (example,) = read(tree_of(said("a1", "assistant", 0, said("q2", "prompter"), **away), kept))
    assert example.output_text.split()[3] == "a2"
    with pytest.raises(Unfit, match="turned down by reviewers"):
        read(tree_of(kept, **away))
    with pytest.raises(Unfit, match="turned down by reviewers"):
        read(tree_of(kept, state="aborted_low_grade"))


def test_answers_in_two_languages_are_not_compared() -> None:
    answers = [said("a1", "assistant", 0, lang="en"), said("a2", "assistant", 1, lang="de")]
    assert pairs(tree_of(*answers)) == []
    assert [example.language for example in read(tree_of(*answers))] == ["en"]
