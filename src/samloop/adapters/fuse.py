"""A base with an adapter merged into it: W + alpha / rank · B A, in float32, rounded once to the kind of W.

The merged weights stand in for those the adapter was trained on. Where that was a base held in four bits, it is that
base, spelt out in the base's own kind of numbers, so that what was evaluated is what is fused.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from samloop.adapters.tensors import (
    FLOATS,
    ITEM_BYTES,
    Made,
    by_file,
    decode,
    dequantised,
    encode,
    read_tensors,
    write_tensors,
)
from samloop.errors import ModelError, StoreError
from samloop.files import write_atomic, write_json

ALONG: Final = (
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
)
"""What is copied from the base beside its weights: no code, and no weights in other forms."""

SPARE_BYTES: Final = 64 * 2**20
"""What has to be left on the disk beside the weights."""

_DTYPES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_QUANTISED: Final = ("quantization", "quantization_config")

Rounded = Callable[[np.ndarray, str], np.ndarray]
"""A float32 matrix and its kind of numbers in the base (F32, F16, BF16) in; out as the base in training had it."""


class Update(Protocol):
    """The part of an adapter that fusing needs."""

    @property
    def weights(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
        """By module name, A [rank, in] and B [out, rank]."""

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""


class Fused:
    """The weights of a base with an adapter in them, made one at a time.

    Attributes:
        config: the base's config.json, for plain weights.
        kinds: by tensor name, its kind of numbers and its shape.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[Path],
        config: Mapping[str, Any],
        update: Update | None,
        *,
        rounded: Rounded | None = None,
        round_embeddings: bool = False,
        kind: str | None = None,
    ) -> None:
        """
        Args:
            files: the base's safetensors files.
            update: the adapter; None: the base alone.
            rounded: gives a matrix as the base in training had it; None: it had it as it is.
            round_embeddings: whether that goes for the embedding and the head as well.
            kind: of numbers to write all weights in; None: each as the base has it.

        Raises:
            ModelError: the base's weights are packed in a way that cannot be undone here, or the adapter changes what
                the base does not have.
        """
        self.folder, self._rounded, self._round_embeddings, self._as = folder, rounded, round_embeddings, kind
        self._lost = self._learnt = 0.0
        self._packing = _packing(config, folder)
        self.config = _plain_config(config) | ({"dtype": _DTYPES[kind]} if kind else {})
        if kind:
            self.config.pop("torch_dtype", None)
        self._tensors = {name: tensor for path in files for name, tensor in read_tensors(path).items()}
        self.kinds = {name: made for name in self._tensors if (made := self._kind(name)) is not None}
        self._update = dict(_named(update, self.kinds, folder, config)) if update else {}
        self._scale = update.scale if update else 0.0

    def bytes(self) -> int:
        """What its weights take in files."""
        return sum(prod(shape) * ITEM_BYTES[kind] for kind, shape in self.kinds.values())

    def file_of(self, name: str) -> Path:
        """The base's file that a tensor lies in."""
        return self._tensors[name].path

    def numbers(self, name: str) -> np.ndarray:
        """A tensor as float32, with the adapter in it, before it is rounded to its kind."""
        whole = self._base(name)
        if name in self._update:
            a, b = self._update[name]
            whole = whole + np.float32(self._scale) * (b @ a)
        return whole

    def stored(self, name: str) -> np.ndarray:
        """A tensor as it goes into a file; the bytes of the base where nothing changes it."""
        tensor = self._tensors[name]
        kind, _ = self.kinds[name]
        if kind not in FLOATS or not (name in self._update or self._rounds(name) or self._is_packed(name)):
            return tensor.raw() if kind == tensor.kind else encode(tensor.floats(), kind)
        whole = self.numbers(name)
        written = encode(whole, kind)
        if name in self._update:
            a, b = self._update[name]
            self._lost += float(np.square(decode(written, kind) - whole).sum(dtype=np.float64))
            self._learnt += float(np.square(np.float32(self._scale) * (b @ a)).sum(dtype=np.float64))
        return written

    def rounding(self) -> float:
        """What rounding the weights written so far has cost: a share of the adapter's update, by root mean square."""
        return (self._lost / self._learnt) ** 0.5 if self._learnt else 0.0

    def _base(self, name: str) -> np.ndarray:
        if self._is_packed(name):
            stem = name.removesuffix(".weight")
            scales, biases = self._tensors[f"{stem}.scales"], self._tensors[f"{stem}.biases"]
            return dequantised(self._tensors[name], scales, biases, bits=self._bits(stem))
        numbers = self._tensors[name].floats()
        return self._rounded(numbers, self._tensors[name].kind) if self._rounded and self._rounds(name) else numbers

    def _rounds(self, name: str) -> bool:
        """Whether a tensor was held in four bits in training: the matrices of the layers, and perhaps the ends."""
        _, shape = self.kinds[name]
        inside = ".layers." in name or self._round_embeddings
        return self._rounded is not None and len(shape) == 2 and name.endswith(".weight") and inside

    def _is_packed(self, name: str) -> bool:
        return self._packing is not None and f"{name.removesuffix('.weight')}.scales" in self._tensors

    def _bits(self, stem: str) -> int:
        packing: Mapping[str, Any] = self._packing or {}
        own = packing.get(stem)
        return int((own if isinstance(own, Mapping) else packing)["bits"])

    def _kind(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Kind and shape of a tensor as it will be; None for the scales of a packed one."""
        tensor = self._tensors[name]
        kind = self._as if self._as and tensor.kind in FLOATS else tensor.kind
        if self._packing is None:
            return kind, tensor.shape
        stem, _, last = name.rpartition(".")
        if last in ("scales", "biases") and f"{stem}.weight" in self._tensors:
            return None
        if not self._is_packed(name):
            return kind, tensor.shape
        return self._as or self._tensors[f"{stem}.scales"].kind, (
            tensor.shape[0],
            tensor.shape[1] * 32 // self._bits(stem),
        )


def write_model(fused: Fused, folder: Path, card: str) -> int:
    """Write a whole Hugging Face folder: weights in the base's files, configuration, tokenizer, chat template.

    Args:
        folder: exists and is empty.
        card: the text of its README.md.

    Returns:
        the bytes of its weights.

    Raises:
        StoreError: the disk has not enough room.
        OSError: it cannot be written.
    """
    made = {
        name: Made(kind, shape, lambda name=name: fused.stored(name))  # type: ignore[misc]
        for name, (kind, shape) in fused.kinds.items()
    }
    total = sum(one.nbytes for one in made.values())
    see_room(folder, total)
    files = {path.name: names for path, names in by_file((name, fused.file_of(name)) for name in made)}
    for name, inside in files.items():
        write_tensors(folder / name, {tensor: made[tensor] for tensor in inside})
    if len(files) > 1:
        places = {tensor: name for name, inside in files.items() for tensor in inside}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        write_json(folder / "model.safetensors.index.json", index)
    else:
        (folder / next(iter(files))).rename(folder / "model.safetensors")
    for name in ALONG:
        if (fused.folder / name).is_file():
            shutil.copyfile(fused.folder / name, folder / name)
    write_json(folder / "config.json", dict(fused.config))
    write_atomic(folder / "README.md", card.encode())
    return total


def see_room(folder: Path, needed_bytes: int) -> None:
    """See, before anything is written, that the disk has room.

    Raises:
        StoreError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_BYTES:
        raise StoreError(
            f"the model takes {needed_bytes / 2**30:,.1f} GiB and the disk of {folder.parent} has "
            f"{free / 2**30:,.1f} GiB; make room, or choose another place"
        )


def _packing(config: Mapping[str, Any], folder: Path) -> Mapping[str, Any] | None:
    """How MLX packed the base's weights; None where they are plain."""
    found = next((config[key] for key in _QUANTISED if isinstance(config.get(key), Mapping)), None)
    if found is None:
        return None
    if found.get("quant_method") or found.get("mode", "affine") != "affine":
        how = found.get("quant_method") or found.get("mode")
        raise ModelError(
            f"the model in {folder} is quantised as {how}, and an adapter cannot be merged into that; "
            "take the model it was made from"
        )
    return found  # type: ignore[no-any-return]


def _plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of plain weights, which both transformers and mlx-lm read rightly.

    transformers 5 writes the rotary base into rope_parameters; mlx-lm reads it from the top alone, and has a default
    of its own where it is not there.
    """
    plain = {key: value for key, value in config.items() if key not in _QUANTISED}
    rotary = plain.get("rope_parameters")
    if isinstance(rotary, Mapping):
        if "rope_theta" in rotary:
            plain.setdefault("rope_theta", rotary["rope_theta"])
        if rotary.get("rope_type", "default") != "default" and not plain.get("rope_scaling"):
            plain["rope_scaling"] = {key: value for key, value in rotary.items() if key != "rope_theta"}
    return plain


def _named(
    update: Update, kinds: Mapping[str, tuple[str, tuple[int, ...]]], folder: Path, config: Mapping[str, Any]
) -> Sequence[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """The adapter's matrices by the name of the tensor that they change."""
    found = []
    for module, (a, b) in update.weights.items():
        name = f"{module}.weight"
        if name not in kinds:
            if module.endswith("lm_head") and config.get("tie_word_embeddings"):
                raise ModelError(
                    f"the adapter changes {module}, which in this base is its embedding as well, so they "
                    "cannot be fused; train without it (train.targets)"
                )
            raise ModelError(
                f"the adapter changes {module}, which the base in {folder} does not have; it is another base's"
            )
        if kinds[name][1] != (b.shape[0], a.shape[1]):
            raise ModelError(
                f"the adapter expects {module} of {a.shape[1]} × {b.shape[0]}, the base in {folder} has "
                f"{kinds[name][1][1]} × {kinds[name][1][0]}; it belongs to another base"
            )
        found.append((name, (a, b)))
    return found
