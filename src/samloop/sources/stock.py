"""Headings that any document may have: what is asked under them, and which of them teach nothing."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NUMBERING: Final = re.compile(
    r"^(?:(?:step|part|chapter|section|appendix|lesson|tip|rule|exercise)\s+(?:\d+|[a-z])\s*[:.)–—-]+\s*"
    r"|\(?\d+(?:\.\d+)*[.):]\s+|\d+(?:\.\d+)+\s+|[a-z]\)\s+|[ivx]+\.\s+)",
    re.IGNORECASE,
)

# Headings that any document may have. {s} is what the document is about, {p} the nearest heading above that says
# something, or {s}. A heading without an entry here is asked about by its own words.
_STOCK: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        r"install(?:ation|ing)?(?: instructions| guide| steps)?|how to install|setup|set ?up|setting up",
        ("How do I install {s}?", "What are the steps to install {s}?", "How is {s} installed?"),
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
        r"(?:the )?(?:task|problem|exercise)(?: description| statement)",
        ("What is {p} about?", "What is the task in {p}?"),
    ),
    (r"ingredients?", ("What ingredients do I need for {p}?", "What goes into {p}?")),
    (r"directions|cooking instructions", ("How do I make {p}?", "How is {p} made?")),
    (
        r"(?:the )?(?:steps|procedure|instructions|workflow|process)",
        ("What are the steps of {p}?", "How is {p} done step by step?"),
    ),
    (
        r"parameters?|arguments?|props|formal parameters",
        ("Which parameters does {p} take?", "What are the parameters of {p}?"),
    ),
    (r"(?:time |space |time and space )?complexit(?:y|ies)", ("What is the complexity of {p}?",)),
    (r"pseudo-?code", ("What does {p} look like in pseudocode?",)),
    (r"attributes|methods|fields|signatures?", ("What are the {h} of {p}?", "Which {h} does {p} have?")),
    (r"(?:advantages|benefits|pros|strengths)", ("What are the advantages of {p}?", "Why should I use {p}?")),
    (r"(?:disadvantages?(?:\(s\))?|cons|drawbacks|weaknesses)", ("What are the disadvantages of {p}?",)),
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
        r"(?:available |supported |command ?-?line |cli )?(?:options|flags|properties|params)",
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
    (r"running|launching|starting", ("How do I run {p}?", "How is {p} started?")),
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
VAGUE: Final = re.compile(
    r"^(?:api|api reference|reference|faqs?|frequently asked questions|(?:user |developer )?(?:guide|manual)"
    r"|methods|functions"
    r"|classes|events|modules?|content|main|part \d+|documentation quick links|playground|try it(?: out)?"
    r"|basics?|advanced|in-?valid|(?:in)?correct|wrong|right|good|bad|better|simple|complex|default|optional|required"
    r"|before|after|results?|outputs?|inputs?|problems?|(?:the )?solution|answers?|see it in action|recap|pitfalls?"
    r"|ongoing|later|today|(?:additional|further) .*|(?:we|you|let)(?:['’]\w+)? .*|answers? .*|deep dive"
    r"|challenges?|hints?|bonus|demo|code|implementation|example code|steps? \d+|q&a|appendix|sources?"
    r"|\w+(?:able|ible|ful|less)|fast|easy|secure|robust|lightweight|flexible"
    r"|(?:an?|some|for|with|without|in|on|at|by|from|under|and|or|but|so|also|then|now|finally|first|one more) .*"
    r"|[\"“'‘].*|.*[!…]|.*\.\.\.)$",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def unnumbered(heading: str) -> str:
    """A heading without its number ("3.1 Pipes", "Step 2: …")."""
    return _NUMBERING.sub("", heading)


def is_stock(heading: str) -> bool:
    """Whether a heading says nothing without the one above it ("Usage", "Options")."""
    return bool(stock_forms(heading))


@lru_cache(maxsize=4096)
def is_empty(heading: str) -> bool:
    """Whether what stands under such a heading teaches nothing ("See also", "License", "1.2.0")."""
    return bool(_EMPTY.match(unnumbered(heading)))


@lru_cache(maxsize=4096)
def stock_forms(heading: str) -> tuple[str, ...]:
    """The wordings for a stock heading ("Usage", "Options"); none for any other."""
    if len(heading) > 40:
        return ()
    return next((forms for pattern, forms in _STOCK_RULES if pattern.match(heading)), ())
