"""A model as one GGUF file for llama.cpp and Ollama, its names and numbers as llama.cpp's own converter has them.

Only what is known to come out right is written. An architecture, a rotary scaling or a way of splitting text that
llama.cpp does otherwise, or that this file does not know, is refused: a file that loads and answers wrongly is worse
than none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from samloop.adapters.fuse import Update
from samloop.adapters.gguf_vocabulary import add_vocabulary, gguf
from samloop.errors import ModelError

ARCHITECTURES: Final[Mapping[str, str]] = {
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "llama": "llama",
    "mistral": "llama",
    "gemma": "gemma",
}
"""The `model_type` of config.json, and what llama.cpp calls the architecture."""

ACTIVATIONS: Final[Mapping[str, str]] = {"gemma": "gelu_pytorch_tanh"}
"""What llama.cpp has between the matrices of an architecture's MLP; silu in all others."""

OUT_TYPES: Final[Mapping[str, Any]] = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
"""What matrices are written as; vectors are float32 always."""

_TYPES: Final[Mapping[str, Any]] = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_Q8_BLOCK: Final = 32
_LARGEST_F16: Final = 65504.0


class Model(Protocol):
    """What is written: see `samloop.adapters.fuse.Fused`."""

    @property
    def folder(self) -> Path:
        """The base's folder."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config.json."""

    @property
    def kinds(self) -> Mapping[str, tuple[str, tuple[int, ...]]]:
        """By tensor name, its kind of numbers and its shape."""

    def numbers(self, name: str) -> np.ndarray:
        """A tensor as float32."""


def write_gguf(
    model: Model, path: Path, *, outtype: str, name: str, template: str, licences: Sequence[str] = ()
) -> int:
    """Write the model to `path`, which appears when it is whole.

    Args:
        outtype: one of `OUT_TYPES`.
        name: what the model calls itself in the file.
        template: the chat template; what only trainers read in it is taken out.

    Returns:
        bytes of the file.

    Raises:
        ModelError: llama.cpp would not answer as the model does.
        OSError: it cannot be written.
    """
    architecture = architecture_of(model.config, model.folder)
    names = tensor_names(architecture, model)
    plans = {ours: _plan(model.kinds[ours][1], outtype) for ours in names}
    factors = rotary_factors(model.config)

    def fill(writer: Any) -> None:
        writer.add_name(name)
        writer.add_file_type(OUT_TYPES[outtype])
        if licences:
            writer.add_license(", ".join(licences))
        _add_settings(writer, model.config)
        add_vocabulary(writer, model.folder, _rows(model), template)
        for ours, theirs in names.items():
            _announce(writer, theirs, model.kinds[ours][1], plans[ours])
        if factors is not None:
            _announce(writer, "rope_freqs.weight", factors.shape, _TYPES["f32"])

    def tensors() -> Iterator[np.ndarray]:
        for ours in names:
            yield _as_type(arranged(model.numbers(ours), ours, architecture, model.config), plans[ours], ours)
        if factors is not None:
            yield factors

    return _write(path, architecture, fill, tensors())


def write_adapter(model: Model, adapter: Update, path: Path, *, outtype: str, name: str) -> int:
    """Write the adapter alone to `path`, for llama.cpp to load beside a GGUF file of its base.

    Returns:
        bytes of the file.

    Raises:
        ModelError: llama.cpp would not answer as the model does.
        OSError: it cannot be written.
    """
    architecture = architecture_of(model.config, model.folder)
    names = tensor_names(architecture, model)
    kind = _TYPES["f32" if outtype == "q8_0" else outtype]  # ranks are seldom whole blocks
    tensors: dict[str, np.ndarray] = {}
    for module, (a, b) in sorted(adapter.weights.items()):
        theirs = names[f"{module}.weight"]
        tensors[f"{theirs}.lora_a"] = _as_type(a, kind, module)
        tensors[f"{theirs}.lora_b"] = _as_type(
            arranged(b, f"{module}.weight", architecture, model.config), kind, module
        )

    def fill(writer: Any) -> None:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(name)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, adapter.scale * len(next(iter(adapter.weights.values()))[0]))
        for theirs, array in tensors.items():
            _announce(writer, theirs, array.shape, kind)

    return _write(path, architecture, fill, tensors.values())


def architecture_of(config: Mapping[str, Any], folder: Path) -> str:
    """What llama.cpp calls the architecture of a base.

    Raises:
        ModelError: it is not among those that are known to come out right.
    """
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"the model in {folder} is a {kind}, and GGUF is written for {', '.join(ARCHITECTURES)}; fuse the "
            "adapter ('samloop adapters fuse') and convert the folder with llama.cpp's convert_hf_to_gguf.py"
        )
    activation = config.get("hidden_activation") or config.get("hidden_act")
    if activation != ACTIVATIONS.get(kind, "silu"):
        raise ModelError(f"the model in {folder} has the activation {activation}, which GGUF is not written for")
    if config.get("use_sliding_window"):
        raise ModelError(f"the model in {folder} attends through a sliding window, which GGUF is not written for")
    return ARCHITECTURES[kind]


def tensor_names(architecture: str, model: Model) -> dict[str, str]:
    """By the name of each tensor of the model, its name in GGUF.

    Raises:
        ModelError: a tensor is of no kind that the architecture has.
    """
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    table = gguf.get_tensor_name_map(arch, int(model.config["num_hidden_layers"]))
    names = {}
    for ours in model.kinds:
        if ours.endswith("rotary_emb.inv_freq"):  # computed, not learnt; older models store it
            continue
        if ours == "lm_head.weight" and model.config.get("tie_word_embeddings"):
            continue  # llama.cpp takes the embedding where there is no head
        theirs = table.get_name(ours, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise ModelError(f"the model in {model.folder} has {ours}, which GGUF has no place for in {architecture}")
        names[ours] = theirs
    return names


def arranged(numbers: np.ndarray, name: str, architecture: str, config: Mapping[str, Any]) -> np.ndarray:
    """A tensor as llama.cpp computes with it.

    Queries and keys of Llama stand in the order in which it rotates them: pairs side by side, not half apart. The
    norms of Gemma, which multiply by one more than they hold, hold one more.
    """
    part = name.split(".")[-2]
    if architecture == "gemma" and part.endswith("norm"):
        return numbers + 1
    if architecture != "llama" or part not in ("q_proj", "k_proj"):
        return numbers
    heads = int(config["num_attention_heads"])
    if part == "k_proj":
        heads = int(config.get("num_key_value_heads") or heads)
    rows = numbers.shape[0]
    return numbers.reshape(heads, 2, rows // heads // 2, *numbers.shape[1:]).swapaxes(1, 2).reshape(numbers.shape)


def rotary_factors(config: Mapping[str, Any]) -> np.ndarray | None:
    """What Llama 3 divides each rotary frequency by, float32 [head / 2]; None where it divides none.

    As in transformers' `_compute_llama3_parameters`: long waves by `factor`, short ones by 1, a ramp between.
    """
    scaling = _scaling(config)
    if scaling is None or _rope_type(scaling) != "llama3":
        return None
    size = _head(config)
    waves = 2 * np.pi * _theta(config) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    factor, low, high = (float(scaling[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    reach = float(scaling["original_max_position_embeddings"])
    smooth = np.clip((reach / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def _write(path: Path, architecture: str, fill: Callable[[Any], None], tensors: Iterable[np.ndarray]) -> int:
    """Write settings and tensors, one at a time, beside `path`, and rename; the bytes of the file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(beside, architecture)
    try:
        fill(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(tensor)
        writer.close()
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.chmod(0o600)
        beside.replace(path)
    finally:
        writer.close()
        beside.unlink(missing_ok=True)
    return path.stat().st_size


def _add_settings(writer: Any, config: Mapping[str, Any]) -> None:
    heads = int(config["num_attention_heads"])
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(_head(config))
    writer.add_value_length(_head(config))
    writer.add_rope_dimension_count(_head(config))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_freq_base(_theta(config))
    scaling = _scaling(config)
    kind = _rope_type(scaling) if scaling is not None else "default"
    if scaling is not None and kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(scaling["factor"]))
    elif kind not in ("default", "llama3"):
        raise ModelError(f"the model scales its rotary positions by '{kind}', which GGUF is not written for")


def _scaling(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = config.get("rope_parameters") or config.get("rope_scaling")
    return found if isinstance(found, Mapping) else None


def _rope_type(scaling: Mapping[str, Any]) -> str:
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def _theta(config: Mapping[str, Any]) -> float:
    scaling = _scaling(config) or {}
    return float(scaling.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def _head(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or int(config["hidden_size"]) // int(config["num_attention_heads"]))


def _rows(model: Model) -> int:
    """Rows of the embedding: tokens that the model has a place for, used or not."""
    return next(shape[0] for name, (_, shape) in model.kinds.items() if name.endswith("embed_tokens.weight"))


def _plan(shape: tuple[int, ...], outtype: str) -> Any:
    """The type a tensor is written as: blocks of 32 where its rows divide into them."""
    if len(shape) < 2:
        return _TYPES["f32"]
    return _TYPES["f16"] if outtype == "q8_0" and shape[-1] % _Q8_BLOCK else _TYPES[outtype]


def _announce(writer: Any, name: str, shape: tuple[int, ...], kind: Any) -> None:
    if kind == _TYPES["q8_0"]:
        packed = gguf.quant_shape_to_byte_shape(shape, kind)
        writer.add_tensor_info(name, packed, np.dtype(np.uint8), int(np.prod(packed)), raw_dtype=kind)
        return
    dtype = np.dtype(np.float16 if kind == _TYPES["f16"] else np.float32)
    writer.add_tensor_info(name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)


def _as_type(numbers: np.ndarray, kind: Any, name: str) -> np.ndarray:
    numbers = np.ascontiguousarray(numbers, dtype=np.float32)
    if kind == _TYPES["q8_0"]:
        return np.asarray(gguf.quants.quantize(numbers, kind))
    if kind == _TYPES["f16"]:
        if np.abs(numbers).max(initial=0.0) > _LARGEST_F16:
            raise ModelError(f"{name} holds numbers beyond what f16 reaches; take --outtype f32 or q8_0")
        return numbers.astype(np.float16)
    return numbers
