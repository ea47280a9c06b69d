"""Chats with values in the wrong places: each costs a line at most, and never the run."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import chatgpt as chatgpt_case
from cases import claude_ai as claude_ai_case
from cases import claude_code as claude_code_case

from samloop.errors import SourceError
from samloop.example import Example
from samloop.protocols import Mark
from samloop.sources import chatgpt, claude_ai, claude_code

WRONG = (None, True, 0, -1, 1e300, "", "x", "\ud800", [], {}, [[]], [{}], {"a": 1}, "user", "9" * 400, 10**30)
ROUNDS = 150


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value inside `value`."""
    if above:
        yield above
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*above, key))


def mangled(value: Any, chance: random.Random) -> Any:
    """`value` with one to four places lost, or filled with something wrong, or with what stands elsewhere."""
    value = copy.deepcopy(value)
    for _ in range(chance.randrange(1, 5)):
        found = list(places(value))
        *above, last = chance.choice(found)
        holder = value
        for key in above:
            holder = holder[key]
        other = value
        for key in chance.choice(found):
            other = other[key]
        holder[last] = copy.deepcopy(other if chance.random() < 0.2 else chance.choice(WRONG))
    return value


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (chatgpt.read, chatgpt_case.EXPORT),
        (claude_ai.read, claude_ai_case.EXPORT),
        (claude_code.read, [*claude_code_case.SESSION, *claude_code_case.AGENT]),
    ],
    ids=["chatgpt", "claude_ai", "claude_code"],
)
def test_no_mangled_record_stops_a_source(read: Callable[..., Any], whole: Any, tmp_path: Path) -> None:
    lines = read is claude_code.read
    told = refused = 0
    for seed in range(ROUNDS):
        made = mangled(whole, random.Random(seed))
        path = tmp_path / "mangled_by_chance.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in made) if lines else json.dumps(made))
        try:
            records = list(read(str(path), None, thinking=True))
        except SourceError:
            refused += 1
            continue
        assert isinstance(records[-1], Mark)
        since = json.loads(json.dumps(records[-1].value))
        assert not [r for r in read(str(path), since, thinking=True) if isinstance(r, Example)], seed
        for record in records:
            if isinstance(record, Example):
                told += 1
                assert record.sealed().id
                assert all(turn["content"] for turn in record.conversation_history), seed
                assert json.dumps(dict(record.metadata))
    assert told > ROUNDS
    assert refused < ROUNDS / 10
