"""Each rule on planted positives and on realistic text that it must leave alone."""

from __future__ import annotations

from typing import Any

import pytest

from samloop import plugins
from samloop.curate.batch import cleaned
from samloop.example import Example
from samloop.protocols import Finding

PROSE = (
    "A cache keeps results that were costly to compute. The next time the same question comes, the answer is already "
    "there. What makes it hard is knowing when a kept answer is no longer true, and how much room to spend on it."
)
CODE = '''def close(path):
    """Close the file (if open) at `path`."""
    for name, handle in list(OPEN.items()):
        if name == path and handle is not None:
            print(f"closing {name}: {handle!r} (")
            handle.close()
    return {"closed": [path], "left": len(OPEN)}'''
TABLE = "| name | a | b |\n|---|---|---|\n| one | 1 | 2 |\n| two | 3 | 4 |\n| three | 5 | 6 |\n| four | 7 | 8 |"
STEPS = "1) Open the lid.\n2) Take out the filter (it may be hot).\n3) Rinse it.\na) warm water\nb) no soap :("
COMMIT = (
    "Fix the race between reader and writer\n\nThe writer took the lock after it had looked at the queue, so that\n"
    "a reader could empty it in between. Now it looks again under the lock\n\nThe test starts both at the same moment"
)
MATRIX = "[[0, 0, 0, 1],\n [0, 0, 1, 0],\n [0, 1, 0, 0],\n [1, 0, 0, 0]]\n" * 6
SWITCH = "\n".join(
    f"    elif operation == '{sign}':\n        return a {sign} b"
    for sign in ("+", "-", "*", "/", "%", "**", "//", "&")
)
REALISTIC = [
    "ollama",
    "claude-code",
    "Paris",
    "42",
    PROSE,
    CODE,
    TABLE,
    STEPS,
    COMMIT,
    MATRIX,
    SWITCH,
    "Use `x[0, 1)`.",
]


def example(**changed: Any) -> Example:
    values = {"source": "dataset", "format": "instruction", "input_text": "Tell me about caches in general."}
    return Example(**{**values, "output_text": PROSE, "created_at": 0.0, "updated_at": 0.0, **changed})


def found(name: str, *examples: Example, **options: Any) -> tuple[list[bool], list[float]]:
    finding = plugins.load("rules", name)(cleaned(examples, lambda _: False).to_batch(), **options)
    assert isinstance(finding, Finding)
    assert finding.hit.null_count == 0
    return finding.hit.to_pylist(), finding.measure.to_pylist()


def hits(name: str, *examples: Example, **options: Any) -> list[bool]:
    return found(name, *examples, **options)[0]


def turns(*roles: str) -> tuple[Any, ...]:
    return tuple({"role": role, "content": "text of the turn"} for role in roles)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u00a0\u2003", "\u0000"])
def test_empty(text: str) -> None:
    assert hits("empty_input", example(input_text=text), example()) == [True, False]
    assert hits("empty_output", example(output_text=text), example()) == [True, False]


def test_preference_pairs() -> None:
    same = example(format="dpo", rejected_output=f"  {PROSE}\n".replace(" ", "  "))
    none = example(format="dpo")
    other = example(format="dpo", rejected_output="No idea.")
    edited = example(format="dpo", rejected_output=PROSE.replace("costly", "dear"))
    short = example(format="dpo", output_text="It is 12.", rejected_output="It is 13.")
    assert hits("no_rejected", none, same, other, example()) == [True, False, False, False]
    assert hits("identical_pair", none, same, other, example()) == [False, True, False, False]
    assert hits("near_identical_pair", edited, other, short, none) == [True, False, False, False]


@pytest.mark.parametrize(
    ("roles", "wrong"),
    [
        ([], 0),
        (["user", "assistant"], 0),
        (["system", "user", "assistant", "user", "assistant"], 0),
        (["assistant"], 0),
        (["user", "assistant", "tool"], 0),
        (["user", "assistant", "tool", "tool", "assistant"], 0),
        (["user"], 1),
        (["user", "user", "assistant"], 1),
        (["user", "assistant", "assistant"], 1),
        (["user", "system", "assistant"], 1),
        (["user", "assistant", "system"], 1),
        (["tool", "assistant"], 1),
        (["user", "tool", "assistant"], 1),
        (["narrator", "assistant"], 1),
    ],
)
def test_role_order(roles: list[str], wrong: int) -> None:
    batch = [example(conversation_history=turns("user", "assistant")), example(conversation_history=turns(*roles))]
    hit, measure = found("role_order", *batch, example())
    assert measure == [0, wrong, 0]
    assert hit == [False, wrong > 0, False]


def test_length_bounds_count_all_fields_and_turns() -> None:
    parts = example(input_text="a" * 5, output_text="b" * 5, context="c" * 5, conversation_history=turns("assistant"))
    assert found("under_length", parts)[1] == [15 + len("text of the turn")]
    assert hits("under_length", example(input_text="a" * 9, output_text="b" * 10)) == [True]
    assert hits("under_length", example(input_text="a" * 10, output_text="b" * 10)) == [False]
    assert hits("over_length", example(input_text="a", output_text="é" * 31_999)) == [False]
    assert hits("over_length", example(input_text="a", output_text="é" * 32_000)) == [True]
    assert hits("over_length", example(), characters=100) == [True]


def test_undecodable() -> None:
    broken = "".join(c if i % 20 else "\ufffd" for i, c in enumerate(PROSE))
    assert hits("undecodable", example(output_text=broken), example(input_text=broken)) == [True, True]
    assert hits("undecodable", example(output_text=PROSE + "\ufffd"), example(output_text="naïve 語")) == [
        False,
        False,
    ]


@pytest.mark.parametrize("text", REALISTIC)
@pytest.mark.parametrize(
    "name",
    ["incomplete", "unbalanced", "repetition", "echo", "refusal", "outdated", "hallucination_risk", "wrong_language",
     "undecodable"],
)  # fmt: skip
def test_ordinary_answers_are_not_flagged(name: str, text: str) -> None:
    source = "git_commits" if text == COMMIT else "dataset"
    assert hits(name, example(output_text=text, source=source)) == [False]


@pytest.mark.parametrize(
    "text",
    [
        "Wait, there is more to this…",
        "Wait, there is more to this...",
        PROSE + " The four leave...<|endoftext|>",
        "There are many kinds of caches, for instance in the",
        "1. International organisations such as the United Nations,",
        "result = compute(first, second, third(",
        PROSE + " The room it takes grows with each answer that is kept for lat",
    ],
)
def test_incomplete(text: str) -> None:
    assert hits("incomplete", example(output_text=text)) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\n\nSee you on Friday.\n\nBest,",
        "List of ports:\n- 80\n- 443 for secure traffic only",
        "x = [\n    ...\n]",
    ],
)
def test_complete(text: str) -> None:
    assert hits("incomplete", example(output_text=text)) == [False]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("```python\nprint(1)", 1),
        ("function f() { if (x) { return 1;", 2),
        ("The list is [1, 2, [3, 4", 2),
        ('{"a": {"b": [1, 2}', 2),
        ("if (s === '(') { push(s); }", 0),
        ("case $1 in\n  start) run ;;\n  stop) halt ;;\nesac", 0),
        ("```\na(\n```\ntext ```x``` more )", 0),
    ],
)
def test_unbalanced(text: str, left: int) -> None:
    assert found("unbalanced", example(output_text=text))[1] == [left]


@pytest.mark.parametrize(
    "text",
    [
        "The film is filled with light, colour and a sense of movement. " * 6,
        "very " * 60,
        "Make the most of your time every day\n" * 9,
        "床前明月光疑是地上霜" * 12,
    ],
)
def test_repetition(text: str) -> None:
    (hit,), (measure,) = found("repetition", example(output_text=text))
    assert hit
    assert measure > 0.5


def test_repetition_measures_a_share() -> None:
    half = PROSE + " " + PROSE
    (measure,) = found("repetition", example(output_text=half))[1]
    assert measure == pytest.approx(0.5, abs=0.01)


def test_echo() -> None:
    asked = "Design a test of skills for the language R."
    whole, long = (
        example(input_text=asked, output_text=asked),
        example(input_text=asked, output_text=asked + PROSE * 9),
    )
    hello = example(input_text="Hello", output_text="Hello! How can I help?")
    begun = example(input_text=asked, output_text=asked.lower() + " Here it comes, in three short parts.")
    assert hits("echo", whole, long, hello, begun) == [True, False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but as an AI, I don’t have the capability to book flights.",
        "As an AI language model, I do not have personal opinions on this.",
        "I cannot provide that information.",
        "Unfortunately, I am unable to help with this request.",
    ],
)
def test_refusal(text: str) -> None:
    assert hits("refusal", example(output_text=text)) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that. Here is what helps against a cold.",
        "Raise ValueError and say: I cannot open the file.",
        "You cannot assign to a constant; use `let mut`.",
        PROSE * 3 + " I'm sorry, but I can't assist with that.",
    ],
)
def test_no_refusal(text: str) -> None:
    assert hits("refusal", example(output_text=text)) == [False]


def test_outdated_and_unsupported() -> None:
    assert hits("outdated", example(output_text="As of my last update in 2021, it was so.")) == [True]
    assert hits("outdated", example(output_text="The knowledge base was cut off the network.")) == [False]
    claim = "Studies show that caches make people happy."
    assert hits("hallucination_risk", example(output_text=claim)) == [True]
    assert hits("hallucination_risk", example(output_text=claim + " See https://doi.org/10.1/x")) == [False]
    assert hits("hallucination_risk", example(output_text=claim, context="Studies show that much.")) == [False]
    assert hits("hallucination_risk", example(output_text="I just checked the website for you.")) == [True]


RUSSIAN = "Кэш хранит ответы, которые было дорого вычислить."
CHINESE = "缓存保存计算成本高的结果，下次提出同样的问题时可以直接使用答案。"


@pytest.mark.parametrize(
    ("language", "asked", "answered", "wrong"),
    [
        (None, "What is a cache and what is it good for?", RUSSIAN, True),
        (None, "Translate into Russian: a cache keeps results.", RUSSIAN, False),
        ("en", "What is a cache?", CHINESE, True),
        ("zh-CN", "什么是缓存？", CHINESE, False),
        ("zh", "什么是缓存？", PROSE, True),
        ("ru", "Что такое кэш?", RUSSIAN, False),
        (None, "什么是缓存？请解释一下它的用途。", PROSE, False),
        (None, "什么是缓存？请解释一下它的用途。", RUSSIAN, True),
        ("python", "What is a cache?", PROSE, False),
        ("de", "Was ist ein Cache?", PROSE, False),
        (None, "What is it called?", "кэш", False),
    ],
)
def test_wrong_language(language: str | None, asked: str, answered: str, wrong: bool) -> None:
    assert hits("wrong_language", example(language=language, input_text=asked, output_text=answered)) == [wrong]


def test_rules_for_teachers_answers() -> None:
    reasoned = (
        "1. Look at the queue.\n2. Take the lock.\nTherefore the writer waits, because the reader holds it." + PROSE
    )
    fenced = "```python\nprint(1)\n```"
    assert hits("no_reasoning", example(output_text="Paris"), example(output_text=reasoned)) == [True, False]
    assert hits("too_short", example(output_text="Paris"), example(output_text=reasoned)) == [True, False]
    assert hits("too_long", example(output_text="a " * 4001), example(output_text=reasoned)) == [True, False]
    assert hits("code_only", example(output_text=fenced), example(output_text=PROSE + fenced)) == [True, False]
    assert hits("uncertain", example(output_text="I'm not sure, it may."), example()) == [True, False]
