"""The estimate of memory counts what torch keeps, and every part follows the setting that it comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MakeJob, build_base

from samloop.errors import ModelError
from samloop.train.base import Base
from samloop.train.batches import Batch
from samloop.train.estimate import Shape, estimate, kept_per_token, kept_scores, trained
from samloop.train.job import TrainJob
from samloop.train.torch_backend import TorchBackend

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
TOKENS = 120

QWEN_1_5B = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}


def config_of(base: Path) -> dict[str, Any]:
    return dict(json.loads((base / "config.json").read_bytes()))


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight layers, so that what is outside of them weighs little."""
    return build_base(tmp_path_factory.mktemp("deep") / "base", layers=8)


@pytest.mark.parametrize(
    "changes",
    [{"targets": ATTENTION}, {"targets": ("v_proj",)}, {"targets": ATTENTION + MLP}, {"dropout": 0.1}, {"layers": 4}],
    ids=["attention", "values", "all", "dropout", "layers"],
)
def test_activations_are_what_torch_keeps(deep: Path, make_job: MakeJob, changes: dict[str, Any]) -> None:
    job = make_job(base=str(deep), **changes)
    learner = TorchBackend().learner(Base.open(deep), job)
    own = {tensor.untyped_storage().data_ptr() for tensor in learner._peft.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, weights = np.ones((1, TOKENS), np.int32), np.zeros((1, TOKENS), np.float32)
    weights[0, -1] = 1.0
    learner._peft.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        learner._network.nats(Batch(ids, weights, np.array([TOKENS])))
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    shape = Shape.of(config_of(deep))
    each = kept_per_token(shape, job, 4) + kept_scores(shape, job, TOKENS, 4, "cpu")
    expected = each * TOKENS * (job.layers or shape.layers)
    assert expected == pytest.approx(measured, rel=0.12)


def test_weights_and_adapter_are_counted_exactly(base: Path, make_job: MakeJob) -> None:
    job = make_job(targets=ATTENTION + MLP)
    shape = Shape.of(config_of(base))
    learner = TorchBackend().learner(Base.open(base), job)
    parameters = dict(learner._peft.named_parameters())
    lora = sum(p.numel() for name, p in parameters.items() if "lora_" in name)
    biases = sum(p.numel() for name, p in parameters.items() if name.endswith("bias"))
    rest = sum(p.numel() for p in parameters.values()) - lora - biases
    assert trained(shape, job) == lora
    assert shape.in_layers + shape.outside == rest


def test_each_part_follows_its_setting(make_job: MakeJob) -> None:
    job = make_job(batch_examples=1, max_seq_tokens=512, rank=8)

    def told(job: TrainJob = job, **more: Any) -> Any:
        return estimate(QWEN_1_5B, job, **{"device": "cpu", "half": True, **more})

    plain = told()
    assert 3.0e9 < plain.weights < 3.2e9
    assert told(half=False).weights == 2 * plain.weights
    assert told(replace(job, max_seq_tokens=1024)).activations == pytest.approx(2 * plain.activations, rel=0.2)
    assert told(replace(job, layers=7)).activations * 4 == plain.activations
    assert told(replace(job, rank=16)).optimiser == 2 * plain.optimiser
    assert told(longest_tokens=256).activations * 2 < plain.activations
    assert told(pairs=True).activations == 2 * plain.activations
    # Parts of a batch go through one after the other, but no example is cut.
    many = told(replace(job, batch_examples=64))
    assert many.activations == 2 * plain.activations
    gpu = told(device="cuda")
    assert told(replace(job, batch_examples=64), device="cuda").activations == 16 * gpu.activations
    assert told(replace(job, max_seq_tokens=4096)).activations > 6 * plain.activations
    assert told(replace(job, gradient_checkpointing=True)).activations < plain.activations / 5
    assert told(replace(job, packing="off")).activations < plain.activations
    # The logits of 512 predictions are 311 MB; a chunk of them never is.
    assert plain.logits < 100 * 2**20
    mlx = told(replace(job, backend="mlx"), half=False)
    assert mlx.logits > plain.logits
    assert plain.training == sum(
        plain.to_dict()[name]
        for name in ("program", "weights", "adapter", "optimiser", "activations", "logits", "held")
    )
    assert plain.peak == max(plain.training, plain.loading)


def test_a_file_that_is_converted_stands_beside_what_it_becomes(make_job: MakeJob) -> None:
    job = make_job(batch_examples=1, max_seq_tokens=16)
    as_stored = estimate(QWEN_1_5B, job, device="cpu", half=True)
    wider = estimate({**QWEN_1_5B, "dtype": "float32"}, job, device="cpu", half=True)
    assert as_stored.loading < as_stored.training
    assert wider.peak == wider.loading > wider.training


@pytest.mark.parametrize("gone", ["hidden_size", "num_attention_heads", "vocab_size"])
def test_a_config_that_does_not_tell_its_size(make_job: MakeJob, gone: str) -> None:
    config = {name: value for name, value in QWEN_1_5B.items() if name != gone}
    with pytest.raises(ModelError, match=f"does not tell its size .*{gone}"):
        estimate(config, make_job())


def test_experts_are_not_guessed_at(make_job: MakeJob) -> None:
    with pytest.raises(ModelError, match="mixture of experts"):
        estimate({**QWEN_1_5B, "num_experts": 8}, make_job())
