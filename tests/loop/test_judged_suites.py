"""The suites that bring their own items, through a whole evaluation in the child process."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from loop_world import Open

from samloop.errors import InputError
from samloop.loop.evaluate import evaluate
from samloop.loop.items import BRINGING, items_named
from samloop.loop.suite_items import items_for
from samloop.prepare.dataset import Dataset
from sandbox_here import needs_sandbox

OWN = [
    {"prompt": "Say anything.", "checks": [{"check": "words", "at_least": 1}]},
    {
        "prompt": "Say anything.",
        "id": "ran",
        "checks": [{"check": "python", "test": "assert isinstance(answer, str)"}],
    },
    {"prompt": "Say anything.", "id": "no", "checks": [{"check": "python", "test": "import os\nos._exit(0)"}]},
    {"prompt": "Red or blue?", "checks": [{"check": "choice", "labels": ["red", "blue"], "right": "red"}]},
]


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def dataset_of(context: Any) -> Dataset:
    return Dataset.open(next(context.home.datasets.glob("*/manifest.json")).parent)


@pytest.mark.slow
@needs_sandbox
def test_a_users_suite_is_graded_beside_the_packaged_ones(after: Open, tmp_path: Path) -> None:
    path = written(tmp_path / "mine.jsonl", OWN)
    with after(evaluate={"own": [str(path)], "max_items": 4}) as context:
        found = evaluate(context, ["base"], ["own", "code"])
    scores = {score["name"]: score for score in found["suites"]["base"]}
    assert list(scores) == ["mine", "mine_checks", "code_pass"]
    # What the pocket model says differs; that it said something, that the test ran, and that a test which ended
    # itself is no pass, do not.
    assert 0.5 <= scores["mine"]["mean"] <= 0.75
    assert scores["mine"]["items"] == 4
    assert scores["code_pass"]["items"] == 4
    assert {score["unit"] for score in scores.values()} == {"share"}


def test_a_bad_line_stops_before_anything_is_graded(after: Open, tmp_path: Path) -> None:
    path = written(tmp_path / "mine.jsonl", [*OWN, {"prompt": "x", "checks": [{"check": "wrods"}]}])
    with after(evaluate={"own": [str(path)]}) as context:
        before = sorted(context.home.evaluations.iterdir())
        with pytest.raises(InputError, match=r"got 'wrods' on line 5 of .*mend the line"):
            evaluate(context, ["base"], ["perplexity", "own"])
        assert sorted(context.home.evaluations.iterdir()) == before


def test_the_suite_own_needs_files_of_different_names(after: Open, tmp_path: Path) -> None:
    with after() as context, pytest.raises(InputError, match=r"evaluate\.own to name JSONL files .* got none"):
        items_for(context, "own", dataset_of(context))
    (tmp_path / "more").mkdir()
    paths = [str(written(folder / "mine.jsonl", OWN)) for folder in (tmp_path, tmp_path / "more")]
    with after(evaluate={"own": paths}) as context, pytest.raises(InputError, match="two called 'mine'"):
        items_for(context, "own", dataset_of(context))


def test_instructions_that_are_not_known_are_left_out_and_named(
    after: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"key": 1, "prompt": "Say hi.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    other = {**known, "key": 2, "instruction_id_list": ["punctuation:no_comma", "ja:kana:only"], "kwargs": [{}, {}]}
    path = written(tmp_path / "ifeval.jsonl", [known, other])
    with after(evaluate={"instructions_file": str(path)}) as context, caplog.at_level(logging.WARNING):
        items = items_for(context, "instructions", dataset_of(context))
    assert [item["id"] for item in items] == ["ifeval/1"]
    assert f"1 of 2 prompts in {path} are left out" in caplog.text
    assert "ja:kana:only" in caplog.text


def test_the_other_suites_take_a_users_file_or_the_packaged_items(after: Open, tmp_path: Path) -> None:
    problem = {"task_id": "p", "prompt": "def f():\n", "entry_point": "f", "test": "assert f() == 1"}
    asked = {"context": "It is red.", "question": "What colour is it?", "answer": "Red."}
    files = {
        "code_file": str(written(tmp_path / "code.jsonl", [problem])),
        "hallucination_file": str(written(tmp_path / "asked.jsonl", [asked])),
    }
    with after(evaluate={"max_items": 400}) as context:
        dataset = dataset_of(context)
        packaged = {name: items_for(context, name, dataset) for name in ("code", "instructions", "hallucination")}
    assert {name: len(items) >= 20 for name, items in packaged.items()} == dict.fromkeys(packaged, True)
    with after(evaluate=files) as context:
        assert [item["id"] for item in items_for(context, "code", dataset)] == ["p"]
        assert items_for(context, "hallucination", dataset)[0]["id"] == "hallucination/1"


def test_held_out_examples_that_rest_on_their_context_are_asked(after: Open) -> None:
    text = "The ferry to Norø leaves at 8:15 from pier 4. " + "It takes cars and bicycles along on every trip. " * 5
    line = {
        "messages": [
            {"role": "user", "content": f"{text}\n\nFrom which pier does the ferry leave?"},
            {"role": "assistant", "content": "The ferry leaves from pier 4."},
        ],
        "metadata": {"id": "", "source": "datasets", "group_key": "ferry"},
    }
    with after() as context:
        from samloop.example import Example
        from samloop.loop.items_suites import context_items

        dataset = dataset_of(context)
        asked = Example(
            source="datasets", format="instruction", domain="factual", context=text,
            input_text="From which pier does the ferry leave?", output_text="The ferry leaves from pier 4.",
        )  # fmt: skip
        context.store.add_example(asked)
        (found,) = (one for one in context.store.select() if one.context == text)
        line["metadata"]["id"] = found.id
        inventing = {
            **line,
            "messages": [line["messages"][0], {"role": "assistant", "content": "From pier 9 in Oslo."}],
        }
        with (dataset.path / "test.jsonl").open("ab") as file:
            for one in (line, inventing):
                file.write(json.dumps(one).encode() + b"\n")
        items = [item for item in context_items(context, dataset) if item["answerable"] is None]
    assert [(item["id"], item["answer"]) for item in items] == [(found.id, "The ferry leaves from pier 4.")]


def test_the_packaged_items_can_be_kept_out_of_training() -> None:
    items = items_named(BRINGING)
    assert {name: len(texts) >= 20 for name, texts in items.items()} == dict.fromkeys(BRINGING, True)
    assert all(text.strip() for texts in items.values() for text in texts)
