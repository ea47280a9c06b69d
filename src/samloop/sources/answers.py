"""From a section's blocks to what can stand as an answer, and to the smaller answers inside it.

An answer must be whole without the page around it: it ends before a block whose text is somewhere else, drops
sentences that only guide through the document, and never closes with the announcement of something that is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from samloop.sources.documents import Block, Section

MIN_ANSWER_CHARACTERS: Final = 80
MIN_DEFINITION_CHARACTERS: Final = 40

# Sentences that speak of the document and not of its subject, by words of which one must be there: a look at a text's
# words takes a tenth of the time of a search.
_PARTS_OF_BOOKS: Final = "chapter|section|page|tutorial|guide|article|document|book|post|lesson|part|appendix"
_GUIDES: Final = tuple(
    (frozenset(words.split()), re.compile(pattern, re.VERBOSE | re.IGNORECASE))
    for words, pattern in (
        (
            " ".join(f"{part} {part}s" for part in _PARTS_OF_BOOKS.split("|")),
            rf"""\b(?:in|throughout|for|by\s+the\s+end\s+of)\s+(?:this|the\s+(?:next|previous|following|last
                  |rest\s+of\s+(?:this|the)))\s+(?:{_PARTS_OF_BOOKS})s?\b
            | \b(?:this|the\s+(?:next|previous|following|last))\s+(?:chapter|section|page|tutorial|guide|article|post
                  |lesson|part|appendix)\b
            | \b(?:see|read|refer\s+to|check\s+out|visit|discuss(?:ed)?\s+in|covered?\s+in|mentioned\s+in|saw\s+in|in)
                  \s+(?:the\s+)?(?:chapters?\s+\d+|appendix\s+\w\b|section\s+\d+)
            | \b(?:throughout|in|of)\s+(?:this|the)\s+book\b
            | \bchapters?\s+\d+\b""",
        ),
        (
            "see read refer visit check discussed covered mentioned",
            r"""\b(?:see|read|refer\s+to|check\s+out|visit|(?:discussed|covered|mentioned)\s+in)\s+(?:the\s+)?
                [“"‘'][^”"’']{3,60}[”"’']""",
        ),
        (
            "mentioned discussed described explained seen noted shown saw",
            r"""\b(?:as|like)\s+(?:we(?:\s+have|'ve|’ve)?\s+)?(?:mentioned|discussed|described|explained|seen|noted
                |shown|saw)\s+(?:above|before|earlier|previously|below|later|in)\b""",
        ),
        (
            "will we'll we’ll you'll you’ll",
            r"""\b(?:we|you)(?:['’]ll|\s+will)\s+(?:also\s+)?(?:cover|discuss|look\s+at|learn|explore|see|talk|get\s+to
                |go\s+over|explain)\b""",
        ),
        (
            "click see read recall information",
            r"""\b(?:click\s+here|see\s+(?:here|below|above)|(?:see|read)\s+(?:also|more)|recall\s+from
                |more\s+information:\s*<?https?:)""",
        ),
        (
            "more further additional",
            r"""\b(?:for|about)\s+(?:more|further|additional)\b[^.]{0,25}\b(?:information|details?|on|about)\b""",
        ),
        ("let's let’s", r"\blet['’]s\s+(?:look|see|move\s+on|start|begin|explore|turn)\b"),
        ("licensed", r"\b(?:dual-)?licensed\s+under\b"),
    )
)
_GUIDE_WORDS: Final = frozenset().union(*(words for words, _ in _GUIDES))
_MARKS: Final = '\n\t.,:;!?()[]*_`>"'
_NO_LETTERS: Final = str.maketrans(dict.fromkeys(_MARKS, " "))
_NO_LETTERS_RAW: Final = bytes(0x20 if chr(byte) in _MARKS else byte for byte in range(256))
_NUMBERED: Final = ("listing", "figure", "fig.", "table", "example")
_NUMBER_BEHIND: Final = re.compile(r"\s+\d+(?:[-.]\d+)+\b")
_SENTENCE_END: Final = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\betc\.)[\"”’)*_`]*\s+(?=[\"“(*_`]*[A-Z0-9`])"
)
_LEADS_IN: Final = re.compile(r":[*_]*$")
_LINK: Final = re.compile(
    r"!?\[(?:[^\[\]]|!?\[[^\[\]]*+\](?:\([^()\s]*+\))?)*+\](?:\([^()]*+\)|\[[^\[\]]*+\])|<?https?://[^\s<>]++>?"
)
_ITEM_MARKS: Final = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s", re.MULTILINE)
_SOURCE: Final = re.compile(r"\W*(?:image )?(?:source|credit|photo)s?(?: by)?:", re.IGNORECASE)
_TO_TOP: Final = re.compile(
    r"\W*(?:(?:back )?to (?:the )?top|edit (?:this page|on github)|table of contents|top)\W*$"
    r"|\W*(?:read this|also available|available) in (?:other|different|another) languages?",
    re.IGNORECASE,
)
_ONLY_LINKS: Final = 0.6
"""Share of a list's items that are links and nothing else, above which it is navigation."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with its answer, and what part of a section it is ("definition-2", "code-1")."""

    part: str
    question: str
    answer: str


def answer_of(section: Section, max_characters: int) -> str:
    """As much of the section's beginning as is whole and fits, at a block's end; "" where that says too little."""
    kept: list[Block] = []
    used = 0
    for block in section.blocks:
        if is_navigation(block):
            continue
        text = block.text
        if block.missing or (block.kind != "code" and speaks_of_numbered(text)):
            break
        if block.kind in ("prose", "quote"):
            text = "" if _SOURCE.match(text) else without_guidance(text)
        if not text:
            continue
        if kept and used + len(text) > max_characters:
            break
        kept.append(Block(block.kind, text))
        used += len(text) + 2
    # An announcement whose code or list did not come along ("run the following command:") announces nothing.
    followed = [*(block.kind for block in kept[1:]), "prose"]
    kept = [
        b for b, next_kind in zip(kept, followed, strict=False) if not (_is_announcement(b) and next_kind == "prose")
    ]
    answer = "\n\n".join(block.text for block in kept)
    return answer if len(answer) <= max_characters * 1.5 else ""


def is_navigation(block: Block) -> bool:
    """Whether a block is only a way to other places: badges, a row of links, a table of contents, "back to top"."""
    raw = block.raw
    if block.kind in ("code", "table") or ("[" not in raw and "http" not in raw and len(raw) > 80):
        return False
    if block.kind == "list":
        if "](" not in raw and "http" not in raw:
            return False
        bare = _LINK.sub("\x00", raw[:20_000])
        lines = [line.lstrip(" -*+.)0123456789") for line in bare.split("\n") if _ITEM_MARKS.match(line)]
        only = sum(line.strip(" \t*_.,;:|()[]#`\x00") == "" and "\x00" in line for line in lines)
        return bool(lines) and only / len(lines) >= _ONLY_LINKS
    if raw.lstrip(" *|>_-⬆↑")[:1] in ("[", "!", "h", "<") and ("](" in raw or "][" in raw or "http" in raw):
        left = _LINK.sub("", raw[:20_000])
        if not any(character.isalnum() for character in left):
            return True
    return (len(raw) <= 80 or "anguage" in raw) and bool(_TO_TOP.match(block.text))


def speaks_of_numbered(text: str) -> bool:
    """Whether a text speaks of a numbered listing or figure, which stands elsewhere."""
    lower = text.lower()
    return any(_is_numbered(lower, word) for word in _NUMBERED if word in lower)


def _is_numbered(text: str, word: str) -> bool:
    """Whether a number with parts ("4-1", "2.3") stands behind a word somewhere in `text`."""
    at = text.find(word)
    while at >= 0:
        before, end = text[at - 1 : at], at + len(word)
        if not (before.isalnum() or before == "_") and _NUMBER_BEHIND.match(text, end):
            return True
        at = text.find(word, end)
    return False


def is_announcement(text: str) -> bool:
    """Whether a text announces what follows it."""
    return text.endswith((":", ":*", ":_")) and bool(_LEADS_IN.search(text))


def _is_announcement(block: Block) -> bool:
    return block.kind == "prose" and is_announcement(block.text)


def is_thin(answer: str) -> bool:
    """Whether an answer says too little: under `MIN_ANSWER_CHARACTERS`, and no code either."""
    return len(answer) < MIN_ANSWER_CHARACTERS and "```" not in answer


def speaks_of_document(text: str) -> bool:
    """Whether a text speaks of the document it stands in and not of its subject."""
    words = _GUIDE_WORDS.intersection(_words_of(text.lower()))
    return bool(words) and any(
        not triggers.isdisjoint(words) and pattern.search(text) for triggers, pattern in _GUIDES
    )


def _words_of(text: str) -> list[str]:
    """The words of a text, as far as blanks and a few marks part them."""
    if not text.isascii():  # where a table is looked up for each character: most of these hold quotes alone
        text = text.replace("“", " ").replace("”", " ")
        raw = text.encode("utf-8", "replace").translate(_NO_LETTERS_RAW)
        return raw.decode().split()
    return text.translate(_NO_LETTERS).split()


def without_guidance(text: str) -> str:
    """`text` without the sentences that only guide through the document."""
    if not speaks_of_document(text):
        return text
    if text.startswith("> "):
        inside = without_guidance("\n".join(line.removeprefix(">").strip() for line in text.split("\n")))
        return "\n".join(f"> {line}".rstrip() for line in inside.split("\n")) if inside else ""
    kept = [sentence for sentence in _SENTENCE_END.split(text) if not speaks_of_document(sentence)]
    return " ".join(kept).strip()
