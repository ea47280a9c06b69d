"""Model cards: what is known of an adapter, from the registry, its dataset, its evaluations and the gate's word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from samloop.adapters.card import Facts, card
from samloop.adapters.folders import CARD, read_manifest
from samloop.adapters.registry import Registry
from samloop.errors import NotFoundError, SamloopError
from samloop.files import storing, write_atomic
from samloop.loop.context import Context
from samloop.prepare.dataset import Dataset

BASE = "base"


def write_card(context: Context, adapter_id: str) -> Path:
    """Write the card of a registered adapter into its folder, with what is known of it now; its path.

    Raises:
        NotFoundError: there is no such adapter, or its folder is gone.
        ModelError: its manifest is damaged.
        StoreError: it cannot be written.
    """
    registry = Registry(context.home, context.store)
    folder = registry.path(adapter_id)
    path = folder / CARD
    text = read_card(context, adapter_id)
    with storing("the model card", path):
        write_atomic(path, text.encode())
    return path


def read_card(context: Context, adapter_id: str) -> str:
    """The text of an adapter's card, with what is known of it now.

    Raises:
        NotFoundError, ModelError: see `write_card`.
    """
    registry = Registry(context.home, context.store)
    row = context.store.get_adapter(registry.find(adapter_id))
    name, manifest = str(row["adapter_id"]), read_manifest(registry.path(str(row["adapter_id"])))
    dataset = _dataset(context, row["run_id"])
    return card(
        Facts(
            manifest=manifest,
            data=_data(dataset) if dataset else {},
            splits=dict(dataset.manifest.get("examples", {})) if dataset else {},
            scores=row["scores"].get("suites") or [],
            base_scores=_base_scores(context, name),
            decision=next((one for one in context.store.decisions() if one["challenger"] == name), None),
            state=str(row["state"]),
        )
    )


def _dataset(context: Context, run_id: str | None) -> Dataset | None:
    try:
        path = context.store.get_run(run_id)["dataset_path"] if run_id else None
        return Dataset.open(Path(path)) if path else None
    except (NotFoundError, SamloopError):
        return None


def _data(dataset: Dataset) -> dict[str, dict[str, tuple[int, int]]]:
    """Examples and tokens of the train split, by source and by licence."""
    found: dict[str, dict[str, tuple[int, int]]] = {"source": {}, "licence": {}}
    try:
        with (dataset.path / "train.jsonl").open("rb") as lines:
            for line in lines:
                told: Mapping[str, Any] = orjson.loads(line).get("metadata", {})
                for key, counts in found.items():
                    value = str(told.get(key) or "unknown")
                    examples, tokens = counts.get(value, (0, 0))
                    counts[value] = (examples + 1, tokens + int(told.get("tokens") or 0))
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {key: counts for key, counts in found.items() if counts}


def _base_scores(context: Context, name: str) -> list[dict[str, Any]]:
    """What the bare base got in the latest evaluation that graded both."""
    for evaluation in context.store.list_evaluations():
        if name in evaluation["scores"] and BASE in evaluation["scores"]:
            return list(evaluation["scores"][BASE])
    return []
