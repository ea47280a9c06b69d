"""LoRA adapters as numpy arrays: planned, drawn, written and read the same way whatever backend trains them.

On disk they have PEFT's layout (adapter_config.json, adapter_model.safetensors); MLX's layout (adapters.safetensors)
is read as well. MLX ↔ PEFT is transpose and rename, and alpha = scale × rank.
"""

from __future__ import annotations

import difflib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from samloop.errors import ModelError, TrainingError
from samloop.files import write_atomic

Weights = dict[str, tuple[np.ndarray, np.ndarray]]

PEFT_PREFIX: Final = "base_model.model."
"""What PEFT puts before the names of the base model's modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One LoRA adapter: module(x) becomes module(x) + alpha / rank · B A x.

    Attributes:
        weights: by module name (``model.layers.0.self_attn.q_proj``), A float32 [rank, in] and B float32 [out, rank].
        base_name: what people call the base model.
        base_fingerprint: `Base.fingerprint` of the base it was trained on; empty: not recorded.
        dropout: as it was in training.
    """

    rank: int
    alpha: float
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
    base_name: str = ""
    base_fingerprint: str = ""
    dropout: float = 0.0

    @property
    def scale(self) -> float:
        """What the low-rank update is multiplied by."""
        return self.alpha / self.rank

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights under PEFT's names."""
        return {
            f"{PEFT_PREFIX}{name}.{part}.weight": np.ascontiguousarray(array, dtype=np.float32)
            for name, (a, b) in sorted(self.weights.items())
            for part, array in (("lora_A", a), ("lora_B", b))
        }

    def write(self, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors into `folder`, which exists.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        metadata = {"format": "pt", "base_fingerprint": self.base_fingerprint}
        write_atomic(folder / "adapter_model.safetensors", _ordered(save_arrays(self.arrays(), metadata=metadata)))
        config = json.dumps(self._config(), indent=2, sort_keys=True) + "\n"
        write_atomic(folder / "adapter_config.json", config.encode())

    def _config(self) -> dict[str, Any]:
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base_name,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "target_modules": sorted(self.weights),
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "use_rslora": False,
            "use_dora": False,
        }

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """The adapter in `folder`, in PEFT's or MLX's layout.

        Raises:
            ModelError: a file is missing or broken, or it is a kind of adapter that samloop does not serve.
        """
        if not folder.is_dir():
            raise ModelError(f"expected an adapter folder at {folder}, found none")
        config = _read_config(folder)
        if (folder / "adapter_model.safetensors").is_file():
            return _read_peft(folder / "adapter_model.safetensors", config)
        if (folder / "adapters.safetensors").is_file():
            return _read_mlx(folder / "adapters.safetensors", config)
        if (folder / "adapter_model.bin").is_file():
            raise ModelError(f"the adapter in {folder} is pickled, which can run code; save it as safetensors")
        raise ModelError(f"the adapter in {folder} has no adapter_model.safetensors; take a whole copy of it")

    def check(self, shapes: Mapping[str, tuple[int, int]], base_fingerprint: str, where: str) -> None:
        """See that this adapter belongs to the base whose linear modules have these (in, out) shapes.

        Raises:
            ModelError: it was trained on another base, or its modules do not fit.
        """
        if self.base_fingerprint and self.base_fingerprint != base_fingerprint:
            raise ModelError(
                f"the adapter {where} was trained on another base ({self.base_name or 'not named'}); "
                "load it with that one, or train a new adapter"
            )
        for name, (a, b) in self.weights.items():
            if name not in shapes:
                raise ModelError(f"the adapter {where} changes {name}, which this base does not have")
            if (a.shape[1], b.shape[0]) != shapes[name]:
                raise ModelError(
                    f"the adapter {where} expects {name} of {a.shape[1]} × {b.shape[0]}, "
                    f"the base has {shapes[name][0]} × {shapes[name][1]}; it belongs to another base"
                )


def weights_of(arrays: Mapping[str, np.ndarray]) -> Weights:
    """The inverse of `Adapter.arrays`."""
    names = {key.rsplit(".lora_", 1)[0] for key in arrays}
    return {
        name.removeprefix(PEFT_PREFIX): (arrays[f"{name}.lora_A.weight"], arrays[f"{name}.lora_B.weight"])
        for name in sorted(names)
    }


def plan(shapes: Mapping[str, tuple[int, int]], *, targets: tuple[str, ...], layers: int, rank: int) -> list[str]:
    """The modules that get LoRA, sorted.

    Args:
        shapes: (in, out) of every linear module of the base, by name.
        targets: last parts of module names, inside the layers.
        layers: how many of the last layers; 0: all.

    Raises:
        TrainingError: a target is unknown (with the nearest known one), or there are fewer layers.
    """
    numbered = {name: number for name in shapes if (number := _layer(name)) is not None}
    known = sorted({name.rsplit(".", 1)[-1] for name in numbered})
    for target in targets:
        if target not in known:
            near = difflib.get_close_matches(target, known, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}."
            raise TrainingError(f"the base model has no module '{target}' (train.targets); {hint}")
    count = 1 + max(numbered.values(), default=-1)
    if layers > count:
        raise TrainingError(f"train.layers asks for the last {layers} layers, the base model has {count}")
    first = count - layers if layers else 0
    chosen = sorted(n for n, number in numbered.items() if number >= first and n.rsplit(".", 1)[-1] in targets)
    if not chosen:
        raise TrainingError(f"train.targets is empty; the base model has {', '.join(known)}")
    smallest = min(min(shapes[name]) for name in chosen)
    if rank > smallest:
        raise TrainingError(f"train.rank is {rank}, but the smallest chosen module of the base is {smallest} wide")
    return chosen


def initial(shapes: Mapping[str, tuple[int, int]], modules: list[str], *, rank: int, seed: int) -> Weights:
    """Fresh weights: A uniform in ±1/√in (what PEFT's kaiming_uniform_(a=√5) comes to), B zero.

    Each module draws from its own generator, so that neither order nor backend changes a weight.
    """
    weights: Weights = {}
    for name in modules:
        inputs, outputs = shapes[name]
        bound = inputs**-0.5
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        a = generator.uniform(-bound, bound, size=(rank, inputs)).astype(np.float32)
        weights[name] = (a, np.zeros((outputs, rank), dtype=np.float32))
    return weights


def _layer(name: str) -> int | None:
    """The number in ``model.layers.7.mlp.up_proj``; None for modules outside the layers."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the adapter in {folder} has no adapter_config.json; take a whole copy of it") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
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
        return load_arrays(content), json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # the Rust library raises its own kinds, one per cause
        raise ModelError(f"{path} is not a safetensors file that can be read; take a whole copy of it") from error


def _read_peft(path: Path, config: Mapping[str, Any]) -> Adapter:
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("bias", "none") != "none":
        raise ModelError(f"expected a plain LoRA adapter in {path.parent}, got another kind")
    arrays, metadata = _load(path)
    rank = int(config["r"])
    alpha = float(config["lora_alpha"]) * (rank**0.5 if config.get("use_rslora") else 1.0)
    weights = dict(_pairs(arrays, path, ".lora_A.weight", ".lora_B.weight", transpose=False))
    weights = {name.removeprefix(PEFT_PREFIX): pair for name, pair in weights.items()}
    return Adapter(
        rank=rank,
        alpha=alpha,
        weights=weights,
        base_name=str(config.get("base_model_name_or_path") or ""),
        base_fingerprint=metadata.get("base_fingerprint", ""),
        dropout=float(config.get("lora_dropout", 0.0)),
    )


def _read_mlx(path: Path, config: Mapping[str, Any]) -> Adapter:
    parameters = config.get("lora_parameters")
    if config.get("fine_tune_type", "lora") != "lora" or not isinstance(parameters, Mapping):
        raise ModelError(f"expected a plain LoRA adapter in {path.parent}, got another kind")
    arrays, metadata = _load(path)
    rank = int(parameters["rank"])
    return Adapter(
        rank=rank,
        alpha=float(parameters["scale"]) * rank,
        weights=dict(_pairs(arrays, path, ".lora_a", ".lora_b", transpose=True)),
        base_name=str(config.get("model") or ""),
        base_fingerprint=metadata.get("base_fingerprint", ""),
        dropout=float(parameters.get("dropout", 0.0)),
    )


def _pairs(
    arrays: Mapping[str, np.ndarray], path: Path, end_a: str, end_b: str, *, transpose: bool
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    names = sorted(key.removesuffix(end_a) for key in arrays if key.endswith(end_a))
    if not names or len(arrays) != 2 * len(names) or any(name + end_b not in arrays for name in names):
        raise ModelError(f"expected pairs of LoRA matrices and nothing else in {path}")
    for name in names:
        a, b = arrays[name + end_a].astype(np.float32), arrays[name + end_b].astype(np.float32)
        yield name, (np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)) if transpose else (a, b)
