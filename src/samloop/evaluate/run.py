"""Grade the base and adapters on the same items, on one loaded copy of the weights."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from samloop import plugins
from samloop.errors import InputError
from samloop.evaluate.answers import answer_texts
from samloop.evaluate.cache import Cache
from samloop.evaluate.job import BASE, EvaluateJob
from samloop.evaluate.remember import Remembering
from samloop.files import sha256_file
from samloop.protocols import AdapterRef, Model, Score

Item = Mapping[str, Any]
OnMetric = Callable[[dict[str, Any]], None]


def evaluate(
    model: Model, targets: Sequence[str | None], suites: Mapping[str, Sequence[Item]], on_metric: OnMetric
) -> dict[str | None, list[Score]]:
    """The scores of each target on the items of each suite.

    Args:
        targets: names of adapters the model was loaded with; None is the bare base.
        suites: items by the name of a suite plug-in.
        on_metric: called after each suite with {target, suite, done, total, items, seconds}.

    Raises:
        PluginError: there is no such suite.
        InputError: an item does not fit its suite.
    """
    graders = {name: plugins.load("suites", name) for name in suites}
    scores: dict[str | None, list[Score]] = {target: [] for target in targets}
    pairs = list(itertools.product(scores, suites))
    for done, (target, name) in enumerate(pairs, start=1):
        started = time.perf_counter()
        model.use(target)
        if isinstance(model, Remembering):
            model.about(name, [str(item["id"]) for item in suites[name]])
        scores[target] += graders[name](model, suites[name])
        on_metric(
            {
                "target": target or BASE,
                "suite": name,
                "done": done,
                "total": len(pairs),
                "items": len(suites[name]),
                "seconds": time.perf_counter() - started,
            }
        )
    return scores


def run(
    job: EvaluateJob,
    folder: Path,  # noqa: ARG001  every job is run on a folder; this one keeps nothing there
    on_metric: OnMetric,
    load: Callable[[Path, Sequence[AdapterRef], str], Model],
) -> dict[str, Any]:
    """Do an evaluation job.

    Args:
        load: gives the model at a folder, with adapters, held as the last argument says; rooms on one floor do not
            know each other. It is called once for each form of the base that the targets need.

    Returns:
        JSON-ready {"scores": {target: [score]}, "samples": [{id, question, expected, answers: {target: text}}]}.

    Raises:
        InputError: a file of items is missing, empty or broken.
        ModelError: the base or an adapter cannot be loaded.
        PluginError: there is no such suite.
    """
    suites = {name: read_items(path) for name, path in job.suites.items()}
    samples = read_items(job.samples) if job.samples else []
    scores: dict[str, list[dict[str, Any]]] = {}
    answers: dict[str, list[str]] = {}
    cache = Cache(job.cache, job.cache_bytes)
    for form, targets in _by_form(job).items():
        refs = [adapter for adapter in job.adapters if adapter.name in targets]
        model = Remembering(load(job.base, refs, form), cache, _identities(job, refs, form))
        names = {target: None if target == BASE else target for target in targets}
        before = len(scores) * len(suites)
        counted = _from(before, len(job.targets) * len(suites), on_metric)
        graded = evaluate(model, list(names.values()), suites, counted)
        scores |= {target: [score.to_dict() for score in graded[name]] for target, name in names.items()}
        model.about("samples", [str(sample["id"]) for sample in samples])
        answers |= _answered(model, names, samples, job.max_new_tokens)
        del model  # before the next one takes its place in memory
    cache.close()
    return {
        "scores": {target: scores[target] for target in job.targets},
        "samples": [
            {
                "id": sample["id"],
                "question": sample["messages"][-1]["content"],
                "expected": sample.get("expected"),
                "answers": {target: answers[target][at] for target in job.targets},
            }
            for at, sample in enumerate(samples)
        ],
    }


def _identities(job: EvaluateJob, refs: Sequence[AdapterRef], form: str) -> dict[str | None, str]:
    """What tells base and adapters from all others, by the name they are used by."""
    base = f"{job.backend} {form} {job.base_digest}"
    if job.cache is None:  # what is remembered ends with this evaluation, in which names are enough
        return {None: base, **{ref.name: f"{base} {ref.name}" for ref in refs}}
    return {None: base, **{ref.name: f"{base} {_digest(ref.path)}" for ref in refs}}


def _digest(folder: Path) -> str:
    """SHA-256 of the files that make an adapter, in whatever layouts it lies there."""
    found = sorted([*folder.glob("*.safetensors"), *folder.glob("adapter_config.json")])
    return hashlib.sha256(" ".join(f"{file.name} {sha256_file(file)}" for file in found).encode()).hexdigest()


def _by_form(job: EvaluateJob) -> dict[str, list[str]]:
    """The targets, by how the base has to be held for them."""
    own = {adapter.name: adapter.quantise for adapter in job.adapters}
    forms: dict[str, list[str]] = {}
    for target in dict.fromkeys(job.targets):
        forms.setdefault(job.quantise if target == BASE else own[target], []).append(target)
    return forms


def _from(before: int, total: int, on_metric: OnMetric) -> OnMetric:
    """`on_metric`, counting on from `before` up to `total`."""
    return lambda news: on_metric({**news, "done": before + news["done"], "total": total})


def read_items(path: Path) -> list[dict[str, Any]]:
    """The items in a JSONL file, each an object with an "id".

    Raises:
        InputError: the file is missing, or a line is not such an object.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"the items {path} cannot be read ({error.strerror}); evaluate again") from error
    items = []
    for number, line in enumerate(lines, start=1):
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise InputError(
                f"line {number} of the items {path} is not valid JSON; mend it or leave it out"
            ) from None
        if not isinstance(item, dict) or "id" not in item:
            raise InputError(f"expected an object with an 'id' on line {number} of the items {path}")
        items.append(item)
    return items


def _answered(
    model: Model, names: Mapping[str, str | None], samples: Sequence[Item], max_new_tokens: int
) -> dict[str, list[str]]:
    """By target, its answer to each sample."""
    answers: dict[str, list[str]] = {}
    for target, name in names.items():
        model.use(name)
        questions = [sample["messages"] for sample in samples]
        answers[target] = answer_texts(model, questions, max_new_tokens=max_new_tokens)
    return answers
