"""What the domain model trains on: requests written for it, and public ones, labelled by hand or by their set."""

from __future__ import annotations

import gzip
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

HERE = Path(__file__).parent

LETTERS: Final = {
    "C": "code", "R": "reasoning", "W": "creative", "F": "factual", "P": "planning", "T": "conversation",
    "G": "general",
}  # fmt: skip

SLOT: Final = re.compile(r"\{([a-z]+)\}")

Labelled = tuple[str, str]
"""A request and its domain."""


def written(seed: int, per_template: int) -> list[Labelled]:
    """The requests of domain_seeds.txt: a line without a slot once, one with slots up to `per_template` times."""
    lists, templates = _seeds()
    drawn, found = random.Random(seed), []
    for domain, template in templates:
        for _ in range(per_template if SLOT.search(template) else 1):
            text = SLOT.sub(lambda slot: drawn.choice(lists[slot[1]]), template)
            found.append((_varied(text, drawn), domain))
    return sorted(set(found))


def _seeds() -> tuple[dict[str, list[str]], list[Labelled]]:
    lists: dict[str, list[str]] = {}
    templates: list[Labelled] = []
    domain, into = "", None
    for line in (HERE / "domain_seeds.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            into = lists.setdefault(line[2:], [])
        elif line.startswith("[") and line.endswith("]") and line[1:-1] in LETTERS.values():
            domain, into = line[1:-1], None
        elif line and not line.startswith("#"):
            if into is None:
                templates.append((domain, line))
            else:
                into.append(line)
    return lists, templates


def _varied(text: str, drawn: random.Random) -> str:
    """As people write: now and then without capitals, without the last mark, politely, on several lines."""
    chance = drawn.random()
    if chance < 0.12:
        return text.lower()
    if chance < 0.2:
        return text.rstrip(".?!")
    if chance < 0.26 and text[0].isupper() and text.isascii():
        opening = drawn.choice(["Please ", "Can you please ", "I would like you to ", "Now "])
        return opening + text[0].lower() + text[1:]
    if chance < 0.32:
        return text.replace(": ", ":\n\n").replace(". ", ".\n", 1)
    return text


def by_hand(data: Path) -> list[Labelled]:
    """Requests of Self-Instruct, Open-Assistant, PandaLM, IFEval and Glaive, as domain_labels.toml has them."""
    labels = tomllib.loads((HERE / "domain_labels.toml").read_text(encoding="utf-8"))
    found = [
        *zip(_self_instruct(data), labels["self_instruct"]["letters"].replace("\n", ""), strict=True),
        *zip(_oasst(data), labels["oasst"]["letters"].replace("\n", ""), strict=True),
    ]
    placed = {"pandalm": _pandalm, "oasst_replies": _oasst_replies, "ifeval": _ifeval, "glaive": _glaive}
    for name, read in placed.items():
        asked = read(data)
        found += [(asked[at], letter) for letter, places in labels[name].items() for at in places]
    return [(text, LETTERS[letter]) for text, letter in found if letter in LETTERS]


def _lines(path: Path) -> Iterator[dict]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from map(orjson.loads, file)


def _self_instruct(data: Path) -> list[str]:
    found = []
    for line in _lines(data / "instruct" / "self_instruct_seed_tasks.jsonl"):
        given = line["instances"][0]["input"]
        found.append(f"{line['instruction']}\n{given}" if given else line["instruction"])
    return found


def _oasst(data: Path) -> list[str]:
    return [line["prompt"]["text"] for line in _lines(data / "conversations" / "oasst_trees.jsonl")]


def _pandalm(data: Path) -> dict[int, str]:
    records = orjson.loads((data / "preferences" / "pandalm_testset.json").read_bytes())
    return {r["idx"]: f"{r['instruction']}\n{r['input']}" if r["input"] else r["instruction"] for r in records}


def _oasst_replies(data: Path) -> list[str]:
    found: list[str] = []

    def walk(message: dict) -> None:
        for reply in message.get("replies", []):
            if reply["role"] == "prompter" and reply.get("lang") == "en":
                found.append(reply["text"])
            walk(reply)

    for line in _lines(data / "conversations" / "oasst_trees.jsonl"):
        walk(line["prompt"])
    return found


def _ifeval(data: Path) -> list[str]:
    return [line["prompt"] for line in _lines(data / "evaluate" / "ifeval.jsonl")]


def _glaive(data: Path) -> list[str]:
    records = orjson.loads((data / "instruct" / "glaive_toolcall_sharegpt.json").read_bytes())
    return [record["conversations"][0]["value"] for record in records]


def as_a_whole(data: Path, most: int, seed: int) -> list[Labelled]:
    """Up to `most` requests each of sets that hold one domain only."""
    code = [
        f"{r['instruction']}\n{r['input']}" if r["input"] else r["instruction"]
        for r in orjson.loads((data / "instruct" / "gpteacher_codegen.json").read_bytes())
    ]
    arithmetic = [line["question"] for line in _lines(data / "evaluate" / "gsm8k_test.jsonl")]
    code += [line["prompt"] for line in _lines(data / "evaluate" / "HumanEval.jsonl.gz")]
    about = [r["instruction"] for r in orjson.loads((data / "instruct" / "identity.json").read_bytes())]
    drawn = random.Random(seed)
    return [
        (text, domain)
        for texts, domain in ((code, "code"), (arithmetic, "reasoning"), (about, "conversation"))
        for text in drawn.sample(texts, min(most, len(texts)))
    ]
