"""Requests with a known domain that no model was trained on: whose labels, and where each comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import orjson
from realsets import DATA

from samloop.example import Example
from samloop.sources import datasets

Labelled = tuple[str, str]
"""A request and its domain."""

HERE = Path(__file__).parent

MT_BENCH = {"writing": "creative", "roleplay": "creative", "reasoning": "reasoning", "math": "reasoning",
            "coding": "code", "humanities": "reasoning"}  # fmt: skip
"""Its own categories. Extraction and STEM questions are left out: they are several things at once."""

T0 = {"cnn_dailymail": "creative", "common_gen": "creative", "duorc_P": "creative", "duorc_S": "creative",
      "kilt_tasks": "factual", "sciq": "factual", "wiki_bio": "factual", "quarel": "reasoning",
      "quartz": "reasoning", "ropes": "reasoning", "cosmos_qa": "reasoning", "wiqa": "reasoning"}  # fmt: skip
"""Task families, as a person would sort them."""

T0_MORE = {"ag_news": "general", "amazon_polarity": "general", "gigaword": "general", "glue_": "general",
           "imdb": "general", "paws": "general", "rotten": "general", "xsum": "general", "yelp": "general",
           "dbpedia": "general", "wiki_qa": "general", "adversarial_qa": "factual", "quoref": "factual",
           "social_i_qa": "reasoning"}  # fmt: skip
"""The families left out above: texts to classify, shorten or compare, facts that stand in a text, and inferences."""

LETTERS = {"C": "code", "R": "reasoning", "W": "creative", "F": "factual", "P": "planning", "T": "conversation",
           "G": "general"}  # fmt: skip


def test_sets() -> dict[str, list[Labelled]]:
    """Every set by name, in the order of the table; without ../shared/data only what is written here."""
    own = {"own held-out": [(text, domain) for domain, _, text in held_out()]}
    if not DATA.is_dir():
        return own
    return {
        "MT-Bench": mt_bench(),
        "T0 families": t0(T0),
        "T0, other families": t0(T0_MORE),
        "LLMBar": llmbar(),
        **own,
    }


def mt_bench() -> list[Labelled]:
    """First question and domain."""
    lines = [orjson.loads(line) for line in (DATA / "evaluate" / "mt_bench_questions.jsonl").open("rb")]
    return [(line["turns"][0], MT_BENCH[line["category"]]) for line in lines if line["category"] in MT_BENCH]


def t0(families: dict[str, str]) -> list[Labelled]:
    """Prompt and domain of its family."""
    found = []
    for path in sorted((DATA / "instruct" / "t0").glob("*.jsonl.gz")):
        domain = next((value for prefix, value in families.items() if path.name.startswith(prefix)), None)
        if domain:
            read = datasets.read(str(path), None)
            found += [(record.input_text, domain) for record in read if isinstance(record, Example)]
    return found


def llmbar() -> list[Labelled]:
    """Questions of LLMBar with the letters of domains_llmbar.toml, which were given before a model was trained."""
    letters = tomllib.loads((HERE / "domains_llmbar.toml").read_text(encoding="utf-8"))
    found = []
    for name, given in letters.items():
        records = orjson.loads((DATA / "preferences" / f"llmbar_{name}.json").read_bytes())
        found += list(zip((record["input"] for record in records), given.replace("\n", ""), strict=True))
    return [(text, LETTERS[letter]) for text, letter in found if letter in LETTERS]


def held_out() -> list[tuple[str, int, str]]:
    """Domain, complexity and text of the requests written for this test, before a model was trained."""
    lines = (HERE / "domains_heldout.tsv").read_text(encoding="utf-8").splitlines()
    return [(domain, int(complexity), text) for domain, complexity, text in (line.split("\t") for line in lines)]
