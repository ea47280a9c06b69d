"""What an answer says that a given context does not: names, numbers, identifiers and whole claims.

By extraction and comparison alone, the same for every model and every night. Numbers are compared by value, names by
their words, identifiers letter by letter, claims by the stems of their content words. It knows no synonyms and no
inference: an answer in words of its own is found fault with, and a false claim made of the context's own words is
not. `benchmarks/evaluation/grounding.py` measures how often either happens.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final

from samloop.evaluate.checks import split_sentences

CLAIM_SUPPORT: Final = 0.4
"""A claim is supported where at least this share of its content words stands in the context. See the benchmark."""

MIN_CONTENT_WORDS: Final = 3
"""A sentence with fewer content words claims too little to be judged by them ("Yes, it does.")."""

KINDS: Final = ("names", "numbers", "identifiers", "claims")

_NUMBER: Final = re.compile(r"(?<![\w.])[-+]?\d+(?:[ ,]\d{3})*(?:\.\d+)?(?=\D|$)")
_IDENTIFIER: Final = re.compile(
    r"`[^`\n]{1,80}`|(?<![\w/])--?[a-zA-Z][\w-]*|\b\w+(?:_\w+)+\b|\b[a-z]+[A-Z]\w*\b|\b\w+(?:\.\w+)*\(\)|"
    r"(?<!\w)(?:/[\w.-]+){2,}|\b\w+(?:::\w+)+|\b[a-z_]\w*\.[a-z]\w{1,}(?:\.\w+)*\b"
)
_NAME: Final = re.compile(r"[A-Z][\w'’-]*(?:(?: (?:of|the|de|van|von|and) | )(?=[A-Z])[A-Z][\w'’-]*)*")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

_NUMBER_WORDS: Final = {
    word: at
    for at, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
_NUMBER_WORDS_ALL: Final = _NUMBER_WORDS | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "once": 1, "twice": 2, "half": 0.5, "dozen": 12,
}  # fmt: skip

_ENDINGS: Final = "ations ation ingly edly ings ing ies ied ers est ed es er ly s e y".split()

_STOP: Final = frozenset(
    "a an the and or but nor so yet if then else than that this these those it its it's he she they them his "
    "her their we us our you your i me my is are was were be been being am do does did done has have had having "
    "will would can could shall should may might must not no yes of in on at by for with from to into onto over "
    "under about after before between during through against within without as up down out off again further "
    "also only just very too there here when where who whom whose which what why how all any both each few more "
    "most other some such own same because while until since although though however therefore thus according "
    "says said say context text passage question answer mentioned stated based given provided information "
    "following called named one's s t".split()
)


@dataclass(frozen=True, slots=True)
class Grounding:
    """What an answer says, and what of it the context does not hold: by kind the two lists."""

    said: dict[str, list[str]]
    unsupported: dict[str, list[str]]

    def share(self, kind: str | None = None) -> float:
        """The share that is not supported, of one kind or of all; 0 where nothing of it is said."""
        kinds = (kind,) if kind else KINDS
        said = sum(len(self.said[name]) for name in kinds)
        return sum(len(self.unsupported[name]) for name in kinds) / said if said else 0.0


def ground(answer: str, context: str) -> Grounding:
    """Look up in `context` what `answer` says.

    Args:
        context: all that the answer may rest on; the question belongs to it.
    """
    plain = _IDENTIFIER.sub(" ", answer)
    said = {
        "names": names(plain),
        "numbers": [match[0] for match in _NUMBER.finditer(plain)],
        "identifiers": list(dict.fromkeys(match[0].strip("`") for match in _IDENTIFIER.finditer(answer))),
        "claims": [sentence for sentence in split_sentences(answer) if len(_content(sentence)) >= MIN_CONTENT_WORDS],
    }
    words = {_stem(word) for word in _WORD.findall(context)} | _initials(context)
    figures = _figures(context)
    unsupported = {
        "names": [name for name in said["names"] if not _named(name, words)],
        "numbers": [number for number in said["numbers"] if _value(number) not in figures],
        "identifiers": [name for name in said["identifiers"] if name.removesuffix("()") not in context],
    }
    faults = [fault for found in unsupported.values() for fault in found]
    unsupported["claims"] = [
        claim
        for claim in said["claims"]
        if _support(claim, words) < CLAIM_SUPPORT or any(_stands_in(fault, claim) for fault in faults)
    ]
    return Grounding(said, unsupported)


def _stands_in(fault: str, claim: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(fault)}(?!\w)", claim) is not None


def names(text: str) -> list[str]:
    """The names in a text: capitalised words, without the word that only begins a sentence.

    A sentence's first word counts where another capitalised word follows it, or where the text also has it inside a
    sentence, and where it is all of the sentence ("Berlin."); never where it is a function word.
    """
    found: list[str] = []
    for sentence in split_sentences(text):
        start = len(sentence) - len(sentence.lstrip("\"'“(*-–• "))
        only = len(_WORD.findall(sentence)) == 1
        for match in _NAME.finditer(sentence):
            name = match[0].removesuffix("'s").removesuffix("’s")
            words = name.split()
            at_start = match.start() <= start and words[0].lower() not in _STOP
            while words and words[0].lower() in _STOP:
                words = words[1:]
            alone = (
                at_start and len(words) == 1 and not words[0].isupper() and f" {words[0]}" not in text and not only
            )
            if words and not alone and len("".join(words)) > 1:
                found.append(" ".join(words))
    return list(dict.fromkeys(found))


def _named(name: str, words: set[str]) -> bool:
    """Whether every word of the name stands in the context."""
    return all(_stem(part) in words for part in _WORD.findall(name) if part.lower() not in _STOP)


def _initials(context: str) -> set[str]:
    """The initials of the names in a context: who reads of the World Health Organization may say WHO."""
    several = (re.findall(r"\b[A-Z]", name) for name in _NAME.findall(context) if " " in name)
    return {_stem("".join(letters)) for letters in several}


def _figures(context: str) -> set[float]:
    """The values of all numbers in the context, written in figures or as words."""
    found = {_value(match[0]) for match in _NUMBER.finditer(context)}
    # Figures within words and dates count as well: 1990s, 2pm, 12/5, v3.
    found |= {float(digits) for digits in re.findall(r"\d+", context)}
    words = [word.lower() for word in _WORD.findall(context)]
    found |= {float(_NUMBER_WORDS_ALL[word]) for word in words if word in _NUMBER_WORDS_ALL}
    for tens, ones in itertools.pairwise(words):
        if _NUMBER_WORDS_ALL.get(tens, 0) in range(20, 100, 10) and _NUMBER_WORDS.get(ones, 0) in range(1, 10):
            found.add(float(_NUMBER_WORDS_ALL[tens] + _NUMBER_WORDS[ones]))
    return found


def _value(number: str) -> float:
    return abs(float(re.sub(r"[ ,]", "", number)))


def _content(sentence: str) -> list[str]:
    return [word for word in _WORD.findall(sentence) if word.lower() not in _STOP and len(word) > 1]


def _support(claim: str, words: set[str]) -> float:
    content = _content(claim)
    return sum(_stem(word) in words for word in content) / len(content)


def _stem(word: str) -> str:
    """A word without its commonest endings; crude, and the same on both sides."""
    text = word.lower().replace("’", "'").removesuffix("'s")
    for ending in _ENDINGS:
        if text.endswith(ending) and len(text) - len(ending) >= 3:
            text = text.removesuffix(ending)
            break
    return text[:-1] if len(text) > 3 and text[-1] == text[-2] else text
