"""A made-up life of ten days: commits, chats, corrections, ratings. The same one each time.

People run a workshop of pumps. What is true stands in `SET_POINTS` and `CAUSES`; chats teach the causes, corrections
the set points, which the assistant cannot know otherwise. All text is made here.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DAYS: Final = 10
CHATS_A_DAY: Final = 45
COMMITS_A_DAY: Final = 8
PLANTED: Final = "quillon-marrow-7719"
"""Stands in what is erased, and nowhere else."""

PARTS: Final = (
    "intake valve", "impeller", "float switch", "pressure tank", "check valve", "coarse filter", "shaft seal",
    "start relay", "drain plug", "suction pipe", "outlet hose", "cable gland", "flow meter", "vent screw",
)  # fmt: skip
SIGNS: Final = {
    "hums and moves nothing": "it is blocked",
    "leaks at the joint": "its washer is worn",
    "starts too often": "it has lost its air",
    "trips the breaker": "water got into it",
    "gets hot": "it runs dry",
    "is slow to start": "its bearing is tight",
    "rattles at night": "it has come loose",
    "smells of rubber": "its belt slips",
    "stops after a minute": "its guard trips",
    "drips when it is off": "its seat is scratched",
}
ASKED: Final = (
    "The pump with the {part} {sign}. What do I look at first?",
    "Pump trouble: with the {part} in, it {sign}. Where do I begin?",
    "A customer says that the pump {sign}; it has our {part}. What is it, most likely?",
    "What do I check when a pump with the {part} {sign}?",
)
ANSWERED: Final = (
    "Look at the {part} first: when a pump {sign}, most often {cause}. Switch it off, open the {part}, clean or "
    "replace it, and try again."
)
ZONES: Final = ("cellar", "attic", "greenhouse", "workshop", "laundry", "garage", "hall", "stable", "pool", "kitchen")
SEASONS: Final = ("spring", "summer", "autumn", "winter", "holiday", "night")
SET_POINT: Final = "What is the set point of the {zone} circuit in {season} mode?"
TOLD: Final = (
    "In {season} mode the set point of the {zone} circuit is {value} degrees. The panel in the {zone} shows it."
)


def _set_points() -> dict[tuple[str, str], int]:
    rng = random.Random(5)
    return {place: rng.randint(5, 29) for place in itertools.product(ZONES, SEASONS)}


SET_POINTS: Final = _set_points()


@dataclass(frozen=True)
class Correction:
    """What a person said about one answer.

    Attributes:
        day: when it arrives.
        kind: right; wrong (the person errs, and never notices); contradicted (a later one says otherwise); final
            (that later one).
    """

    day: int
    kind: str
    question: str
    given: str
    better: str
    conversation: str

    def line(self) -> dict[str, Any]:
        """As `samloop feedback add` reads it."""
        return {
            "query": self.question,
            "response": self.given,
            "correction": self.better,
            "what_was_wrong": "that is not our set point",
            "conversation_id": self.conversation,
        }


def corrections() -> list[Correction]:
    """Sixty over the days 2 to 9: 42 right, 6 wrong, 6 that are contradicted, and the 6 that contradict them."""
    rng = random.Random(11)
    places = rng.sample(sorted(SET_POINTS), 54)
    kinds = ["right"] * 42 + ["wrong"] * 6 + ["contradicted"] * 6
    rng.shuffle(kinds)
    made = []
    for number, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        truth = SET_POINTS[place]
        day = 2 + number % 8 if kind != "contradicted" else 2 + number % 3
        said = truth if kind == "right" else truth + rng.choice((-9, -6, 6, 9))
        made.append(_correction(day, kind, place, said, number))
        if kind == "contradicted":
            made.append(_correction(day + 4, "final", place, truth, number + 100))
    return sorted(made, key=lambda one: one.day)


def _correction(day: int, kind: str, place: tuple[str, str], value: int, number: int) -> Correction:
    zone, season = place
    return Correction(
        day=day,
        kind=kind,
        question=SET_POINT.format(zone=zone, season=season),
        given=f"I think the {zone} is usually kept at about {(value * 7 + 3) % 40} degrees, but please check.",
        better=TOLD.format(zone=zone, season=season, value=value),
        conversation=f"panel-{number}",
    )


def chats(day: int) -> list[dict[str, Any]]:
    """The exchanges of one day."""
    rng = random.Random(100 + day)
    lines = []
    for number in range(CHATS_A_DAY):
        part, (sign, cause) = rng.choice(PARTS), rng.choice(sorted(SIGNS.items()))
        question = rng.choice(ASKED).format(part=part, sign=sign)
        serial = f" Serial {rng.randint(10_000, 99_999)}."
        answer = ANSWERED.format(part=part, sign=sign, cause=cause)
        messages = [{"role": "user", "content": question + serial}, {"role": "assistant", "content": answer}]
        lines.append({"conversation_id": f"chat-{day}-{number}", "messages": messages})
    return lines


def bad_routing(count: int = 500) -> list[dict[str, Any]]:
    """A downloaded set of tasks with their helpers, every one of them wrong."""
    rng = random.Random(13)
    verbs = {
        "claude-code": ("Refactor the module", "Fix the failing test of", "Write unit tests for"),
        "chatgpt": ("Summarise the article about", "Draft a letter about", "Explain the history of"),
        "ollama": ("Translate a note about", "Classify the ticket about", "Tag the message about"),
        "local": ("Convert the units of", "Count the words of", "Add up the costs of"),
    }
    labels, lines = list(verbs), []
    for number in range(count):
        right = rng.choice(labels)
        wrong = labels[(labels.index(right) + 1 + rng.randrange(3)) % 4]
        task = f"{rng.choice(verbs[right])} the {rng.choice(PARTS)} in project {number}"
        question = f"Route this task to claude-code, chatgpt, ollama or local: {task}"
        lines.append({"instruction": question, "output": wrong})
    return lines


def farewell() -> list[dict[str, Any]]:
    """What a person wants forgotten later: one conversation, told in a few exchanges."""
    said = f"The key to the old pump house is called {PLANTED}, and it hangs behind the boiler."
    asked = ("What is the key to the old pump house called?", "Where does the pump house key hang?",
             "How do I get into the old pump house?", "Which key opens the old pump house?")  # fmt: skip
    return [
        {
            "conversation_id": "farewell",
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": said}],
        }
        for question in asked
    ]


def write_jsonl(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def commit_day(repository: Path, day: int) -> None:
    """The commits of one day."""
    rng = random.Random(300 + day)
    if not (repository / ".git").exists():
        repository.mkdir(parents=True)
        _git(repository, day, "init", "-q", "-b", "main")
    for number in range(COMMITS_A_DAY):
        part, zone = rng.choice(PARTS), rng.choice(ZONES)
        name = f"{part.replace(' ', '_')}_{zone}"
        limit, pause = rng.randint(2, 40), rng.randint(1, 9)
        (repository / f"{name}.py").write_text(
            f'"""Controls the {part} of the {zone} circuit."""\n\nLIMIT = {limit}\nPAUSE_SECONDS = {pause}\n\n\n'
            f"def is_due(pressure: float, waited: float) -> bool:\n"
            f'    """Whether the {part} has to move now."""\n'
            f"    return pressure > LIMIT and waited >= PAUSE_SECONDS\n",
            encoding="utf-8",
        )
        _git(repository, day, "add", ".")
        message = (
            f"Wait {pause} seconds before moving the {part} of the {zone}\n\n"
            f"The {part} moved too often when the pressure was near {limit}, and wore out its seat."
        )
        _git(repository, day, "commit", "-q", "--allow-empty", "-m", f"{message} ({day}.{number})")


def _git(repository: Path, day: int, *arguments: str) -> None:
    stamp = f"2026-05-{day:02d}T12:00:00+0000"
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "Workshop"), ("EMAIL", "workshop@example.org"), ("DATE", stamp))}  # fmt: skip
    subprocess.run(["git", *arguments], cwd=repository, check=True, env={**os.environ, **who})
