"""How the messages of a repository are written: found in a sample of them, and said in words.

The change alone does not tell whether its author writes "fix(valve): close it", "valve: close it" or "Closed the
valve.". The style is read from the repository first, because one subject does not show it: "docs: explain the valve"
is a type where the repository follows Conventional Commits, and a part where it begins subjects with the part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

T = TypeVar("T")

Shape = Literal["conventional", "component", "emoji", "plain"]
"""How a subject begins: "feat(x): …", "part: …", a pictograph, or at once."""

Mood = Literal["imperative", "past", "third person", "gerund"]
"""The form of the first verb: "Add", "Added", "Adds", "Adding"."""

SAMPLED: Final = 500
"""How many subjects of a repository are looked at."""

_ENOUGH: Final = 10
_SHARE: Final = 0.6
"""A style that this share of the sampled subjects follows is the repository's."""

_CONVENTIONAL: Final = re.compile(
    r"^(feat|fix|docs?|style|refactor|perf|tests?|build|ci|chore|deps|security|i18n|release|revert)"
    r"(\([^)]{1,40}\))?(!?):\s*\S",
    re.IGNORECASE,
)
_TYPES_ONLY: Final = frozenset({"feat", "chore", "refactor", "perf", "fix"})
"""Types that are no names of parts, unlike "docs", "tests" and "build"."""

_COMPONENT: Final = re.compile(r"^[\w.*/@+-]{1,40}(?:(?:,\s?|\s&\s)[\w.*/@+-]{1,40}){0,3}:\s+\S")
_EMOJI: Final = re.compile("^(?::[a-z0-9_+-]{2,30}:|[\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]\ufe0f?)\\s*")
_PREFIX: Final = re.compile(r"^[^\s:]{1,60}(?:\([^)]{1,40}\))?!?:\s+|^[\w./-]+(?:,\s?[\w./-]+){1,3}:\s+")

_VERBS: Final = """
    accept adapt add address adjust adopt alias allow alter apply assert assign avoid begin bring build bump
    cache call cast catch change check clarify clean clear close collapse combine compare compile compute
    configure convert copy correct cover create cut declare decode default defer define delete deprecate
    describe detect disable display ditch document drop emit enable encode enforce ensure escape exclude expand
    explain export expose extend extract fail fetch filter finish fix flatten force format generate group guard
    handle harden hide ignore implement import improve include increase inline insert install integrate
    introduce join keep kill limit link list load lock log lower make mark match mention merge migrate mock
    modify move normalize open optimise optimize order overhaul override parse pass patch pin point port prefer
    prepare preserve prevent print propagate protect provide prune publish pull push put raise read reduce
    refactor refine register reject relax release reload remove rename render reorganize repair replace report
    require reset resolve restore restrict restructure retry return reuse revise rewrite run sanitize send
    separate set shorten show simplify skip sort specify split start stop store strip style support suppress
    switch test throw tidy track translate trim turn tweak unify unpin update upgrade use validate verify wait
    warn wrap write""".split()
_IRREGULAR: Final = {
    "begin": "began", "bring": "brought", "build": "built", "catch": "caught", "hide": "hid", "keep": "kept",
    "make": "made", "override": "overrode", "rewrite": "rewrote", "run": "ran", "send": "sent", "show": "showed",
    "throw": "threw", "write": "wrote",
}  # fmt: skip
_DOUBLED: Final = frozenset("begin skip drop trim strip wrap stop log pin unpin emit defer prefer format".split())
_SAME: Final = frozenset({"cut", "put", "set", "reset", "read", "split", "cast"})


def _forms() -> dict[str, Mood]:
    forms: dict[str, Mood] = {}
    for verb in _VERBS:
        stem = verb + verb[-1] if verb in _DOUBLED else verb
        bare = verb.removesuffix("e")
        soft = verb.endswith("y") and verb[-2] not in "aeou"
        past = _IRREGULAR.get(verb) or (
            verb[:-1] + "ied" if soft else verb + "d" if verb.endswith("e") else stem + "ed"
        )
        third = verb[:-1] + "ies" if soft else verb + ("es" if verb.endswith(("s", "x", "sh", "ch")) else "s")
        gerund = (verb if verb.endswith("ee") else bare if verb.endswith("e") else stem) + "ing"
        if verb == "run" or verb in _SAME - {"read", "cast"}:
            gerund = verb + verb[-1] + "ing"
        forms[third], forms[gerund] = "third person", "gerund"
        if verb not in _SAME:
            forms[past] = "past"
    forms.update(dict.fromkeys(_VERBS, "imperative"))
    return forms


_FORMS: Final = _forms()
_NOT_VERBS: Final = frozenset(
    "builds building checks defaults formats formatting imports links lists locks logs parsing styles styling "
    "testing tests".split()
)
"""Forms that are nouns as often."""


@dataclass(frozen=True, slots=True)
class Style:
    """How one subject is written."""

    shape: Shape
    mood: Mood | None = None
    lower: bool = False
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Convention:
    """What most subjects of a repository do; None where they do not agree, or are too few to tell."""

    shape: Shape | None = None
    mood: Mood | None = None


def convention_of(subjects: Iterable[str]) -> Convention:
    """What `subjects` have in common."""
    shapes: Counter[Shape] = Counter()
    moods: Counter[Mood] = Counter()
    ambiguous = 0
    for subject in subjects:
        conventional = _CONVENTIONAL.match(subject)
        if conventional and not _is_surely_conventional(conventional):
            ambiguous += 1
        else:
            shapes[_shape(subject, None)] += 1
        if mood := _mood(subject):
            moods[mood] += 1
    # "docs: …" and "tests: …" go with what the others are.
    if ambiguous:
        shapes["conventional" if shapes["conventional"] >= shapes["component"] else "component"] += ambiguous
    return Convention(_most(shapes), _most(moods))


def _most(counts: Counter[T]) -> T | None:
    if counts.total() < _ENOUGH:
        return None
    value, count = counts.most_common(1)[0]
    return value if count >= _SHARE * counts.total() else None


def style_of(message: str, convention: Convention) -> Style:
    """How the subject of `message` is written, in a repository with that convention."""
    subject = message.partition("\n")[0]
    shape = _shape(subject, convention.shape)
    said = _description(subject)
    return Style(
        shape,
        _mood(subject),
        lower=shape == "plain" and said[:1].islower() and said.split(" ")[0].isalpha(),
        stop=subject.endswith(".") and not subject.endswith(".."),
    )


def _is_surely_conventional(found: re.Match[str]) -> bool:
    return bool(found[2] or found[3]) or found[1].lower() in _TYPES_ONLY


def _shape(subject: str, usual: Shape | None) -> Shape:
    if _EMOJI.match(subject):
        return "emoji"
    if conventional := _CONVENTIONAL.match(subject):
        if usual == "component" and not (conventional[2] or conventional[3]):
            return "component"
        return "conventional"
    return "component" if _COMPONENT.match(subject) else "plain"


def _description(subject: str) -> str:
    """A subject without what stands before its first word."""
    return _PREFIX.sub("", _EMOJI.sub("", subject), count=1)


def _mood(subject: str) -> Mood | None:
    word = _description(subject).partition(" ")[0].lower()
    return None if word in _NOT_VERBS else _FORMS.get(word)


_SHAPES: Final[dict[Shape, tuple[str, str]]] = {
    "conventional": (
        " The repository follows Conventional Commits.",
        " Follow Conventional Commits.",
    ),
    "component": (
        " Subjects in this repository begin with the part that changes, as in 'part: what'.",
        " Begin the subject with the part that changes, as in 'part: what'.",
    ),
    "emoji": (
        " Subjects in this repository begin with an emoji.",
        " Begin the subject with an emoji.",
    ),
    "plain": ("", " Put no prefix before the subject."),
}
_MOODS: Final[dict[Mood, str]] = {
    "imperative": " Use the imperative.",
    "past": " Use the past tense.",
    "third person": " Begin with a verb in the third person, as in 'adds'.",
    "gerund": " Begin with a verb in -ing, as in 'adding'.",
}


def in_words(style: Style, convention: Convention) -> str:
    """What to say in a request so that a message in `style` is what was asked for; "" where nobody need be told.

    Nobody need be told of a plain subject in the imperative, unless the repository writes others.
    """
    usual = style.shape == convention.shape
    said = ""
    if style.shape != "plain":
        said = _SHAPES[style.shape][0 if usual else 1]
    elif convention.shape not in (None, "plain"):
        said = _SHAPES["plain"][1]
    if style.mood and (style.mood != "imperative" or convention.mood not in (None, "imperative")):
        said += _MOODS[style.mood]
    if style.lower:
        said += " Begin in lower case."
    if style.stop:
        said += " End the subject with a full stop."
    return said
