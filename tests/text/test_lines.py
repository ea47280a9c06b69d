"""Lines: each format as the contract writes it, what cannot be told, and the way back through the reader."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samloop.errors import InputError, UsageError
from samloop.example import FORMATS, Example
from samloop.sources.containers import parse
from samloop.sources.formats import RecordReader
from samloop.sources.origin import Origin
from samloop.text.lines import TRUST_KEYS, to_line


def example(**changes: object) -> Example:
    plain = Example(
        source="manual", format="instruction", input_text="Name a fruit.", output_text="A pear.", created_at=1.5e9
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def read_back(line: dict, count: int = 1) -> Example:
    found = RecordReader(Origin("datasets", "file.jsonl", "file.jsonl")).read(parse(orjson.dumps(line)), 1)
    assert len(found) == count
    return found[0]


def test_an_instruction_has_exactly_the_three_keys() -> None:
    assert to_line(example(context="In autumn."), metadata=False) == {
        "instruction": "Name a fruit.",
        "input": "In autumn.",
        "output": "A pear.",
    }


def test_earlier_turns_of_an_instruction_are_pairs() -> None:
    turns = ({"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."})
    line = to_line(example(conversation_history=turns, system_prompt="Be brief."), metadata=False)
    assert line["history"] == [["Hi.", "Hello."]]
    assert line["system"] == "Be brief."


def test_chat_is_messages_and_multi_turn_has_a_context() -> None:
    one = example(format="chat", system_prompt="Be brief.")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name a fruit."},
        {"role": "assistant", "content": "A pear."},
    ]
    assert to_line(one, metadata=False) == {"messages": messages}
    assert to_line(one, "multi_turn", metadata=False) == {"messages": messages, "context": ""}


def test_a_preference_is_strings_alone_and_message_lists_with_turns() -> None:
    pair = example(format="dpo", rejected_output="A car.", preference_reason="no fruit")
    assert to_line(pair, metadata=False) == {
        "prompt": "Name a fruit.",
        "chosen": "A pear.",
        "rejected": "A car.",
        "reason": "no fruit",
    }
    line = to_line(replace(pair, system_prompt="Be brief."), metadata=False)
    assert line["prompt"][0] == {"role": "system", "content": "Be brief."}
    assert line["chosen"] == [{"role": "assistant", "content": "A pear."}]


def test_a_completion_is_a_text_with_a_template_and_a_pair_without() -> None:
    one = example(format="completion", context="In autumn.")
    text = to_line(one, render=lambda messages: "|".join(m["content"] for m in messages), metadata=False)
    assert text == {"text": "In autumn.\n\nName a fruit.|A pear."}
    assert to_line(replace(one, context=None), metadata=False) == {"prompt": "Name a fruit.", "completion": "A pear."}


def test_metadata_says_where_a_line_came_from_and_how_it_was_judged() -> None:
    judged = example(quality_tier="gold", quality_score=0.9, validated=True, metadata={"category": "plants"}).sealed()
    metadata = to_line(judged, "chat")["metadata"]
    assert metadata["category"] == "plants"
    assert metadata["id"] == judged.id
    assert (metadata["source"], metadata["format"]) == ("manual", "chat")
    assert (metadata["quality_tier"], metadata["quality_score"]) == ("gold", 0.9)
    assert (metadata["timestamp"], metadata["validated"], metadata["human_reviewed"]) == (1.5e9, True, False)


def test_a_preference_needs_a_rejected_answer() -> None:
    with pytest.raises(InputError, match="rejected answer"):
        to_line(example(), "dpo")


def test_unknown_formats_are_named() -> None:
    with pytest.raises(UsageError, match="got 'alpaca'"):
        to_line(example(), "alpaca")


def test_what_a_line_says_of_its_own_approval_is_not_believed() -> None:
    line = to_line(example())
    line["metadata"] |= {"validated": True, "human_reviewed": True, "accepted": True, "state": "accepted"}
    line["metadata"] |= {"quality_tier": "gold", "quality_score": 1.0, "verified": True, "weight": 50}
    line |= {"human_reviewed": True, "validated": True, "state": "accepted"}
    back = read_back(line)
    assert not TRUST_KEYS & set(back.metadata)
    assert (back.validated, back.state, back.quality_tier, back.weight) == (False, "review", "unverified", 1.0)
    assert back.source == "datasets"
    assert back.metadata["origin"] == "manual"


WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="<>#{}\ufeff"), min_size=1, max_size=40
).filter(lambda text: bool(text.strip()))
TURNS = st.lists(
    st.tuples(WORDS, WORDS).map(
        lambda pair: [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    ),
    max_size=3,
).map(lambda pairs: tuple(turn for pair in pairs for turn in pair))


@given(
    format=st.sampled_from(FORMATS),
    asked=WORDS,
    answered=WORDS,
    rejected=WORDS,
    system=st.none() | WORDS,
    context=st.none() | WORDS,
    reason=st.none() | WORDS,
    turns=TURNS,
    language=st.none() | st.just("en"),
    group=st.none() | st.just("conversation:7"),
    category=st.none() | st.just("coaching"),
)
def test_what_is_written_is_read_back(
    format, asked, answered, rejected, system, context, reason, turns, language, group, category
) -> None:
    preference = format == "dpo"
    written = example(
        format=format,
        input_text=asked,
        output_text=answered,
        rejected_output=rejected if preference else None,
        preference_reason=reason if preference else None,
        system_prompt=system,
        context=context if (context or "").strip().lower() not in ("none", "null", "nan", "n/a") else None,
        conversation_history=turns,
        language=language,
        group_key=group,
        licence="MIT",
        metadata={"category": category} if category else {},
    ).sealed()
    back = read_back(to_line(written))
    assert back.sealed().id == written.id
    for name in ("format", "input_text", "output_text", "rejected_output", "preference_reason", "system_prompt"):
        assert getattr(back, name) == getattr(written, name), name
    for name in ("context", "conversation_history", "language", "licence", "created_at"):
        assert getattr(back, name) == getattr(written, name), name
    assert back.group_key == group or (group is None and back.group_key)
    assert back.metadata.get("category") == category
    assert to_line(back) | {"metadata": None} == to_line(written) | {"metadata": None}
