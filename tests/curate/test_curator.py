"""The curator as a whole: states and reasons, redaction across fields, recipe options, untrusted input."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samloop import plugins
from samloop.curate import batch
from samloop.curate.batch import FEW, SCHEMA, cleaned
from samloop.curate.engine import Curated, Curator
from samloop.errors import InputError, PluginError, RecipeError
from samloop.example import DOMAINS, ROLES, Example, normalise
from samloop.protocols import SHALL_LOOK, Finding, rule
from samloop.rows import Rows
from samloop.settings import Curate

PROSE = (
    "A cache keeps results that were costly to compute. The next time the same question comes, the answer is already "
    "there. What makes it hard is knowing when a kept answer is no longer true, and how much room to spend on it."
)


def example(**changed: Any) -> Example:
    values = {"source": "dataset", "format": "instruction", "input_text": "Tell me about caches in general."}
    return Example(**{**values, "output_text": PROSE, "created_at": 0.0, "updated_at": 0.0, **changed})


def curated(*examples: Example, review: bool = False, **settings: Any) -> Curated:
    return Curator(Curate(**settings)).curate(examples, review=review)


def row(given: Example, **settings: Any) -> dict[str, Any]:
    return curated(given, **settings).rows[0]


def test_a_row_has_every_column_and_the_same_ids_as_the_sealed_example() -> None:
    plain = example(
        conversation_history=({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    )
    made, sealed = row(plain), plain.sealed()
    assert set(made) == set(plain.to_dict())
    assert (made["id"], made["content_hash"], made["input_hash"]) == (
        sealed.id,
        sealed.content_hash,
        sealed.input_hash,
    )
    assert json.loads(made["conversation_history"]) == list(plain.conversation_history)
    assert made["validated"] is True
    assert (made["metadata"], made["flags"]) == ("{}", "[]")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Refactor the login page of my web app", "claude-code"),
        ("Write the message for this commit: 1 file changed", "Fix the race between reader and writer"),
    ],
)
def test_a_short_plain_answer_is_accepted_as_bronze(asked: str, answered: str) -> None:
    made = row(example(input_text=asked, output_text=answered, source="dataset"), rubric="unified")
    assert (made["quality_score"], made["quality_tier"], made["state"], made["reason"]) == (
        0.5,
        "bronze",
        "accepted",
        None,
    )


@pytest.mark.parametrize(
    ("changed", "state", "reason"),
    [
        ({"output_text": "  "}, "rejected", "output is empty"),
        ({"input_text": "Hi", "output_text": "Hello"}, "rejected", "shorter than the bound"),
        ({"format": "dpo"}, "rejected", "preference pair without a rejected answer"),
        ({"output_text": "very good " * 19}, "rejected", "score below 0.3"),
        (
            {"output_text": "There are many kinds of caches, for instance in the"},
            "review",
            "score below 0.4 (unverified)",
        ),
        ({"output_text": "I'm sorry, but I can't assist with that."}, "review", "answer refuses"),
        ({"source": "claude_capture"}, "review", "its source is set to be reviewed"),
        ({"state": "review", "reason": f"{SHALL_LOOK}why"}, "review", f"{SHALL_LOOK}why"),
        ({"state": "review", "reason": f"{SHALL_LOOK}why", "output_text": ""}, "rejected", "output is empty"),
        ({"state": "review", "reason": "why"}, "accepted", None),
    ],
)
def test_state_and_reason(changed: dict[str, Any], state: str, reason: str | None) -> None:
    result = curated(example(**changed), review=changed.get("source") == "claude_capture")
    assert (result.rows[0]["state"], result.rows[0]["reason"]) == (state, reason)


def test_the_log_names_each_flag_and_reject_once_per_example() -> None:
    bad = example(output_text="very good " * 19)
    result = curated(bad, example(), bad)
    assert [(e["rule"], e["outcome"], e["reason"]) for e in result.log] == [
        ("loop", "flag", "answer ends in a loop"),
        ("repetition", "flag", "answer repeats itself"),
        ("score", "reject", "score below 0.3"),
    ]
    assert {e["example_id"] for e in result.log} == {result.rows[0]["id"]} == {result.rows[2]["id"]}
    _, flag = json.loads(result.rows[0]["flags"])
    assert flag["measure"] == result.log[1]["measure"] > 0.9


def test_untrusted_input_cannot_judge_itself() -> None:
    claims = {"human_reviewed": True, "validated": True, "verified": True, "state": "accepted", "kept": 1}
    made = row(
        example(
            output_text="I cannot provide that information.", state="accepted", reason=None, quality_tier="gold",
            quality_score=1.0, metadata=claims, used_in_training=True, flags=({"rule": "x"},),
        ),
        rubric="pipeline",
    )  # fmt: skip
    assert (made["state"], made["used_in_training"], json.loads(made["metadata"])) == ("review", False, {"kept": 1})
    assert made["quality_score"] == 0.6
    manual = row(example(source="manual", metadata=claims), rubric="pipeline")
    assert json.loads(manual["metadata"]) == claims
    assert manual["quality_score"] == 1.0


def test_one_value_has_one_placeholder_in_all_fields() -> None:
    result = curated(
        example(
            format="dpo", system_prompt="You serve ann@mail.org.", context="bob@mail.org asked",
            input_text="Who wrote, bob@mail.org or ann@mail.org?", output_text="bob@mail.org wrote it to cy@mail.org",
            rejected_output="ann@mail.org wrote it to /home/cyrus/x", metadata={"from": ["bob@mail.org"], "n": 3},
            conversation_history=({"role": "assistant", "content": "cy@mail.org?"},),
            source_id="/home/cyrus/mails", group_key="bob@mail.org",
        ),
        *[example()] * FEW,
    )  # fmt: skip
    made = result.rows[0]
    assert made["system_prompt"] == "You serve [REDACTED_EMAIL]."
    assert made["context"] == "[REDACTED_EMAIL_2] asked"
    assert json.loads(made["conversation_history"])[0]["content"] == "[REDACTED_EMAIL_3]?"
    assert made["input_text"] == "Who wrote, [REDACTED_EMAIL_2] or [REDACTED_EMAIL]?"
    assert made["output_text"] == "[REDACTED_EMAIL_2] wrote it to [REDACTED_EMAIL_3]"
    assert made["rejected_output"] == "[REDACTED_EMAIL] wrote it to /home/[REDACTED_USER]/x"
    delta = len(made["output_text"]) - len(made["rejected_output"])
    assert json.loads(made["metadata"]) == {"from": ["[REDACTED_EMAIL_2]"], "n": 3, "length_delta": delta}
    assert (made["source_id"], made["group_key"]) == ("/home/[REDACTED_USER]/mails", "[REDACTED_EMAIL]")
    assert result.redacted == {"EMAIL": 9, "USER": 1}
    assert "mail.org" not in json.dumps([list(result.rows), result.log])


def test_a_secret_field_of_the_metadata_goes_and_redaction_can_be_off() -> None:
    secret = "hunter" + "2x"
    assert json.loads(row(example(metadata={"db": {"password": secret}}))["metadata"]) == {
        "db": {"password": "[REDACTED_PASSWORD]"}
    }
    assert secret in row(example(metadata={"password": secret}), redact={"enabled": False})["metadata"]
    assert row(example(input_text="Who is Ann of Project Falcon?"), redact={"names": ["falcon"]})["input_text"] == (
        "Who is Ann of Project [REDACTED_NAME]?"
    )


def test_metadata_that_json_cannot_hold_is_made_plain() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"d": deep}
    odd = {"bytes": b"x", "set": {1}, "big": 2**70, "bad": "a\ud800b", 3: "key", "deep": deep, "nan": float("nan")}
    plain = json.loads(row(example(metadata=odd))["metadata"])
    assert (plain["set"], plain["big"], plain["bad"], plain["3"]) == ([1], str(2**70), "a\ufffdb", "key")


def test_a_text_that_is_no_string_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="to be a string, got bool"):
        curated(*[example(output_text=True)] * (FEW + 1))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"repetitoin": {}}, "unknown rule 'curate.rules.repetitoin'; did you mean 'repetition'?"),
        ({"repetition": {"shrae": 0.5}}, "unknown setting 'curate.rules.repetition.shrae'; did you mean 'share'?"),
        (
            {"repetition": {"share": "high"}},
            "expected curate.rules.repetition.share to be a float like 0.3, got 'high'",
        ),
        ({"repetition": {"enabled": 1}}, "expected curate.rules.repetition.enabled to be true or false, got 1"),
        ({"over_length": {"characters": True}}, "to be a int like 32000, got True"),
    ],
)
def test_a_wrong_table_is_refused(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Curator(Curate(rules=tables))
    assert message in str(caught.value)


def test_rules_can_be_tuned_switched_off_and_follow_the_rubric() -> None:
    refusal = example(output_text="I cannot provide that information.")
    assert row(refusal, rules={"refusal": {"enabled": False}})["state"] == "accepted"
    assert row(example(), rules={"over_length": {"characters": 100}})["state"] == "rejected"
    long = example(output_text="A word and 9 more. " * 2000)
    assert any(e["rule"] == "over_length" for e in curated(long).log)
    assert not any(e["rule"] == "over_length" for e in curated(long, rubric="pipeline").log)
    assert "no_reasoning" not in Curator(Curate()).rules
    assert "no_reasoning" in Curator(Curate(rubric="distillation")).rules
    assert "no_reasoning" in Curator(Curate(rules={"no_reasoning": {"enabled": True}})).rules
    assert row(refusal, rubric="distillation")["reason"] == "output is under 50 characters"


@rule("shouting", outcome="flag", reason="answer shouts")
def shouting(batch: pa.RecordBatch, *, marks: int = 3) -> Finding:
    """More than `marks` exclamation marks."""
    count = np.array([text.count("!") for text in batch.column("output_text").to_pylist()], dtype=float)
    return Finding(pa.array(count > marks), pa.array(count))


@rule("broken", outcome="flag", reason="never")
def broken(batch: pa.RecordBatch) -> Finding:
    """Answers for one example only."""
    return Finding(pa.array([True]), pa.array([1.0]))


def test_a_third_partys_rule_runs_and_a_broken_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(plugins._entries("rules"))
    monkeypatch.setattr(plugins, "_entries", lambda group: known)
    known["shouting"] = EntryPoint("shouting", f"{__name__}:shouting", "samloop.rules")
    made = row(example(output_text="Well!!!! " + PROSE), rules={"shouting": {"marks": 2}}, rubric="unified")
    assert json.loads(made["flags"]) == [{"rule": "shouting", "outcome": "flag", "measure": 4.0}]
    assert made["quality_score"] == 0.5
    known["broken"] = EntryPoint("broken", f"{__name__}:broken", "samloop.rules")
    with pytest.raises(PluginError, match="'broken' must return a Finding of 2 entries"):
        curated(example(), example())


def test_explain_sums_to_the_score() -> None:
    bad = example(source="manual", output_text=PROSE + " As of my last update, it was so, and the room is in the")
    curator = Curator(Curate(rubric="unified", rules={"unfinished": {"enabled": False}}))
    terms = curator.explain(bad)
    assert terms == [
        ("base", 0.5), ("output over 200 characters", 0.1), ("trusted source", 0.15), ("incomplete", -0.15),
        ("flags", -0.1),
    ]  # fmt: skip
    assert sum(value for _, value in terms) == pytest.approx(curator.curate([bad]).rows[0]["quality_score"])


@pytest.mark.parametrize(
    ("asked", "answered", "domain"),
    [
        ("Write a Python function that reverses a list.", "Use slicing.", "code"),
        ("Do it.", "```rust\nfn main() {}\n```", "code"),
        ("Explain why the sky is blue.", PROSE, "reasoning"),
        ("Write a short poem on the sea.", "The sea is wide.", "creative"),
        ("Who was the first person on the moon?", "Neil Armstrong.", "factual"),
        ("Make a plan and a timeline for my garden project.", PROSE, "planning"),
        ("Hello, how are you?", "Very well, thank you.", "conversation"),
        ("Blue or green?", "Green, as it calms the eye.", "general"),
    ],
)
def test_domain(asked: str, answered: str, domain: str) -> None:
    assert row(example(input_text=asked, output_text=answered))["domain"] == domain


def test_complexity_grows_with_what_it_counts() -> None:
    simple = row(example(input_text="Which colour is grass?", output_text="Green, mostly."))["complexity"]
    turns = ({"role": "user", "content": PROSE}, {"role": "assistant", "content": PROSE * 8}) * 4
    listed = "\n".join(f"- step {i}" for i in range(12)) + "\n```python\nx = 1\n```"
    hard = row(
        example(
            input_text="You must use exactly three files, without classes, and ensure that it never blocks.",
            output_text=listed + PROSE * 10, conversation_history=turns,
        )
    )["complexity"]  # fmt: skip
    assert (simple, hard) == (1, 10)


WILD = st.one_of(
    st.text(st.characters(), max_size=60),
    st.sampled_from(["", PROSE, PROSE * 3, "a@mail.org", "```x", "\ud800", "\x00", "e" + "\u0301\u0323" * 50,
                     "(" * 40, "very " * 50, "語" * 40, "Привет, как дела сегодня?", "I'm sorry, but I can't"]),
)  # fmt: skip
TURNS = st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": WILD})
EXAMPLES = st.builds(
    example,
    source=st.sampled_from(["dataset", "manual", "git_commits"]),
    format=st.sampled_from(["instruction", "chat", "dpo", "completion", "multi_turn"]),
    input_text=WILD,
    output_text=WILD,
    system_prompt=st.none() | WILD,
    context=st.none() | WILD,
    rejected_output=st.none() | WILD,
    language=st.sampled_from([None, "en", "zh", "python"]),
    group_key=st.none() | WILD,
    metadata=st.dictionaries(st.text(max_size=5), WILD | st.integers() | st.none(), max_size=2),
    conversation_history=st.lists(TURNS, max_size=3).map(tuple),
)


@pytest.mark.parametrize("rubric", ["sound", "distillation"])
@settings(deadline=None, max_examples=40)
@given(examples=st.lists(EXAMPLES, min_size=FEW + 1, max_size=FEW + 4))
def test_one_by_one_gives_what_the_batch_gives(rubric: str, examples: list[Example]) -> None:
    curator = Curator(Curate(rubric=rubric))
    together = curator.curate(examples)
    alone = [curator.curate([one]) for one in examples]
    assert list(together.rows) == [one.rows[0] for one in alone]
    assert sum(together.redacted.values()) == sum(sum(one.redacted.values()) for one in alone)
    for made in together.rows:
        json.dumps(made, ensure_ascii=False).encode()
        assert 0 <= made["quality_score"] <= 1
        assert made["domain"] in DOMAINS
        assert 1 <= made["complexity"] <= 10
        assert made["state"] in {"accepted", "review", "rejected"}
        assert (made["reason"] is None) == (made["state"] == "accepted")


@settings(deadline=None, max_examples=60)
@given(examples=st.lists(EXAMPLES, min_size=1, max_size=6))
def test_curating_what_was_curated_changes_nothing(examples: list[Example]) -> None:
    curator = Curator(Curate())
    rows = curator.curate(examples).rows
    plain = [{k: v for k, v in made.items() if v is not None} for made in rows]
    for made in plain:
        made.update({name: json.loads(made[name]) for name in ("conversation_history", "metadata", "flags")})
    assert curator.curate([Example.from_dict(made) for made in plain]).rows == rows


def normalised(text: str) -> str:
    """`text` as a batch large enough for the fast way makes it."""
    return cleaned([example(input_text=text)] * (FEW + 1), lambda _: False).input_text[0]


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=40))
def test_the_fast_way_to_normalise_changes_no_outcome(text: str) -> None:
    for given_text in (text, f"  {text} \n x"):
        assert normalised(given_text) == normalise(given_text)
        assert normalise(normalise(given_text)) == normalise(given_text)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text("ab ;\t\n\r\x07\x7f\xa0é\u0301", max_size=6), min_size=FEW + 1, max_size=10))
def test_texts_side_by_side_are_normalised_as_each_alone(texts: list[str]) -> None:
    made = cleaned([example(input_text=text) for text in texts], lambda _: False).input_text
    assert made == [normalise(text) for text in texts]


def test_all_characters_that_pass_unseen_are_stable_side_by_side() -> None:
    every = [chr(c) for c in range(0x20, 0x10000) if not 0xD800 <= c <= 0xDFFF]
    unusual = pc.match_substring_regex(pa.array(every), batch._UNUSUAL).to_pylist()
    unseen = "".join(c for c, seen in zip(every, unusual, strict=True) if not seen)
    assert len(unseen) > 30_000
    doubled = "a" + "".join(c + c for c in unseen) + unseen + unseen[::-1] + "a"
    assert normalise(doubled) == doubled == normalised(doubled)


def test_a_million_combining_marks_and_other_giants_are_survived() -> None:
    giants = ["e" + "\u0301\u0323" * 500_000, "(" * 500_000, "語" * 200_000, "a@" * 200_000, "\x00" * 500_000 + "x"]
    made = curated(*[example(output_text=text) for text in giants])
    assert len(made.rows) == len(giants)
    assert len(made.rows[0]["output_text"]) == 30


def test_the_batch_has_the_columns_rules_are_promised() -> None:
    assert SCHEMA.names == [
        "source", "format", "input_text", "output_text", "system_prompt", "context", "rejected_output",
        "conversation_history", "language",
    ]  # fmt: skip


def test_nothing_in_nothing_out() -> None:
    assert curated() == Curated(Rows({}))
