"""Model weights on disk, tensor by tensor: a model of any size is rewritten in the memory of its largest matrix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from samloop.errors import ModelError

FLOATS: Final[Mapping[str, str]] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""The kinds of numbers that weights are made of, and how numpy reads them; bfloat16 is read as bits."""

ITEM_BYTES: Final[Mapping[str, int]] = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file: its kind (F32, F16, BF16, U32 …), its shape, and where its bytes lie."""

    kind: str
    shape: tuple[int, ...]
    path: Path
    begin: int
    end: int

    def raw(self) -> np.ndarray:
        """Its bytes, mapped and not read."""
        return np.memmap(self.path, np.uint8, "r", self.begin, (self.end - self.begin,))

    def floats(self) -> np.ndarray:
        """Its numbers as float32.

        Raises:
            ModelError: it is not made of floating-point numbers.
        """
        if self.kind not in FLOATS:
            raise ModelError(f"expected weights of F32, F16 or BF16 in {self.path}, got {self.kind}; take others")
        return decode(self.raw().view(FLOATS[self.kind]).reshape(self.shape), self.kind)


@dataclass(frozen=True, slots=True)
class Made:
    """A tensor that is to be written: its bytes are made when its turn comes."""

    kind: str
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return prod(self.shape) * ITEM_BYTES[self.kind]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the order of their bytes.

    Raises:
        ModelError: it is not a whole safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = orjson.loads(file.read(min(length, path.stat().st_size)))
        header.pop("__metadata__", None)
        tensors = {
            name: Tensor(
                entry["dtype"], tuple(entry["shape"]), path, *(8 + length + at for at in entry["data_offsets"])
            )
            for name, entry in header.items()
        }
        for tensor in tensors.values():
            if tensor.end - tensor.begin != prod(tensor.shape) * ITEM_BYTES[tensor.kind]:
                raise ValueError("shape")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is not a safetensors file that can be read; download the model again") from error
    return dict(sorted(tensors.items(), key=lambda item: item[1].begin))


def write_tensors(path: Path, tensors: Mapping[str, Made]) -> None:
    """Write a safetensors file, one tensor at a time.

    Raises:
        OSError: it cannot be written.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, made in tensors.items():
        header[name] = {"dtype": made.kind, "shape": made.shape, "data_offsets": [at, at + made.nbytes]}
        at += made.nbytes
    text = orjson.dumps(header)
    text += b" " * (-len(text) % 8)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for made in tensors.values():
            file.write(np.ascontiguousarray(made.make()).data)


def encode(numbers: np.ndarray, kind: str) -> np.ndarray:
    """float32 numbers as those of `kind` (F32, F16, BF16), rounded to the nearest, ties to even."""
    numbers = np.ascontiguousarray(numbers, dtype=np.float32)
    if kind == "BF16":
        bits = numbers.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return numbers.astype(FLOATS[kind])


def decode(numbers: np.ndarray, kind: str) -> np.ndarray:
    """The inverse of `encode`."""
    return (numbers.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else numbers.astype(np.float32)


def dequantised(packed: Tensor, scales: Tensor, biases: Tensor, *, bits: int) -> np.ndarray:
    """float32 weights of MLX's affine form: q · scale + bias, `bits` to a number and 32 / `bits` numbers to a word.

    Raises:
        ModelError: a number of bits that straddles words.
    """
    if 32 % bits:
        raise ModelError(
            f"{packed.path} holds weights of {bits} bits, which cannot be unpacked; take the plain model"
        )
    words = packed.raw().view("<u4").reshape(packed.shape)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    numbers = ((words[..., None] >> shifts) & np.uint32(2**bits - 1)).reshape(*scales.shape, -1)
    whole = numbers.astype(np.float32) * scales.floats()[..., None] + biases.floats()[..., None]
    return np.asarray(whole.reshape(packed.shape[0], -1))


def by_file(names: Iterable[tuple[str, Path]]) -> Iterator[tuple[Path, list[str]]]:
    """Names of tensors by the file they lie in, in the order of first appearance."""
    groups: dict[Path, list[str]] = {}
    for name, path in names:
        groups.setdefault(path, []).append(name)
    yield from groups.items()
