"""Make the exchanges that are replayed against forgetting: src/samloop/prepare/replay.jsonl.

    python scripts/build_replay.py

They are short and general: facts, reckoning, grammar, small talk, explanations, a little code. All are made of
replay_tables.toml beside this script, which was written for samloop, and of numbers; the same tables give the same
file. A run replays a share of them, so that an adapter keeps what its base could say.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TABLES: Final = Path(__file__).with_name("replay_tables.toml")
TARGET: Final = Path(__file__).parents[1] / "src" / "samloop" / "prepare" / "replay.jsonl"

CAPITAL_WORDINGS: Final = (
    ("What is the capital of {}?", "The capital of {} is {}."),
    ("Which city is the capital of {}?", "{1} is the capital of {0}."),
    ("Name the capital of {}.", "{1}."),
)
DEFINITION_WORDINGS: Final = ("What is {}?", "Explain {} in one sentence.", "Define {}.")
UNITS: Final = (
    ("kilometres", "metres", 1000),
    ("hours", "minutes", 60),
    ("kilograms", "grams", 1000),
    ("days", "hours", 24),
    ("minutes", "seconds", 60),
    ("weeks", "days", 7),
    ("metres", "centimetres", 100),
    ("litres", "millilitres", 1000),
)
THINGS: Final = ("apples", "coins", "books", "cups", "tickets", "pencils", "stamps", "chairs")


def exchanges() -> Iterator[list[str]]:
    """Each exchange as its turns, the user's first."""
    tables = tomllib.loads(TABLES.read_text(encoding="utf-8"))
    for number, (country, city) in enumerate(tables["capitals"].items()):
        asked, told = CAPITAL_WORDINGS[number % 3]
        yield [asked.format(country), told.format(country, city)]
    for number, (thing, meaning) in enumerate(tables["definitions"].items()):
        yield [DEFINITION_WORDINGS[number % 3].format(thing), meaning]
    for word, other in tables["opposites"].items():
        yield [f"What is the opposite of '{word}'?", f"The opposite of '{word}' is '{other}'."]
    for word, others in tables["synonyms"].items():
        yield [f"Give three synonyms of '{word}'.", ", ".join(others) + "."]
    for wrong, right in tables["grammar"].items():
        yield [f"Correct the grammar: {wrong}", right]
    for language, phrases in tables["translate"].items():
        for phrase, translated in phrases.items():
            yield [f"Translate into {language}: {phrase}", translated]
    for text, feeling in tables["sentiment"].items():
        yield [f"Is this positive, negative or neutral? {text}", feeling.capitalize() + "."]
    for words, sorted_ in tables["groups"].items():
        yield [f"Sort these into two groups: {words}", sorted_]
    for casual, formal in tables["formal"].items():
        yield [f"Make this more formal: {casual}", formal]
    for text, summary in tables["summaries"].items():
        yield [f"Summarise in one sentence: {text}", summary]
    for name in ("why", "how", "code", "talk"):
        yield from ([asked, told] for asked, told in tables[name].items())
    yield from (dialogue["turns"] for dialogue in tables["dialogues"])
    yield from reckoning(random.Random(0))


def reckoning(draw: random.Random) -> Iterator[list[str]]:
    """Exchanges about numbers, and lists in order."""
    for number in range(10):
        a, b = draw.randint(12, 99), draw.randint(3, 60)
        yield [f"What is {a} + {b}?", f"{a} + {b} = {a + b}."]
        yield [f"What is {a} - {min(a, b)}?", f"{a} - {min(a, b)} = {a - min(a, b)}."]
        x, y = draw.randint(3, 12), draw.randint(3, 12)
        yield [f"Multiply {x} by {y}.", f"{x} × {y} = {x * y}."]
        many, fewer, thing = draw.randint(10, 30), draw.randint(2, 9), THINGS[number % len(THINGS)]
        left = f"{many} - {fewer} = {many - fewer}, so {many - fewer} {thing} are left."
        yield [f"There were {many} {thing}, and {fewer} were taken away. How many are left?", left]
    for large, small, factor in UNITS:
        for amount in draw.sample(range(2, 10), 2):
            yield [f"How many {small} are {amount} {large}?", f"{amount} {large} are {amount * factor} {small}."]
    for _ in range(8):
        numbers = draw.sample(range(2, 90), 5)
        yield [f"Sort in ascending order: {listed(numbers)}", listed(sorted(numbers))]
        yield [f"Which is the largest: {listed(numbers)}?", f"{max(numbers)}."]


def listed(numbers: list[int]) -> str:
    """Numbers as people write them."""
    return ", ".join(map(str, numbers))


def line(turns: list[str]) -> dict[str, Any]:
    """The line of a conversation."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]}


def main() -> None:
    lines = [json.dumps(line(turns), ensure_ascii=False) for turns in exchanges()]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} exchanges, {TARGET.stat().st_size:,} bytes, in {TARGET}")


if __name__ == "__main__":
    main()
