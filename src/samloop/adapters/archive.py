"""One adapter as one file: weights, configuration and lineage, with the hash of each, in a plain zip.

A manifest that leaves the house says what the adapter learnt from, and nothing of the house: no paths, no addresses
of databases, no names of the recipe's redaction list.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from samloop.adapters.folders import BESIDE_WEIGHTS, CARD, MANIFEST, WEIGHTS, read_manifest
from samloop.errors import ModelError
from samloop.files import sha256_file, write_json

MOST_FILES: Final = 32
MOST_BYTES: Final = 8 * 2**30
"""What an archive may unpack to: an adapter of rank 256 on a base of 70 B parameters has some 6 GiB."""

MOST_RATIO: Final = 100
FREE_BYTES: Final = 64 * 2**20
"""Beyond 64 MiB an archive may unpack to a hundred times its size: weights hardly compress, a bomb a thousandfold."""

TOLD: Final = (
    "adapter_id",
    "slot",
    "run_id",
    "dataset_digest",
    "base",
    "base_digest",
    "backend",
    "licences",
    "lineage",
    "scores",
    "samloop_version",
    "created_at",
)
"""What the manifest of an exported adapter keeps of that in the registry."""

TOLD_SECTIONS: Final = ("prepare", "train")
"""The parts of the recipe that go with it: how it was trained. The others say where this house keeps things."""

_LONGEST_TEXT: Final = 300
_MOST_LICENCES: Final = 500
_LONGEST_RECIPE: Final = 2**16
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def write_archive(folder: Path, path: Path) -> list[str]:
    """Write the registered adapter in `folder` to `path`, whose folder exists; the names inside.

    Raises:
        ModelError: its manifest is damaged.
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    try:
        names = lay_out(folder, beside)
        packed = beside / "whole.zip"
        with zipfile.ZipFile(packed, "x") as archive:
            for name in names:
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o600 << 16
                with archive.open(entry, "w", force_zip64=True) as target, (beside / name).open("rb") as source:
                    shutil.copyfileobj(source, target)
        packed.chmod(0o600)
        packed.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return names


def lay_out(folder: Path, into: Path) -> list[str]:
    """Copy a registered adapter's files into `into` as they may leave the house; their names, the manifest first.

    Raises:
        ModelError: its manifest is damaged.
        OSError: it cannot be written.
    """
    manifest = read_manifest(folder)
    names = sorted({*manifest["files"], *([CARD] if (folder / CARD).is_file() else [])})
    for name in names:
        shutil.copyfile(folder / name, into / name)
    _shorten_base(into / "adapter_config.json")
    hashes = {name: {"sha256": sha256_file(into / name), "bytes": (into / name).stat().st_size} for name in names}
    write_json(into / MANIFEST, {**_told(manifest), "files": hashes})
    return [MANIFEST, *names]


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive into `folder`, which exists and is empty; those of one folder inside it as well.

    Raises:
        ModelError: it is damaged, too large, or holds anything but weights and text in one flat folder.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            names = _flat([entry.filename for entry in entries], archive)
            total = sum(entry.file_size for entry in entries)
            if total > MOST_BYTES:
                raise ModelError(f"the archive {archive} unpacks to over {MOST_BYTES >> 30} GiB; no adapter does")
            if total > max(FREE_BYTES, MOST_RATIO * archive.stat().st_size):
                raise ModelError(
                    f"the archive {archive} unpacks to over {MOST_RATIO} times its size, as no weights do; do not "
                    "trust it"
                )
            for entry, name in zip(entries, names, strict=True):
                _extract(packed, entry, folder / name, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"the archive {archive} cannot be unpacked ({error}); take a whole copy of it") from None


def check_hashes(folder: Path) -> dict[str, Any]:
    """The manifest that came with an adapter, after its hashes were found right; empty where none came.

    Raises:
        ModelError: a file is missing, or is not what its hash says.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    manifest = read_manifest(folder)
    for name, told in manifest["files"].items():
        path = folder / str(name)
        if PurePosixPath(str(name)).name != name or not path.is_file() or path.is_symlink():
            raise ModelError(f"{name} of the manifest is missing from the adapter; take a whole copy of it")
        if not isinstance(told, Mapping) or sha256_file(path) != told.get("sha256"):
            raise ModelError(f"{name} is not what the manifest's hash says: it was changed; take another copy")
    return manifest


def origin(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest from elsewhere tells, as far as it is of the right kind and of bearable length."""
    kept: dict[str, Any] = {}
    for key in TOLD:
        value = manifest.get(key)
        if (isinstance(value, str) and len(value) <= _LONGEST_TEXT) or (isinstance(value, int | float) and value):
            kept[key] = value
    licences = manifest.get("licences")
    if isinstance(licences, list) and len(licences) <= _MOST_LICENCES:
        kept["licences"] = [one for one in licences if isinstance(one, str) and len(one) <= _LONGEST_TEXT]
    recipe = manifest.get("recipe")
    if isinstance(recipe, dict) and len(orjson.dumps(recipe)) <= _LONGEST_RECIPE:
        kept["recipe"] = recipe
    return kept


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: manifest[key] for key in TOLD if key in manifest}
    if "base" in told:
        told["base"] = short_name(str(told["base"]))
    recipe = manifest.get("recipe")
    if isinstance(recipe, Mapping):
        kept = {name: recipe[name] for name in TOLD_SECTIONS if isinstance(recipe.get(name), Mapping)}
        if "train" in kept:
            kept["train"] = {**kept["train"], "model": short_name(str(kept["train"].get("model", "")))}
        told["recipe"] = kept
    return told


def _shorten_base(config: Path) -> None:
    """Have the configuration name the base, and not where it lies on this machine."""
    if not config.is_file():
        return
    plain = orjson.loads(config.read_bytes())
    for key in ("base_model_name_or_path", "model"):
        if isinstance(plain.get(key), str):
            plain[key] = short_name(plain[key])
    write_json(config, plain)


def short_name(name: str) -> str:
    """The last part of a path, as it may leave the house; the name of a model on the hub stays whole."""
    return Path(name).name if name.startswith(("/", "~", ".")) or "\\" in name else name


def _flat(names: list[str], archive: Path) -> list[str]:
    """The names as they are in one folder.

    Raises:
        ModelError: they lead elsewhere, are too many, twice the same, or of a kind that can run code.
    """
    if not names or len(names) > MOST_FILES:
        raise ModelError(f"expected 1 to {MOST_FILES} files in the archive {archive}, got {len(names)}")
    parts = [PurePosixPath(name).parts for name in names]
    if len({part[:-1] for part in parts}) > 1 or any(len(part) > 2 for part in parts):
        raise ModelError(f"expected the files of one folder in the archive {archive}, got '{names[0]}' and others")
    flat = []
    for name, part in zip(names, parts, strict=True):
        last = part[-1] if part else ""
        if "\\" in name or ":" in name or name.startswith("/") or ".." in part or last.startswith("."):
            raise ModelError(f"the archive {archive} holds '{name}', which leads elsewhere; it is not unpacked")
        if PurePosixPath(last).suffix not in (WEIGHTS, *BESIDE_WEIGHTS):
            raise ModelError(
                f"expected safetensors weights and JSON in the archive {archive}, got '{name}'; weights in other "
                "formats can run code and are not taken: save them as safetensors"
            )
        flat.append(last)
    if len({name.lower() for name in flat}) < len(flat):
        raise ModelError(f"the archive {archive} holds a file twice; take a whole copy of it")
    return flat


def _extract(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    """One file, no longer than the archive said it was."""
    left = entry.file_size
    with packed.open(entry) as source, path.open("xb") as target:
        while block := source.read(min(left + 1, 2**20)):
            left -= len(block)
            if left < 0:
                raise ModelError(
                    f"'{entry.filename}' in the archive {archive} is longer than it says; do not trust it"
                )
            target.write(block)
    path.chmod(0o600)
