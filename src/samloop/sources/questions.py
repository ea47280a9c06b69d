"""From a heading to a question that a reader could have asked.

The kind of the heading decides: a question stays one; a gerund or an imperative becomes "How do I …"; a noun is
asked about; a stock heading ("Usage") is asked of what the document is about. The heading itself is never handed
back as a question.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from samloop.sources.stock import VAGUE, is_empty, is_stock, stock_forms, unnumbered
from samloop.sources.verbs import GERUNDS, as_reader, is_imperative, is_verb

_ASIDE: Final = re.compile(
    r"\s*[(\[](?:optional|recommended|advanced|required|experimental|deprecated|beta|new|legacy|wip|draft|preview)"
    r"[^()\[\]]*[)\]]$",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"^(?:what|why|how|when|where|who|which|can|could|should|does|do|is|are|will|would|may|must|did|has|have)\b", re.I
)
_QUOTED: Final = re.compile(r"^`[^`]+`$")
_FLAG: Final = re.compile(r"^`?-{1,2}[\w-]+")
_CALL: Final = re.compile(r"^`?[\w.$:#<>]+\(.*\)`?$")


_CODE_LIKE: Final = re.compile(
    r"^[a-z][a-z0-9]{2,}$|"
    r"^[\w$]+(?:(?:\.|::|->)[\w$*]+)+$|^[a-z]+(?:_\w+)+$|^[a-z]+[A-Z]\w*$|^[@:#$][\w.-]+$|^[A-Z]+(?:_[A-Z]+)+$"
)
_EXAMPLES: Final = re.compile(r"^(?:usage )?examples?$", re.IGNORECASE)
_NEEDS: Final = re.compile(r"^(?:prerequisites?|requirements?|dependencies)$", re.IGNORECASE)
_INTRODUCES: Final = re.compile(r"overview|introduction|description|summary|background|intro", re.IGNORECASE)
_OPTIONS: Final = re.compile(r"options|flags|parameters|arguments|settings|config", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The wordings in which a heading can be asked about, the one to prefer first.

    Attributes:
        by_name: they only name what the heading names, so that an answer that does not speak of it is none.
    """

    wordings: tuple[str, ...] = ()
    by_name: bool = False


NOTHING: Final = Asked()


def question(heading: str, parents: tuple[str, ...], project: str | None, lower: Callable[[str], str]) -> str | None:
    """The preferred wording of `asked`, or None where none can be worded."""
    return next(iter(asked(heading, parents, project, lower).wordings), None)


def asked(
    heading: str,
    parents: tuple[str, ...],
    project: str | None,
    lower: Callable[[str], str],
    answer: str = "",
    subject: str | None = None,
) -> Asked:
    """The questions whose answer stands under `heading`; none where none can be worded.

    Args:
        heading: as `inline.heading_text` gives it.
        parents: the headings above it, outermost first.
        project: what the whole tree is about: a project's or book's name.
        lower: turns a title-cased word into how it is written inside a sentence.
        subject: what the document is about, where that is a thing of its own.
        answer: what stands there; its beginning decides between wordings.
    """
    plain = _ASIDE.sub("", unnumbered(heading)).strip().rstrip(":.").strip()
    if len(plain) < 2 or len(plain) > 120 or not re.search(r"[A-Za-z]", plain):
        return NOTHING
    if VAGUE.match(plain) or (not plain.isascii() and sum(not c.isascii() for c in plain) > len(plain) / 10):
        return NOTHING
    name = project if project and len(project.split()) <= 2 else None
    seed = (*parents, heading)
    if forms := stock_forms(plain):
        if _INTRODUCES.fullmatch(plain) and parents and nearest_thing(parents, lower) is None:
            return asked(parents[-1], parents[:-1], project, lower, answer, subject)  # of a task, and not of all
        whole = subject or project or (parents[0] if parents else None)
        part = nearest_thing(parents, lower) or whole
        if project and part and part.lower() == project.lower():
            part = project
        pairs = [(form, whole if "{s}" in form else part) for form in _turned(forms, seed)]
        return Asked(tuple(form.format(s=about, p=about, h=plain.lower()) for form, about in pairs if about))
    if plain.endswith("?"):
        return _asked(plain, parents, name, lower)
    if ":" in plain and ": " in plain:
        return _of_two_parts(plain, name, lower)
    if clause := _clause(plain, name, lower):
        return Asked((clause,))
    example = re.match(r"(?:an? )?examples?\s*(?:[:–—-]|of|for)\s+(?!(?:advanced|basic|simple)$)(.{3,})", plain, re.I)
    if example:
        return Asked((f"Can you show me an example of {_topic(example[1], lower)}{within(name, plain)}?",))
    if _CODE_LIKE.match(plain):
        plain = f"`{plain}`"
    if parents and _OPTIONS.search(parents[-1]) and re.fullmatch(r"`?[\w.-]+`?", plain) and not plain[0].isupper():
        return Asked((f"What does the option {ticked(plain)} do{within(name, plain)}?",))
    if forbidden := re.match(r"(?:don['’]t|do not|never|avoid) (\w+) (.+)", plain, re.IGNORECASE):
        verb = forbidden[1].lower()
        if is_verb(GERUNDS.get(verb, verb)):
            return Asked((f"Should I {GERUNDS.get(verb, verb)} {as_reader(forbidden[2])}{within(name, plain)}?",))
    return _from_words(plain, name, seed, lower, answer)


def _of_two_parts(plain: str, name: str | None, lower: Callable[[str], str]) -> Asked:
    """A heading with a colon: "Redaction: what was tried", "Timeouts: the connect timeout", "Note: …"."""
    before, _, after = plain.partition(": ")
    words = after.split()
    topic = _topic(before, lower)
    if len(before.split()) > 5 or len(words) < 2 or is_stock(before) or not names_thing(before):
        return NOTHING
    if re.match(r"(?:what|how|why|when|where|which|who)\b", after, re.IGNORECASE):
        past = re.match(r"what (was|were|is|are) (\w.*)", after, re.IGNORECASE)
        return Asked((f"What {past[1]} {past[2]} for {topic}{within(name, plain)}?",), True) if past else NOTHING
    first = words[0].lower()
    if first in GERUNDS or is_imperative(first, words):
        action = " ".join((GERUNDS.get(first, first), *(lower(word) for word in words[1:])))
        return Asked((f"How do I {as_reader(action)} with {topic}{within(name, plain)}?",), True)
    if first.endswith("ing"):
        return NOTHING
    return Asked((f"On {topic}{within(name, plain)}: can you explain {_topic(after, lower)}?",), True)


def nearest_thing(path: tuple[str, ...], lower: Callable[[str], str]) -> str | None:
    """The innermost heading that names something a question can be about, as a noun inside a sentence."""
    found = next((part for part in reversed(path) if names_thing(part)), None)
    return _topic(found, lower) if found else None


@lru_cache(maxsize=4096)
def names_thing(heading: str) -> bool:
    """Whether a heading is a noun that a question can be about ("Hash Maps", not "Usage" or "Mounting disks")."""
    plain = unnumbered(heading).strip()
    words = plain.lower().split()
    if (
        not words
        or plain.endswith("?")
        or VAGUE.match(plain)
        or is_stock(plain)
        or is_empty(plain)
        or _ASKS.match(plain)
        or len(words) > 6
    ):
        return False
    return not (words[0] in GERUNDS and len(words) > 1) and not is_imperative(words[0], words)


def _from_words(
    plain: str, name: str | None, seed: tuple[str, ...], lower: Callable[[str], str], answer: str
) -> Asked:
    words = plain.split()
    first = words[0].lower().strip(",:")
    rest = " ".join(lower(word) for word in words[1:])
    if first in _TO_DO and first != "how" and len(words) > 3 and words[1].lower() == "to":
        action = as_reader(" ".join((words[2].lower(), *map(lower, words[3:]))))
        return Asked((f"{_TO_DO[first]} {action}{within(name, plain)}?",))
    if first == "how" and len(words) > 2 and words[1].lower() == "to":
        action = as_reader(
            " ".join((words[2].lower() if words[2][1:].islower() else words[2], *map(lower, words[3:])))
        )
        return Asked((f"How do I {action}{within(name, plain)}?",)) if len(words) > 3 else NOTHING
    if first in ("what", "why", "how", "when", "where", "who", "which") and len(words) > 2:
        return Asked((f"Can you explain {first} {rest}{within(name, plain)}?",))
    if first in GERUNDS and len(words) > 1 and not words[1].startswith(("&", "-")):
        action = f"{GERUNDS[first]} {as_reader(_base_forms(rest))}"
    elif is_imperative(first, words):
        action = f"{first} {as_reader(rest)}"
    else:
        return _about_thing(plain, name, seed, lower, answer)
    forms = _turned(("How do I {a}{w}?", "How can I {a}{w}?", "I want to {a}{w}. How is that done?"), seed)
    return Asked(tuple(form.format(a=action, w=within(name, plain)) for form in forms))


def _base_forms(rest: str) -> str:
    """Further gerunds of a heading: "and running tests" → "and run tests"."""
    return re.sub(r"\b(and|or|,) (\w+ing)\b", lambda m: f"{m[1]} {GERUNDS.get(m[2].lower(), m[2])}", rest)


def _about_thing(
    plain: str, name: str | None, seed: tuple[str, ...], lower: Callable[[str], str], answer: str
) -> Asked:
    parents = seed[:-1]
    where = within(name, plain)
    if not where and not name and parents and " " not in plain and not _CALL.match(plain):
        page = parents[0]  # a single word says little without the page it stands on
        where = within(_topic(page, lower), plain) if names_thing(page) and len(page.split()) <= 3 else ""
    if _FLAG.match(plain):
        return Asked((f"What does the option {ticked(plain)} do{where}?",))
    if _CALL.match(plain):
        return Asked((f"What does {ticked(plain)} do{where}?",))
    thing = _topic(plain, lower)
    sides = re.split(r"\s+(?:vs\.?|versus)\s+", thing, flags=re.IGNORECASE)
    if len(sides) == 2:
        return Asked((f"What is the difference between {sides[0]} and {sides[1]}{where}?",))
    if compared := re.match(r"(?:the )?(differences?|relationship|comparison) (?:between|of) ", thing, re.IGNORECASE):
        verb = "are" if compared[1].lower() == "differences" else "is"
        return Asked((f"What {verb} the {re.sub('^[Tt]he ', '', thing)}{where}?",))
    if (parents and _EXAMPLES.match(parents[-1])) or _only_code(answer):
        return Asked((f"Can you show me an example of {thing}{where}?",))
    if parents and _NEEDS.match(parents[-1]):
        return Asked((f"Why do I need {thing}{where}, and how do I get it?",))
    forms: tuple[str, ...]
    if opening := _opening(thing, answer):
        forms = (f"What {opening}{{w}}?",)
    elif _QUOTED.match(plain):
        forms = _turned(("What is {a} for{w}?", "What does {a} do{w}?", "When would I use {a}{w}?"), seed)
    elif len(thing.split()) > 5:
        forms = _turned(("What is meant by “{a}”{w}?", "Can you explain “{a}”{w}?"), seed)
    elif re.search(r"\band\b|,|:|/|\(", thing) or len(thing.split()) > 4 or thing.split()[0].endswith("ing"):
        forms = _turned(
            ("What should I know about {a}{w}?", "Can you explain {a}{w}?", "Tell me about {a}{w}."), seed
        )
    elif _plural(thing) and not thing.split()[0].endswith("ing"):
        forms = _turned(("What are {a}{w}?", "What should I know about {a}{w}?", "How do {a} work{w}?"), seed)
    else:
        forms = _turned(
            ("What is meant by {a}{w}?", "Can you explain {a}{w}?", "What should I know about {a}{w}?"), seed
        )
    return Asked(tuple(form.format(a=thing, w=where) for form in forms), True)


_DEFINES: Final = re.compile(
    r"(?P<article>(?:An?|The) )?(?P<term>[^\n.:;,!?]{2,60}?)(?: \([^()\n]{1,60}\))? (?P<verb>is|are) (?:an?|the"
    r"|one|used)\b"
)


def _opening(thing: str, answer: str) -> str | None:
    """ "is a valve" where the answer begins with "A valve is a …": a definition answers the question for one."""
    found = _DEFINES.match(answer)
    if not found:
        return None
    term, plain = (re.sub(r"[*_`’'\"“”]", "", text).lower() for text in (found["term"], thing))
    if term.removesuffix("s") != re.sub(r"^(?:an?|the) ", "", plain).removesuffix("s"):
        return None
    article = (found["article"] or "").lower()
    return f"{found['verb']} {article}{re.sub('^(?:an?|the) ', '', thing, flags=re.IGNORECASE)}"


def _only_code(answer: str) -> bool:
    return answer.startswith("```") and len(answer) - len(answer.rstrip("`").rpartition("\n```")[0]) < 60


_ABOUT_NOTHING: Final = frozenset(
    "what which when where why how who does should do did is are was can could will would i you we it this that "
    "these "
    "the a an to in of for about go went wrong happens happened happen next now then mean means work works "
    "working so "
    "exactly matter important help use get know need my your there here all".split()
)
_COMPLAINT: Final = re.compile(r"(?:I|I['’]m|I['’]ve|My|Nothing|Why) ", re.IGNORECASE)
_VERB_INSIDE: Final = re.compile(
    r"\s(?:is|are|was|were|has|have|does|do|did|can|cannot|can['’]t|should|must|will|won['’]t|don['’]t|doesn['’]t"
    r"|isn['’]t"
    r"|aren['’]t)\s"
)


_TO_DO: Final = {"how": "How do I", "when": "When should I", "where": "Where do I", "what": "What should I"}


def _clause(plain: str, name: str | None, lower: Callable[[str], str]) -> str | None:
    """A heading that is a sentence: "My effect runs twice", "State is private"; None for any other."""
    words = plain.split()
    if len(words) < 3 or _ASKS.match(plain):
        return None
    if _COMPLAINT.match(plain):
        return f"{plain.rstrip('.!')}{within(name, plain)}. Why is that, and what can I do?"
    if not _VERB_INSIDE.search(plain) or is_imperative(words[0].lower(), words) or words[0].lower() in GERUNDS:
        return None
    return f"What does it mean that {' '.join(map(lower, words))}{within(name, plain)}?"


def _asked(plain: str, parents: tuple[str, ...], name: str | None, lower: Callable[[str], str]) -> Asked:
    """A heading that is a question already, as a sentence: with the project's name for a bare "it", and with what the
    heading above names where it names nothing itself ("What should I do?")."""
    words = plain.split()
    if all(word.lower().strip("?.,'’") in _ABOUT_NOTHING for word in words):
        above = parents[-1].strip(" ?.:") if parents else ""
        if len(above.split()) < 2 or is_stock(above) or is_empty(above):
            return NOTHING
        return Asked((f"{above}{within(name, above)}. {plain}",))
    if len(words) < 3:
        return NOTHING
    if words[1].lower() == "to" and (asks := _TO_DO.get(words[0].lower())):
        words[:2] = asks.split()
        words[-1] = as_reader(words[-1])
    text = " ".join((words[0][:1].upper() + words[0][1:], *(lower(word) for word in words[1:])))
    if name and len(words) <= 6 and not _overlap(text, name):
        text = re.sub(r"\b(?:it|this)\b", lambda _: name, text, count=1)
    return Asked((text,))


def within(name: str | None, plain: str) -> str:
    return f" in {name}" if name and not _overlap(plain, name) else ""


def _topic(heading: str, lower: Callable[[str], str]) -> str:
    """A heading as a noun inside a sentence: "The Slice Type" → "the slice type"."""
    plain = unnumbered(heading).strip().rstrip(":.?").strip()
    return " ".join(lower(word) for word in plain.split())


def ticked(plain: str) -> str:
    return plain if plain.startswith("`") else f"`{plain}`"


def _plural(thing: str) -> bool:
    last = (
        re.sub(r"[^\w]+$", "", thing).split(" in ")[0].split(" of ")[0].split(" with ")[0].split(" for ")[0].split()
    )
    return bool(last) and bool(re.search(r"(?<![sui])s$", last[-1].lower())) and "`" not in last[-1]


def _overlap(text: str, topic: str) -> bool:
    words = set(re.findall(r"\w{3,}", text.lower()))
    return bool(words & set(re.findall(r"\w{3,}", topic.lower())))


def _turned(forms: tuple[str, ...], seed: tuple[str, ...]) -> tuple[str, ...]:
    """`forms` in turn, beginning with one that depends on the heading alone."""
    first = zlib.crc32("\x1f".join(seed).encode("utf-8", "replace")) % len(forms)
    return forms[first:] + forms[:first]
