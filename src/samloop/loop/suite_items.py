"""Where the held-out items of each suite come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import xxhash

from samloop.loop import items_corrections
from samloop.loop.context import Context
from samloop.prepare.dataset import Dataset
from samloop.sources.routing import held_out

Items = list[dict[str, Any]]


def items_for(context: Context, suite: str, dataset: Dataset) -> Items:
    """The items of a suite, at most ``evaluate.max_items``: its own where it brings some, else the test split's."""
    items = OWN.get(suite, _test_split)(context, dataset)
    bound = context.recipe.evaluate.max_items
    if len(items) > bound:
        # Drawn by hash, so that the same items are drawn next time.
        items = sorted(items, key=lambda item: xxhash.xxh3_64_intdigest(str(item["id"]).encode()))[:bound]
    return items


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


OWN: Final[dict[str, Callable[[Context, Dataset], Items]]] = {
    "routing": _routing,
    "corrections": items_corrections.items,
}
"""Suites that do not grade the dataset's test split, and what gives their items."""
