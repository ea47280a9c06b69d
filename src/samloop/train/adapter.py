"""LoRA adapters as numpy arrays: planned, drawn and checked the same way whatever backend trains them.

How they lie on disk is in `samloop.train.layouts`.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samloop.errors import ModelError, TrainingError
from samloop.train import layouts
from samloop.train.layouts import PEFT_PREFIX as PEFT_PREFIX

Weights = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One LoRA adapter: module(x) becomes module(x) + alpha / rank · B A x.

    Attributes:
        weights: by module name (``model.layers.0.self_attn.q_proj``), A float32 [rank, in] and B float32 [out, rank].
        base_name: what people call the base model.
        base_fingerprint: `Base.fingerprint` of the base it was trained on; empty: not recorded.
        dropout: as it was in training.
        quantise: how the base was held in training (``none``, ``nf4``, ``affine4``); empty: not recorded.
    """

    rank: int
    alpha: float
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
    base_name: str = ""
    base_fingerprint: str = ""
    dropout: float = 0.0
    quantise: str = ""

    @property
    def scale(self) -> float:
        """What the low-rank update is multiplied by."""
        return self.alpha / self.rank

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights under PEFT's names."""
        return layouts.peft_arrays(self.weights)

    def write(self, folder: Path, to: tuple[str, ...] = ("peft",)) -> None:
        """Write adapter_config.json and the weights, in each of the layouts, into `folder`, which exists.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        layouts.write(self, folder, to)

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """The adapter in `folder`, in PEFT's or MLX's layout.

        Raises:
            ModelError: a file is missing or broken, or it is a kind of adapter that samloop does not serve.
        """
        return cls(**layouts.read(folder))

    def check_base(self, base_fingerprint: str, where: str) -> None:
        """See that this adapter was trained on the base of that fingerprint, where it says on which.

        Raises:
            ModelError: it was trained on another one.
        """
        if self.base_fingerprint and self.base_fingerprint != base_fingerprint:
            raise ModelError(
                f"the adapter {where} was trained on another base ({self.base_name or 'not named'}); "
                "load it with that one, or train a new adapter"
            )

    def check(
        self, shapes: Mapping[str, tuple[int, int]], base_fingerprint: str, where: str, quantise: str | None = None
    ) -> None:
        """See that this adapter belongs to the base whose linear modules have these (in, out) shapes.

        Args:
            quantise: how the base is held; None: whatever it is.

        Raises:
            ModelError: it was trained on another base, or on one held otherwise, or its modules do not fit.
        """
        self.check_base(base_fingerprint, where)
        if quantise is not None and self.quantise and self.quantise != quantise:
            raise ModelError(
                f"the adapter {where} was trained on a base held as {self.quantise}, and this one is held as "
                f"{quantise}; load the base as it was (train.quantise), or train a new adapter"
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
