"""From a heading to a question that a reader could have asked.

The kind of the heading decides: a question stays one; a gerund or an imperative becomes "How do I …"; a noun is
asked about; a stock heading ("Usage") is asked of what the document is about. The heading itself is never handed
back as a question.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Final

_VERBS: Final = frozenset(
    """access activate adapt add adjust allow analyze animate append apply assign attach audit authenticate authorize
    automate avoid await benchmark bind bootstrap break build bundle bypass cache calculate call cancel capture catch
    change check choose clean clear clone close collect combine compare compile compose compute configure connect
    construct contain contribute control convert copy count create customise customize debug declare decode decouple
    decrypt define delete deliver deploy deprecate derive describe deserialize design destroy detect determine develop
    diagnose disable discover display distribute document download drop dump edit embed enable encode encrypt enforce
    ensure escape evaluate examine exclude execute expand explore export expose figure extend extract fetch
    filter find
    fix force format generate get group guard handle hide host identify ignore implement import improve include
    increase indent index infer inherit initialize inject insert inspect install integrate intercept
    interpolate invoke
    isolate iterate join jump keep launch lay learn leverage limit link lint list load lock log loop maintain make
    manage manipulate map mark match measure merge migrate minify mock model modify monitor mount move name navigate
    nest normalize obtain omit open optimise optimize order organize output override package parse pass patch perform
    persist pick plan play populate prepare preprocess press prevent print process profile program propagate protect
    provide publish pull push put query raise read rebuild receive recover redirect reduce refactor refer refine
    refresh register reject release reload remove rename render repair repeat replace report reproduce request require
    reset resize resolve restart restore restrict retrieve return reuse reverse review revert rewrite rotate round
    route run sample save scale scan schedule search secure select send separate serialize serve set setup share ship
    show shut sign simplify simulate skip slice solve sort specify split start stop store stream structure style
    submit subscribe supply support suppress switch synchronize tag take terminate test throw toggle trace track train
    transfer transform translate traverse treat trigger troubleshoot try tune turn understand uninstall unpack
    unsubscribe update upgrade upload use utilize validate verify view visualize wait walk watch wire work wrap
    write""".split()
)
# Verbs that are as often nouns: an imperative only before a determiner or the like.
_ALSO_NOUNS: Final = frozenset(
    """access audit benchmark bind break build bundle cache call catch change check clone control copy count debug
    design display document download drop dump edit embed escape export filter fix force format group guard
    host import
    index insert join jump keep link lint list load lock log loop make map mark match measure mock model mount move
    name order output override package pass patch plan play press print process profile program pull push query raise
    read release report request reset return reverse review route run sample scale scan schedule search
    select set setup
    share ship show sign slice sort split start stop store stream structure style support switch tag take test throw
    trace track train transfer trigger try turn update upgrade upload use view wait walk watch work wrap""".split()
)
_DETERMINERS: Final = frozenset(
    "a an the your my our its their this that these those all any each every multiple several some custom new "
    "existing "
    "from to with into on up off out another more".split()
)
_CONSONANT_DOUBLED: Final = re.compile(r"[^aeiou][aeiou][bdglmnprt]$")


def _gerunds() -> dict[str, str]:
    found = {}
    for verb in sorted(_VERBS):
        if verb.endswith("ie"):
            found[verb[:-2] + "ying"] = verb
        elif verb.endswith("e") and not verb.endswith("ee"):
            found[verb[:-1] + "ing"] = verb
        else:
            if _CONSONANT_DOUBLED.search(verb):
                found[verb + verb[-1] + "ing"] = verb
            found[verb + "ing"] = verb
    return found


_GERUNDS: Final = _gerunds()
_NUMBERING: Final = re.compile(
    r"^(?:(?:step|part|chapter|section|appendix|lesson|tip|rule|exercise)\s+(?:\d+|[a-z])\s*[:.)–—-]+\s*"
    r"|\(?\d+(?:\.\d+)*[.):]\s+|\d+(?:\.\d+)+\s+|[a-z]\)\s+|[ivx]+\.\s+)",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"^(?:what|why|how|when|where|who|which|can|could|should|does|do|is|are|will|would|may|must|did|has|have)\b", re.I
)
_QUOTED: Final = re.compile(r"^`[^`]+`$")
_FLAG: Final = re.compile(r"^`?-{1,2}[\w-]+")
_CALL: Final = re.compile(r"^`?[\w.$:#<>]+\(.*\)`?$")

# Headings that any document may have. {s} is what the document is about, {p} the nearest heading above that says
# something, or {s}. A heading without an entry here is asked about by its own words.
_STOCK: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        r"install(?:ation|ing)?(?: instructions| guide| steps)?|how to install|setup|set ?up|setting up",
        ("How do I install {s}?", "What are the steps to install {s}?", "How can I get {s} onto my machine?"),
    ),
    (
        r"(?:basic |example |general |simple )?usage(?: examples?| guide)?|how to use|using|use",
        ("How do I use {p}?", "How is {p} used?", "Can you show me how {p} is used?"),
    ),
    (
        r"quick ?-?start(?: guide)?|getting ?-?started(?: guide)?|first steps|tutorial|quick tutorial",
        ("How do I get started with {s}?", "What are the first steps with {s}?"),
    ),
    (
        r"requirements?|prerequisites?|dependencies|system requirements|pre-requisites",
        ("What does {p} require?", "What do I need before I can use {p}?"),
    ),
    (
        r"overview|introduction|about|description|summary|background|what is this|intro|at a glance|in a nutshell",
        ("What is {p}?", "Can you give me an overview of {p}?", "What is {p} about?"),
    ),
    (
        r"features?|highlights|key features|main features|capabilities",
        ("What features does {p} have?", "What can {p} do?"),
    ),
    (r"configuration|config|settings|configure|configuring", ("How do I configure {p}?", "How is {p} configured?")),
    (
        r"(?:available |supported |command ?-?line |cli )?(?:options|flags|parameters|arguments|props"
        r"|properties|params)",
        ("Which options does {p} take?", "What can be set for {p}?"),
    ),
    (
        r"examples?|demo|sample|samples|code examples?",
        ("Can you show me an example of {p}?", "What does {p} look like in use?"),
    ),
    (r"contributing|contributions?|how to contribute|contribute", ("How can I contribute to {s}?",)),
    (
        r"(?:running |run )?(?:the )?(?:unit )?tests?(?: suite)?|testing|running tests",
        ("How do I run the tests of {s}?", "How is {p} tested?"),
    ),
    (
        r"build(?:ing)?(?: from source)?|compil(?:e|ing|ation)",
        ("How do I build {s}?", "How do I build {s} from source?"),
    ),
    (r"development|developing|hacking|local development|developer setup", ("How do I set up {s} for development?",)),
    (
        r"motivation|rationale|why|why\?|goals?|philosophy|purpose",
        ("Why does {p} exist?", "What is the idea behind {p}?"),
    ),
    (
        r"(?:known )?(?:limitations?|issues|caveats|gotchas|pitfalls|drawbacks)",
        ("What are the limitations of {p}?", "What should I watch out for with {p}?"),
    ),
    (
        r"troubleshooting|common (?:problems|issues|errors)",
        ("What can I do when {p} does not work?", "How do I troubleshoot {p}?"),
    ),
    (r"performance|benchmarks?|speed", ("How fast is {p}?", "What is known about the performance of {p}?")),
    (r"security|security considerations", ("What should I know about the security of {p}?",)),
    (
        r"how (?:it|this|that) works|how does it work|how does this work|implementation(?: details| notes)?"
        r"|internals|under the hood",
        ("How does {p} work?", "What happens inside {p}?"),
    ),
    (
        r"architecture|design|structure|project structure|layout",
        ("How is {p} structured?", "What is the design of {p}?"),
    ),
    (
        r"compatibility|supported (?:platforms|versions|browsers)|browser support|platform support",
        ("What is {p} compatible with?", "Which versions and platforms does {p} support?"),
    ),
    (r"syntax", ("What is the syntax of {p}?",)),
    (r"return(?:s| values?)?", ("What does {p} return?",)),
    (r"errors?|exceptions|error handling", ("Which errors can occur with {p}?", "How are errors handled in {p}?")),
    (r"upgrad(?:e|ing)|updating|migration(?: guide)?", ("How do I upgrade {s}?",)),
    (r"uninstall(?:ing|ation)?|removal", ("How do I uninstall {s}?",)),
    (r"community|support|help|getting help|contact|questions", ("Where can I get help with {s}?",)),
    (r"best practices|recommendations|tips|tips and tricks|guidelines", ("What are the best practices for {p}?",)),
    (
        r"alternatives|comparison|related (?:projects|work)|see also: alternatives",
        ("What are the alternatives to {s}?", "How does {s} compare with its alternatives?"),
    ),
    (r"roadmap|status|project status|maturity", ("What is the state of {s}?",)),
    (r"deployment|deploying|production", ("How do I deploy {s}?",)),
    (r"when to use(?: it)?|use cases?", ("When should I use {p}?", "What is {p} good for?")),
)
_STOCK_RULES: Final = tuple((re.compile(rf"^(?:{pattern})$", re.IGNORECASE), forms) for pattern, forms in _STOCK)

_EMPTY: Final = re.compile(
    r"^(?:table of contents|contents|toc|on this page|in this (?:article|section|chapter|guide)|index|see also|links?"
    r"|(?:further|additional|recommended) (?:reading|resources|information)|resources|references"
    r"|more(?: information)?"
    r"|licen[cs]e|licen[cs]ing|copyright|credits?|acknowledge?ments?|thanks|authors?|contributors?"
    r"|maintainers?|people"
    r"|current (?:project )?team(?: members)?|team|emeritus|sponsors?|backers|supporters|donat(?:e|ions?)|changelog"
    r"|change log|changes|release notes|releases|release history|what's new|history|versions?|badges|disclaimer"
    r"|next steps?|learn(?:ing)? more|more on .*|what's next|where to go next|conclusion|wrapping up|recap"
    r"|feedback|footnotes|notes?|code of conduct|stay in touch"
    r"|news|announcements?|documentation|docs|home|translations?|v?\d+(?:\.\d+)+.*|\[?unreleased\]?"
    r"|exercises?|quiz|solutions?|misc(?:ellaneous)?|other|general|details|todo|nice|tips?|warning|caution"
    r"|important|info)\W*$",
    re.IGNORECASE,
)


# Headings that only hold others, or that mean nothing outside their page: asides, jokes, half sentences.
_VAGUE: Final = re.compile(
    r"^(?:api|api reference|reference|faqs?|frequently asked questions|(?:user |developer )?(?:guide|manual)"
    r"|methods|functions"
    r"|classes|events|modules?|content|main|part \d+|documentation quick links|playground|try it(?: out)?"
    r"|basics?|advanced"
    r"|(?:an?|some|for|with|without|in|on|at|by|from|under|and|or|but|so|also|then|now|finally|first|one more) .*"
    r"|[\"“'‘].*|.*[!…]|.*\.\.\.)$",
    re.IGNORECASE,
)
_CODE_LIKE: Final = re.compile(
    r"^[\w$]+(?:(?:\.|::|->)[\w$*]+)+$|^[a-z]+(?:_\w+)+$|^[a-z]+[A-Z]\w*$|^[@:#$][\w.-]+$|^[A-Z]+(?:_[A-Z]+)+$"
)
_EXAMPLES: Final = re.compile(r"^(?:usage )?examples?$", re.IGNORECASE)
_NEEDS: Final = re.compile(r"^(?:prerequisites?|requirements?|dependencies)$", re.IGNORECASE)
_OPTIONS: Final = re.compile(r"options|flags|parameters|arguments|settings|config", re.IGNORECASE)


def is_stock(heading: str) -> bool:
    """Whether a heading says nothing without the one above it ("Usage", "Options")."""
    return any(pattern.match(heading) for pattern, _ in _STOCK_RULES)


def is_empty(heading: str) -> bool:
    """Whether what stands under such a heading teaches nothing ("See also", "License", "1.2.0")."""
    return bool(_EMPTY.match(_NUMBERING.sub("", heading)))


def as_reader(text: str) -> str:
    """What a document says to its reader, as the reader says it."""
    text = re.sub(r"\b([Yy])our\b", "my", text)
    text = re.sub(r"\byourself\b", "myself", text)
    return re.sub(r"\byou\b", "I", text)


def is_verb(word: str) -> bool:
    """Whether a word is one of the verbs that documentation is made of, in its base form."""
    return word in _VERBS


def question(heading: str, parents: tuple[str, ...], subject: str | None, lower: Callable[[str], str]) -> str | None:
    """A question whose answer stands under `heading`, or None where none can be worded.

    Args:
        heading: as `markdown.heading_text` gives it.
        parents: the headings above it, outermost first.
        subject: what the document or the whole tree is about: a project's or book's name.
        lower: turns a title-cased word into how it is written inside a sentence.
    """
    plain = _NUMBERING.sub("", heading).strip().rstrip(":.").strip()
    if len(plain) < 2 or len(plain) > 120 or not re.search(r"[A-Za-z]", plain):
        return None
    if _VAGUE.match(plain) or sum(not c.isascii() for c in plain) > len(plain) / 10:
        return None
    name = subject if subject and len(subject.split()) <= 2 else None
    seed = (*parents, heading)
    above = next((part for part in reversed(parents) if _names_thing(part)), None)
    for pattern, forms in _STOCK_RULES:
        if pattern.match(plain):
            project, part = subject or (parents[0] if parents else None), _topic(above, lower) if above else subject
            form = _pick(forms, seed)
            about = project if "{s}" in form else part
            return form.format(s=about, p=about) if about else None
    if plain.endswith("?"):
        return _asked(plain, name, lower)
    example = re.match(r"(?:an? )?examples?\s*(?:[:–—-]|of|for)\s+(?!(?:advanced|basic|simple)$)(.{3,})", plain, re.I)
    if example:
        return f"Can you show me an example of {_topic(example[1], lower)}{_within(name, plain)}?"
    if _CODE_LIKE.match(plain):
        plain = f"`{plain}`"
    if parents and _OPTIONS.search(parents[-1]) and re.fullmatch(r"`?[\w.-]+`?", plain) and not plain[0].isupper():
        return f"What does the option {_ticked(plain)} do{_within(name, plain)}?"
    if forbidden := re.match(r"(?:don['’]t|do not|never|avoid) (\w+) (.+)", plain, re.IGNORECASE):
        verb = forbidden[1].lower()
        if is_verb(_GERUNDS.get(verb, verb)):
            return f"Should I {_GERUNDS.get(verb, verb)} {as_reader(forbidden[2])}{_within(name, plain)}?"
    return _from_words(plain, name, seed, lower)


def _names_thing(heading: str) -> bool:
    """Whether a heading is a noun that a question can be about ("Hash Maps", not "Usage" or "Mounting disks")."""
    plain = _NUMBERING.sub("", heading).strip()
    words = plain.lower().split()
    if not words or plain.endswith("?") or is_stock(plain) or is_empty(plain) or _ASKS.match(plain) or len(words) > 6:
        return False
    return not (words[0] in _GERUNDS and len(words) > 1) and not _is_imperative(words[0], words)


def _from_words(plain: str, name: str | None, seed: tuple[str, ...], lower: Callable[[str], str]) -> str | None:
    words = plain.split()
    first = words[0].lower().strip(",:")
    rest = " ".join(lower(word) for word in words[1:])
    if first == "how" and len(words) > 2 and words[1].lower() == "to":
        action = as_reader(" ".join(lower(word) for word in words[2:]))
        return f"How do I {action}{_within(name, plain)}?" if len(words) > 3 else None
    if first in ("what", "why", "how", "when", "where", "who", "which") and len(words) > 2:
        return f"Can you explain {first} {rest}{_within(name, plain)}?"
    if first in _GERUNDS and len(words) > 1 and not words[1].startswith(("&", "-")):
        action = f"{_GERUNDS[first]} {as_reader(_base_forms(rest))}"
    elif _is_imperative(first, words):
        action = f"{first} {as_reader(rest)}"
    else:
        return _about_thing(plain, name, seed, lower)
    form = _pick(("How do I {a}{w}?", "How can I {a}{w}?", "I want to {a}{w}. How is that done?"), seed)
    return form.format(a=action, w=_within(name, plain))


def _base_forms(rest: str) -> str:
    """Further gerunds of a heading: "and running tests" → "and run tests"."""
    return re.sub(r"\b(and|or|,) (\w+ing)\b", lambda m: f"{m[1]} {_GERUNDS.get(m[2].lower(), m[2])}", rest)


def _about_thing(plain: str, name: str | None, seed: tuple[str, ...], lower: Callable[[str], str]) -> str | None:
    parents = seed[:-1]
    where = _within(name, plain)
    if _FLAG.match(plain):
        return f"What does the option {_ticked(plain)} do{where}?"
    if _CALL.match(plain):
        return f"What does {_ticked(plain)} do{where}?"
    if _QUOTED.match(plain):
        return _pick(("What is {a} for{w}?", "What does {a} do{w}?", "When would I use {a}{w}?"), seed).format(
            a=plain, w=where
        )
    thing = _topic(plain, lower)
    sides = re.split(r"\s+(?:vs\.?|versus)\s+", thing, flags=re.IGNORECASE)
    if len(sides) == 2:
        return f"What is the difference between {sides[0]} and {sides[1]}{where}?"
    if compared := re.match(r"(?:the )?(differences?|relationship|comparison) (?:between|of) ", thing, re.IGNORECASE):
        verb = "are" if compared[1].lower() == "differences" else "is"
        return f"What {verb} the {re.sub('^[Tt]he ', '', thing)}{where}?"
    if parents and _EXAMPLES.match(parents[-1]):
        return f"Can you show me an example of {thing}{where}?"
    if parents and _NEEDS.match(parents[-1]):
        return f"Why do I need {thing}{where}, and how do I get it?"
    forms: tuple[str, ...]
    if re.search(r"\band\b|,|:|/|\(", thing) or len(thing.split()) > 4:
        forms = ("What should I know about {a}{w}?", "Can you explain {a}{w}?", "Tell me about {a}{w}.")
    elif _plural(thing):
        forms = ("What are {a}{w}?", "What should I know about {a}{w}?", "How do {a} work{w}?")
    else:
        forms = ("What is meant by {a}{w}?", "Can you explain {a}{w}?", "What should I know about {a}{w}?")
    return _pick(forms, seed).format(a=thing, w=where)


def _asked(plain: str, name: str | None, lower: Callable[[str], str]) -> str | None:
    """A heading that is a question already, as a sentence, with the project's name for a bare "it"."""
    words = plain.split()
    if len(words) < 3:
        return None
    text = " ".join((words[0][:1].upper() + words[0][1:], *(lower(word) for word in words[1:])))
    if name and len(words) <= 6 and not _overlap(text, name):
        text = re.sub(r"\b(?:it|this)\b", lambda _: name, text, count=1)
    return text


def _within(name: str | None, plain: str) -> str:
    return f" in {name}" if name and not _overlap(plain, name) else ""


def _is_imperative(first: str, words: list[str]) -> bool:
    if first not in _VERBS or len(words) < 2:
        return False
    if first not in _ALSO_NOUNS:
        return not words[1].lower().startswith(("and", "or", "/", "&", "-", "mode", "option"))
    return words[1].lower() in _DETERMINERS


def _topic(heading: str, lower: Callable[[str], str]) -> str:
    """A heading as a noun inside a sentence: "The Slice Type" → "the slice type"."""
    plain = _NUMBERING.sub("", heading).strip().rstrip(":.?").strip()
    return " ".join(lower(word) for word in plain.split())


def _ticked(plain: str) -> str:
    return plain if plain.startswith("`") else f"`{plain}`"


def _plural(thing: str) -> bool:
    last = (
        re.sub(r"[^\w]+$", "", thing).split(" in ")[0].split(" of ")[0].split(" with ")[0].split(" for ")[0].split()
    )
    return bool(last) and bool(re.search(r"(?<![sui])s$", last[-1].lower())) and "`" not in last[-1]


def _overlap(text: str, topic: str) -> bool:
    words = set(re.findall(r"\w{3,}", text.lower()))
    return bool(words & set(re.findall(r"\w{3,}", topic.lower())))


def _pick(forms: tuple[str, ...], seed: tuple[str, ...]) -> str:
    return forms[zlib.crc32("\x1f".join(seed).encode("utf-8", "replace")) % len(forms)]
