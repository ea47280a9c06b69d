"""Made-up exercises: a short instruction and any sentence, with an answer that a few lines of Python know.

They teach a base of a few million parameters to read the instruction and not only what stands last. None says
anything about where a task should be routed in truth: the rules of `by_rule` are drawn at random and stated.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

LABELS = ("red", "blue", "first", "second", "yes", "no", "home", "work", "a", "b", "c", "alpha", "beta", "left")
"""Labels of made-up choices."""

_SENTENCE = re.compile(r"[A-Z][^.!?\n]{18,110}[.!?](?= |\n|$)")


def sentences(texts: Sequence[str], at_most: int = 12_000) -> list[str]:
    """Whole sentences of plain words out of `texts`."""
    found = {s for text in texts for s in _SENTENCE.findall(text) if len(re.findall(r"[^\w\s,.!?'-]", s)) == 0}
    return sorted(found)[:: max(1, len(found) // at_most)]


def exercises(material: Sequence[str], tasks: Sequence[str], chance: random.Random) -> Iterator[tuple[str, str]]:
    """Questions and their answers, without end."""
    while True:
        if chance.random() < 0.35:
            yield by_rule(chance.sample(tasks, 2), chance)
            continue
        text = chance.choice(material)
        instruction, answer = chance.choice(_SKILLS)(text, text.rstrip(".!?").replace(",", "").split(), chance)
        before = chance.random() < 0.75
        yield (f"{instruction}: {text}" if before else f"{text}\n\n{instruction}."), answer


def by_rule(tasks: Sequence[str], chance: random.Random) -> tuple[str, str]:
    """A rule that sends tasks with a certain word to one label, the others to another, and a task to apply it to."""
    task, other = tasks
    labels = chance.sample(LABELS, 2)
    holds = chance.random() < 0.5
    word = _word(task if holds else other, chance)
    answer = labels[0] if word.lower() in (w.lower() for w in _words(task)) else labels[1]
    rule = f"Tasks with the word {word} go to {labels[0]}, all others to {labels[1]}."
    return f"{rule} Route this task to {labels[0]} or {labels[1]}: {task}", answer


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{3,}", text)


def _word(text: str, chance: random.Random) -> str:
    return chance.choice(_words(text) or ["the"])


Skill = Callable[[str, list[str], random.Random], tuple[str, str]]


def _first(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("First word", "Give me the first word of this", "Which word does this begin with")), words[
        0
    ]


def _last(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("Last word", "Give me the last word of this", "Which word does this end with")), words[-1]


def _count(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("Count the words", "How many words are these", "Number of words")), str(len(words))


def _copy(text: str, _words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("Repeat", "Say this again", "Copy this without any change", "Echo")), text


def _upper(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("First three words in capitals", "Shout the first three words")), " ".join(
        words[:3]
    ).upper()


def _longest(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    return chance.choice(("Longest word", "Which word is the longest")), max(words, key=len)


def _after(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    place = chance.randrange(len(words) - 1)
    return f"Which word comes after {words[place]}", words[words.index(words[place]) + 1]


def _holds(_text: str, words: list[str], chance: random.Random) -> tuple[str, str]:
    word = chance.choice([*words, "window", "seven", "always", "river", "function", "never"])
    return f"Is the word {word} in this", "yes" if word in words else "no"


_SKILLS: tuple[Skill, ...] = (_first, _last, _count, _copy, _upper, _longest, _after, _holds)
