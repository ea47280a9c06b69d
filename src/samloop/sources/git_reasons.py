"""The part of a commit message that explains why: the answer to a reader who sees the change and wonders."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

MIN_CHARACTERS: Final = 80
MIN_WORDS: Final = 12

MIN_ANNOUNCED_CHARACTERS: Final = 12
MAX_PARAGRAPH_CHARACTERS: Final = 3000
_ENOUGH: Final = 2
_FULL_CHARACTERS: Final = 45
"""A line that had room for the next word within this width was ended by its author."""

_STRONG: Final = re.compile(
    r"""\b(?:because|so[ ]that|in[ ]order[ ]to|otherwise|the[ ](?:reason|problem|motivation)\b|due[ ]to|previously
    |which[ ](?:means|meant|caused|causes|led|made|broke)|(?<!be[ ])(?<!is[ ])(?<!are[ ])(?<!was[ ])used[ ]to[ ]
    |supposed[ ]to
    |avoid(?:s|ed|ing)?|prevent(?:s|ed|ing)?|since[ ](?!v?\d|version|release)|rather[ ]than
    |(?:would|could|should)[ ](?:have|be|not|never|otherwise)|wouldn't|couldn't
    |(?:is|are|was|were)[ ]needed|needed[ ](?:for|since|because|when))\b""",
    re.VERBOSE | re.IGNORECASE,
)
_WEAK: Final = re.compile(
    r"""\b(?:(?:issue|cause|idea|bug)[ ](?:is|was|here)|caus(?:es|ed|ing)|led[ ]to|makes|broke
    |this[ ](?:is|was)[ ](?:needed|necessary|required|useful|important|wrong|bad)
    |before[ ]this|until[ ]now|historically|currently|originally|instead[ ]of|no[ ]longer|unnecessar(?:y|ily)
    |redundant|not[ ]needed|never|fail(?:s|ed|ing)?|crash(?:es|ed|ing)?|panic(?:s|ked|king)?|br(?:eaks?|oken)
    |regress(?:ion|ed|es)?|deadlock(?:s|ed)?|cannot
    |(?:does|did|do|would|was|were|is|are|has|had|have|can)(?:n't|[ ]not)
    |as[ ](?:we|it|they|this|that|these)[ ]|allow(?:s|ing)?|helps?|wrong(?:ly)?|incorrect(?:ly)?|invalid|missing
    |mis(?:leading|taken)|confus(?:es|ing|ed)|annoying|surpris(?:es|ing)|faster|slow(?:er)?|expensive|costly
    |speed(?:s|[ -]?ups?)?|wast(?:e|es|ed|ing)|security|vulnerab\w+|deprecated|unsound)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_FIRST_PERSON: Final = re.compile(
    r"\bI\b(?!/O)|\bI'|\bi (?:am|think|thought|believe|guess|found|noticed|was|had|have|just|do|did|don't|didn't"
    r"|would|could|can|can't|couldn't|wanted|tried|hope|feel|saw|see|use|used|also|forgot|added|made)\b"
    r"|\b[Ii]'?m\b|\b[Mm]y\b|\byou(?:r|'\w+)? (?:requested|asked|wanted|prefer)"
)
_GOES_ON: Final = re.compile(
    r"(?:and|but|also|so|however|then|thus|therefore|hence|this|these|that|it)\b", re.IGNORECASE
)
_WORDS: Final = re.compile(r"[A-Za-z]{2,}")
_ADDS: Final = re.compile(
    r"\A(?:\.\.\.\s*|…\s*)?(?:and|but|also)(?:,? also)?,?\s+([a-z])(?=[a-z]*['’]?[a-z]*\s)", re.IGNORECASE
)
"""How a body begins that goes on with its subject."""

_NOT_PROSE: Final = re.compile(
    r"^(?:\s{2,}|\t|#{1,6}\s|```|~~~|>|\|"
    r"|[*+-]\s|\d+[.)]\s|\[\d+\]|BREAKING[ -]CHANGES?\b)"
)


def explanation(body: str) -> str | None:
    """What of a message's body says why the change was made, each paragraph on one line; None where it does not.

    The body from the first paragraph of prose that gives a reason to the last. One reason needs a strong word
    ("because", "previously"), or two weaker ones ("fails", "instead of"): precision before recall, since a
    description of what changed is no answer to "why". Nor is one in the first person: who answers is not who
    committed.
    """
    parts = re.split(r"\n[ \t]*\n", body)
    reasons = [_reasons(part) if _is_prose(part) else 0 for part in parts]
    given = [n for n, count in enumerate(reasons) if count]
    if sum(reasons) < _ENOUGH:
        return None
    start = given[0]
    while start and _GOES_ON.match(parts[start]):
        start -= 1
    chosen = parts[start : given[-1] + 1]
    if chosen[-1].endswith(":"):
        announced = parts[given[-1] + 1 : given[-1] + 2]
        if not announced or len(announced[0]) < MIN_ANNOUNCED_CHARACTERS:
            return None  # what was announced went with the numbers and links, or is a sigh
        chosen += announced
    text = _ADDS.sub(lambda found: found[1].upper(), "\n\n".join(_unwrapped(part) for part in chosen))
    if len(text) < MIN_CHARACTERS or len(_WORDS.findall(text)) < MIN_WORDS or _FIRST_PERSON.search(text):
        return None
    return text[0].upper() + text[1:] if text.split(" ", 1)[0].isalpha() else text


def _unwrapped(part: str) -> str:
    """A paragraph on one line, where its lines end because they were full."""
    lines = part.split("\n")
    lengths = [len(line) + 1 + len(following.partition(" ")[0]) for line, following in pairwise(lines)]
    wrapped = _is_prose(part) and all(length >= _FULL_CHARACTERS for length in lengths)
    return " ".join(line.strip() for line in lines) if wrapped else part


def _is_prose(part: str) -> bool:
    return len(part) <= MAX_PARAGRAPH_CHARACTERS and not any(map(_NOT_PROSE.match, part.split("\n")))


def _reasons(part: str) -> int:
    """How strongly a paragraph gives reasons: 2 for each strong word, 1 for each other."""
    text = " ".join(part.split())
    return 2 * len(_STRONG.findall(text)) + len({word.lower() for word in _WEAK.findall(text)})
