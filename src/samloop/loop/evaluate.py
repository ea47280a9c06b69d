"""Evaluate: base, champion and challenger on the same held-out items, in a child process."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.adapters.registry import Registry
from samloop.child import run_job
from samloop.errors import NotFoundError, UsageError
from samloop.evaluate.compare import compare, interval
from samloop.evaluate.job import EvaluateJob
from samloop.example import to_json
from samloop.files import private_folder, storing, write_atomic, write_json
from samloop.loop.context import Context
from samloop.loop.prepare import latest
from samloop.loop.serving import base_form, reference
from samloop.loop.suite_items import items_for
from samloop.loop.train import OnMetric, backend_name
from samloop.prepare.dataset import Dataset
from samloop.protocols import Comparison, Interval, Score
from samloop.text.base import base_digest, resolve_base

BASE: Final = "base"
SLOT: Final = "main"
SAMPLES: Final = 3
"""How many held-out questions of each suite are answered in full, to be read by a person."""


def evaluate_run(context: Context, run: Mapping[str, Any], *, on_metric: OnMetric | None = None) -> dict[str, Any]:
    """Register the adapter of `run` and grade it beside the base and the champion of its slot.

    Returns:
        what `grade` returns, with "challenger" and "champion" ("base" where nothing is in service).
    """
    registry = Registry(context.home, context.store)
    challenger = registry.register(str(run["run_id"]), SLOT)
    champion = _opponent(context, registry, challenger)
    record = context.store.get_run(str(run["run_id"]))
    graded = grade(
        context,
        list(dict.fromkeys([BASE, champion, challenger])),
        context.recipe.evaluate.suites,
        Dataset.open(Path(record["dataset_path"])),
        on_metric=on_metric,
    )
    registry.record_scores(challenger, graded["suites"][challenger])
    _keep(context, graded, champion, challenger, run_id=str(run["run_id"]))
    return {**graded, "challenger": challenger, "champion": champion}


def _keep(
    context: Context, graded: Mapping[str, Any], champion: str, challenger: str, *, run_id: str | None = None
) -> None:
    """Enter an evaluation into the store; one that is there stays as it is."""
    context.store.add_evaluation(
        graded["evaluation_id"],
        slot=SLOT,
        run_id=run_id,
        champion_id=None if champion == BASE else champion,
        challenger_id=None if challenger == BASE else challenger,
        scores=graded["suites"],
        comparisons=[found.to_dict() for found in compare_targets(context, graded, champion, challenger)],
        path=graded["path"],
    )


def _opponent(context: Context, registry: Registry, challenger: str) -> str:
    """Whom the challenger meets: the champion; where it is the champion itself by now, the one before it."""
    champion = registry.champion(SLOT)
    if champion == challenger:
        before = context.store.previous_champion(SLOT)
        champion = str(before["adapter_id"]) if before else None
    return champion or BASE


def evaluate(
    context: Context,
    targets: Sequence[str] = (),
    suites: Sequence[str] | None = None,
    *,
    on_metric: OnMetric | None = None,
) -> dict[str, Any]:
    """Grade one target, or two on the same items.

    Args:
        targets: adapter ids, "champion" or "base"; none: the base and the champion.
        suites: names of suites; None: those of the recipe.

    Returns:
        {"suites": {target: [{suite, name, mean, low, high, items, unit}]}, "comparison": [...] for two targets,
        the second taken as the challenger}.

    Raises:
        NotFoundError: there is no such adapter, or no dataset to take items from.
        UsageError: more than two targets.
    """
    if len(targets) > 2:
        raise UsageError(f"expected one or two targets to evaluate, got {len(targets)}")
    registry = Registry(context.home, context.store)
    names = [_target(registry, name) for name in targets]
    if not names:
        names = list(dict.fromkeys([BASE, registry.champion(SLOT) or BASE]))
    graded = grade(context, names, suites or context.recipe.evaluate.suites, latest(context), on_metric=on_metric)
    if len(names) == 2:
        graded["comparison"] = [c.to_dict() for c in compare_targets(context, graded, names[0], names[1])]
        _keep(context, graded, names[0], names[1])
    return graded


def grade(
    context: Context,
    targets: Sequence[str],
    suites: Sequence[str],
    dataset: Dataset,
    *,
    on_metric: OnMetric | None = None,
) -> dict[str, Any]:
    """Scores of each target on the items of each suite; what was graded before is found again.

    Returns:
        {"evaluation_id", "path", "dataset", "suites": {target: intervals}, "scores": {target: per-item scores},
        "samples": [{"question", "answers": {target: text}}]}.
    """
    registry = Registry(context.home, context.store)
    base = resolve_base(context.recipe.train.model)
    form = base_form(context)
    refs = tuple(reference(context, name, registry.path(name)) for name in targets if name != BASE)
    items = {name: items_for(context, name, dataset) for name in suites}
    samples = _samples(items)
    identity = {
        "targets": list(targets),
        "base": base_digest(base),
        "forms": [form, *(ref.quantise for ref in refs)],
        "items": {name: _digest(lines) for name, lines in items.items()},
    }
    evaluation_id = "eval-" + hashlib.sha256(to_json(identity).encode()).hexdigest()[:12]
    folder = context.home.evaluations / evaluation_id
    done = folder / "scores.json"
    if not done.exists():
        with storing("the evaluation", folder):
            private_folder(folder)
            for name, lines in items.items():
                write_atomic(folder / f"items-{name}.jsonl", _jsonl(lines))
            write_atomic(folder / "samples.jsonl", _jsonl(samples))
        job = EvaluateJob(
            base=base,
            backend=backend_name(context.recipe.train.backend),
            quantise=form,
            adapters=refs,
            targets=tuple(targets),
            suites={name: folder / f"items-{name}.jsonl" for name in items},
            samples=folder / "samples.jsonl",
        )
        result = run_job(folder, job.to_dict(), on_metric or (lambda _: None))
        write_json(done, {"scores": result["scores"], "samples": result["samples"]})
    stored = orjson.loads(done.read_bytes())
    scores = {target: [Score.from_dict(plain) for plain in stored["scores"][target]] for target in targets}
    return {
        "evaluation_id": evaluation_id,
        "path": str(folder),
        "dataset": dataset.digest,
        "suites": {target: [_summary(context, score) for score in found] for target, found in scores.items()},
        "scores": scores,
        "samples": stored["samples"],
    }


def compare_targets(context: Context, graded: Mapping[str, Any], champion: str, challenger: str) -> list[Comparison]:
    """Paired comparison of two graded targets, one per measure."""
    settings = context.recipe.evaluate
    return [
        compare(one, other, resamples=settings.resamples, confidence=settings.confidence)
        for one, other in zip(graded["scores"][champion], graded["scores"][challenger], strict=True)
    ]


def _summary(context: Context, score: Score) -> dict[str, Any]:
    settings = context.recipe.evaluate
    found: Interval = interval(score, resamples=settings.resamples, confidence=settings.confidence)
    return {
        "suite": score.suite,
        "name": score.name,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "items": len(score.ids),
        "unit": score.unit,
        "better": score.better,
    }


def _target(registry: Registry, name: str) -> str:
    if name == BASE:
        return BASE
    if name == "champion":
        found = registry.champion(SLOT)
        if found is None:
            raise NotFoundError(f"no adapter is in service in slot {SLOT}; evaluate 'base' instead")
        return found
    return registry.find(name)


def _samples(items: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Some items of each suite as questions, those of different sources before a second one of the same."""
    chosen = []
    for lines in items.values():
        by_source: dict[str, list[Mapping[str, Any]]] = {}
        unseen = (item for item in lines if not item.get("trained"))
        for item in sorted(unseen, key=lambda item: xxhash.xxh3_64_intdigest(f"sample {item['id']}".encode())):
            by_source.setdefault(item.get("metadata", {}).get("source", ""), []).append(item)
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*by_source.values()))
        for item in itertools.islice(filter(None, in_turn), SAMPLES):
            messages = list(item["messages"])
            expected = item.get("answer")
            if messages[-1]["role"] == "assistant":
                expected = messages.pop()["content"]
            chosen.append({"id": item["id"], "messages": messages, "expected": expected})
    return list({sample["id"]: sample for sample in chosen}.values())


def _jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _digest(lines: Iterable[Mapping[str, Any]]) -> str:
    return hashlib.sha256(_jsonl(lines)).hexdigest()
