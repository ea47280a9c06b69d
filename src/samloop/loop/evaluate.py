"""Evaluate: base, champion and challenger on the same held-out items, in a child process."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop import plugins
from samloop.adapters.registry import Registry
from samloop.child import run_job
from samloop.errors import NotFoundError, UsageError
from samloop.evaluate.compare import compare, interval
from samloop.evaluate.job import EvaluateJob
from samloop.evaluate.run import read_items
from samloop.example import to_json
from samloop.files import private_folder, storing, write_atomic, write_json
from samloop.loop.cards import write_card
from samloop.loop.comparison import worst_items, write_page
from samloop.loop.context import Context
from samloop.loop.prepare import latest
from samloop.loop.runs import find_run, overfitting_of
from samloop.loop.serving import base_form, reference
from samloop.loop.suite_items import items_for
from samloop.loop.train import OnMetric, backend_name
from samloop.prepare.dataset import Dataset
from samloop.protocols import Comparison, Interval, Score
from samloop.text.base import base_digest, resolve_base
from samloop.train.checkpoints import adapters_of, step_of

BASE: Final = "base"
SAMPLES: Final = 3
"""How many held-out questions of each suite are answered in full, to be read by a person."""

UNSAMPLED: Final = frozenset({"retention"})
"""Suites whose questions are not a person's own."""


def evaluate_run(context: Context, run: Mapping[str, Any], *, on_metric: OnMetric | None = None) -> dict[str, Any]:
    """Register the adapter of `run` and grade it beside the base and the champion of its slot.

    Returns:
        what `grade` returns, with "challenger" and "champion" ("base" where nothing is in service).
    """
    registry = Registry(context.home, context.store)
    challenger = registry.register(str(run["run_id"]), context.slot)
    write_card(context, challenger)
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
    write_card(context, challenger)
    return {**graded, "challenger": challenger, "champion": champion}


def _keep(
    context: Context, graded: Mapping[str, Any], champion: str, challenger: str, *, run_id: str | None = None
) -> None:
    """Enter an evaluation into the store; one that is there stays as it is."""
    context.store.add_evaluation(
        graded["evaluation_id"],
        slot=context.slot,
        run_id=run_id,
        champion_id=None if champion == BASE else champion,
        challenger_id=None if challenger == BASE else challenger,
        scores=graded["suites"],
        comparisons=[found.to_dict() for found in compare_targets(context, graded, champion, challenger)],
        path=graded["path"],
    )


def _opponent(context: Context, registry: Registry, challenger: str) -> str:
    """Whom the challenger meets: the champion; where it is the champion itself by now, the one before it."""
    champion = registry.champion(context.slot)
    if champion == challenger:
        before = context.store.previous_champion(context.slot)
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
        {"suites": {target: [{suite, name, mean, low, high, items, unit, better, worst}]}, "skipped"} and more; worst
        is [{id, value, question, said}]. For two targets, the second taken as the challenger, "comparison" as well,
        and the paths "page" and "picture" of what is written for people.

    Raises:
        NotFoundError: there is no such adapter, or no dataset to take items from.
        UsageError: more than two targets.
    """
    if len(targets) > 2:
        raise UsageError(f"expected one or two targets to evaluate, got {len(targets)}")
    registry = Registry(context.home, context.store)
    names = [_target(registry, name, context.slot) for name in targets]
    if not names:
        names = list(dict.fromkeys([BASE, registry.champion(context.slot) or BASE]))
    graded = grade(context, names, suites or context.recipe.evaluate.suites, latest(context), on_metric=on_metric)
    if len(set(names)) == 2:
        _keep(context, graded, names[0], names[1])
        compared = compare_targets(context, graded, names[0], names[1])
        graded["comparison"] = [one.to_dict() for one in compared]
        page, picture = write_page(
            Path(graded["path"]), compared, graded["scores"], _asked(graded), context.recipe.evaluate.confidence
        )
        graded |= {"page": str(page), "picture": str(picture)}
    return {**graded, "suites": _with_worst(graded)}


def evaluate_checkpoints(
    context: Context,
    run: str,
    suites: Sequence[str] | None = None,
    *,
    on_metric: OnMetric | None = None,
) -> dict[str, Any]:
    """Grade the base, what a run kept on its way, and the adapter it ended with, on the run's own held-out items.

    Args:
        run: an id, a beginning that no other shares, or "latest".
        suites: names of suites; None: those of the recipe.

    Returns:
        what `evaluate` does, with "run_id"; "checkpoints": [{"target", "step"}], step None for the run's adapter;
        "best": {measure: target}; and "overfitting" as `overfitting_of` gives it.

    Raises:
        NotFoundError: there is no such run, or it kept nothing, or its dataset is gone.
    """
    record = find_run(context, run)
    run_id, folder = str(record["run_id"]), Path(record["path"])
    if not (Path(record["dataset_path"]) / "manifest.json").exists():
        raise NotFoundError(f"the dataset of {run_id} is gone from {record['dataset_path']}; train anew")
    steps = {f"{run_id}@{step_of(path)}": path for path in adapters_of(folder)}
    ended = folder / "adapter"
    kept = steps | ({run_id: ended} if ended.is_dir() else {})
    if not kept:
        raise NotFoundError(
            f"{run_id} kept no checkpoint to grade; it makes one every {context.recipe.train.checkpoint_steps} steps "
            "(train.checkpoint_steps)"
        )
    dataset = Dataset.open(Path(record["dataset_path"]))
    wanted = suites or context.recipe.evaluate.suites
    graded = grade(context, [BASE, *kept], wanted, dataset, folders=kept, on_metric=on_metric)
    return {
        **graded,
        "suites": _with_worst(graded),
        "run_id": run_id,
        "checkpoints": [{"target": name, "step": step_of(kept[name]) if name in steps else None} for name in kept],
        "best": _best(graded["suites"]),
        "overfitting": overfitting_of(record),
    }


def _best(suites: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Which target is best by each measure; the first of equals, measures without a figure left out."""
    best = {}
    for row in zip(*suites.values(), strict=True):
        sign = 1 if row[0]["better"] == "higher" else -1
        found = {target: sign * cell["mean"] for target, cell in zip(suites, row, strict=True)}
        finite = {target: value for target, value in found.items() if math.isfinite(value)}
        if finite:
            best[str(row[0]["name"])] = max(finite, key=lambda target: finite[target])
    return best


def _asked(graded: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The items of an evaluation, by suite, as they lie beside its scores."""
    found = Path(graded["path"]).glob("items-*.jsonl")
    return {path.stem.removeprefix("items-"): read_items(path) for path in found}


def _with_worst(graded: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The summaries, each with its worst items. The store keeps them without: those hold what people wrote."""
    asked = _asked(graded)
    return {
        target: [
            {**summary, "worst": worst_items(score, asked.get(score.suite, ()))}
            for summary, score in zip(summaries, graded["scores"][target], strict=True)
        ]
        for target, summaries in graded["suites"].items()
    }


def grade(
    context: Context,
    targets: Sequence[str],
    suites: Sequence[str],
    dataset: Dataset,
    *,
    folders: Mapping[str, Path] | None = None,
    on_metric: OnMetric | None = None,
) -> dict[str, Any]:
    """Scores of each target on the items of each suite; what was graded before is found again.

    Args:
        folders: of targets that the registry does not know; a name stands for the same weights for ever.

    Returns:
        {"evaluation_id", "path", "dataset", "suites": {target: intervals}, "scores": {target: per-item scores},
        "samples": [{"question", "answers": {target: text}}], "skipped": suites that have no item here}.

    Raises:
        NotFoundError: no suite has any item.
    """
    registry = Registry(context.home, context.store)
    base = resolve_base(context.recipe.train.model)
    form = base_form(context)
    own = folders or {}
    refs = tuple(
        reference(context, name, own.get(name) or registry.path(name))
        for name in dict.fromkeys(targets)
        if name != BASE
    )
    found = {name: items_for(context, name, dataset) for name in suites}
    items = {name: lines for name, lines in found.items() if lines}
    if not items:
        raise NotFoundError(
            f"dataset {dataset.digest[:16]} has no items for {', '.join(suites)}; collect more examples that they "
            "can ask about, or name another suite"
        )
    samples = _samples(items)
    digest = base_digest(base)
    identity = {
        "targets": list(targets),
        "base": digest,
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
            base_digest=digest,
            cache=context.home.answers if context.recipe.evaluate.cache_mb else None,
            cache_bytes=context.recipe.evaluate.cache_mb * 10**6,
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
        "skipped": [name for name in found if name not in items],
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


def _target(registry: Registry, name: str, slot: str) -> str:
    if name == BASE:
        return BASE
    return registry.find(name, slot)


def _samples(items: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Some items of each suite as questions, those of different sources before a second one of the same."""
    chosen = []
    for suite, lines in items.items():
        if suite in UNSAMPLED or getattr(plugins.load("suites", suite), "answers", False):
            continue  # general questions, or those of other suites
        by_source: dict[str, list[Mapping[str, Any]]] = {}
        unseen = (item for item in lines if _is_chat(item) and not item.get("trained"))
        for item in sorted(unseen, key=lambda item: xxhash.xxh3_64_intdigest(f"sample {item['id']}".encode())):
            by_source.setdefault(item.get("metadata", {}).get("source", ""), []).append(item)
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*by_source.values()))
        for item in itertools.islice((item for item in in_turn if item and item.get("messages")), SAMPLES):
            messages = list(item["messages"])
            expected = item.get("answer")
            if messages[-1]["role"] == "assistant":
                expected = messages.pop()["content"]
            chosen.append({"id": item["id"], "messages": messages, "expected": expected})
    return list({sample["id"]: sample for sample in chosen}.values())


def _is_chat(item: Mapping[str, Any]) -> bool:
    return bool(item.get("messages"))


def _jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


def _digest(lines: Iterable[Mapping[str, Any]]) -> str:
    return hashlib.sha256(_jsonl(lines)).hexdigest()
