"""Where the held-out items of each suite come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop import plugins
from samloop.evaluate.items import group_of
from samloop.evaluate.retention import packaged
from samloop.loop import items_corrections
from samloop.loop.context import Context
from samloop.loop.items_suites import code_items, context_items, instruction_prompts, own_items, public_tasks
from samloop.prepare.dataset import Dataset
from samloop.sources.routing import held_out

Items = list[dict[str, Any]]

GROUPS: Final = 20
"""Groups that a draw of items has at the least, where there are as many."""


def items_for(context: Context, suite: str, dataset: Dataset) -> Items:
    """The items of a suite: its own where it brings some, else the test split's.

    At most ``evaluate.max_items``, and ``evaluate.max_answers`` where each is answered in full. Where there are more,
    each dataset draws others: what one champion was lucky with is not asked every night. A group gives at most one in
    `GROUPS` of them, as long as others have enough: items of one group say nearly the same, and a page of a hundred
    questions would decide alone.

    Raises:
        PluginError: there is no such suite.
    """
    items = OWN.get(suite, _test_split)(context, dataset)
    settings, grader = context.recipe.evaluate, plugins.load("suites", suite)
    bound = min(settings.max_items, settings.max_answers) if getattr(grader, "answers", False) else settings.max_items
    if len(items) <= bound:
        return items
    # Drawn by hash, so that a turn that died draws the same items again.
    drawn = sorted(items, key=lambda item: xxhash.xxh3_64_intdigest(f"{dataset.digest} {item['id']}".encode()))
    return _spread(drawn, max(1, bound // GROUPS))[:bound]


def _spread(items: Items, most: int) -> Items:
    """The same items in their order, those of a group beyond its first `most` behind all others."""
    seen: Counter[str] = Counter()
    first, later = list[dict[str, Any]](), list[dict[str, Any]]()
    for item in items:
        group = group_of(item)
        seen[group] += 1
        (first if seen[group] <= most else later).append(item)
    return first + later


def _test_split(_context: Context, dataset: Dataset) -> Items:
    return [{"id": line["metadata"]["id"], **line} for line in _read(dataset.path / "test.jsonl")]


def _routing(_context: Context, dataset: Dataset) -> Items:
    trained = {line["metadata"]["group_key"] for line in _read(dataset.path / "train.jsonl")}
    return [_slice(item, trained) for item in held_out()]


def _slice(item: dict[str, Any], trained: set[str]) -> dict[str, Any]:
    """A wording that the split kept out of training is an unseen wording, whatever its filling."""
    if item["slice"] == "unseen filling" and item["group_key"] not in trained:
        return {**item, "slice": "unseen wording"}
    return item


def _read(path: Path) -> Items:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def _retention(_context: Context, _dataset: Dataset) -> Items:
    return packaged()


def _parity(context: Context, dataset: Dataset) -> Items:
    """The teacher's answers in the test split; a question without one has nothing to be compared with."""
    return [item for item in _test_split(context, dataset) if item["metadata"]["source"] in TAUGHT]


TAUGHT: Final = frozenset({"claude_capture", "distillation"})
"""Sources whose answers are the teacher's."""

OWN: Final[dict[str, Callable[[Context, Dataset], Items]]] = {
    "parity": _parity,
    "retention": _retention,
    "routing": _routing,
    "code": code_items,
    "instructions": instruction_prompts,
    "own": own_items,
    "hallucination": context_items,
    "lm-eval": public_tasks,
    "corrections": items_corrections.items,
}
"""Suites that do not grade the dataset's test split, and what gives their items."""
