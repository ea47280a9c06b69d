"""Formats: each is known by its keys and gives the examples that a person would take from it. Hand-written."""

from __future__ import annotations

import orjson
import pytest

from samloop.example import Example
from samloop.sources.containers import parse
from samloop.sources.conversation import WINDOW_CHARACTERS
from samloop.sources.drafts import Unfit
from samloop.sources.formats import RecordReader, format_of
from samloop.sources.formats_text import continuation, dialogue_in
from samloop.sources.origin import Origin, seconds_of


def read(record: object, licence: str | None = None) -> list[Example]:
    return RecordReader(Origin("datasets", "/data/set.jsonl", "set.jsonl", licence)).read(record, 7)


def one(record: object) -> Example:
    (example,) = read(record)
    return example


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


QUESTION, ANSWER = "What floats?", "A cork floats."
PAIRS = [
    {"instruction": QUESTION, "input": "", "output": ANSWER},
    {"instruction": QUESTION, "input": "<noinput>", "response": ANSWER},
    {"instruction": QUESTION, "context": "", "response": ANSWER, "category": "physics"},
    {"question": QUESTION, "answer": ANSWER},
    {"question": QUESTION, "answers": {"text": [ANSWER, "Cork."], "answer_start": [0, 2]}},
    {"query": QUESTION, "response": ANSWER},
    {"problem": QUESTION, "solution": ANSWER},
    {"inputs": QUESTION, "targets": ANSWER},
    {"prompt": QUESTION, "response": ANSWER + "</s>"},
    {"Question": QUESTION, "Answer": ANSWER},
    {"prompt": QUESTION, "completion": ANSWER, "label": True},
    {"instruction": QUESTION, "input": "", "output": ANSWER, "kto_tag": True},
    {"instruction": QUESTION, "instances": [{"input": "", "output": ANSWER}]},
    {"instruction": QUESTION, "output": ANSWER, "messages": None},
]


@pytest.mark.parametrize("record", PAIRS, ids=lambda record: "+".join(record))
def test_a_question_and_its_answer_are_an_instruction(record: dict) -> None:
    example = one(record)
    assert (example.format, example.input_text, example.output_text) == ("instruction", QUESTION, ANSWER)
    assert example.context is None
    assert example.source == "datasets"


CHATS = [
    {"messages": [turn("user", QUESTION), turn("assistant", ANSWER)]},
    {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]},
    {"conversations": [turn("user", QUESTION), turn("assistant", ANSWER)]},
    {"data": [QUESTION, ANSWER]},
    {"messages": [turn("user", QUESTION), turn("assistant", ANSWER), turn("user", "Thanks.")]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}, turn("assistant", ANSWER)]},
]


@pytest.mark.parametrize("record", CHATS, ids=range(len(CHATS)))
def test_one_question_in_turns_is_a_chat(record: dict) -> None:
    example = one(record)
    assert (example.format, example.input_text, example.output_text) == ("chat", QUESTION, ANSWER)
    assert example.conversation_history == ()


def test_the_last_answer_of_several_is_the_output_and_the_rest_is_history() -> None:
    talk = [turn("system", "Be brief."), turn("user", "Hi."), turn("assistant", "Hello.")]
    example = one({"id": "c1", "messages": [*talk, turn("user", QUESTION), turn("assistant", ANSWER)]})
    assert example.format == "multi_turn"
    assert example.system_prompt == "Be brief."
    assert example.conversation_history == (turn("user", "Hi."), turn("assistant", "Hello."))
    assert (example.input_text, example.output_text) == (QUESTION, ANSWER)
    assert example.group_key == "conversation:c1"


def test_parts_of_one_sharegpt_conversation_stay_together() -> None:
    talk = [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]
    first, second = (one({"id": f"Qx7Ab2c_{n}", "conversations": talk}) for n in (0, 17))
    assert first.group_key == second.group_key == "conversation:Qx7Ab2c"


def test_tool_calls_and_results_take_the_form_of_the_template() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weigh", "arguments": '{"what": "cork"}'}}
    example = one(
        {
            "messages": [
                turn("user", QUESTION),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "1", "content": "0.2"},
                turn("assistant", ANSWER),
            ],
            "tools": [{"type": "function", "function": {"name": "weigh"}}],
        }
    )
    assert example.system_prompt is not None
    assert '{"type":"function","function":{"name":"weigh"}}' in example.system_prompt
    assert example.conversation_history[1] == turn(
        "assistant", '<tool_call>\n{"name":"weigh","arguments":{"what":"cork"}}\n</tool_call>'
    )
    assert example.input_text == "<tool_response>\n0.2\n</tool_response>"
    assert example.output_text == ANSWER


def test_thanks_at_the_end_do_not_stand_for_the_conversation() -> None:
    talk = [turn("user", QUESTION), turn("assistant", ANSWER), turn("user", "Great, thanks a lot!")]
    welcome = [*talk, turn("assistant", "You're welcome!")]
    assert one({"messages": welcome}).output_text == ANSWER
    assert one({"messages": [*talk, turn("assistant", "It also dries well.")]}).output_text == "It also dries well."
    only = [turn("user", "Thank you!"), turn("assistant", "You're welcome!")]
    assert one({"messages": only}).output_text == "You're welcome!"
    ours = {"messages": welcome, "metadata": {"quality_tier": "gold", "timestamp": 1.0}}
    assert one(ours).output_text == "You're welcome!"


def test_a_long_conversation_is_one_window_per_answer() -> None:
    turns = [turn("user" if n % 2 == 0 else "assistant", f"{n} " + "x" * 9_998) for n in range(10)]
    examples = read({"messages": turns})
    assert [example.output_text[0] for example in examples] == ["1", "3", "5", "7", "9"]
    for example in examples:
        texts = [m["content"] for m in example.conversation_history] + [example.input_text, example.output_text]
        assert sum(map(len, texts)) <= WINDOW_CHARACTERS
        assert not example.conversation_history or example.conversation_history[0]["role"] == "user"
    assert len({example.group_key for example in examples}) == 1
    assert examples[0].group_key is not None
    assert len({example.source_id for example in examples}) == 5


def test_a_conversation_within_the_bound_is_one_example() -> None:
    turns = [turn("user" if n % 2 == 0 else "assistant", "x" * 3_000) for n in range(10)]
    assert len(read({"messages": turns})) == 1


PREFERENCES = [
    {"prompt": QUESTION, "chosen": ANSWER, "rejected": "A brick."},
    {"instruction": QUESTION, "chosen": ANSWER, "rejected": "A brick."},
    {
        "prompt": [turn("user", QUESTION)],
        "chosen": [turn("assistant", ANSWER)],
        "rejected": [turn("assistant", "A brick.")],
    },
    {
        "chosen": [turn("user", QUESTION), turn("assistant", ANSWER)],
        "rejected": [turn("user", QUESTION), turn("assistant", "A brick.")],
    },
    {
        "prompt": QUESTION,
        "chosen": [turn("user", QUESTION), turn("assistant", ANSWER)],
        "rejected": [turn("user", QUESTION), turn("assistant", "A brick.")],
        "messages": [turn("user", QUESTION), turn("assistant", ANSWER)],
    },
    {
        "conversations": [{"from": "human", "value": QUESTION}],
        "chosen": {"from": "gpt", "value": ANSWER},
        "rejected": {"from": "gpt", "value": "A brick."},
    },
    {
        "chosen": f"\n\nHuman: {QUESTION}\n\nAssistant: {ANSWER}",
        "rejected": f"\n\nHuman: {QUESTION}\n\nAssistant: A brick.",
    },
    {"input": QUESTION, "output_1": "A brick.", "output_2": ANSWER, "label": 2},
    {"instruction": QUESTION, "input": "", "response1": ANSWER, "response2": "A brick.", "annotator1": 1}
    | {"annotator2": 0, "annotator3": 1},
    {"prompt": QUESTION, "response_a": ANSWER, "response_b": "A brick.", "winner": "model_a"},
]


@pytest.mark.parametrize("record", PREFERENCES, ids=range(len(PREFERENCES)))
def test_a_judgement_is_a_preference(record: dict) -> None:
    example = one(record)
    assert example.format == "dpo"
    assert (example.input_text, example.output_text, example.rejected_output) == (QUESTION, ANSWER, "A brick.")
    assert example.conversation_history == ()


def test_judgements_of_one_prompt_share_a_group_and_others_do_not() -> None:
    def group(question: str, context: str) -> str | None:
        return one({"instruction": question, "input": context, "chosen": ANSWER, "rejected": "No."}).group_key

    assert group(QUESTION, "In water.") == group(QUESTION, "In water.")
    assert group(QUESTION, "In water.") != group(QUESTION, "In oil.") != group("What sinks?", "In oil.")


def test_the_instances_of_a_task_share_a_group() -> None:
    task = {"id": "seed_1", "instruction": "Double it.", "instances": [{"input": n, "output": 2 * n} for n in (2, 3)]}
    first, second = read(task)
    assert (first.context, first.output_text, second.context, second.output_text) == ("2", "4", "3", "6")
    assert first.group_key == second.group_key
    assert first.source_id == "seed_1#instance 1"


def test_records_on_one_passage_share_a_group() -> None:
    passage = "Cork is light. " * 20
    groups = {one({"context": passage, "question": q, "answer": ANSWER}).group_key for q in ("What?", "Why so?")}
    assert len(groups) == 1
    assert None not in groups
    assert one({"context": "Short.", "question": "What?", "answer": ANSWER}).group_key is None


def test_code_with_its_docstring_is_asked_for_by_the_docstring() -> None:
    example = one(
        {
            "code": "def f(a):\n    return a",
            "docstring": "Give it back.",
            "func_name": "m.f",
            "language": "python",
            "repo": "r/x",
            "path": "m.py",
            "code_tokens": ["def"] * 400,
        }
    )
    assert example.input_text == "Write the Python function `f`.\n\nGive it back."
    assert example.output_text.startswith("def f")
    assert (example.language, example.group_key) == ("python", "r/x:m.py")
    assert "code_tokens" not in example.metadata


def test_chatml_text_is_read_back_as_its_turns() -> None:
    text = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
    example = one({"text": text + f"<|im_start|>assistant\n{ANSWER}<|im_end|>\n"})
    assert (example.system_prompt, example.input_text, example.output_text) == ("Be brief.", QUESTION, ANSWER)
    assert example.format == "completion"


@pytest.mark.parametrize(
    "text",
    [
        f"Below is a task.\n\n### Instruction:\n{QUESTION}\n\n### Response:\n{ANSWER}",
        f"### Human: {QUESTION}\n### Assistant: {ANSWER}",
        f"\n\nHuman: {QUESTION}\n\nAssistant: {ANSWER}",
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{QUESTION}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{ANSWER}<|eot_id|>",
    ],
)
def test_other_templates_are_read_back_too(text: str) -> None:
    assert dialogue_in(text) == [turn("user", QUESTION), turn("assistant", ANSWER)]


def test_a_document_with_such_a_heading_is_no_dialogue() -> None:
    assert dialogue_in("# API\n\n" + "words " * 100 + "\n### Response\n\nA number.") == []


def test_plain_text_is_cut_at_its_strongest_boundary() -> None:
    beginning, rest = continuation("One sentence. Another one.\n\nA second paragraph follows here. It goes on.")
    assert (beginning, rest[:8]) == ("One sentence. Another one.", "A second")
    code = "def a():\n    return 1\n\n\ndef b():\n    return 2\n\n\ndef c():\n    return 3\n"
    assert continuation(code) == ("def a():\n    return 1", code.strip()[code.index("def b") :])
    with pytest.raises(Unfit, match="too short"):
        continuation("Too short.")


def test_indentation_of_the_continuation_stays() -> None:
    assert continuation("for name in the_names:\n    do_something_with(name)\n    do_more()")[1].startswith("    do_")


TURNED_AWAY = [
    ({"prompt": QUESTION, "chosen": ANSWER}, "unknown format"),
    ({"a": 1}, "unknown format"),
    ({}, "unknown format"),
    ([1], "not an object"),
    (None, "not an object"),
    ({"instruction": QUESTION, "output": ""}, "empty text"),
    ({"instruction": "  \n", "output": ANSWER}, "empty text"),
    ({"instruction": QUESTION, "output": None}, "missing field"),
    ({"instruction": QUESTION, "output": {"a": 1}}, "wrong type"),
    ({"instruction": QUESTION, "output": float("nan")}, "wrong type"),
    ({"instruction": QUESTION, "output": []}, "no answer"),
    ({"instruction": QUESTION, "output": ANSWER, "history": [["only one"]]}, "wrong type"),
    ({"messages": "text"}, "wrong type"),
    ({"messages": []}, "no answer"),
    ({"messages": [turn("user", QUESTION)]}, "no answer"),
    ({"messages": [turn("assistant", ANSWER)]}, "role order"),
    ({"messages": [turn("user", QUESTION), turn("assistant", "A"), turn("assistant", ANSWER)]}, "role order"),
    ({"messages": [turn("wizard", QUESTION), turn("assistant", ANSWER)]}, "unknown role"),
    ({"messages": [{"role": ["user"], "content": QUESTION}]}, "unknown role"),
    ({"messages": [{"role": "user", "content": 5}, turn("assistant", ANSWER)]}, "wrong type"),
    ({"conversations": [1, 2]}, "wrong type"),
    ({"data": [1, 2]}, "wrong type"),
    ({"prompt": QUESTION, "completion": ANSWER, "label": False}, "negative without its pair"),
    ({"prompt": QUESTION, "completion": ANSWER, "label": 5}, "unknown label"),
    ({"input": QUESTION, "output_1": "A", "output_2": "B", "label": 3}, "unknown label"),
    ({"input": QUESTION, "output_1": "A", "output_2": "B", "label": True}, "unknown label"),
    ({"input": QUESTION, "output_1": "A", "output_2": "B", "label": 0}, "no preference"),
    ({"input": QUESTION, "response1": "A", "response2": "B", "annotator1": 1, "annotator2": 2}, "no preference"),
    ({"chosen": ANSWER, "rejected": "B"}, "missing field"),
    ({"instruction": QUESTION, "instances": []}, "missing field"),
    ({"text": "A film to forget.", "label": 0}, "unknown format"),
    ({"message_tree_id": "t", "prompt": {"text": QUESTION, "role": "prompter", "replies": []}}, "no answer"),
    ({"message_id": "m", "parent_id": None, "text": QUESTION, "role": "prompter"}, "single message of a tree"),
    ({"prompt": "def f():", "canonical_solution": " pass", "test": "", "entry_point": "f"}, "evaluation item"),
    ({"question_id": 1, "category": "writing", "turns": [QUESTION]}, "evaluation item"),
    ({"title": "t", "mapping": {}}, "belongs to another source"),
]


@pytest.mark.parametrize(("record", "reason"), TURNED_AWAY, ids=range(len(TURNED_AWAY)))
def test_what_is_no_example_is_turned_away_with_its_reason(record: object, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(record)
    assert caught.value.reason == reason
    for text in (QUESTION, ANSWER):
        assert text not in caught.value.detail


def test_metadata_keeps_what_is_known_and_small() -> None:
    example = one(
        {"instruction": QUESTION, "output": ANSWER, "category": "physics", "score": 0.5, "huge": "x" * 9_999}
        | {"source": "a forum", "tags": ["a", "b"], "dataset": "inner", "validated": True, "language": "English"}
    )
    assert example.metadata == {
        "dataset": "set.jsonl",
        "dataset_name": "inner",
        "category": "physics",
        "score": 0.5,
        "tags": ["a", "b"],
        "origin": "a forum",
    }
    assert example.language == "english"


def test_ids_licence_and_time_come_from_the_record_where_it_has_them() -> None:
    record = {"id": 5, "question": QUESTION, "answer": ANSWER, "license": "mit", "created_at": "2024-02-01T00:00:00Z"}
    (example,) = read(record, licence="Apache-2.0")
    assert (example.source_id, example.licence, example.created_at) == ("set.jsonl#5", "MIT", 1706745600.0)
    (plain,) = read({"question": QUESTION, "answer": ANSWER}, licence="Apache-2.0")
    assert (plain.source_id, plain.licence, plain.created_at) == ("set.jsonl:7", "Apache-2.0", 0.0)
    assert plain.updated_at == 0.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1.5e9, 1.5e9),
        (1.5e12, 1.5e9),
        ("2001-09-09T01:46:40", 1e9),
        *((value, 0.0) for value in (-5, 1e300, "soon", True, None, 10**30, "9999-12-31", float("nan"))),
    ],
)
def test_times_that_are_none_are_zero(value: object, seconds: float) -> None:
    assert seconds_of(value) == seconds


def test_the_calculator_marks_of_school_mathematics_go() -> None:
    assert one({"question": QUESTION, "answer": "2+2=<<2+2=4>>4\n#### 4"}).output_text == "2+2=4\n#### 4"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1', "broken JSON"),
        (b"nonsense", "broken JSON"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": "\0"}', "NUL byte"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number out of range"),
    ],
)
def test_json_that_is_none_has_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": 1},', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "x\\ud83d"}', {"a": "x\ufffd"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": 1}\r', {"a": 1}),
    ],
)
def test_json_that_others_write_is_mended(text: bytes, value: object) -> None:
    assert parse(text) == value


def test_numbers_that_are_none_become_no_text() -> None:
    record = parse(b'{"instruction": "What is it?", "output": "It is.", "score": NaN}')
    assert "score" not in one(record).metadata


def test_every_key_set_has_at_most_one_format() -> None:
    for record in [*PAIRS, *CHATS, *PREFERENCES]:
        keys = frozenset(key.lower() for key, value in record.items() if value is not None)
        found = format_of(keys)
        assert found is not None
        assert found[0].foreign is None


def test_examples_are_plain_json() -> None:
    for record in [*PAIRS, *CHATS, *PREFERENCES]:
        for example in read(record):
            orjson.dumps(example.to_dict())


WORSE = "A stone does."
VERDICTS = [
    {"instruction": QUESTION, "output_1": WORSE, "output_2": ANSWER, "label": 2},
    {"history": QUESTION, "human_ref_A": ANSWER, "human_ref_B": WORSE, "labels": 1},
    {"history": QUESTION, "human_ref_A": WORSE, "human_ref_B": ANSWER, "labels": 0},
    {
        "conversation_a": [turn("user", QUESTION), turn("assistant", WORSE)],
        "conversation_b": [turn("user", QUESTION), turn("assistant", ANSWER)],
        "winner": "model_b",
        "turn": 1,
    },
]


@pytest.mark.parametrize("record", VERDICTS, ids=lambda record: "+".join(record))
def test_two_outputs_with_a_verdict_are_a_preference(record: dict) -> None:
    example = one(record)
    assert (example.format, example.input_text) == ("dpo", QUESTION)
    assert (example.output_text, example.rejected_output) == (ANSWER, WORSE)
    assert example.group_key


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({**VERDICTS[3], "winner": "tie"}, "no preference"),
        ({**VERDICTS[3], "winner": "both"}, "unknown label"),
        (
            {
                "conversation_a": [turn("user", QUESTION), turn("assistant", ANSWER)] * 2,
                "conversation_b": [turn("user", QUESTION), turn("assistant", WORSE)] * 2,
                "winner": "model_a",
            },
            "two conversations",
        ),
    ],
)
def test_a_verdict_that_says_nothing_about_two_answers_is_turned_away(record: dict, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(record)
    assert caught.value.reason == reason


def test_what_a_set_tells_twice_is_not_kept_as_metadata() -> None:
    record = {"instruction": QUESTION, "response": ANSWER, "messages": CHATS[0]["messages"], "difficulty": 3}
    assert one(record).metadata == {"dataset": "set.jsonl", "difficulty": 3}


@pytest.mark.parametrize("key", ["conversation_id", "thread_id", "document_id"])
def test_records_that_name_what_they_are_part_of_share_its_group(key: str) -> None:
    record = {"question": "What floats?", "answer": ANSWER}
    assert (
        one({**record, key: "d-17"}).group_key == one({**record, key: "d-17", "question": "Why?"}).group_key == "d-17"
    )
    first, second = one({**record, key: 17}), one({**record, key: 18})
    assert first.group_key is not None and second.group_key is not None
    assert first.group_key != second.group_key
    assert key not in first.metadata
