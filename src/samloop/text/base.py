"""Base models on this machine: from the name in the recipe to a folder, and from a folder to its digest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from samloop import pocket
from samloop.errors import ModelError
from samloop.recipe import POCKET

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BLOB_NAME: Final = re.compile(r"[0-9a-f]{64}")
_PARTS: Final = (
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "*.safetensors",
    "*.safetensors.index.json",
)
"""The files of a model folder that decide what it answers."""


def resolve_base(model: str) -> Path:
    """The folder of a base model; nothing is downloaded.

    Args:
        model: "pocket" for the bundled one, a folder, or a name on the Hugging Face hub that was downloaded before.

    Raises:
        ModelError: there is no such folder, or the model is not on this machine, or it is not whole.
    """
    if model == POCKET:
        return _whole(pocket.path())
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return _whole(folder.absolute())
    if not _HUB_NAME.fullmatch(model):
        raise ModelError(f"expected a model folder at {model or 'the empty path'}, found none; check train.model")
    return _whole(_cached_snapshot(model))


def base_digest(folder: Path, cache: Path | None = None) -> str:
    """SHA-256 over the settings, weights and tokenizer of a model folder, 64 hex digits.

    The same files under the same names give the same digest, wherever they lie.

    Args:
        folder: the model folder.
        cache: a JSON file that keeps digests of files by path, size and time of change, so that weights of
            gigabytes are read once; None: they are read each time.

    Raises:
        ModelError: the folder is not there or cannot be read.
    """
    known = _read_cache(cache)
    before = dict(known)
    whole = hashlib.sha256()
    try:
        for path in _parts(folder):
            whole.update(f"{path.name} {_file_digest(path, known)}\n".encode())
    except OSError as error:
        raise ModelError(f"the model in {folder} cannot be read ({error.strerror}); check the folder") from error
    if cache and known != before:
        _write_cache(cache, known)
    return whole.hexdigest()


def _whole(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json, so it is no model folder; check train.model")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} holds no weights as *.safetensors, the only form samloop loads; convert or download them again"
        )
    return folder


def _cached_snapshot(name: str) -> Path:
    missing = ModelError(f"the model {name} is not on this machine; download it once with: hf download {name}")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise missing from None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise missing from None


def _parts(folder: Path) -> Iterator[Path]:
    found = {path for pattern in _PARTS for path in folder.glob(pattern) if path.is_file()}
    if not found:
        raise ModelError(f"expected a model folder at {folder}, found no model in it; check train.model")
    return iter(sorted(found, key=lambda path: path.name))


def _file_digest(path: Path, known: dict[str, Any]) -> str:
    real = path.resolve()
    if real.parent.name == "blobs" and _BLOB_NAME.fullmatch(real.name):
        return real.name  # the hub's cache names large files by their SHA-256
    status = real.stat()
    entry = known.get(str(real))
    if entry and entry[:2] == [status.st_size, status.st_mtime_ns]:
        return str(entry[2])
    with real.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known[str(real)] = [status.st_size, status.st_mtime_ns, digest]
    return digest


def _read_cache(cache: Path | None) -> dict[str, Any]:
    """What is known; nothing where the cache is missing or broken, for it can always be made anew."""
    try:
        content = orjson.loads(cache.read_bytes()) if cache else {}
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_cache(cache: Path, known: dict[str, Any]) -> None:
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    try:
        part.write_bytes(orjson.dumps(known))
        part.replace(cache)
    except OSError:
        part.unlink(missing_ok=True)  # a cache that cannot be kept costs time, not truth
