"""A base model's folder, checked before anything is loaded: what it lacks is said at once and in one sentence."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import xxhash

from samloop.errors import ModelError

SMALL_PARAMETERS: Final = 20_000_000
"""Bases below this are trained and run in float32 everywhere: they fit, and casts would cost more than they save."""

PLAIN_HEADS: Final = frozenset({"llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3", "stablelm"})
"""Architectures whose logits are the head applied to the last hidden state and nothing else. Others (Gemma caps them,
Granite divides them) take the way through their own forward pass."""

PACKABLE: Final = PLAIN_HEADS - {"stablelm"}
"""Architectures whose attention is the plain causal one and learns, in transformers, which document a token is in."""

_SAMPLES: Final = 16
_SAMPLE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Base:
    """A base model folder that is complete.

    Attributes:
        folder: where it is.
        config: its config.json.
        weight_files: its safetensors files, sorted.
        parameters: number of stored weights (packed ones of a quantised base count as stored).
        fingerprint: identifies config and weights: 128-bit xxh3 of the config and of each file's header, size and
            `_SAMPLES` evenly spaced samples, so that telling two fine-tunes apart does not take reading them whole.
    """

    folder: Path
    config: Mapping[str, Any]
    weight_files: tuple[Path, ...]
    parameters: int
    fingerprint: str

    @property
    def small(self) -> bool:
        """Whether this base is below `SMALL_PARAMETERS`."""
        return self.parameters < SMALL_PARAMETERS

    @property
    def packable(self) -> bool:
        """Whether sequences may lie end to end in training; see `PACKABLE`."""
        return self.config.get("model_type") in PACKABLE

    @classmethod
    def open(cls, folder: Path) -> Base:
        """Check the folder and read its headers.

        Raises:
            ModelError: a file is missing or broken, the weights are pickled, or the model wants to run its own code.
        """
        if not folder.is_dir():
            raise ModelError(f"expected a model folder at {folder}, found none; check the model's name in the recipe")
        config = _read_json(folder / "config.json")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise ModelError(f"the model in {folder} has no {name}; save its tokenizer there")
        if config.get("auto_map") or config.get("model_file"):
            raise ModelError(
                f"the model in {folder} brings Python code of its own, which samloop never runs; "
                "take a model of an architecture that transformers or mlx-lm knows"
            )
        files = _weight_files(folder)
        hasher = xxhash.xxh3_128(json.dumps(config, sort_keys=True).encode())
        parameters = sum(_read_weights(file, hasher) for file in files)
        return cls(folder, config, tuple(files), parameters, hasher.hexdigest())


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_read_json(index).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"the model in {folder} lacks {missing[0]}, which its index names; download it again")
        if names:
            return [folder / name for name in names]
    files = sorted(folder.glob("model*.safetensors"))
    if files:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        raise ModelError(
            f"the weights in {folder} are pickled, which can run code; convert them to safetensors "
            "(AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)), or take another copy of the model"
        )
    raise ModelError(f"the model in {folder} has no model.safetensors; download it again")


def _read_weights(path: Path, hasher: Any) -> int:
    """Feed header, size and samples of one safetensors file to `hasher`; returns the number of weights in it."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = file.read(length) if length < size else b""
            tensors = json.loads(header)
            end = max((t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"), default=0)
            if size < 8 + length + end:
                raise ModelError(
                    f"{path} is cut off: expected {8 + length + end} bytes, got {size}; download it anew"
                )
            hasher.update(header)
            hasher.update(str(size).encode())
            for i in range(_SAMPLES):
                file.seek(8 + length + end * i // _SAMPLES)
                hasher.update(file.read(_SAMPLE_BYTES))
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{path} is not a safetensors file that can be read; download it again") from error
    return sum(prod(t["shape"]) for name, t in tensors.items() if name != "__metadata__")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the model in {path.parent} has no {path.name}; download it again") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path} is not readable JSON; download the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"expected a JSON object in {path}, got {type(content).__name__}; download the model again")
    return content
