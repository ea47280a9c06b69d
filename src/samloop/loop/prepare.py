"""Prepare: the accepted examples that the recipe admits → an immutable dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

from samloop.errors import NotFoundError
from samloop.files import absolute, storing
from samloop.loop.budget import bounds_of
from samloop.loop.context import Context
from samloop.loop.near import follow
from samloop.loop.train import backend_name
from samloop.prepare import replay
from samloop.prepare.dataset import Dataset, build
from samloop.settings import MAIN
from samloop.store import Filters
from samloop.text.base import base_digest, resolve_base
from samloop.text.tokens import Tokenizer


def admitted(context: Context) -> Filters:
    """The recipe's [prepare] section as a filter: accepted examples of its tiers, domains, sources and licences."""
    settings = context.recipe.prepare
    return Filters(
        states=("accepted",),
        tiers=settings.tiers,
        domains=settings.domains,
        sources=settings.sources,
        licences=settings.licences,
        min_complexity=context.recipe.min_complexity(context.slot),
    )


def prepare(context: Context, out: Path | None = None) -> Dataset:
    """Build the dataset of what is accepted now; an equal one that exists is found again.

    Args:
        out: a folder that receives a copy, for use outside samloop.

    Raises:
        ModelError: the base model has no usable tokenizer or template.
        InputError: nothing is left to train on.
        RecipeError: the file of ``prepare.replay_file`` cannot be used.
        StoreError: the dataset, or the copy, cannot be written.
    """
    base = resolve_base(context.recipe.train.model)
    tokenizer = Tokenizer.load(base)  # first, so that a base that cannot be used leaves the store as it is
    # Read before the examples: what comes in meanwhile counts as new for the next dataset.
    revision = context.store.revision()
    follow(context)
    digest, named = base_digest(base), context.recipe.prepare.replay_file
    dataset = build(
        context.store.select(admitted(context)),
        tokenizer,
        context.recipe.prepare,
        max_seq_tokens=context.recipe.train.max_seq_tokens,
        system_prompt=context.recipe.sam.system_prompt,
        identity={
            "base": context.recipe.train.model,
            "base_digest": digest,
            "revision": revision,
            "slot": context.slot,
        },
        parent=context.home.datasets,
        near=context.store.near_clusters(),
        bounds=bounds_of(context, base, digest, backend_name(context.recipe.train.backend)),
        replay_file=absolute(named, context.folder) if named else replay.PACKAGED,
    )
    # An equal dataset that is found again holds what the store has now, however old its folder is.
    dataset = Dataset(dataset.path, {**dataset.manifest, "revision": revision})
    if out is not None:
        with storing("the copy of the dataset", out):
            shutil.copytree(dataset.path, out, dirs_exist_ok=True)
        count = sum(dataset.manifest["examples"].values())
        context.store.add_export(out, format="dataset", examples=count, digest=dataset.digest)
    return dataset


def latest(context: Context) -> Dataset:
    """The dataset prepared last for the slot.

    Raises:
        NotFoundError: none was prepared yet.
    """
    found = [Dataset.open(path.parent) for path in context.home.datasets.glob("*/manifest.json")]
    found = [dataset for dataset in found if dataset.manifest.get("slot", MAIN) == context.slot] or found
    if not found:
        raise NotFoundError(f"no dataset was prepared yet in {context.home.datasets}; run 'samloop prepare'")
    return max(found, key=lambda dataset: float(dataset.manifest["created_at"]))
