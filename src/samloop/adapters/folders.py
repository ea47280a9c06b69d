"""An adapter's folder: content-addressed, with a manifest that says what it is made of and where it came from."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.errors import ModelError
from samloop.files import sha256_file, storing, whole_folder, write_json

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
"""The model card. It is written anew as more is known of the adapter, and no hash is kept of it."""

WEIGHTS: Final = ".safetensors"
PEFT_WEIGHTS: Final = "adapter_model.safetensors"
MLX_WEIGHTS: Final = "adapters.safetensors"
WITHDRAWN: Final = "withdrawn"
"""Key of a manifest: why and when the weights were deleted. It outlives the store's row, and a restored store."""

BESIDE_WEIGHTS: Final = (".json", ".md", ".txt", ".jinja")
"""What may lie beside the weights. Anything else is refused: a pickle can run code when it is loaded."""

ID_DIGITS: Final = 12
"""Hex digits of an adapter id: 48 bits, far more than any registry needs, and short enough to type."""

_LARGEST_HEADER_BYTES: Final = 100_000_000
"""The safetensors format's own bound on its header."""


def adapter_files(folder: Path) -> list[Path]:
    """The files of the adapter in `folder`, sorted; its weights are whole safetensors files.

    Raises:
        ModelError: there is no such folder, it has no weights, or holds something else.
    """
    if not folder.is_dir():
        raise ModelError(f"expected an adapter folder at {folder}, found none; train again")
    files = sorted(path for path in folder.iterdir() if path.name not in (MANIFEST, CARD))
    for path in files:
        if not path.is_file() or path.is_symlink() or path.suffix not in (WEIGHTS, *BESIDE_WEIGHTS):
            raise ModelError(
                f"expected safetensors weights and JSON in the adapter folder {folder}, got '{path.name}'; weights "
                "in other formats can run code and are not taken: save them as safetensors"
            )
    weights = [path for path in files if path.suffix == WEIGHTS]
    if not weights:
        raise ModelError(f"the adapter folder {folder} holds no {WEIGHTS} file; take a whole copy of it")
    for path in weights:
        check_safetensors(path)
    return files


def foreign_files(folder: Path) -> list[Path]:
    """The files that make up an adapter in PEFT's or MLX's layout, and nothing else that lies beside them.

    Raises:
        ModelError: it has no configuration or no weights, or its weights are not whole safetensors files.
    """
    weights = next((folder / name for name in (PEFT_WEIGHTS, MLX_WEIGHTS) if (folder / name).is_file()), None)
    config = folder / "adapter_config.json"
    if weights is None or not config.is_file():
        raise ModelError(
            f"expected {config.name} and {PEFT_WEIGHTS} or {MLX_WEIGHTS} in {folder}, found not both; weights in "
            "other formats can run code and are not taken: save them as safetensors"
        )
    check_safetensors(weights)
    return sorted((config, weights))


def check_safetensors(path: Path) -> None:
    """See that the file is as long as its header says.

    Raises:
        ModelError: it is not a safetensors file, or cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if not 2 <= length <= min(_LARGEST_HEADER_BYTES, size - 8):
                raise ValueError("header length")
            header = orjson.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            if 8 + length + max(ends, default=0) != size:
                raise ValueError("data length")
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise ModelError(f"{path} is not a whole safetensors file; take a whole copy of it") from None


def adapter_id(files: list[Path]) -> str:
    """ "ad-" and the first hex digits of the weights' SHA-256; of the list of them, where there are several."""
    digests = [sha256_file(path) for path in files if path.suffix == WEIGHTS]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return f"ad-{whole[:ID_DIGITS]}"


def copy_adapter(files: list[Path], target: Path, lineage: Mapping[str, Any]) -> None:
    """Make the adapter appear at `target`, whole and private, with its manifest; one that is there is kept."""
    with whole_folder(target) as folder:
        for path in files:
            shutil.copyfile(path, folder / path.name)
            (folder / path.name).chmod(0o600)
        copies = sorted(folder.iterdir())
        hashes = {path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in copies}
        write_json(folder / MANIFEST, {"adapter_id": target.name, **lineage, "files": hashes})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a registered adapter.

    Raises:
        ModelError: it is missing or broken.
    """
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        raise ModelError(
            f"the adapter {folder.name} has no manifest that can be read in {folder}; reject it and train again"
        ) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ModelError(f"the manifest in {folder} lists no files; register the adapter's run again")
    return manifest


def withdraw(folder: Path, reason: str) -> None:
    """Delete the weights in an adapter's folder and have its manifest say why; a second time nothing happens.

    Raises:
        StoreError: a file cannot be deleted.
    """
    if not folder.is_dir():
        return
    with storing("the withdrawn adapter", folder):
        try:
            manifest = read_manifest(folder)
        except ModelError:
            manifest = {"adapter_id": folder.name, "files": {}}
        if WITHDRAWN not in manifest:
            write_json(folder / MANIFEST, {**manifest, WITHDRAWN: {"reason": reason, "at": time.time()}})
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in BESIDE_WEIGHTS:
                path.unlink()


def damage(folder: Path) -> list[str]:
    """What is wrong with a registered adapter's files, one sentence each; none: they are as they were made."""
    try:
        manifest = read_manifest(folder)
        if WITHDRAWN in manifest:
            return [f"it was withdrawn ({manifest[WITHDRAWN].get('reason', '')}), and its weights were deleted"]
        expected = manifest["files"]
        present = {path.name for path in adapter_files(folder)}
    except ModelError as error:
        return [str(error)]
    found = [f"{name} is missing from {folder}" for name in sorted(expected.keys() - present)]
    found += [f"{name} in {folder} does not belong to the adapter" for name in sorted(present - expected.keys())]
    for name in sorted(expected.keys() & present):
        if sha256_file(folder / name) != expected[name]["sha256"]:
            found.append(f"{name} in {folder} was changed: its SHA-256 is not that of the manifest")
    return found
