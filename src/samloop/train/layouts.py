"""Adapters on disk, in PEFT's layout and in MLX's: the same arrays under other names.

    PEFT   adapter_model.safetensors   base_model.model.NAME.lora_A.weight [rank, in], …lora_B.weight [out, rank]
    MLX    adapters.safetensors        NAME.lora_a [in, rank], NAME.lora_b [rank, out]

Both describe themselves in adapter_config.json, PEFT with alpha, MLX with scale = alpha / rank. One folder can hold
both: the two sets of keys stand in one file, and PEFT warns of those it does not know.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from samloop.errors import ModelError
from samloop.files import write_atomic

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]

LAYOUTS: Final = ("peft", "mlx")

CONFIG: Final = "adapter_config.json"
FILES: Final[Mapping[str, str]] = {"peft": "adapter_model.safetensors", "mlx": "adapters.safetensors"}
"""The file of weights, by layout."""

PEFT_PREFIX: Final = "base_model.model."
"""What PEFT puts before the names of the base model's modules."""

_PLAIN_NAME: Final = re.compile(r"[\w.]+")


class Lora(Protocol):
    """What is written; see `samloop.train.adapter.Adapter`."""

    @property
    def rank(self) -> int: ...
    @property
    def alpha(self) -> float: ...
    @property
    def scale(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def weights(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]: ...
    @property
    def base_name(self) -> str: ...
    @property
    def base_fingerprint(self) -> str: ...
    @property
    def quantise(self) -> str: ...


def present(folder: Path) -> list[str]:
    """The layouts whose weights lie in `folder`."""
    return [name for name, file in FILES.items() if (folder / file).is_file()]


def write(adapter: Lora, folder: Path, layouts: tuple[str, ...]) -> None:
    """Write the configuration and the weights in these layouts into `folder`, which exists.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    metadata = {"format": "pt", "base_fingerprint": adapter.base_fingerprint, "quantise": adapter.quantise}
    arrays = {"peft": peft_arrays, "mlx": mlx_arrays}
    configs = {"peft": _peft_config, "mlx": _mlx_config}
    config: dict[str, Any] = {}
    for layout in layouts:
        content = _ordered(save_arrays(arrays[layout](adapter.weights), metadata=metadata))
        write_atomic(folder / FILES[layout], content)
        config |= configs[layout](adapter)
    write_atomic(folder / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def read(folder: Path) -> dict[str, Any]:
    """What `Adapter` is made of, from a folder in either layout; PEFT's where both are there.

    Raises:
        ModelError: a file is missing or broken, or it is a kind of adapter that samloop does not serve.
    """
    if not folder.is_dir():
        raise ModelError(f"expected an adapter folder at {folder}, found none")
    config = _read_config(folder)
    found = present(folder)
    if not found:
        if (folder / "adapter_model.bin").is_file():
            raise ModelError(f"the adapter in {folder} is pickled, which can run code; save it as safetensors")
        raise ModelError(f"the adapter in {folder} has no {FILES['peft']}; take a whole copy of it")
    path = folder / FILES[found[0]]
    arrays, metadata = _load(path)
    try:
        shaped = (_from_peft if found[0] == "peft" else _from_mlx)(arrays, path, config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / CONFIG} lacks or garbles {error}; take a whole copy of the adapter") from None
    return {
        **shaped,
        "base_fingerprint": metadata.get("base_fingerprint", ""),
        "quantise": metadata.get("quantise") or ("none" if metadata.get("base_fingerprint") else ""),
    }


def read_metadata(folder: Path) -> Mapping[str, str]:
    """What samloop wrote into the header of an adapter's weights; empty where another program wrote them.

    Raises:
        ModelError: there are no weights, or they are broken.
    """
    for layout in present(folder):
        path = folder / FILES[layout]
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            return dict(header.get("__metadata__") or {})
        except (OSError, ValueError, AttributeError, TypeError, OverflowError, MemoryError) as error:
            raise _broken(path) from error
    raise ModelError(f"the adapter in {folder} has no {FILES['peft']}; take a whole copy of it")


def peft_arrays(weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The weights under PEFT's names."""
    return {
        f"{PEFT_PREFIX}{name}.{part}.weight": np.ascontiguousarray(array, dtype=np.float32)
        for name, (a, b) in sorted(weights.items())
        for part, array in (("lora_A", a), ("lora_B", b))
    }


def mlx_arrays(weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The weights under MLX's names."""
    return {
        f"{name}.{part}": np.ascontiguousarray(array.T, dtype=np.float32)
        for name, (a, b) in sorted(weights.items())
        for part, array in (("lora_a", a), ("lora_b", b))
    }


def _peft_config(adapter: Lora) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": adapter.base_name,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": sorted(adapter.weights),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
    }


def _mlx_config(adapter: Lora) -> dict[str, Any]:
    """mlx-lm finds the modules by their whole names wherever they are; `num_layers` is then without effect."""
    return {
        "fine_tune_type": "lora",
        "model": adapter.base_name,
        "num_layers": -1,
        "lora_parameters": {
            "rank": adapter.rank,
            "scale": adapter.scale,
            "dropout": adapter.dropout,
            "keys": sorted(adapter.weights),
        },
    }


def _from_peft(arrays: Mapping[str, np.ndarray], path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (config.get("use_dora"), config.get("lora_bias"), config.get("alora_invocation_tokens"))
    if config.get("peft_type") != "LORA" or any(kinds) or config.get("bias", "none") != "none":
        raise ModelError(f"expected a plain LoRA adapter in {path.parent}, got another kind")
    pairs = {
        name.removeprefix(PEFT_PREFIX): pair
        for name, pair in _pairs(arrays, path, ".lora_A.weight", ".lora_B.weight", transpose=False)
    }
    alphas = {name: _of_module(config, "alpha_pattern", name, config["lora_alpha"]) for name in pairs}
    root = 0.5 if config.get("use_rslora") else 1.0
    scales = {name: float(alphas[name]) / len(a) ** root for name, (a, _) in pairs.items()}
    return {
        **_evened(pairs, scales),
        "base_name": str(config.get("base_model_name_or_path") or ""),
        "dropout": float(config.get("lora_dropout", 0.0)),
    }


def _from_mlx(arrays: Mapping[str, np.ndarray], path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    parameters = config.get("lora_parameters")
    if config.get("fine_tune_type", "lora") != "lora" or not isinstance(parameters, Mapping):
        raise ModelError(f"expected a plain LoRA adapter in {path.parent}, got another kind")
    pairs = dict(_pairs(arrays, path, ".lora_a", ".lora_b", transpose=True))
    scale = float(parameters["scale"])
    return {
        **_evened(pairs, dict.fromkeys(pairs, scale)),
        "base_name": str(config.get("model") or ""),
        "dropout": float(parameters.get("dropout", 0.0)),
    }


def _of_module(config: Mapping[str, Any], pattern: str, name: str, default: Any) -> Any:
    """The value that PEFT's `rank_pattern` or `alpha_pattern` has for a module. Only plain names are taken: an
    expression from a stranger's file can take for ever to match."""
    for key, value in (config.get(pattern) or {}).items():
        if not _PLAIN_NAME.fullmatch(key):
            raise ModelError(
                f"expected names of modules in {pattern} of {CONFIG}, got '{key[:80]}'; write each module out"
            )
        if f".{name}".endswith(f".{key}"):
            return value
    return default


def _evened(pairs: Pairs, scales: Mapping[str, float]) -> dict[str, Any]:
    """The same update with one rank and one scale: smaller ranks are filled up with zeros, scales go into B."""
    if not all(map(math.isfinite, scales.values())):
        raise ValueError("its scale, which is no number")
    rank = max(len(a) for a, _ in pairs.values())
    scale = next((scales[name] for name, (a, _) in pairs.items() if len(a) == rank), 1.0) or 1.0
    weights = {}
    for name, (a, b) in pairs.items():
        missing = rank - len(a)
        if scales[name] != scale:
            b = b * np.float32(scales[name] / scale)
        weights[name] = (np.pad(a, ((0, missing), (0, 0))), np.pad(b, ((0, 0), (0, missing)))) if missing else (a, b)
    return {"rank": rank, "alpha": round(scale * rank, 12), "weights": weights}


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the adapter in {folder} has no {CONFIG}; take a whole copy of it") from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not readable JSON; take a whole copy of the adapter") from error
    if not isinstance(config, dict):
        raise ModelError(f"expected a JSON object in {path}, got {type(config).__name__}")
    return config


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: the library writes it in random order, and equal adapters
    should be equal files."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        return _as_float32(content, length), json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # the Rust library raises its own kinds, one per cause
        raise _broken(path) from error


def _as_float32(content: bytes, length: int) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; numpy has no bfloat16, whose bits are the upper half of a float32's."""
    header = json.loads(content[8 : 8 + length])
    if not any(entry.get("dtype") == "BF16" for name, entry in header.items() if name != "__metadata__"):
        return dict(load_arrays(content))
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = {"BF16": "<u2", "F16": "<f2", "F32": "<f4"}[entry["dtype"]]
        flat = np.frombuffer(content[begin:end], kind).reshape(entry["shape"])
        arrays[name] = (flat.astype("<u4") << 16).view("<f4") if entry["dtype"] == "BF16" else flat
    return arrays


def _broken(path: Path) -> ModelError:
    return ModelError(f"{path} is not a safetensors file that can be read; take a whole copy of it")


def _pairs(
    arrays: Mapping[str, np.ndarray], path: Path, end_a: str, end_b: str, *, transpose: bool
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    names = sorted(key.removesuffix(end_a) for key in arrays if key.endswith(end_a))
    if not names or len(arrays) != 2 * len(names) or any(name + end_b not in arrays for name in names):
        raise ModelError(f"expected pairs of LoRA matrices and nothing else in {path}")
    for name in names:
        a, b = arrays[name + end_a].astype(np.float32), arrays[name + end_b].astype(np.float32)
        if transpose:
            a, b = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or not len(a):
            raise ModelError(f"expected two matrices of one rank for {name} in {path}, got {a.shape} and {b.shape}")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ModelError(f"the weights of {name} in {path} hold NaN or infinity; train the adapter again")
        yield name, (a, b)
