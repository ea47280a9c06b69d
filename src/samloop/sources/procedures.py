"""Questions after doing: purposes and steps with the code or list that serves them; code with what explains it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from samloop.sources.answers import (
    MIN_ANSWER_CHARACTERS,
    Pair,
    is_announcement,
    speaks_of_document,
    speaks_of_numbered,
    without_guidance,
)
from samloop.sources.documents import Block, Section
from samloop.sources.verbs import as_reader, is_imperative, is_verb

MAX_PART_CHARACTERS: Final = 1500
"""A longer piece of code or list makes no short answer."""

_WANTED: Final = (
    re.compile(r"(?:If|When) you (?:want|need|wish|would like) to (?P<do>[a-z]+ [^,.:;]{3,90}), \S"),
    re.compile(r"To (?P<do>[a-z]+ [^,.:;]{3,90})[,:](?: \S|$)"),
    re.compile(
        r"(?:Follow|Use|Take|Complete|Perform|Do|Run) (?:the |these |this )?(?:following |next |below )?"
        r"(?:steps?|procedure|instructions|commands?|code|snippet|script)(?: below)? to (?P<do>[a-z]+ [^.:;]{3,90}):"
    ),
    re.compile(
        r"(?:Here(?:'s|’s| is| are)|This is|Below is) (?:the steps? (?:for |on )?|an example (?:of |that shows )?)?"
        r"how (?:to|you (?:can|would|could|might)) (?P<do>[a-z]+ [^.:;]{3,90})[:.]"
    ),
    re.compile(
        r"(?:The (?:following|next)|This|Here is an?|Below is an?) (?:example|code|snippet|commands?|program"
        r"|query|script"
        r"|function)s? (?:shows?|demonstrates?|illustrates?) (?:you )?how (?:to"
        r"|you can) (?P<do>[a-z]+ [^.:;]{3,90})[:.]"
    ),
    re.compile(
        r"You (?:can|could|may) (?:also |then |now |easily )?(?P<do>[a-z]+ [^,.:;]{3,90}?)"
        r"(?: (?:like (?:this|so)|as follows|as shown|by (?:running|using|calling|adding|passing)"
        r"|with the (?:following|command)"
        r"|using the|via|in (?:the|your) )[^.:;]{0,80})?:$"
    ),
)
_BEGINS: Final = re.compile(
    r"(?:If|When) you |To [a-z]|(?:Follow|Use|Take|Complete|Perform|Do|Run) |Here|This |Below |The (?:fol|nex)"
    r"|You (?:can|could|may) "
)
_POINTS_BACK: Final = re.compile(
    r"\b(?:this|that|these|those|it|them|both|so|above|such|same|following|first|second|next|other|another|here|below"
    r"|there|started|sure)\b",
    re.IGNORECASE,
)
_SAYS_WHAT: Final = re.compile(r"[`A-Z]|\w{4,}|\w+ \w+ \w+")
_IMPERATIVE: Final = re.compile(r"(?P<verb>[A-Z][a-z]+)(?P<rest> [^.:;?!\n]{3,120}):$")
_MNEMONIC: Final = re.compile(r"\[(\w{1,3})\](?=\w)|(?<=\w)\[(\w{1,3})\]|\[(\w)\](?=[\s,.:)]|$)")
_PLACEHOLDER: Final = re.compile(r"\{\{(?:\[(?:[^|{}\[\]]*\|)*([^|{}\[\]]*)\]|([^{}]*))\}\}")
_ONE_COMMAND: Final = re.compile(r"`[^`\n]+`$")
_EXPLAINS: Final = re.compile(
    r"^(?:This (?:code|function|example|program|command|snippet|script|query|will|creates"
    r"|defines|returns"
    r"|prints|runs|uses|sets|adds|tells|starts|makes|line)|Here,? we|The (?:code|function"
    r"|example|command|first|above)|In this (?:example|code|snippet)|We (?:use|call|create|define|first|start|pass))",
)
_EXAMPLE: Final = re.compile(r"(?:This|The|In this) (?:first |next |following )?(?:example|code|snippet)\b")
_SHELLS: Final = frozenset("sh bash console shell shell-session zsh terminal".split())
_LABELS: Final = {
    "c": "C", "cpp": "C++", "css": "CSS", "go": "Go", "html": "HTML", "java": "Java", "javascript": "JavaScript",
    "js": "JavaScript", "json": "JSON", "kotlin": "Kotlin", "php": "PHP", "py": "Python", "pycon": "Python",
    "python": "Python", "rb": "Ruby", "ruby": "Ruby", "rust": "Rust", "sql": "SQL", "swift": "Swift", "toml": "TOML",
    "ts": "TypeScript", "typescript": "TypeScript", "vue": "Vue", "yaml": "YAML", "yml": "YAML",
    "jsx": "JSX", "tsx": "TSX", "astro": "Astro", "cs": "C#", "csharp": "C#",
}  # fmt: skip


def purposes(section: Section, where: str) -> Iterator[Pair]:
    """ "To list files, run: <code>" → how do I list files?

    Args:
        where: what is put behind the purpose, " in NAME" or nothing.
    """
    blocks = section.blocks
    for at, block in enumerate(blocks):
        if block.kind != "prose" or not _BEGINS.match(block.raw):
            continue
        text = block.text
        wanted = next((found["do"] for pattern in _WANTED if (found := pattern.match(text))), None)
        if wanted is None or speaks_of_document(text) or speaks_of_numbered(text):
            continue
        verb, _, rest = wanted.partition(" ")
        if not is_task(verb, rest):
            continue
        answer = _with_next(text, blocks, at)
        if answer is not None:
            task = f"{verb} {as_reader(rest)}"
            yield Pair(f"purpose-{at}", f"How do I {task}{named(where, task)}?", answer)


def is_task(verb: str, rest: str) -> bool:
    """Whether a verb and what follows it are a task that a reader could have, clear without the text around it."""
    if verb in ("learn", "try", "see", "note", "understand") or not is_verb(verb) or _POINTS_BACK.search(rest):
        return False
    return is_imperative(verb, [verb, *rest.split()]) and bool(_SAYS_WHAT.search(rest))


def named(where: str, task: str) -> str:
    """`where`, unless the task names it already."""
    return where if where and where.split(" ", 2)[2].strip("`").lower() not in task.lower() else ""


def _with_next(text: str, blocks: list[Block], at: int) -> str | None:
    """A text with the code or list that it announces; None where it announces something else, or says too little."""
    if not is_announcement(text):
        return text if len(text) >= MIN_ANSWER_CHARACTERS else None
    following = blocks[at + 1] if at + 1 < len(blocks) else None
    if following is None or following.kind not in ("code", "list") or len(following.raw) > MAX_PART_CHARACTERS * 2:
        return None
    shown = following.text
    return None if following.missing or not shown or len(shown) > MAX_PART_CHARACTERS else f"{text}\n\n{shown}"


def commands(section: Section, where: str) -> Iterator[Pair]:
    """Tasks with the command that does them: "Extract an archive:" and below it the command line.

    Args:
        where: what is put behind the task, " with PROGRAM" or nothing.
    """
    blocks = section.blocks
    for at, block in enumerate(blocks[:-1]):
        if block.kind not in ("prose", "list") or not block.raw.rstrip().endswith(":"):
            continue
        following = blocks[at + 1]
        if following.kind not in ("code", "prose") or (
            following.kind == "prose" and following.raw.lstrip()[:1] != "`"
        ):
            continue
        text = block.text if block.kind == "prose" else block.items[0] if len(block.items) == 1 else ""
        task = _IMPERATIVE.match(plain_task(text))
        if not task or not is_task(task["verb"].lower(), task["rest"]):
            continue
        command = following.text
        if following.missing or not 5 <= len(command) <= MAX_PART_CHARACTERS or command.startswith("`tldr "):
            continue
        if following.kind == "prose":
            if not _ONE_COMMAND.match(command):
                continue
            command = f"```sh\n{without_placeholders(command.strip('`'))}\n```"
        task_text = f"{task['verb'].lower()}{as_reader(task['rest'])}"
        yield Pair(f"command-{at}", f"How do I {task_text}{named(where, task_text)}?", command)


def plain_task(text: str) -> str:
    """A task without the marks of its command's option letters: "[c]reate an archive" → "Create an archive"."""
    plain = _MNEMONIC.sub(lambda mark: mark[1] or mark[2] or mark[3], text) if "[" in text else text
    return plain[:1].upper() + plain[1:]


def without_placeholders(command: str) -> str:
    """A command line without the braces around what a reader fills in, and with the long one of two options."""
    return _PLACEHOLDER.sub(lambda found: found[1] or found[2] or "", command) if "{{" in command else command


def explained_code(section: Section) -> Iterator[Pair]:
    """Code with the prose that explains it: <code> "This command …" → what does this code do?"""
    blocks = section.blocks
    for at, block in enumerate(blocks[:-1]):
        if block.kind != "code" or block.missing or not 30 <= len(block.raw) <= MAX_PART_CHARACTERS:
            continue
        after = blocks[at + 1]
        if after.kind != "prose" or not _EXPLAINS.match(after.raw) or speaks_of_numbered(after.text):
            continue
        if _EXAMPLE.match(after.raw) and at + 2 < len(blocks) and blocks[at + 2].kind == "code":
            continue  # as likely it announces the code below it
        text = without_guidance(after.text)
        if len(text) >= MIN_ANSWER_CHARACTERS and not is_announcement(text):
            yield Pair(f"code-{at}", f"{_asked_of_code(block)}\n\n{block.text}", text)


def _asked_of_code(block: Block) -> str:
    if block.language in _SHELLS:
        lines = sum(1 for line in block.text.split("\n")[1:-1] if line.startswith("$ "))
        return "What do these commands do?" if lines > 1 else "What does this command do?"
    label = _LABELS.get(block.language)
    return f"What does this {label} code do?" if label else "What does this code do?"
