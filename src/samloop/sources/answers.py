"""From a section's blocks to what can stand as an answer, and to the smaller answers inside it.

An answer must be whole without the page around it: it ends before a block whose text is somewhere else, drops
sentences that only guide through the document, and never closes with the announcement of something that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from samloop.sources.markdown import Block, Section
from samloop.sources.questions import as_reader, is_verb

MIN_ANSWER_CHARACTERS: Final = 80
MIN_DEFINITION_CHARACTERS: Final = 40

# Sentences that speak of the document and not of its subject.
_GUIDE: Final = re.compile(
    r"""\b(?:in|throughout|for|by\s+the\s+end\s+of)\s+(?:this|the\s+(?:next|previous|following|last
      |rest\s+of\s+(?:this|the)))
          \s+(?:chapter|section|page|tutorial|guide|article|document|book|post|lesson|part)s?\b
    | \b(?:this|the\s+(?:next|previous|following|last))\s+(?:chapter|section|page|tutorial|guide|article|post
      |lesson|part)\b
    | \b(?:see|read|refer\s+to|check\s+out|visit|discuss(?:ed)?\s+in|covered?\s+in|mentioned\s+in|saw\s+in|in)\s+
        (?:the\s+)?(?:[“"‘'][^”"’']{3,60}[”"’']\s*(?:section|chapter|page)?|chapters?\s+\d+|appendix\s+\w\b
          |section\s+\d+)
    | \b(?:as|like)\s+(?:we(?:\s+have|'ve|’ve)?\s+)?(?:mentioned|discussed|described|explained|seen|noted
      |shown|saw)\s+
        (?:above|before|earlier|previously|below|later|in)\b
    | \b(?:we|you)(?:['’]ll|\s+will)\s+(?:also\s+)?(?:cover|discuss|look\s+at|learn|explore|see|talk|get\s+to
      |go\s+over|explain)\b
    | \b(?:click\s+here|see\s+(?:here|below|above)|(?:see|read)\s+(?:also|more)|(?:for|about)\s+(?:more
      |further|additional)\b[^.]{0,25}\b(?:information|details?|on|about)\b|recall\s+from)
    | \blet['’]s\s+(?:look|see|move\s+on|start|begin|explore|turn)\b
    | \b(?:throughout|in|of)\s+(?:this|the)\s+book\b
    | \b(?:dual-)?licensed\s+under\b
    | \bchapters?\s+\d+\b""",
    re.VERBOSE | re.IGNORECASE,
)
_ELSEWHERE: Final = re.compile(r"\b(?:listing|figure|fig\.|table|example)\s+\d+(?:[-.]\d+)+\b", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(
    r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\betc\.)[\"”’)*_`]*\s+(?=[\"“(*_`]*[A-Z0-9`])"
)
_LEADS_IN: Final = re.compile(r":[*_]*$")
_BULLETED: Final = re.compile(
    r"^(?:\*\*|__)(?P<bold>[^*_\n]{2,60}?):?(?:\*\*|__)\s*(?P<mark1>[:–—-]|\s(?=is\b|are\b))\s*(?P<def1>\S.*)"
    r"|^(?P<code>`[^`\n]{1,60}`)\s*(?::|–|—|-)\s+(?P<def2>\S.*)"
    r"|^(?:\*\*|__)(?P<colon>[^*_\n]{2,60}?)[:.](?:\*\*|__)\s+(?P<def3>\S.*)",
    re.DOTALL,
)
_DEFINED: Final = re.compile(r"^(?P<term>[^\n:]{2,60}) : (?P<definition>\S.*)", re.DOTALL)
_NO_TERM: Final = re.compile(
    r"^(?:notes?|warning|caution|tips?|important|info|hint|example|examples|resolution|solution|problem"
    r"|answer|question|default"
    r"|defaults? to|result|output|input|step|optional|required|yes|no|true|false|description|details|usage"
    r"|syntax|parameters|arguments|returns?|see also|update|deprecated|remember|why|how|what|when"
    r"|filename|file|type|pros?|cons?|status|date|author|version|since|issue|attention|danger|todo|fix|tldr"
    r"|tl;dr|n\.?b\.?)\W*(?:\d+)?$",
    re.IGNORECASE,
)
_BOLD_QUESTION: Final = re.compile(
    r"^(?:\*\*|__)(?:Q(?:uestion)?\s*\d*\s*[:.)]\s*)?(?P<q>[^*\n]{8,160}\?)(?:\*\*|__)\s*(?P<a>.*)", re.DOTALL
)
_PURPOSE: Final = re.compile(
    r"^(?:If you (?:want|need|wish|would like) to|To) (?P<verb>[a-z]+) (?P<rest>[^,.:;]{4,90}), (?P<then>\S.*)",
    re.DOTALL,
)
_POINTS_BACK: Final = re.compile(r"\b(?:this|that|these|those|it|them|both|so|above|such|same)\b", re.IGNORECASE)
_EXPLAINS: Final = re.compile(
    r"^(?:This (?:code|function|example|program|command|snippet|script|query|macro|method|class|will|creates"
    r"|defines|returns"
    r"|prints|runs|uses|sets|adds|tells|starts|makes|line|is)|Here,? (?:we|the|`)|The (?:code|function"
    r"|example|command|first|above"
    r"|`)|In this (?:example|code|snippet)|We (?:use|call|create|define|first|start|pass))",
)


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
        if block.missing or (block.kind != "code" and _ELSEWHERE.search(block.text)):
            break
        text = without_guidance(block.text) if block.kind in ("prose", "quote") else block.text
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


def _is_announcement(block: Block) -> bool:
    return block.kind == "prose" and bool(_LEADS_IN.search(block.text))


def is_thin(answer: str) -> bool:
    """Whether an answer says too little: under `MIN_ANSWER_CHARACTERS`, and no code either."""
    return len(answer) < MIN_ANSWER_CHARACTERS and "```" not in answer


def without_guidance(text: str) -> str:
    """`text` without the sentences that only guide through the document."""
    if not _GUIDE.search(text):
        return text
    if text.startswith("> "):
        return ""
    kept = [sentence for sentence in _SENTENCE_END.split(text) if not _GUIDE.search(sentence)]
    return " ".join(kept).strip()


def definitions(section: Section, name: str | None) -> Iterator[Pair]:
    """Terms that the section defines: "**term**: …" and "`term`: …" in lists and paragraphs, "term : …" lists."""
    number = 0
    for block in section.blocks:
        texts = (
            block.items
            if block.kind == "list" and not block.ordered
            else (block.text,)
            if block.kind == "prose"
            else ()
        )
        for text in texts:
            term, meaning = _definition(text)
            number += 1
            meaning = without_guidance(meaning)
            if (
                not term
                or _NO_TERM.match(term)
                or len(meaning) < MIN_DEFINITION_CHARACTERS
                or _LEADS_IN.search(meaning)
                or term.endswith("?")
            ):
                continue
            yield Pair(f"definition-{number}", _asked_of(term, name), meaning[:1].upper() + meaning[1:])


def _definition(text: str) -> tuple[str, str]:
    found = _BULLETED.match(text)
    if found:
        term = found["bold"] or found["code"] or found["colon"]
        return term.strip(), (found["def1"] or found["def2"] or found["def3"]).strip()
    found = _DEFINED.match(text)
    return (found["term"].strip(), found["definition"].strip()) if found else ("", "")


def _asked_of(term: str, name: str | None) -> str:
    where = f" in {name}" if name and name.lower() not in term.lower() else ""
    if re.match(r"`-{1,2}\w", term):
        return f"What does the option {term} do{where}?"
    if term.startswith("`"):
        return f"What is {term} for{where}?"
    return f"What does “{term}” mean{where}?" if len(term.split()) < 4 else f"Can you explain “{term}”{where}?"


def asked_in_bold(section: Section) -> Iterator[Pair]:
    """Questions in bold with the answer behind them or in the blocks up to the next one."""
    open_question, parts, number = "", list[str](), 0
    for block in (*section.blocks, Block("prose", "**End of the section?**")):
        found = _BOLD_QUESTION.match(block.text) if block.kind == "prose" else None
        if found is None:
            parts.append(block.text)
            continue
        answer = re.sub(
            r"^(?:\*\*)?A(?:nswer)?\s*[:.)]\s*(?:\*\*)?\s*", "", "\n\n".join(p for p in parts if p)
        ).strip()
        if open_question and len(answer) >= MIN_DEFINITION_CHARACTERS:
            number += 1
            yield Pair(f"question-{number}", open_question, answer)
        open_question, parts = found["q"].strip(), [found["a"].strip()]


_SHELLS: Final = frozenset("sh bash console shell shell-session zsh terminal".split())
_LABELS: Final = {
    "c": "C", "cpp": "C++", "css": "CSS", "go": "Go", "html": "HTML", "java": "Java", "javascript": "JavaScript",
    "js": "JavaScript", "json": "JSON", "kotlin": "Kotlin", "php": "PHP", "py": "Python", "pycon": "Python",
    "python": "Python", "rb": "Ruby", "ruby": "Ruby", "rust": "Rust", "sql": "SQL", "swift": "Swift", "toml": "TOML",
    "ts": "TypeScript", "typescript": "TypeScript", "vue": "Vue", "yaml": "YAML", "yml": "YAML",
}  # fmt: skip


def _asked_of_code(block: Block) -> str:
    if block.language in _SHELLS:
        commands = sum(1 for line in block.text.split("\n")[1:-1] if line.startswith("$ "))
        return "What do these commands do?" if commands > 1 else "What does this command do?"
    label = _LABELS.get(block.language)
    return f"What does this {label} code do?" if label else "What does this code do?"


def explained_code(section: Section) -> Iterator[Pair]:
    """Code with the prose that explains it, and purposes with the code that serves them.

    "To list files, run: <code>" → how do I list files?; <code> "This command …" → what does this code do?
    """
    blocks = section.blocks
    for at, block in enumerate(blocks):
        if block.kind == "prose" and (purpose := _PURPOSE.match(block.text)):
            following = blocks[at + 1] if at + 1 < len(blocks) else None
            pair = _purpose_pair(purpose, block, following, at)
            if pair is not None:
                yield pair
        if block.kind != "code" or block.missing or not 30 <= len(block.text) <= 1500 or at + 1 == len(blocks):
            continue
        after = blocks[at + 1]
        if after.kind == "prose" and _EXPLAINS.match(after.text) and not _ELSEWHERE.search(after.text):
            text = without_guidance(after.text)
            if len(text) >= MIN_ANSWER_CHARACTERS and not _LEADS_IN.search(text):
                yield Pair(f"code-{at}", f"{_asked_of_code(block)}\n\n{block.text}", text)


def _purpose_pair(purpose: re.Match[str], block: Block, following: Block | None, at: int) -> Pair | None:
    if (
        purpose["verb"] == "learn"
        or not is_verb(purpose["verb"])
        or _POINTS_BACK.search(purpose["rest"])
        or _GUIDE.search(block.text)
        or _ELSEWHERE.search(block.text)
    ):
        return None
    answer = block.text
    if _LEADS_IN.search(answer):
        if (
            following is None
            or following.missing
            or following.kind not in ("code", "list")
            or len(following.text) > 1500
        ):
            return None
        answer = f"{answer}\n\n{following.text}"
    elif len(answer) < MIN_ANSWER_CHARACTERS:
        return None
    return Pair(f"purpose-{at}", f"How do I {purpose['verb']} {as_reader(purpose['rest'])}?", answer)
