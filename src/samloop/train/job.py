"""The training job: everything a run needs to know, as plain data that survives JSON and a process boundary."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from samloop.errors import TrainingError
from samloop.settings import Train
from samloop.train.quantise import NONE, resolve

LOCATIONS: Final = frozenset(
    {"run_id", "dataset", "base", "base_name", "report_steps", "checkpoint_steps"}
    | {"cluster_shard", "earlier_adapters"}
)
"""Fields that do not shape the weights: a run may be resumed after they changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """One training run: dataset and settings in, adapter and metrics out.

    Attributes:
        run_id: the run's name in store and home.
        dataset: folder with train.jsonl and, optionally, valid.jsonl.
        base: folder of the base model.
        base_name: what people call the base; written into the adapter.
        backend: name of the backend plug-in.
        method: ``sft``, ``dpo``, ``sft+dpo`` or ``auto``: sft+dpo where there are `min_pairs` pairs, else sft.
        min_pairs: see `method`.
        beta: how strongly dpo holds the model to the base.
        preference_epochs, preference_learning_rate: of dpo.
        curriculum: sft in phases by complexity.
        rank, alpha, dropout: LoRA; the update is scaled by alpha / rank.
        layers: how many of the last layers get LoRA; 0: all.
        targets: module names with LoRA, e.g. ``q_proj``.
        batch_examples: sequences per forward pass.
        accumulation_steps: batches per optimiser step.
        max_seq_tokens: examples with more tokens are left out and counted.
        quantise: how the base's weights are held: ``none``, or a backend's form of four bits.
        packing: sequences end to end without padding: ``on``, ``off``, or ``auto``, on where base and backend can.
        gradient_checkpointing: recompute each layer in the backward pass instead of keeping what it needs.
        cluster_shard: the workers of a cluster split the base's layers among them; alone, it means nothing.
        epochs: passes over the data; fractions are allowed.
        max_steps: bound on optimiser steps; 0: none.
        learning_rate: the peak, after warm-up.
        warmup_share: share of steps with rising learning rate.
        report_steps, evaluate_steps, checkpoint_steps: optimiser steps between metric lines,
            between validations, between checkpoints.
        earlier_adapters: of how many checkpoints that are gone the adapter stays.
        patience: validations without improvement before stopping; 0: never.
    """

    run_id: str
    dataset: str
    base: str
    base_name: str
    backend: str
    method: str = "sft"
    min_pairs: int = 20
    beta: float = 0.1
    preference_epochs: float = 3.0
    preference_learning_rate: float = 1e-5
    curriculum: bool = False
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    layers: int = 0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    batch_examples: int = 4
    accumulation_steps: int = 4
    max_seq_tokens: int = 512
    quantise: str = NONE
    packing: str = "auto"
    gradient_checkpointing: bool = False
    cluster_shard: bool = False
    epochs: float = 1.0
    max_steps: int = 0
    learning_rate: float = 1e-4
    warmup_share: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0
    report_steps: int = 10
    evaluate_steps: int = 50
    checkpoint_steps: int = 100
    earlier_adapters: int = 0
    patience: int = 3

    @classmethod
    def of(
        cls, settings: Train, *, run_id: str, dataset: Path, base: Path, base_name: str, max_steps: int = 0
    ) -> TrainJob:
        """The job that the recipe's training section asks for; "auto" is resolved for this machine."""
        shared = {f.name for f in fields(cls)} & set(Train.model_fields) - {"backend", "quantise"}
        backend = _default_backend() if settings.backend == "auto" else settings.backend
        return cls(
            run_id=run_id,
            dataset=str(dataset),
            base=str(base),
            base_name=base_name,
            backend=backend,
            quantise=resolve(settings.quantise, backend, base),
            max_steps=max_steps,
            **{name: getattr(settings, name) for name in shared},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data, the inverse of `from_dict`."""
        return {**asdict(self), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TrainJob:
        """The inverse of `to_dict`.

        Raises:
            TrainingError: a field is unknown or missing.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(plain) - known)
        if unknown:
            raise TrainingError(f"expected the fields of a training job, got '{unknown[0]}' as well")
        try:
            return cls(**{**plain, "targets": tuple(plain["targets"])})
        except (KeyError, TypeError) as error:
            raise TrainingError(f"the training job is incomplete: {error}") from None

    def shaping(self) -> dict[str, Any]:
        """The fields that decide what the trained weights are: two runs with equal ones on equal data are one run."""
        return {name: value for name, value in self.to_dict().items() if name not in LOCATIONS}


def _default_backend() -> str:
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mlx" if apple and importlib.util.find_spec("mlx") else "torch"
