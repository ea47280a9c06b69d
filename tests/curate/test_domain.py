"""Telling domains: the shipped model knows easy cases, a batch gives what single texts give, models are checked."""

from __future__ import annotations

import hashlib
import json
import random
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from samloop.curate.batch import cleaned
from samloop.curate.domain import Classifier, classified
from samloop.curate.domain.complexity import request_points
from samloop.curate.domain.model import ABOUT, SHIPPED, VERSION, DomainModel
from samloop.curate.domain.ngrams import HEAD_CHARACTERS, TAIL_CHARACTERS, ngrams
from samloop.curate.domain.signs import asked
from samloop.curate.engine import Curator
from samloop.curate.explain import explain
from samloop.errors import RecipeError
from samloop.example import DOMAINS, Example
from samloop.settings import Curate

ROOT = Path(__file__).parents[2]
HELD_OUT = ROOT / "benchmarks" / "curation" / "domains_heldout.tsv"
CARD = SHIPPED.with_name("README.md")
LARGEST_BYTES = 400_000


def column(texts: Sequence[str | None]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def example(asked: str, answered: str = "So it is, as far as one can tell.", **values: object) -> Example:
    return Example(source="dataset", format="instruction", input_text=asked, output_text=answered,
                   created_at=0.0, updated_at=0.0, **values)  # type: ignore[arg-type]  # fmt: skip


def batch(examples: Sequence[Example]) -> pa.RecordBatch:
    return cleaned(examples, lambda _: False).to_batch()


def held_out() -> list[tuple[str, str]]:
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    return [(domain, text) for domain, _, text in (line.split("\t") for line in lines)]


@pytest.fixture(scope="module")
def model() -> DomainModel:
    return DomainModel.load(SHIPPED)


def test_the_shipped_model_is_small_and_knows_every_domain(model: DomainModel) -> None:
    assert SHIPPED.stat().st_size < LARGEST_BYTES
    assert set(model.domains) == set(DOMAINS)
    assert model.weights.any(axis=0).all()


def test_the_card_speaks_of_the_model_that_ships() -> None:
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert re.findall(r"\b[0-9a-f]{64}\b", CARD.read_text(encoding="utf-8")) == [digest]


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Write a Python function that reverses a list.", "code"),
        ("fix my code", "code"),
        ("How do I undo a git merge?", "code"),
        ("Why do leaves fall in autumn?", "reasoning"),
        ("Tom has 12 apples and gives 5 to Ann. How many are left?", "reasoning"),
        ("Compare renting a house with buying one.", "reasoning"),
        ("Write a limerick about a frog.", "creative"),
        ("Pretend to be a pirate and greet me.", "creative"),
        ("What is the capital of Peru?", "factual"),
        ("Who was Ada Lovelace?", "factual"),
        ("Plan a trip to Rome for three days.", "planning"),
        ("Make a packing list for Norway in winter.", "planning"),
        ("Hello, how are you?", "conversation"),
        ("thanks!", "conversation"),
        ("Who made you?", "conversation"),
        ("Translate this sentence into German: The door is open.", "general"),
        ("Correct the spelling: I recieve it.", "general"),
        ("Schreibe ein Gedicht über den Herbst.", "creative"),
        ("¿Cuál es la capital de Francia?", "factual"),
    ],
)
def test_easy_cases(model: DomainModel, text: str, domain: str) -> None:
    assert model.told(column([text])).tolist() == [domain]


@pytest.mark.parametrize("text", ["", None, " ", ". - ,", "\u0301" * 500, "x" * 100_000])
def test_what_says_nothing_is_general(model: DomainModel, text: str | None) -> None:
    assert model.told(column([text])).tolist() == ["general"]
    assert model.why(text or "")


def test_the_model_beats_the_keywords_on_requests_it_has_not_seen() -> None:
    labelled = held_out()
    requests, true = batch([example(text) for _, text in labelled]), np.array([domain for domain, _ in labelled])
    by_model, by_keywords = (np.mean(classified(requests, by)[0] == true) for by in ("model", "keywords"))
    assert by_model > 0.75
    assert by_keywords < 0.5


def test_no_held_out_request_was_trained_on() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        written = runpy.run_path(str(ROOT / "scripts" / "domain_texts.py"))["written"]
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    seen = {text.casefold().strip(" .?!") for text, _ in written(0, 6)}
    assert len(seen) > 2000
    assert {text for _, text in held_out() if text.casefold().strip(" .?!") in seen} <= {"Good morning"}


PIECES = ("Write a poem", "why", " ", "\n", ". ", "?", "é", "語", "e\u0301", "\U0001f600", "42", "{x}", "_")
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=200).map("".join),
)


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), skipped=st.integers(0, 3))
def test_alone_a_text_has_the_scores_that_it_has_in_a_batch(texts: list[str | None], skipped: int) -> None:
    model = Classifier().model
    assert model is not None
    clean = [t.encode("utf-8", "replace").decode() if t else t for t in texts]
    together = model.scores(column(["Before it."] * skipped + clean).slice(skipped))
    alone = np.concatenate([model.scores(column([text])) for text in clean])
    assert together.tobytes() == alone.tobytes()
    assert model.told(column(clean)).tolist() == [model.told(column([text]))[0] for text in clean]
    assert np.isfinite(together).all()


def test_of_a_long_request_both_ends_are_read(model: DomainModel) -> None:
    pasted = "The lamp stood on the table by the window, and nobody had lit it for years. " * 400
    asked_first, asked_last = "Write a Python function.\n" + pasted, pasted + "\nWrite a Python function."
    most = 4 * (HEAD_CHARACTERS + TAIL_CHARACTERS) + 1
    for text in (asked_first, asked_last):
        found = ngrams(column([text]), model.bits)
        assert {"Python function", "Write a"} <= {found.text(i) for i in range(len(found.row))}
        assert len(found.raw) <= most
    assert model.scores(column([asked_first + "?"])).shape == (1, len(DOMAINS))


def test_ngrams_are_named_as_they_stand_in_the_text() -> None:
    found = ngrams(column(["Nothing.", "Explain it: 'why'?"]), 15)
    names = [found.text(i) for i in np.flatnonzero(found.row == 1)]
    assert names == [
        "Explain", "it", "why", "?", "Explain it", "it: 'why", "why'?", "^Explain", "^Explain it", "Expl-",
        "(16 bytes and more)",
    ]  # fmt: skip


def test_a_sentence_begins_after_a_mark_of_its_own_text_only() -> None:
    ends_in_a_mark = ngrams(column(["Go?", "(so"]), 15)
    assert [ends_in_a_mark.text(i) for i in np.flatnonzero(ends_in_a_mark.row == 1) if i] == [
        "(", "so", "(so", "^(", "^(so", "(under 16 bytes)",
    ]  # fmt: skip


def test_code_in_the_answer_decides_whatever_the_request_says() -> None:
    shown = batch([example("Write a poem on rain.", "```python\nprint('rain')\n```")])
    for by in ("model", "keywords"):
        assert classified(shown, by)[0].tolist() == ["code"]
        assert Classifier(by).why(shown) == "code in its text, its language or its source"


def test_reasons_name_what_decided() -> None:
    one = example("Write a haiku on rain.")
    by_model = explain(Curator(Curate()), one)
    assert by_model.domain == "creative"
    assert re.match(r"[0-9]+%, before \w+ with [0-9]+%; for it: “", by_model.domain_reason)
    assert "haiku” +" in by_model.domain_reason
    by_keywords = explain(Curator(Curate(domains="keywords")), one)
    assert (by_keywords.domain, by_keywords.domain_reason) == ("creative", "keywords: “haiku”")
    none = explain(Curator(Curate(domains="keywords")), example("Blue or green?"))
    assert (none.domain, none.domain_reason) == ("general", "no keyword of another domain")


def test_the_amounts_of_a_reason_are_what_the_model_adds_up() -> None:
    weights = np.zeros((2, 2), dtype=np.int8)
    weights[:, 1] = 3
    tiny = DomainModel(("code", "planning"), weights, 0.5, np.zeros(2))
    found = ngrams(column(["go"]), tiny.bits)
    lifted = len(found.row) * 3 * 0.5 / np.sqrt(len(found.row))
    assert tiny.scores(column(["go"])).tolist() == [[0.0, pytest.approx(lifted)]]
    named = [float(amount) for amount in re.findall(r"\+([0-9.]+)", tiny.why("go"))]
    assert sum(named) == pytest.approx(lifted, abs=0.02)


def test_a_model_of_ones_own_replaces_it(tmp_path: Path) -> None:
    only_planning = DomainModel(("code", "planning"), np.zeros((2, 2), dtype=np.int8), 0.1, np.array([0.0, 9.0]))
    only_planning.save(tmp_path / "own.safetensors")
    curator = Curator(Curate(domains=str(tmp_path / "own.safetensors")))
    assert curator.curate([example("Write a haiku on rain.")]).rows[0]["domain"] == "planning"


ABOUT_OWN = json.dumps({"version": VERSION, "domains": ["code", "planning"], "scale": 0.1})
RIGHT = {"weights": np.zeros((2, 2), dtype=np.int8), "bias": np.zeros(2)}


@pytest.mark.parametrize(
    ("tensors", "about"),
    [
        (RIGHT, None),
        (RIGHT, "{"),
        (RIGHT, "[]"),
        (RIGHT, ABOUT_OWN.replace(f": {VERSION},", ": 99,")),
        (RIGHT, ABOUT_OWN.replace("planning", "gardening")),
        (RIGHT, ABOUT_OWN.replace("planning", "code")),
        (RIGHT, ABOUT_OWN.replace("0.1", "NaN")),
        ({"weights": RIGHT["weights"]}, ABOUT_OWN),
        ({**RIGHT, "weights": np.zeros((3, 2), dtype=np.int8)}, ABOUT_OWN),
        ({**RIGHT, "weights": np.zeros((2, 2))}, ABOUT_OWN),
        ({**RIGHT, "weights": np.zeros(2, dtype=np.int8)}, ABOUT_OWN),
        ({**RIGHT, "bias": np.zeros(3)}, ABOUT_OWN),
        ({**RIGHT, "bias": np.array([0.0, np.inf])}, ABOUT_OWN),
        ({**RIGHT, "bias": np.zeros(2, dtype=np.int8)}, ABOUT_OWN),
    ],
)
def test_a_file_that_holds_no_such_model_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], about: str | None
) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(save(tensors, metadata={ABOUT: about} if about else None))
    with pytest.raises(RecipeError, match=r"expected a domain model .* got .*; name a file"):
        DomainModel.load(path)


@pytest.mark.parametrize("by", ["modle", "own.safetensors", "", "~nobody-of-that-name/x", "{}/none", "{}", "{}/text"])
def test_what_names_no_model_is_refused(tmp_path: Path, by: str) -> None:
    (tmp_path / "text").write_text("no model")
    with pytest.raises(Exception, match=r"^expected .*; .*") as refused:
        Curator(Curate(domains=by.format(tmp_path)))
    assert type(refused.value).__name__ in {"RecipeError", "UsageError"}


def test_complexity_counts_what_is_asked() -> None:
    rng = random.Random(0)
    asks = [
        "Hello!",
        "Write a poem.",
        "Plan a day.",
        "Tom has 3 pens, 5 cups and 7 keys, Ann has 2, 4 and 6. Who has more?",
    ]
    requests = batch([example(text) for text in asks])
    domain = classified(requests)[0]
    assert domain.tolist() == ["conversation", "creative", "planning", "reasoning"]
    assert request_points(requests, asked(requests), domain).tolist() == [0, 1, 2, 4]
    order = rng.sample(range(4), 4)
    shuffled = batch([example(asks[i]) for i in order])
    assert classified(shuffled)[1].tolist() == [int(classified(requests)[1][i]) for i in order]
    assert classified(requests, "keywords")[1].tolist() == [1, 1, 1, 1]
