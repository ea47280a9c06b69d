"""Carry an adapter from one home to another: one archive out, checked and registered on the way in."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from samloop.adapters.archive import check_hashes, origin, unpack, write_archive
from samloop.adapters.folders import foreign_files
from samloop.adapters.fuse import Fused
from samloop.adapters.registry import Registry
from samloop.errors import InputError, ModelError, UsageError
from samloop.files import absolute, storing
from samloop.loop.cards import write_card
from samloop.loop.context import Context
from samloop.loop.export import choose, new_path
from samloop.text.base import base_digest, resolve_base
from samloop.train.adapter import Adapter
from samloop.train.base import Base

_SLOT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def export_adapter(context: Context, name: str, *, out: str) -> dict[str, Any]:
    """Write a registered adapter into one archive: weights, configuration, lineage, hashes.

    Returns:
        {adapter, path, bytes, files}.

    Raises:
        UsageError: something is at `out`, or `name` is a folder.
        NotFoundError: there is no such adapter.
        ModelError: its files are damaged.
        StoreError: it cannot be written.
    """
    target = new_path(out)
    chosen = choose(context, name)
    if not chosen.registered:
        raise UsageError(f"expected the id of a registered adapter, got the folder {chosen.folder}; import it first")
    with storing("the archive", target):
        files = write_archive(chosen.folder, target)
    return {"adapter": chosen.name, "path": str(target), "bytes": target.stat().st_size, "files": files}


def import_adapter(context: Context, location: str, *, slot: str = "main", base: str | None = None) -> dict[str, Any]:
    """Check an adapter from elsewhere and register it as a candidate, with lineage "imported".

    Args:
        location: an archive that `export_adapter` wrote, or a folder in PEFT's or MLX's layout.
        base: its base model; None: that of the recipe.

    Returns:
        {adapter, known, slot, base, modules, rank, quantise, licences, verified}: `known` when it was there already,
        `verified` when it came with hashes.

    Raises:
        UsageError: `slot` is no name.
        InputError: there is nothing at `location`, or neither an archive nor a folder.
        ModelError: it is unsafe or damaged, its weights are no numbers, or it belongs to another base.
        StoreError: it cannot be written.
    """
    if not _SLOT.fullmatch(slot):
        raise UsageError(
            f"expected the name of a slot (letters, digits, '-', '_'), got '{slot}'; main is the usual one"
        )
    source = absolute(location)
    called = base or context.recipe.train.model
    with _opened(context, source) as folder:
        manifest = check_hashes(folder)
        foreign_files(folder)
        adapter = Adapter.read(folder)
        found = Base.open(resolve_base(called))
        _see_that_it_fits(adapter, found, source.name, called)
        told = origin(manifest)
        known, name = Registry(context.home, context.store).adopt(
            folder,
            slot,
            base=called,
            origin={**told, "base_digest": base_digest(found.folder)},
        )
    write_card(context, name)
    return {
        "adapter": name,
        "known": known,
        "slot": slot,
        "base": called,
        "modules": len(adapter.weights),
        "rank": adapter.rank,
        "quantise": adapter.quantise or None,
        "licences": told.get("licences", []),
        "verified": bool(manifest),
    }


def _see_that_it_fits(adapter: Adapter, base: Base, name: str, called: str) -> None:
    """See that an adapter belongs to a base: by the mark of the base it was trained on, and by its shapes."""
    if adapter.base_fingerprint and adapter.base_fingerprint != base.fingerprint:
        raise ModelError(
            f"the adapter {name} was trained on {adapter.base_name or 'another base'}, which {called} is not; "
            "name its own with --base, or train a new adapter"
        )
    if not adapter.base_fingerprint:
        Fused(base.folder, base.weight_files, base.config, adapter)  # refuses what does not fit


@contextmanager
def _opened(context: Context, source: Path) -> Iterator[Path]:
    """The adapter's folder; an archive is unpacked into a private one, which is gone afterwards."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise InputError(f"expected an archive or a folder at {source}, found none; check the path")
    if not zipfile.is_zipfile(source):
        raise InputError(
            f"expected an archive of 'samloop adapters export' or a folder with an adapter, got {source}; "
            "unpack other archives first"
        )
    with storing("the adapter", context.home.path):
        folder = Path(tempfile.mkdtemp(prefix=".import.", suffix=".part", dir=context.home.path))
    try:
        with storing("the adapter", folder):
            unpack(source, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
