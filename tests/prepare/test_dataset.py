"""Datasets: pairs with both sides, corrections that count more, wrong turns that do not, and what is replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from samloop.errors import InputError, RecipeError
from samloop.example import Example
from samloop.prepare import replay
from samloop.prepare.dataset import Bounds, Dataset, build
from samloop.settings import Prepare
from samloop.text.template import encode_chat, messages_of

PLAIN = Prepare(replay_share=0.0)


def example(number: int, **changes: Any) -> Example:
    fields = {
        "source": "datasets",
        "format": "instruction",
        "input_text": f"the question {number}",
        "output_text": f"the answer {number}",
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return Example(**{**fields, **changes}).sealed()


def pair(number: int, rejected: str = "no answer at all", **changes: Any) -> Example:
    return example(number, format="dpo", rejected_output=rejected, **changes)


def make(tokenizer, folder: Path, examples, settings: Prepare = PLAIN, **options: Any) -> Dataset:
    given = {"max_seq_tokens": 200, "system_prompt": "", "identity": {}, "parent": folder}
    return build(examples, tokenizer, settings, **{**given, **options})


def lines(dataset: Dataset, name: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (dataset.path / f"{name}.jsonl").read_text().splitlines()]


def everything(dataset: Dataset) -> dict[str, dict[str, Any]]:
    return {line["metadata"]["id"]: line for split in ("train", "valid", "test") for line in lines(dataset, split)}


def test_a_pair_carries_its_rejected_answer_and_is_counted(tokenizer, tmp_path):
    examples = [pair(n) for n in range(40)] + [example(n) for n in range(40, 60)]
    dataset = make(tokenizer, tmp_path, examples)
    found = everything(dataset)
    for one in examples:
        line = found[one.id]
        assert line["messages"][-1] == {"role": "assistant", "content": one.output_text}
        assert line.get("rejected") == one.rejected_output
    assert sum(dataset.manifest["pairs"].values()) == 40
    assert dataset.manifest["pairs"] == {
        split: sum("rejected" in line for line in lines(dataset, split)) for split in ("train", "valid", "test")
    }
    both = found[examples[0].id]
    other = [*both["messages"][:-1], {"role": "assistant", "content": both["rejected"]}]
    assert both["metadata"]["rejected_tokens"] == len(encode_chat(tokenizer, other).ids)


def test_both_sides_of_a_pair_fit_with_the_same_turns_before(tokenizer, tmp_path):
    history = tuple({"role": role, "content": f"the {role} " * 12} for role in ("user", "assistant") * 3)
    long = pair(1, rejected="the answer " * 30, conversation_history=history)
    dataset = make(tokenizer, tmp_path, [long, *(example(n) for n in range(2, 9))], max_seq_tokens=120)
    line = everything(dataset)[long.id]
    assert dataset.manifest["fitted"]["turns_dropped"] == 1
    assert line["rejected"] == "the answer " * 30
    assert max(line["metadata"]["tokens"], line["metadata"]["rejected_tokens"]) <= 120
    assert line["metadata"]["rejected_tokens"] > 60 > line["metadata"]["tokens"]


def test_a_rejected_answer_that_does_not_fit_leaves_the_chosen_one(tokenizer, tmp_path):
    one = pair(1, rejected="the answer " * 300)
    dataset = make(tokenizer, tmp_path, [one, *(example(n) for n in range(2, 9))])
    assert "rejected" not in everything(dataset)[one.id]
    assert dataset.manifest["fitted"] == {"rejected_left_out": 1}
    assert sum(dataset.manifest["pairs"].values()) == 0


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"source": "user_correction"}, 3.0),
        ({"source": "user_correction", "weight": 0.5}, 1.5),
        ({"source": "sam_home", "parent_id": "correction:abc"}, 3.0),
        ({"source": "chatgpt", "format": "dpo", "rejected_output": "bad", "metadata": {"correction": "No, …"}}, 3.0),
        ({"source": "user_preference", "format": "dpo", "rejected_output": "bad"}, 1.0),
        ({"source": "chatgpt", "metadata": {"correction": "No, …"}}, 1.0),
    ],
)
def test_corrections_weigh_more_wherever_they_were_read(tokenizer, tmp_path, changes, weight):
    one = example(1, **changes)
    dataset = make(tokenizer, tmp_path, [one, *(example(n) for n in range(2, 30))])
    assert everything(dataset)[one.id]["metadata"]["weight"] == weight
    assert all(line["metadata"]["weight"] == 1.0 for id, line in everything(dataset).items() if id != one.id)


def test_the_manifest_says_how_loud_corrections_are(tokenizer, tmp_path):
    examples = [example(n, source="user_correction" if n < 10 else "datasets", group_key="one") for n in range(40)]
    dataset = make(tokenizer, tmp_path, examples)
    told = dataset.manifest["corrections"]
    assert (told["examples"], told["weight"]) == (10, 3.0)
    assert told["share"] == pytest.approx(30 / 60, abs=0.05)
    assert len(lines(dataset, "corrections")) == 10


def test_an_answer_that_was_corrected_later_is_shown_and_not_learnt(tokenizer, tmp_path):
    history = (
        {"role": "user", "content": "the question"},
        {"role": "assistant", "content": "a wrong answer"},
        {"role": "user", "content": "No, that is wrong: say it again"},
        {"role": "assistant", "content": "a right answer"},
        {"role": "user", "content": "and then?"},
        {"role": "assistant", "content": "an answer somebody marked"},
    )
    one = example(1, format="chat", conversation_history=history, metadata={"corrected_turns": [5]})
    dataset = make(tokenizer, tmp_path, [one, *(example(n) for n in range(2, 9))])
    line = everything(dataset)[one.id]
    flagged = [turn["content"] for turn in line["messages"] if turn.get("train") is False]
    assert flagged == ["a wrong answer", "an answer somebody marked"]
    assert dataset.manifest["masked_turns"] == 2
    encoded = encode_chat(tokenizer, line["messages"])
    learnt = tokenizer.decode(encoded.ids[encoded.trainable].tolist())
    assert learnt == "a right answer<|im_end|>the answer 1<|im_end|>"


def test_the_answer_that_the_last_question_corrects_is_not_learnt():
    turns = ({"role": "user", "content": "Ask."}, {"role": "assistant", "content": "Wrong."})
    one = example(1, conversation_history=turns, input_text="No, use the other table.")
    assert [turn.get("train", True) for turn in messages_of(one)] == [True, False, True, True]
    kept = example(1, conversation_history=turns, input_text="Thanks. What next?")
    assert all("train" not in turn for turn in messages_of(kept))


def test_a_share_of_general_exchanges_is_replayed(tokenizer, tmp_path):
    examples = [example(n, group_key="one") for n in range(200)]
    dataset = make(tokenizer, tmp_path, examples, Prepare(replay_share=0.2), max_seq_tokens=400)
    train = lines(dataset)
    again = [line for line in train if line["metadata"]["source"] == replay.SOURCE]
    told = dataset.manifest["replay"]
    assert told["examples"] == len(again) == dataset.manifest["counts"]["source"][replay.SOURCE]
    tokens = sum(line["metadata"]["tokens"] for line in again)
    assert told["tokens"] == tokens
    assert {line["metadata"]["licence"] for line in again} == {"Apache-2.0"}
    assert 0.2 <= tokens / sum(line["metadata"]["tokens"] for line in train) < 0.23
    assert not set(dataset.manifest["ids"]["train"]) & {line["metadata"]["id"] for line in again}
    for split in ("valid", "test"):
        assert not any(line["metadata"]["source"] == replay.SOURCE for line in lines(dataset, split))
    assert make(tokenizer, tmp_path, examples, Prepare(replay_share=0.2), max_seq_tokens=400).path == dataset.path


def test_replay_keeps_its_share_of_a_tight_budget(tokenizer, tmp_path):
    examples = [example(n, group_key="one") for n in range(400)]
    bounds = Bounds(tokens=4000, origin={"minutes": 5})
    dataset = make(tokenizer, tmp_path, examples, Prepare(replay_share=0.25), bounds=bounds, max_seq_tokens=400)
    tokens = [line["metadata"]["tokens"] for line in lines(dataset)]
    assert 3600 < sum(tokens) < 4000 + max(tokens)
    assert 900 < dataset.manifest["replay"]["tokens"] < 1000 + max(tokens)
    assert dataset.manifest["left_out"]["over_budget"]["datasets"] > 100
    assert dataset.manifest["budget"] == {"tokens": 4000, "minutes": 5}


def test_a_pair_costs_what_both_phases_take(tokenizer, tmp_path):
    examples = [pair(n, group_key="one") for n in range(200)]
    drawn = [
        make(tokenizer, tmp_path, examples, bounds=Bounds(tokens=3000, pair_passes=passes)).manifest["pairs"]["train"]
        for passes in (0.0, 1.0, 3.0)
    ]
    assert drawn[0] > 2 * drawn[1] > 3 * drawn[2] > 0


def test_an_own_replay_file_is_read_and_named_when_it_is_broken(tokenizer, tmp_path):
    path = tmp_path / "mine.jsonl"
    messages = [{"role": "user", "content": "Mine?"}, {"role": "assistant", "content": "Yours."}]
    path.write_text(json.dumps({"messages": messages}) + "\n\n")
    examples = [example(n, group_key="one") for n in range(50)]
    dataset = make(tokenizer, tmp_path / "sets", examples, Prepare(replay_share=0.5), replay_file=path)
    (again,) = [line for line in lines(dataset) if line["metadata"]["source"] == replay.SOURCE]
    assert again["messages"] == messages
    for broken in ("{", '{"messages": []}', json.dumps({"messages": messages[:1]}), '{"messages": [{"role": 1}]}'):
        path.write_text(json.dumps({"messages": messages}) + "\n" + broken + "\n")
        with pytest.raises(RecipeError, match=r"mine.jsonl, line 2; mend prepare\.replay_file"):
            make(tokenizer, tmp_path / "sets", examples, Prepare(replay_share=0.5), replay_file=path)
    with pytest.raises(RecipeError, match=r"none.jsonl cannot be read"):
        make(tokenizer, tmp_path, examples, Prepare(replay_share=0.5), replay_file=tmp_path / "none.jsonl")


def test_replay_alone_is_nothing_to_train_on(tokenizer, tmp_path):
    with pytest.raises(InputError, match="there is nothing to train on"):
        make(tokenizer, tmp_path, [], Prepare(replay_share=0.5))


def test_the_packaged_exchanges_are_small_whole_and_all_different():
    found = replay.exchanges()
    assert len({id for id, _ in found}) == len(found) >= 250
    assert replay.PACKAGED.stat().st_size <= 200_000
    roles = [[turn["role"] for turn in messages] for _, messages in found]
    assert all(each == ["user", "assistant"] * (len(each) // 2) for each in roles)


def test_the_packaged_exchanges_are_what_the_script_makes(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import build_replay

    made = [build_replay.line(turns) for turns in build_replay.exchanges()]
    assert made == [json.loads(line) for line in replay.PACKAGED.read_text().splitlines()]
