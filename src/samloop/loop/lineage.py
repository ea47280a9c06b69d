"""Lineage both ways: what an adapter learnt from, and which adapters learnt from an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from samloop.adapters.registry import Registry, is_alias
from samloop.errors import NotFoundError
from samloop.loop.context import Context
from samloop.prepare.dataset import Dataset
from samloop.store import Store
from samloop.text.corrections import CORRECTION

TEXTS = ("input_text", "output_text")


def trace(context: Context, name: str) -> dict[str, Any]:
    """The lineage of an adapter, by its id, a beginning of it or an alias; or that of an example, by its id.

    Returns:
        {"kind": "adapter", …} as `of_adapter`, or {"kind": "example", …} as `of_example`.

    Raises:
        NotFoundError: there is neither an adapter nor an example of that name.
        UsageError: several ids begin so.
    """
    registry = Registry(context.home, context.store)
    if is_alias(name):
        return of_adapter(context, registry.find(name))
    try:
        adapter = registry.find(name)
    except NotFoundError:
        try:
            return of_example(context.store, name)
        except NotFoundError:
            raise NotFoundError(
                f"there is neither an adapter nor an example '{name}' in the store; an erased example is asked for "
                "by its whole id"
            ) from None
    return of_adapter(context, adapter)


def of_adapter(context: Context, adapter_id: str) -> dict[str, Any]:
    """What an adapter was made of.

    Returns:
        {kind, adapter, state, slot, lineage, run, dataset, sources, licences, base, base_digest, backend, samloop,
        same_data, examples}: `sources` counts by source, as the dataset's manifest has them; `same_data` the other
        adapters of that dataset; `examples` the ids by split, those of erased examples among them.
    """
    row = context.store.get_adapter(adapter_id)
    run, digest = row["run_id"], row["dataset_digest"]
    splits = ("train", "valid", "test")
    ids = {split: context.store.run_example_ids(run, split) if run else [] for split in splits}
    same = context.store.adapters_of_dataset(digest) if digest else []
    return {
        "kind": "adapter",
        "adapter": row["adapter_id"],
        "state": row["state"],
        "slot": row["slot"],
        "lineage": row["lineage"].get("lineage"),
        "run": run,
        "dataset": digest,
        "sources": _counts(context, run).get("source", {}),
        "licences": row["licences"],
        "base": row["base"],
        "base_digest": row["base_digest"],
        "backend": row["backend"],
        "samloop": row["lineage"].get("samloop_version"),
        "same_data": [other for other in same if other != row["adapter_id"]],
        "examples": ids,
    }


def of_example(store: Store, name: str) -> dict[str, Any]:
    """Who learnt from an example, and from what was derived from it.

    Args:
        name: an id or its beginning; an erased example is asked for by its whole id.

    Returns:
        {kind, example, erased, source, format, state, licence, input_text, output_text, ancestors, siblings,
        derived, seen_by}: `seen_by` has {adapter, slot, state, run_id, run_state, split, via}, `via` naming the
        derived example that was seen, None for the example itself.

    Raises:
        NotFoundError: no such example is stored, and no run saw one.
        UsageError: several ids begin so.
    """
    try:
        example = store.get_example(name)
    except NotFoundError:
        if not store.was_seen(name):
            raise
        whole, told = name, dict.fromkeys((*TEXTS, "source", "format", "state", "licence"))
    else:
        whole = example.id
        told = {key: getattr(example, key) for key in (*TEXTS, "source", "format", "state", "licence")}
    family = store.family(whole)
    for one in family["ancestors"]:
        if one["erased"] and one["id"].startswith(CORRECTION):
            one["erased"], one["source"] = False, "a correction"
    derived = [one["id"] for one in family["derived"]]
    seen = store.adapters_of_examples([whole, *derived])
    return {
        "kind": "example",
        "example": whole,
        "erased": told["input_text"] is None,
        **told,
        **family,
        "seen_by": [
            {
                "adapter": row["adapter_id"],
                "slot": row["slot"],
                "state": row["state"],
                "run_id": row["run_id"],
                "run_state": row["run_state"],
                "split": row["split"],
                "via": None if row["example_id"] == whole else row["example_id"],
            }
            for row in seen
        ],
    }


def _counts(context: Context, run_id: str | None) -> dict[str, dict[str, int]]:
    """The counts of a run's dataset; empty where it is gone."""
    if not run_id:
        return {}
    path = context.store.get_run(run_id)["dataset_path"]
    try:
        return dict(Dataset.open(Path(path)).manifest["counts"]) if path else {}
    except (NotFoundError, KeyError):
        return {}
