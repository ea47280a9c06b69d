"""The texts of the pocket base: which files, under which licence, and how they become documents to read.

pocket_texts.toml names every text. A document is raw text or a conversation; some are derived from others (headings
asked about, code as a diff with its commit message), and two kinds are made up: small exercises, and routing
questions answered at random, so that the base knows the form of the question and nothing about the answer.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import itertools
import json
import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

from pocket_exercises import LABELS, exercises, sentences
from samloop.sources import routing
from samloop.sources.routing_templates import wordings

TEXTS = Path(__file__).with_suffix(".toml")
CHUNK_CHARACTERS = 1200
FILLINGS_PER_WORDING = 16

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Document:
    """A raw text, or a conversation; `kind` is its part of the mix."""

    kind: str
    content: str | Messages

    @property
    def plain(self) -> str:
        """All of its text, without a template."""
        return self.content if isinstance(self.content, str) else "\n".join(m["content"] for m in self.content)

    @property
    def held_out(self) -> bool:
        """One document in fifty is kept for the held-out loss, chosen by its own text."""
        return hashlib.sha256(self.plain.encode()).digest()[0] % 50 == 0


@dataclass
class Text:
    """One row of pocket_texts.toml, and what was found of it."""

    pattern: str
    title: str
    source: str
    licence: str
    note: str = ""
    excluded: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


def read_texts(folders: Iterable[Path]) -> list[Text]:
    """The texts found under `folders`, with their documents; those that were not found are left out."""
    rows = tomllib.loads(TEXTS.read_text(encoding="utf-8"))["text"]
    texts = [Text(excluded=row.pop("except", []), **row) for row in rows]
    files = sorted({p for folder in folders for p in folder.rglob("*") if p.is_file()})
    for path in files:
        text = next((t for t in texts if _matches(t, path)), None)
        if text:
            text.files.append(path)
            text.documents += _documents(path)
    return [t for t in texts if t.files]


def routing_tasks(documents: Sequence[Document], seed: int) -> list[str]:
    """Tasks in as many wordings as there are, none of them held out for the routing suite."""
    tasks = []
    for label in routing.LABELS:
        for wording in wordings(label, held_out=False):
            tasks += itertools.islice(wording.tasks(seed, unseen_fillings=False), FILLINGS_PER_WORDING)
    asked = {item["task"].casefold() for item in routing.held_out()}
    firsts = {
        d.content[0]["content"].split("\n")[0] for d in documents if d.kind in ("instructions", "conversations")
    }
    return tasks + sorted(text for text in firsts if 12 < len(text) < 160 and text.casefold() not in asked)


def random_routing(tasks: Sequence[str], chance: random.Random) -> Iterator[Document]:
    """Routing questions with answers drawn at random, without end.

    Two in five ask among other labels, or in another order, so that the form is learnt and not one sentence.
    """
    while True:
        labels = list(routing.LABELS)
        if chance.random() < 0.4:
            labels = chance.sample([*labels, *LABELS], chance.randint(2, 5))
        task = chance.choice(tasks)
        yield Document("routing, random answers", _pair(routing.question(task, labels), chance.choice(labels)))


def made_exercises(documents: Sequence[Document], tasks: Sequence[str], chance: random.Random) -> Iterator[Document]:
    """Small exercises on sentences of the texts, without end; held-out documents lend none."""
    material = sentences([d.plain for d in documents if not d.held_out])
    for question, answer in exercises(material, tasks, chance):
        yield Document("exercises", _pair(question, answer))


def _matches(text: Text, path: Path) -> bool:
    name = path.as_posix()
    return fnmatch.fnmatch(name, f"*/{text.pattern}") and not any(
        fnmatch.fnmatch(path.name, pattern) for pattern in text.excluded
    )


def _documents(path: Path) -> list[Document]:
    if path.suffix == ".md":
        return list(_from_markdown(path.read_text(encoding="utf-8")))
    found = []
    for record in _records(path):
        found += _from_record(record)
    return found


def _records(path: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    return json.loads(data)


def _from_markdown(text: str) -> Iterator[Document]:
    """The text in chunks, and each section once as question and answer."""
    chunk = ""
    for paragraph in text.split("\n\n"):
        if chunk and len(chunk) + len(paragraph) > CHUNK_CHARACTERS:
            yield Document("raw text", chunk)
            chunk = ""
        chunk = f"{chunk}\n\n{paragraph}".strip()
    yield Document("raw text", chunk)
    for heading, body in re.findall(r"^#+ (.+)\n\n((?:[^#\n].*\n?)+)", text, re.MULTILINE):
        if len(body) > 80:
            yield Document("questions on sections", _pair(f"Explain: {heading.strip()}", body.strip()))


def _from_record(record: dict[str, Any]) -> Iterator[Document]:
    if "message_tree_id" in record:
        yield from _from_tree(record["prompt"])
    elif "conversations" in record:
        roles = {"human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant"}
        turns = [{"role": roles[t["from"]], "content": t["value"]} for t in record["conversations"]]
        yield Document("conversations", turns)
    elif "instances" in record:
        for each in record["instances"]:
            yield Document("instructions", _pair(_joined(record["instruction"], each["input"]), each["output"]))
    elif "prompt" in record:
        answer = record["completion"].removesuffix("<|endoftext|>").strip()
        yield Document("instructions", _pair(record["prompt"].strip(), answer))
    else:
        answer = record.get("output", record.get("response", "")).replace("{{author}}", "the samloop project")
        answer = answer.replace("{{name}}", "SAM")
        yield Document("instructions", _pair(_joined(record["instruction"], record.get("input", "")), answer))
        yield from _as_commit(record["instruction"], answer)


def _from_tree(message: dict[str, Any]) -> Iterator[Document]:
    """The English branch whose answers people ranked best, as far as it ends in an answer."""
    turns: Messages = []
    while message and message["lang"] == "en":
        turns.append({"role": _TREE_ROLES[message["role"]], "content": message["text"]})
        message = min(message["replies"], key=lambda reply: reply.get("rank") or 0, default={})
    answered = turns[: len(turns) // 2 * 2]
    if answered:
        yield Document("conversations", answered)


_TREE_ROLES = {"prompter": "user", "assistant": "assistant"}
_IMPERATIVE = {
    "write": "Add",
    "create": "Add",
    "design": "Add",
    "develop": "Add",
    "implement": "Implement",
    "build": "Add",
}
_ASKED = (
    "Write a one-line commit message for this change to {repo}.",
    "What is a good commit message for these changes to {repo}?",
    "Here is my diff for {repo}. Suggest a short commit message.",
    "Describe this change to {repo} as a commit message.",
)
_REPOSITORIES = ("tools", "webshop", "notes", "server", "examples", "library", "client", "scripts")
_SUFFIXES = {"#include": "cpp", "def ": "py", "public class": "java", "function": "js", "const ": "js", "fn ": "rs"}
_FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def _as_commit(instruction: str, answer: str) -> Iterator[Document]:
    """Code that an instruction asked for, as a diff, with the instruction as its commit message."""
    verb, _, rest = instruction.partition(" ")
    if verb.lower() not in _IMPERATIVE or not any(mark in answer for mark in (";", "def ", "{", "import ")):
        return
    code = (_FENCE.search(answer) or [answer, answer])[1]
    lines = code.strip().splitlines()[:24]
    words = re.findall(r"[a-z]{4,}", rest.lower())[-2:]
    suffix = next((suffix for mark, suffix in _SUFFIXES.items() if mark in code), "txt")
    file = f"src/{'_'.join(words) or 'main'}.{suffix}"
    diff = "\n".join(f"+{line}" for line in lines)
    change = f"{file} | new +{len(lines)}\n1 file changed, +{len(lines)} -0\n\n```diff\n--- {file}\n{diff}\n```"
    asked = _ASKED[len(answer) % len(_ASKED)].format(repo=_REPOSITORIES[len(code) % len(_REPOSITORIES)])
    subject = shorten(f"{_IMPERATIVE[verb.lower()]} {re.split(r'[.,;:]', rest)[0]}", 72, placeholder="")
    yield Document("commit messages", _pair(f"{asked}\n\n{change}", subject))


def _joined(instruction: str, extra: str) -> str:
    return f"{instruction}\n\n{extra}" if extra else instruction


def _pair(question: str, answer: str) -> Messages:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
