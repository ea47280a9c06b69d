"""Adapters of an older installation: into the registry with lineage "unknown", the one in use into service.

So the first challenger of samloop's own meets what served before, and not the bare base.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from samloop.adapters.registry import Registry
from samloop.errors import ModelError
from samloop.files import readable
from samloop.loop.context import Context
from samloop.recipe import Recipe
from samloop.sources.sam_home import FINISHED, job_state
from samloop.text.base import resolve_base
from samloop.train.adapter import Adapter

SLOT: Final = "main"
CONFIG: Final = "adapter_config.json"
IN_USE: Final = ("current", "active", "champion", "production", "latest")
"""Names, of a folder or of a link to one, by which such systems say which adapter serves."""

DEEPEST: Final = 6
SKIPPED: Final = frozenset({"node_modules", "site-packages", "__pycache__", "cache"})


def move_in_adapters(context: Context, place: str) -> list[dict[str, Any]]:
    """Take the adapters at and below the folder `place` into the registry; those that are in it already stay.

    The one in use there (by its name, else the newest) serves from now on, if nothing has served here yet and it fits
    the recipe's base model. Its weights are checked before, tensor by tensor.

    Returns:
        per adapter {"adapter", "state", "folder", "reason"}; what cannot be taken has no id and says why.
    """
    root = Path(place)
    found = list(dict.fromkeys(_below(root))) if root.is_dir() else []
    if not found:
        return []
    registry, told = Registry(context.home, context.store), []
    new: dict[Path, str] = {}
    for folder in found:
        name = readable(folder.relative_to(root).as_posix())
        if (job_state(folder / CONFIG, root) or FINISHED[0]) not in FINISHED:
            reason = "its job has not ended, or not well"
            told.append({"adapter": None, "state": "not taken", "folder": name, "reason": reason})
            continue
        try:
            adapter = Adapter.read(folder)
            known, id = registry.adopt(folder, SLOT, base=adapter.base_name or context.recipe.train.model)
        except ModelError as error:
            told.append({"adapter": None, "state": "not taken", "folder": name, "reason": str(error)})
            continue
        if not known:
            new[folder] = id
            told.append({"adapter": id, "state": "candidate", "folder": name, "reason": "its lineage is unknown"})
    if new:
        _serve(context, registry, root, new, told)
    return told


def _serve(
    context: Context, registry: Registry, root: Path, new: Mapping[Path, str], told: list[dict[str, Any]]
) -> None:
    """Put the adapter in use into service, or say why not."""
    folder = _in_use(root, list(new))
    entry = next(entry for entry in told if entry["adapter"] == new[folder])
    if context.store.champion_history(SLOT):
        entry["reason"] = "another one served here before; promote it to have it serve"
    elif reason := misfit(folder, context.recipe):
        entry["reason"] = f"{reason}; it waits"
    else:
        registry.promote(SLOT, new[folder], "moved in: it served the older installation")
        entry |= {"state": "champion", "reason": "it served there; its lineage is unknown"}


def _below(root: Path) -> Iterator[Path]:
    """The folders of adapters, without links that lead to the same ones again."""
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        deep = len(here.relative_to(root).parts)
        folders[:] = sorted(name for name in folders if name not in SKIPPED) if deep < DEEPEST else []
        if CONFIG in names:
            folders[:] = []  # what lies below are its checkpoints
            yield here


def _in_use(root: Path, folders: list[Path]) -> Path:
    by_place = {folder.resolve(): folder for folder in folders}
    for name in IN_USE:
        for above in sorted(
            {root, *(parent for folder in folders for parent in folder.parents if root in parent.parents)}
        ):
            if chosen := by_place.get((above / name).resolve()):
                return chosen
    return max(folders, key=lambda folder: ((folder / CONFIG).stat().st_mtime_ns, folder.name))


def misfit(folder: Path, recipe: Recipe) -> str | None:
    """Why the adapter in `folder` cannot serve on the recipe's base model; None where it can.

    Raises:
        ModelError: it is no adapter that samloop can read.
    """
    adapter = Adapter.read(folder)
    try:
        shapes = _shapes(resolve_base(recipe.train.model))
    except ModelError:
        return f"the base model {recipe.train.model} is not on this machine, so that it cannot be tried on it"
    for name, (a, b) in adapter.weights.items():
        shape = shapes.get(f"{name}.weight")
        # A quantised base stores several weights of a row in one number: only its rows can be compared.
        if shape is None or shape[0] != b.shape[0] or (shape[1] != a.shape[1] and f"{name}.scales" not in shapes):
            return f"it was made for {adapter.base_name or 'another base'}, not for the recipe's {recipe.train.model}"
    return None


def _shapes(base: Path) -> dict[str, list[int]]:
    """The shape of every tensor of a base model, from the files' headers."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(base.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ModelError(f"{path} is not a safetensors file that can be read; download it again") from error
    return shapes
