from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from samloop.errors import InputError, PluginError
from samloop.evaluate import run as runner
from samloop.evaluate.job import EvaluateJob
from samloop.protocols import AdapterRef, Score

LINES = [
    {"id": name, "messages": [{"role": "user", "content": name}, {"role": "assistant", "content": "yes"}]}
    for name in ("one", "two", "three")
]


def write(path: Path, lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def job(tmp_path) -> EvaluateJob:
    return EvaluateJob(
        base=tmp_path / "model",
        backend="torch",
        adapters=(AdapterRef(name="ad-1", path=tmp_path / "ad-1"),),
        suites={"perplexity": write(tmp_path / "items.jsonl", LINES)},
        samples=write(
            tmp_path / "samples.jsonl",
            [{"id": "s", "messages": [{"role": "user", "content": "what?"}], "expected": "that"}],
        ),
    )


def test_a_job_survives_json_and_names_its_kind(job):
    plain = json.loads(json.dumps(job.to_dict()))
    assert plain["kind"] == "evaluate"
    assert EvaluateJob.from_dict(plain) == job
    del plain["kind"]
    assert EvaluateJob.from_dict(plain) == job
    assert job.targets == ("base", "ad-1")


def test_a_broken_job_is_refused(job):
    with pytest.raises(InputError, match="'speed' as well"):
        EvaluateJob.from_dict({**job.to_dict(), "speed": 1})
    with pytest.raises(InputError, match="incomplete"):
        EvaluateJob.from_dict({"base": "x"})
    with pytest.raises(InputError, match="got 'ad-9'"):
        EvaluateJob.from_dict({**job.to_dict(), "targets": ["base", "ad-9"]})


def test_base_and_adapter_are_graded_on_one_load(job, planted, tmp_path):
    model = planted(**{"base": lambda p, a: 2.0, "ad-1": lambda p, a: 0.5})
    model.reply = lambda adapter, prompt: f" {adapter}! "
    loads, metrics = [], []

    def load(base, adapters, form):
        loads.append((base, tuple(adapters), form))
        return model

    result = runner.run(job, tmp_path, metrics.append, load)
    assert loads == [(job.base, job.adapters, "none")]
    result = orjson.loads(orjson.dumps(result))
    scores = {target: [Score.from_dict(s) for s in found] for target, found in result["scores"].items()}
    assert [s.name for s in scores["base"]] == ["perplexity", "bits_per_byte"]
    assert scores["base"][0].mean == pytest.approx(math.exp(2.0))
    assert scores["ad-1"][0].mean == pytest.approx(math.exp(0.5))
    assert scores["base"][0].ids == scores["ad-1"][0].ids == ("one", "two", "three")
    assert result["samples"] == [
        {"id": "s", "question": "what?", "expected": "that", "answers": {"base": "None!", "ad-1": "ad-1!"}}
    ]
    assert [(m["target"], m["suite"], m["done"], m["total"], m["items"]) for m in metrics] == [
        ("base", "perplexity", 1, 2, 3),
        ("ad-1", "perplexity", 2, 2, 3),
    ]


def test_a_base_is_loaded_once_for_each_form_that_the_targets_need(job, planted, tmp_path):
    """Champion and base in four bits, the challenger trained on the whole base: each is graded as it will answer."""
    refs = (
        AdapterRef(name="ad-1", path=tmp_path / "ad-1", quantise="nf4"),
        AdapterRef(name="ad-2", path=tmp_path / "ad-2"),
    )
    job = EvaluateJob.from_dict({**replace(job, targets=(), adapters=refs, quantise="nf4").to_dict()})
    assert job.targets == ("base", "ad-1", "ad-2")
    models = {
        "nf4": planted(**{"base": lambda p, a: 2.0, "ad-1": lambda p, a: 0.5}),
        "none": planted(**{"ad-2": lambda p, a: 1.0}),
    }
    for model in models.values():
        model.reply = lambda adapter, prompt: f" {adapter} "
    loads, metrics = [], []

    def load(base, adapters, form):
        loads.append(([ref.name for ref in adapters], form))
        return models[form]

    result = runner.run(job, tmp_path, metrics.append, load)
    assert loads == [(["ad-1"], "nf4"), (["ad-2"], "none")]
    means = {target: Score.from_dict(found[0]).mean for target, found in result["scores"].items()}
    assert means == pytest.approx({"base": math.exp(2), "ad-1": math.exp(0.5), "ad-2": math.exp(1)})
    assert result["samples"][0]["answers"] == {"base": "None", "ad-1": "ad-1", "ad-2": "ad-2"}
    assert [(m["target"], m["done"], m["total"]) for m in metrics] == [("base", 1, 3), ("ad-1", 2, 3), ("ad-2", 3, 3)]


def test_evaluate_takes_none_for_the_base(planted):
    model = planted(base=lambda p, a: 1.0)
    found = runner.evaluate(model, [None], {"perplexity": LINES}, lambda line: None)
    assert list(found) == [None]
    assert found[None][1].name == "bits_per_byte"


def test_an_unknown_suite_is_named_before_anything_is_graded(planted):
    model = planted(base=lambda p, a: 1.0)
    with pytest.raises(PluginError, match="did you mean 'perplexity'"):
        runner.evaluate(model, [None], {"perplexity": LINES, "perplexty": LINES}, lambda line: None)
    assert model.calls == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"id": 1}\n{broken\n', "line 2 .* not valid JSON"), (b'{"id": 1}\n[]\n', "'id' on line 2")],
)
def test_broken_items_are_named_by_line(tmp_path, content, message):
    path = tmp_path / "items.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        runner.read_items(path)
    with pytest.raises(InputError, match="cannot be read"):
        runner.read_items(tmp_path / "none.jsonl")
