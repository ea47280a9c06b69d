"""The files of a home, and those it exported, without what is erased.

Datasets go as a whole: they are made again from the store in a minute, under another digest. Reports, evaluations,
logs and cards keep their figures and lose what they quote. Anything else under the home that quotes and cannot be
read line by line goes where samloop made it, and is named where it did not.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.adapters import folders
from samloop.errors import SamloopError
from samloop.files import sha256_file, storing, sweep, write_atomic, write_json
from samloop.home import Home
from samloop.loop.context import Context
from samloop.loop.purge_quotes import ERASED, Quotes

LINES: Final = {".md", ".txt", ".log", ".html", ".csv", ".tsv", ".svg", ".py", ".sh", ".jinja", ""}
JSON: Final = {".json"}
JSONL: Final = {".jsonl", ".ndjson"}
NO_TEXT: Final = {".safetensors", ".npy", ".gguf", ".lock", ".key", ".png"}
"""What holds weights, numbers or pictures of curves."""

OWN: Final = (
    "datasets",
    "runs",
    "evaluations",
    "reports",
    "adapters",
    "near",
    "forms",
    "cache",
    "caches",
    "previews",
)
"""Folders of the home that samloop alone writes to."""

BACKUPS: Final = "backups"
_DATABASES: Final = ("-wal", "-shm", "-journal", "")
_LARGEST_LOOK: Final = 2**28


@dataclass(slots=True)
class Swept:
    """What became of files, as paths in the home.

    Attributes:
        changed: those that lost quotes, or went as a whole.
        left: those that hold some of it and are not samloop's to change.
    """

    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def datasets_with(home: Home, ids: AbstractSet[str]) -> dict[str, set[str]]:
    """The splits of each prepared dataset that hold one of these examples, by its folder."""
    found: dict[str, set[str]] = {}
    for path in sorted(home.datasets.glob("*/manifest.json")):
        held = _held(path)
        # Of a damaged one nobody can say what is in it.
        splits = {split for split, these in held.items() if not ids.isdisjoint(these)} if held else {"train"}
        if splits:
            found[str(path.parent)] = splits
    return found


def _held(manifest: Path) -> dict[str, list[str]]:
    """The ids in each split of a dataset; empty where the manifest does not say."""
    try:
        return dict(orjson.loads(manifest.read_bytes())["ids"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return {}


def remove_datasets(datasets: Iterable[str]) -> int:
    """Remove these folders, each in one step: a half of a dataset is none."""
    count = 0
    for name in datasets:
        path = Path(name)
        if path.is_dir():
            remove_folder(path)
            count += 1
    return count


def remove_folder(path: Path) -> None:
    """Take a folder out of sight at once, then delete what is in it."""
    with storing("the removal of a folder", path):
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        path.rename(aside)
        shutil.rmtree(aside)


def remove_weights(folder: Path) -> int:
    """Delete all weights in a folder and below: they are what a model remembers. The files beside them stay."""
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (folders.WEIGHTS, ".gguf", ".npz"):
            with storing("the removal of weights", path):
                path.unlink()
            count += 1
    return count


def remove_paths(paths: Iterable[str]) -> int:
    """Remove files and folders; how many."""
    count = 0
    for name in paths:
        path = Path(name)
        with storing("the removal of a backup", path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        count += 1
    return count


# --- what was exported -------------------------------------------------------------------------------------------


def exported(context: Context, ids: AbstractSet[str]) -> list[dict[str, Any]]:
    """The files that samloop exported and that hold some of these examples: path, lines and state.

    The state is ``written`` for a file that is as samloop wrote it, ``changed`` for one that is not or of which that
    is not known, ``copy`` for the folder of a dataset that was copied, and ``gone`` for what is not there any more.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in context.store.exports():
        path = Path(row["path"])
        if row["path"] in found:
            continue
        if (path / "manifest.json").is_file():
            copied = sum(len(set(held) & ids) for held in _held(path / "manifest.json").values())
            if copied:
                found[row["path"]] = {"path": row["path"], "lines": copied, "state": "copy"}
            continue
        if not path.is_file():
            found[row["path"]] = {"path": row["path"], "lines": 0, "state": "gone"}
            continue
        lines = sum(_is_of(line, ids) for line in _lines(path))
        if lines:
            same = bool(row["digest"]) and sha256_file(path) == row["digest"]
            found[row["path"]] = {"path": row["path"], "lines": lines, "state": "written" if same else "changed"}
    return list(found.values())


def rewrite_exports(context: Context, ids: Collection[str], found: Iterable[Mapping[str, Any]]) -> int:
    """Write those files that are as samloop wrote them anew without the lines of these examples; how many."""
    count = 0
    for one in found:
        path = Path(one["path"])
        if one["state"] != "written" or not path.is_file():
            continue
        kept = [line for line in _lines(path) if not _is_of(line, ids)]
        data = b"".join(kept)
        with storing("the export", path):
            write_atomic(Path(os.path.realpath(path)), data)
        context.store.export_rewritten(one["path"], hashlib.sha256(data).hexdigest(), len(kept))
        count += 1
    return count


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _is_of(line: bytes, ids: Collection[str]) -> bool:
    try:
        metadata = orjson.loads(line)["metadata"]
        return metadata.get("id") in ids
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return False


# --- the home ----------------------------------------------------------------------------------------------------


def sweep_home(home: Home, quotes: Quotes, database: Path | None) -> Swept:
    """Take quotes out of every file under the home but the store, the datasets and the weights."""
    swept = Swept()
    sweep(home.path)
    skipped = {f"{database or home.database}{end}" for end in _DATABASES} | {str(home.key)}
    for path in sorted(home.path.rglob("*")):
        if path.is_symlink() or not path.is_file() or str(path) in skipped or path.suffix in NO_TEXT:
            continue
        inside = path.relative_to(home.path)
        if inside.parts[0] in ("datasets", BACKUPS):
            continue
        with storing("the file without what is erased", path):
            _clean(path, inside, quotes, swept)
    return swept


def backups_of(home: Home) -> list[str]:
    """The backups that lie in the home."""
    folder = home.path / BACKUPS
    return sorted(str(path) for path in folder.iterdir()) if folder.is_dir() else []


def _clean(path: Path, inside: Path, quotes: Quotes, swept: Swept) -> None:
    data = path.read_bytes()
    own = inside.parts[0] in OWN
    if inside == Path(home_recipe(path)) or (path.suffix in (".toml", ".yaml", ".yml") and not own):
        if quotes.in_text(data.decode("utf-8", "replace")):
            swept.left.append(str(inside))
        return
    text = _decoded(data)
    if text is None or path.suffix not in LINES | JSON | JSONL:
        if any(map(quotes.in_text, _looks(data))):
            if own or path.suffix in (".db", ".sqlite") or inside.parts[0].startswith("."):
                path.unlink()
                swept.changed.append(str(inside))
            else:
                swept.left.append(str(inside))
        return
    after = _without(text, path.suffix, quotes)
    if after == text:
        return
    write_atomic(path, after.encode())
    swept.changed.append(str(inside))
    if inside.parts[0] == "adapters":
        _keep_hash(path)


def home_recipe(path: Path) -> str:
    """The name of the recipe, which is the user's: it is named, never changed."""
    return "samloop.toml" if path.name == "samloop.toml" else "\0"


def _without(text: str, suffix: str, quotes: Quotes) -> str:
    if suffix in JSON:
        return quotes.out_of_json(text)
    if suffix not in JSONL:
        return quotes.out_of_lines(text)
    lines: list[str] = []
    changed = False
    for line in text.splitlines():
        try:
            plain = orjson.loads(line)
        except orjson.JSONDecodeError:
            lines.append(ERASED if quotes.in_text(line) else line)
            changed |= lines[-1] != line
            continue
        if quotes.is_erased(plain):
            changed = True
            continue
        after = quotes.out_of(plain)
        lines.append(line if after == plain else orjson.dumps(after).decode())
        changed |= after != plain
    return "".join(f"{line}\n" for line in lines) if changed else text


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _looks(data: bytes) -> Iterator[str]:
    """What a file may say: its bytes as text, and what is packed in it."""
    for packed in (data, *_unpacked(data)):
        yield packed.decode("utf-8", "replace")
        yield packed.decode("utf-16-le", "replace")


def _unpacked(data: bytes) -> Iterator[bytes]:
    try:
        if data[:2] == b"\x1f\x8b":
            yield gzip.decompress(data)
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                for entry in packed.infolist():
                    if entry.file_size <= _LARGEST_LOOK:
                        yield packed.read(entry)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            import pyarrow

            with pyarrow.CompressedInputStream(io.BytesIO(data), "zstd") as packed:
                yield packed.read(_LARGEST_LOOK)
        elif data[:4] == b"PAR1":
            import pyarrow.parquet as parquet

            yield str(parquet.read_table(io.BytesIO(data)).to_pylist()).encode()
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, ValueError):
        return  # it is damaged, or no such file after all: its bytes were looked at


def _keep_hash(path: Path) -> None:
    """Bring the hash that an adapter's manifest keeps of a file to what the file is now."""
    try:
        manifest = folders.read_manifest(path.parent)
    except SamloopError:
        return
    if path.name in manifest["files"]:
        manifest["files"][path.name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        write_json(path.parent / folders.MANIFEST, manifest)
