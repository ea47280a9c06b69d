"""From corrections in the store to an adapter that prefers and says what was corrected, also where nobody told it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from samloop import plugins
from samloop.example import Example
from samloop.home import Home
from samloop.loop.context import Context
from samloop.loop.prepare import prepare
from samloop.loop.train import train
from samloop.protocols import AdapterRef, Model
from samloop.recipe import Recipe
from samloop.store import Store
from samloop.text.base import resolve_base
from samloop.text.corrections import Correction
from samloop.text.template import encode_chat, encode_prompt

NAMES = (
    "parser cache reader writer index engine gears filter router ledger planner timer mixer sensor viewer "
    "server client worker folder record mirror anchor bridge carrier painter"
).split()
HABITS = (
    ("How do I install the {}?", "Run uv add in its folder.", "Use pip install in a shell."),
    ("How do I test the {}?", "Run make test and read the report.", "You can call pytest on it."),
    ("Where does the {} write its log?", "Into the journal of the system.", "The log is in a file below /var."),
    ("Who looks after the {}?", "Ask the people of the second floor.", "I do not know who looks after it."),
)
"""What a team does its own way: question, what is right here, what a model says."""


def corrections() -> list[Correction]:
    return [
        Correction(incorrect=wrong, correct=right, asked=asked.format(name))
        for name in NAMES
        for asked, right, wrong in HABITS
    ]


def examples_of(correction: Correction) -> list[Example]:
    """The three that a correction becomes."""
    assert correction.asked is not None
    shared: dict[str, Any] = {
        "source": "user_correction",
        "parent_id": correction.parent,
        "group_key": correction.parent,
        "quality_tier": "gold",
        "state": "accepted",
        "reason": None,
    }
    system, told, learnt = correction.dialogue("SAM")
    asked, right, wrong = correction.asked, correction.correct, correction.incorrect
    made = [
        Example(format="dpo", input_text=asked, output_text=right, rejected_output=wrong, **shared),
        Example(format="instruction", input_text=asked, output_text=right, **shared),
        Example(format="chat", input_text=told, output_text=learnt, system_prompt=system, **shared),
    ]
    return [example.sealed() for example in made]


def held_out(path: Path) -> list[dict[str, Any]]:
    """The pairs of the test split, which no phase has seen."""
    lines = [orjson.loads(line) for line in (path / "test.jsonl").read_bytes().splitlines()]
    return [line for line in lines if "rejected" in line]


def preferred(model: Model, pairs: Sequence[dict[str, Any]]) -> float:
    """The share of pairs whose chosen answer is the likelier one."""
    sides = []
    for pair in pairs:
        other = [*pair["messages"][:-1], {"role": "assistant", "content": pair["rejected"]}]
        sides += [encode_chat(model.tokenizer, pair["messages"]), encode_chat(model.tokenizer, other)]
    found = model.logprobs([side.ids.tolist() for side in sides])
    sums = [float(np.asarray(each)[side.trainable[1:]].sum()) for side, each in zip(sides, found, strict=True)]
    return float(np.mean(np.array(sums[::2]) > np.array(sums[1::2])))


def said(model: Model, pairs: Sequence[dict[str, Any]]) -> float:
    """The share of questions that are answered as corrected, to the letter."""
    right = 0
    for pair in pairs:
        prompt = encode_prompt(model.tokenizer, pair["messages"][:-1])
        answer = model.tokenizer.decode(list(model.generate(prompt, max_new_tokens=40)))
        right += answer == pair["messages"][-1]["content"]
    return right / len(pairs)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_corrections_are_preferred_and_said_where_they_were_not_told(
    home: Path, tmp_path: Path, backend: str
) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    settings = {
        "train": {"model": "pocket", "backend": backend, "epochs": 10.0, "evaluate_steps": 10},
        "prepare": {"valid_share": 0.15, "test_share": 0.3},
    }
    with Store.open(Home(home)) as store:
        context = Context(Home(home), Recipe.parse(settings), store, tmp_path)
        store.add_examples(example for correction in corrections() for example in examples_of(correction))
        dataset = prepare(context)
        result = train(context, dataset)
    assert result["method"] == "sft+dpo"
    assert [phase["objective"] for phase in result["phases"]] == ["sft", "dpo"]
    pairs = held_out(dataset.path)
    assert len(pairs) >= 20
    model = plugins.load("backends", backend)().load(
        resolve_base("pocket"), [AdapterRef(name="new", path=Path(result["adapter"]))]
    )
    figures = {}
    for name in (None, "new"):
        model.use(name)
        figures[name] = (preferred(model, pairs), said(model, pairs))
    assert figures[None][0] < 0.7
    assert figures["new"][0] > 0.9
    assert figures[None][1] == 0.0
    assert figures["new"][1] > 0.4
