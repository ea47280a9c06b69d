"""Where the quality models learn from: questions with their answers, out of permissively licensed repositories.

Each is a git repository, given as a folder (a checkout or a bare one) named in quality_texts.toml. None of them is
among the sets that benchmarks/curation/score_auroc.py measures on. A pair is a question, its answer and the kind of
text the answer is.
"""

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TEXTS = Path(__file__).with_suffix(".toml")
LONGEST = 6000


@dataclass(frozen=True)
class Pair:
    """A question and its answer."""

    asked: str
    answered: str


def pairs(repositories: Path, most: int, seed: int) -> dict[str, list[Pair]]:
    """By title, at most `most` pairs each, drawn."""
    found: dict[str, list[Pair]] = {}
    for row in tomllib.loads(TEXTS.read_text())["text"]:
        name = row["name"]
        files = _stdlib() if name == "python" else _files(repositories / name, row["pattern"])
        made = {
            (asked.strip(), answered.strip())
            for path, text in files
            for asked, answered in READERS[row["reader"]](path, text)
            if asked.strip() and 0 < len(answered.strip()) <= LONGEST
        }
        chosen = sorted(made)
        random.Random(seed).shuffle(chosen)
        found[row["title"]] = [Pair(*one) for one in chosen[: row.get("most", most)]]
    return found


def _files(folder: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """Path and text of the newest commit's files whose path matches."""
    git = ["git", "-C", str(folder)]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", "-z", "HEAD"], capture_output=True, check=True)
    paths = [p for p in listed.stdout.decode().split("\0") if re.search(pattern, p)]
    asked = "".join(f"HEAD:{path}\n" for path in paths).encode()
    shown = subprocess.run([*git, "cat-file", "--batch"], input=asked, capture_output=True, check=True).stdout
    at = 0
    for path in paths:
        head, _, _ = shown[at : at + 300].partition(b"\n")
        at += len(head) + 1
        if head.endswith(b"missing"):
            continue
        size = int(head.split()[-1])
        raw = shown[at : at + size]
        at += size + 1
        yield path, (gzip.decompress(raw) if path.endswith(".gz") else raw).decode(errors="replace")


def _stdlib() -> Iterator[tuple[str, str]]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py")):
        yield path.name, path.read_text(encoding="utf-8")


def instructions(_: str, text: str) -> Iterator[tuple[str, str]]:
    """A JSON list in Alpaca's shape."""
    for row in json.loads(text):
        yield f"{row['instruction']}\n{row.get('input', '')}", row["response"]


def dialogues(_: str, text: str) -> Iterator[tuple[str, str]]:
    """Anthropic's HH: the last answer, after the turns before it."""
    for line in text.splitlines():
        parts = re.split(r"\n\n(?:Human|Assistant): ", json.loads(line)["chosen"])
        yield "\n".join(parts[-4:-1]), parts[-1]
        if len(parts) > 3:
            yield parts[1], parts[2]


def prompts(_: str, text: str) -> Iterator[tuple[str, str]]:
    """Prompt and completion per line, as T0's templates give them."""
    for line in text.splitlines():
        row = json.loads(line)
        yield row["prompt"], row["completion"].replace("<|endoftext|>", "")


def rationales(_: str, text: str) -> Iterator[tuple[str, str]]:
    """AQuA: a problem with options, its working."""
    for line in text.splitlines():
        row = json.loads(line)
        yield row["question"] + "\n" + "\n".join(row["options"]), row["rationale"]
        yield row["question"], row["rationale"] + "\nThe answer is " + row["correct"]


def definitions(_: str, text: str) -> Iterator[tuple[str, str]]:
    """WordNet: a word and its gloss, an example of its use."""
    for _name, parts in _synsets(text):
        said, words, used = parts.get("definition", []), parts.get("members", []), parts.get("example", [])
        if not said or not words:
            continue
        choice = len(said[0]) % 4
        if used and choice == 0:
            yield f'Write a sentence with the word "{words[0]}" ({said[0]}).', used[0]
        elif choice == 1:
            yield f"What does {words[0]} mean?", said[0]
        elif choice == 2:
            yield f"Define: {words[0]}", f"{said[0][:1].upper()}{said[0][1:]}."
        else:
            yield f"Which word means: {said[0]}?", words[0]


def lists(path: str, text: str) -> Iterator[tuple[str, str]]:
    """WordNet: some kinds of a thing, as lists of several shapes."""
    rng, named, below = random.Random(path), {}, {}
    for name, parts in _synsets(text):
        if parts.get("members"):
            named[name] = parts["members"][0]
            for over in (*parts.get("hypernym", []), *parts.get("instance_hypernym", [])):
                below.setdefault(over, []).append(parts["members"][0])
    for over, kinds in below.items():
        if over not in named or len(kinds) < 3:
            continue
        for _ in range(min(4, len(kinds) // 3)):
            some = rng.sample(kinds, min(len(kinds), rng.randint(3, 12)))
            some = [one[:1].upper() + one[1:] for one in some] if rng.random() < 0.7 else some
            shape = rng.choice(["- ", "* ", "1. ", "1) ", ", ", "\n"])
            if shape in (", ", "\n"):
                answer = shape.join(some)
            elif shape[0] == "1":
                answer = "\n".join(f"{at}{shape[1:]}{one}" for at, one in enumerate(some, 1))
            else:
                answer = "\n".join(f"{shape}{one}" for one in some)
            asked = rng.choice(
                ["List some kinds of {}.", "Name {} examples of {}.", "What are some {}s?", "Give me a list: {}"]
            )
            yield asked.format(*([len(some), named[over]] if asked.count("{}") == 2 else [named[over]])), answer


def _synsets(text: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Name and lists of each entry of one of WordNet's files."""
    for entry in re.split(r"(?m)^(?=\d{8}-[a-z]:)", text):
        parts: dict[str, list[str]] = {}
        some: list[str] = []
        for line in entry.splitlines()[1:]:
            if line.startswith("  - "):
                some.append(line[4:])
            elif line.startswith("    ") and some:
                some[-1] += " " + line.strip()
            elif line[:2] == "  " and line.endswith(":"):
                some = parts[line.strip(" :")] = []
            else:
                some = []
        yield entry[:10], {key: [_plain(one) for one in values] for key, values in parts.items()}


def _plain(text: str) -> str:
    return " ".join(text.split()).strip("'\"").replace("''", "'")


def chapters(_: str, text: str) -> Iterator[tuple[str, str]]:
    """OpenStax: sections under their titles, terms with their meaning, questions that open a section."""
    for title, body in re.findall(r"(?s)<section[^>]*>\s*<title>(.*?)</title>(.*?)(?=<section|</section)", text):
        said = [_untagged(p) for p in re.findall(r"(?s)<para[^>]*>(.*?)</para>", body)]
        if said:
            yield _untagged(title), "\n\n".join(said[:3])
        for one in said:
            first, _, rest = one.partition(". ")
            if len(rest) > 60:
                yield f"Go on: {first}.", rest
    defined = r"(?s)<definition[^>]*>\s*<term[^>]*>(.*?)</term>\s*<meaning[^>]*>(.*?)</m"
    for term, meaning in re.findall(defined, text):
        yield f"What is meant by {_untagged(term)}?", _untagged(meaning)


def _untagged(text: str) -> str:
    plain = re.sub(r"<[^>]+>", "", text).replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return " ".join(plain.split())


def commands(_: str, text: str) -> Iterator[tuple[str, str]]:
    """tldr pages: what is wanted, the command."""
    name = text.partition("\n")[0].strip("# ")
    about = re.findall(r"(?m)^> (.*)", text)
    if about:
        yield f"What is {name} for?", about[0]
    for wanted, command in re.findall(r"(?m)^- (.*):\n\n`(.*)`", text):
        plain = wanted.replace("[", "").replace("]", "")
        yield f"{plain} with {name}", re.sub(r"\{\{(.*?)\}\}", r"\1", command)


def markdown(_: str, text: str) -> Iterator[tuple[str, str]]:
    """Sections under their headings."""
    text = re.sub(r"(?s)\A---\n.*?\n---\n|<!--.*?-->", "", text)
    title = ""
    for level, head, body in re.findall(r"(?m)^(#{1,4}) +(.*)\n((?:(?!^#{1,4} ).*\n?)*)", text):
        head = re.sub(r"[#*`]|\[|\]\([^)]*\)", "", head).strip()
        title = head if level == "#" else title
        body = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"!\[[^\]]*\]\([^)]*\)", "", body)).strip()
        if len(body) > 40:
            yield (head if level == "#" or not title else f"{title}: {head}"), body[:LONGEST]


def recipes(path: str, text: str) -> Iterator[tuple[str, str]]:
    """A dish and how to cook it."""
    dish = Path(path).stem.replace("-", " ")
    sections = list(markdown(path, text))
    for head, body in sections:
        yield f"{dish}: {head}", body
    if sections:
        yield f"How do I make {dish}?", "\n\n".join(body for _, body in sections)


def snippets(_: str, text: str) -> Iterator[tuple[str, str]]:
    """30 seconds of code: what it does, the code."""
    body = re.sub(r"(?s)\A---\n.*?\n---\n", "", text).strip()
    code = re.findall(r"(?s)```\w*\n(.*?)```", body)
    if code:
        yield f"Write JavaScript. {body.partition('```')[0]}", code[0]
        yield body.partition("\n")[0], body.partition("\n")[2]


def countries(path: str, text: str) -> Iterator[tuple[str, str]]:
    """The World Factbook: a country, a heading, what is said."""
    told = json.loads(text)
    named = told.get("Government", {}).get("Country name", {}).get("conventional short form", {}).get("text", "")
    name = named if named and named != "none" else Path(path).stem
    for part, fields in told.items():
        for head, field in fields.items():
            if isinstance(field.get("text"), str) and len(field["text"]) > 30:
                yield f"{name}: {part}, {head}", re.sub(r"<[^>]+>", "", field["text"])


def functions(_: str, text: str) -> Iterator[tuple[str, str]]:
    """Python: what a docstring says, and the function without it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (said := ast.get_docstring(node)):
            about = said.partition("\n\n")[0]
            body = node.body[1:]
            code = ast.get_source_segment(text, node) or ""
            if not body or len(about) < 15 or len(code) > LONGEST:
                continue
            lines = text.splitlines()
            kept = [*lines[node.lineno - 1 : node.body[0].lineno - 1], *lines[body[0].lineno - 1 : node.end_lineno]]
            indent = len(kept[0]) - len(kept[0].lstrip())
            bare = "\n".join(line[indent:] for line in kept)
            yield f"Write a Python function. {about}", f"```python\n{bare}\n```" if len(about) % 3 == 0 else bare
            if len(about) % 5 == 0:
                yield f"What does this do?\n\n{bare[:1500]}", said


READERS: dict[str, Callable[[str, str], Iterator[tuple[str, str]]]] = {
    "instructions": instructions,
    "dialogues": dialogues,
    "prompts": prompts,
    "rationales": rationales,
    "definitions": definitions,
    "lists": lists,
    "chapters": chapters,
    "commands": commands,
    "markdown": markdown,
    "recipes": recipes,
    "snippets": snippets,
    "countries": countries,
    "functions": functions,
}
