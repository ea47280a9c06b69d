"""Sequences end to end, logits a few at a time and layers computed twice change nothing but time and memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import made_up, write_lines

from samloop import plugins
from samloop.errors import TrainingError
from samloop.train.base import Base
from samloop.train.batches import Batch
from samloop.train.driver import run
from samloop.train.job import TrainJob
from samloop.train.pairs import PairBatch

LENGTHS = (9, 2, 150, 17, 140, 3)
"""Beside short ones, two that are longer than the rows that attention takes at a time."""


def batch_of(lengths: Sequence[int], *, vocabulary: int = 300, seed: int = 0) -> Batch:
    """Random sequences, some of whose tokens count."""
    generator = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths))
    real = np.arange(shape[1]) < np.array(lengths)[:, None]
    ids = np.where(real, generator.integers(3, vocabulary, shape), 0).astype(np.int32)
    weights = np.where(real & (generator.random(shape) < 0.6), generator.uniform(0.5, 2, shape), 0)
    weights[:, 0], weights[:, 1] = 0.0, 1.0
    return Batch(ids, weights.astype(np.float32), np.array(lengths))


def learner_of(base: Path, job: TrainJob) -> Any:
    """A learner whose adapter does something."""
    learner = plugins.load("backends", job.backend)().learner(Base.open(base), job)
    adapter = learner.adapter()
    generator = np.random.default_rng(5)
    for _, b in adapter.weights.values():
        b[:] = generator.normal(0, 0.05, b.shape)
    learner.begin(adapter)
    return learner


def nats_of(learner: Any, batch: Batch) -> np.ndarray:
    found = learner._network.nats_each(batch)
    return found.detach().numpy()  # type: ignore[no-any-return]


def moved(learner: Any, batch: Batch) -> dict[str, np.ndarray]:
    """The adapter after a step on the batch."""
    learner.accumulate(batch, batch.total_weight)
    learner.update(1e-2)
    arrays: dict[str, np.ndarray] = learner.adapter().arrays()
    return arrays


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 2e-5) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], atol=tolerance, err_msg=name)


def of_family(base: Path, folder: Path, family: str) -> Path:
    """A random model of another architecture with the same tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir()
    for file in base.iterdir():
        if "token" in file.name:
            shutil.copy(file, folder)
    torch.manual_seed(1)
    config = AutoConfig.for_model(
        family,
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.1,
        eos_token_id=2,
        bos_token_id=None,
        pad_token_id=0,
        **({"sliding_window": 20} if family == "mistral" else {}),
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


# --- end to end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"])
def test_each_document_has_the_logits_and_gradients_that_it_has_alone(
    base: Path, make_job: Callable[..., TrainJob], tmp_path: Path, family: str
) -> None:
    other = of_family(base, tmp_path / family, family)
    targets = ("o_proj",) if family == "phi3" else ("q_proj", "v_proj", "o_proj")
    batch = batch_of(LENGTHS)
    packed = learner_of(other, make_job(packing="on", targets=targets))
    padded = learner_of(other, make_job(packing="off", targets=targets))
    assert packed._network.packed and not padded._network.packed
    together = nats_of(packed, batch)
    alone = np.concatenate([nats_of(padded, batch.rows(row, row + 1)) for row in range(len(LENGTHS))])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(together, nats_of(padded, batch), atol=1e-4)
    assert_close(moved(packed, batch), moved(padded, batch), 2e-4)


def test_a_document_does_not_see_its_neighbours(base: Path, make_job: Callable[..., TrainJob]) -> None:
    learner = learner_of(base, make_job())
    batch = batch_of(LENGTHS)
    before, whose = nats_of(learner, batch), batch.documents()
    batch.ids[2, :150] = np.roll(batch.ids[2, :150], 1)
    after = nats_of(learner, batch)
    np.testing.assert_array_equal(before[whose != 2], after[whose != 2])
    assert np.abs(before[whose == 2] - after[whose == 2]).max() > 0.1


def test_what_torch_itself_attends_to_is_attended_to_here() -> None:
    import torch
    from torch.nn import functional

    from samloop.train.torch_packing import attend

    torch.manual_seed(0)
    shapes = {"query": (1, 6, 420, 16), "key": (1, 2, 420, 16), "value": (1, 2, 420, 16)}
    given = {name: torch.randn(shape, requires_grad=True) for name, shape in shapes.items()}
    documents = [1, 127, 128, 130, 34]
    found = attend(torch.nn.Module(), **given, attention_mask=None, documents=documents)[0].transpose(1, 2)
    kind = torch.arange(len(documents)).repeat_interleave(torch.tensor(documents))
    mask = (kind[:, None] == kind[None, :]).tril()
    expected = functional.scaled_dot_product_attention(*given.values(), attn_mask=mask, enable_gqa=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    slope = torch.randn_like(found)
    ours = torch.autograd.grad(found, list(given.values()), slope)
    theirs = torch.autograd.grad(expected, list(given.values()), slope)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=20), st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_a_row_and_its_parts_hold_every_token_and_prediction(lengths: list[int], bound: int) -> None:
    batch = batch_of(lengths)
    row = batch.end_to_end()
    assert row.ids.tolist() == [int(t) for i, n in enumerate(lengths) for t in batch.ids[i, : n - 1]]
    assert row.positions.tolist() == [at for n in lengths for at in range(n - 1)]
    rows, positions, *_ = batch.predictions()
    assert row.ids[row.predicting].tolist() == batch.ids[rows, positions].tolist()
    parts = list(batch.parts(bound))
    assert all(part.tokens <= bound or len(part.lengths) == 1 for part in parts)
    assert np.concatenate([part.lengths for part in parts]).tolist() == lengths
    assert np.concatenate([part.predictions()[3] for part in parts]).tolist() == batch.predictions()[3].tolist()


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(1, 90))
@settings(max_examples=40, deadline=None)
def test_pairs_are_never_parted(lengths: list[int], bound: int) -> None:
    batch = batch_of([length for length in lengths for _ in range(2)])
    count = len(lengths)
    pairs = PairBatch(batch, np.arange(count, dtype=np.float64), np.arange(2.0 * count).reshape(-1, 2))
    parts = list(pairs.parts(bound))
    assert np.concatenate([part.weights for part in parts]).tolist() == list(range(count))
    assert np.concatenate([part.reference for part in parts]).ravel().tolist() == list(range(2 * count))
    assert all(len(part.batch.lengths) == 2 * len(part) for part in parts)
    assert all(part.batch.tokens <= bound or len(part) == 1 for part in parts)


def test_parts_add_up_to_the_whole(
    base: Path, backend: str, make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, job = batch_of(LENGTHS), make_job(backend=backend)
    whole = learner_of(base, job)
    loss, found = whole.loss(batch), whole.log_probabilities(batch)
    after = moved(whole, batch)
    module = f"samloop.train.{backend}_backend.TOKENS_AT_ONCE"
    monkeypatch.setattr(module, 20 if backend == "mlx" else {"cpu": 20, "cuda": 20})
    parted = learner_of(base, job)
    assert parted.loss(batch) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(parted.log_probabilities(batch), found, rtol=1e-5)
    assert_close(moved(parted, batch), after)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_nothing_is_dropped_neither_the_longest_nor_a_split_smaller_than_a_batch(
    make_job: Callable[..., TrainJob], dataset: Path, tmp_path: Path, packing: str
) -> None:
    write_lines(dataset / "train.jsonl", made_up(3))
    write_lines(dataset / "valid.jsonl", made_up(1, start=3))
    lines: list[dict[str, Any]] = []
    job = make_job(packing=packing, batch_examples=16, epochs=2.0)
    result = run(job, tmp_path / "run", lines.append, lambda: False)
    assert (result["examples"], result["too_long"], result["steps"]) == (3, 0, 2)
    one_epoch = result["train_tokens"] / 2
    again = run(
        make_job(packing=packing, batch_examples=1, epochs=1.0), tmp_path / "one", lines.append, lambda: False
    )
    assert again["train_tokens"] == one_epoch


def test_packing_that_cannot_be_is_refused(base: Path, make_job: Callable[..., TrainJob], tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(base, foreign)
    config = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps({**config, "model_type": "gemma2"}))
    backend = plugins.load("backends", "torch")()
    with pytest.raises(TrainingError, match=r"train.packing is on, which a base of type gemma2 .* set it to auto"):
        backend.learner(Base.open(foreign), make_job(packing="on"))
    pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    mlx = plugins.load("backends", "mlx")()
    with pytest.raises(TrainingError, match="the MLX backend cannot"):
        mlx.learner(Base.open(base), make_job(packing="on", backend="mlx"))


# --- logits ------------------------------------------------------------------------------------------------------


def test_cross_entropy_in_chunks_is_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch.nn import functional

    from samloop.train import torch_loss

    torch.manual_seed(0)
    head, targets, factors = torch.randn(301, 24), torch.randint(0, 301, (50,)), torch.randn(50)
    ours = torch.randn(50, 24, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    monkeypatch.setattr(torch_loss, "CHUNK_BYTES", 7 * 4 * 301)
    found = torch_loss.nats_each(ours, head, targets)
    expected = functional.cross_entropy(theirs @ head.t(), targets, reduction="none")
    torch.testing.assert_close(found, expected)
    (found.square() * factors).sum().backward()
    (expected.square() * factors).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)
    assert len(torch_loss.nats_each(ours[:0], head, targets[:0])) == 0


def test_cross_entropy_in_chunks_is_cross_entropy_on_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from mlx import nn

    from samloop.train import mlx_memory

    mx.random.seed(0)
    weights, targets, factors = mx.random.normal((301, 24)), mx.random.randint(0, 301, (50,)), mx.random.normal((50,))
    hidden = mx.random.normal((50, 24))
    monkeypatch.setattr(mlx_memory, "CHUNK_BYTES", 7 * 4 * 301)

    def head(x: Any) -> Any:
        return x @ weights.T

    def ours(x: Any) -> Any:
        return (mx.square(mlx_memory.nats_each(x, head, targets, 301)) * factors).sum()

    def theirs(x: Any) -> Any:
        return (mx.square(nn.losses.cross_entropy(head(x), targets)) * factors).sum()

    found, slope = mx.value_and_grad(ours)(hidden)
    expected, expected_slope = mx.value_and_grad(theirs)(hidden)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(np.array(slope), np.array(expected_slope), atol=1e-3, rtol=1e-3)
    assert mlx_memory.nats_each(hidden[:0], head, targets[:0], 301).shape == (0,)


def test_the_logits_of_a_batch_never_stand_in_memory_together(
    base: Path, make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    from samloop.train import torch_loss

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if hasattr(out, "numel"):
                self.numbers = max(self.numbers, out.numel())
            return out

    learner, batch = learner_of(base, make_job()), batch_of([90] * 8)
    predictions = len(batch.documents())
    vocabulary = json.loads((base / "config.json").read_text())["vocab_size"]
    sizes = {}
    for chunk_bytes in (2**30, 10 * 4 * vocabulary):
        monkeypatch.setattr(torch_loss, "CHUNK_BYTES", chunk_bytes)
        with Largest() as mode:
            learner.accumulate(batch, batch.total_weight)
        sizes[chunk_bytes] = mode.numbers
    assert max(sizes.values()) == predictions * vocabulary
    assert min(sizes.values()) < 0.8 * predictions * vocabulary


def test_peak_memory_is_lower_in_chunks_on_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from samloop.train import mlx_memory

    weights, targets = mx.random.normal((16_000, 8)), mx.random.randint(0, 16_000, (400,))
    hidden = mx.random.normal((400, 8))
    mx.eval(weights, targets, hidden)
    peaks = []
    for chunk_bytes in (2**30, 2**20):
        monkeypatch.setattr(mlx_memory, "CHUNK_BYTES", chunk_bytes)
        mx.reset_peak_memory()
        loss = mx.value_and_grad(lambda x: mlx_memory.nats_each(x, lambda y: y @ weights.T, targets, 16_000).sum())
        mx.eval(loss(hidden))
        peaks.append(mx.get_peak_memory())
    assert peaks[1] < 0.5 * peaks[0]


# --- leaner passes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_lean_passes_give_the_values_and_gradients_of_peft_and_transformers(
    base: Path, make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch, dropout: float
) -> None:
    import torch

    from samloop.train import torch_backend

    job = make_job(dropout=dropout, targets=("q_proj", "v_proj", "gate_proj", "down_proj"))
    batch = batch_of(LENGTHS)
    lean = learner_of(base, job)
    monkeypatch.setattr(torch_backend, "make_lean", lambda _: None)
    plain = learner_of(base, job)
    losses = []
    for learner in (lean, plain):
        torch.manual_seed(11)
        losses.append(learner.accumulate(batch, 1.0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, parameter in lean._trainable.items():
        torch.testing.assert_close(parameter.grad, plain._trainable[name].grad, rtol=1e-3, atol=1e-3)


def test_the_bare_base_answers_through_the_lean_passes(base: Path, make_job: Callable[..., TrainJob]) -> None:
    batch = batch_of(LENGTHS)
    learner, fresh = learner_of(base, make_job()), plugins.load("backends", "torch")().learner
    untrained = fresh(Base.open(base), make_job()).log_probabilities(batch)
    np.testing.assert_allclose(learner.log_probabilities(batch, bare=True), untrained, rtol=1e-6)
    assert np.abs(learner.log_probabilities(batch) - untrained).max() > 0.01


# --- checkpointing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dropout"), [("torch", 0.0), ("torch", 0.3), ("mlx", 0.0)])
def test_gradient_checkpointing_changes_no_gradient(
    base: Path, make_job: Callable[..., TrainJob], name: str, dropout: float
) -> None:
    if name == "mlx":
        pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    batch, found = batch_of(LENGTHS), []
    for checkpointing in (False, True):
        job = make_job(backend=name, gradient_checkpointing=checkpointing, dropout=dropout)
        found.append(moved(learner_of(base, job), batch))
    assert_close(*found, tolerance=1e-6)


def test_dropout_is_drawn_once_where_mlx_computes_a_layer_twice(
    base: Path, make_job: Callable[..., TrainJob]
) -> None:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from mlx.utils import tree_flatten

    learner = learner_of(base, make_job(backend="mlx", gradient_checkpointing=True, dropout=0.3))
    batch, direction = batch_of([60] * 6), np.random.default_rng(2)
    before = learner.adapter()
    steps = {name: direction.normal(0, 1, b.shape).astype(np.float32) for name, (_, b) in before.weights.items()}

    def loss_at(distance: float) -> float:
        learner.begin(
            replace(before, weights={n: (a, b + distance * steps[n]) for n, (a, b) in before.weights.items()})
        )
        mx.random.seed(4)
        loss: float = learner.accumulate(batch, 1.0)
        return loss

    distance = 1e-3
    rise = loss_at(distance) - loss_at(-distance)
    learner.update(0.0)
    loss_at(0.0)
    slopes = {name: np.array(one).T for name, one in tree_flatten(learner._gradient) if name.endswith("lora_b")}
    along = sum(float((slopes[f"{name}.lora_b"] * step).sum()) for name, step in steps.items())
    assert rise / (2 * distance) == pytest.approx(along, rel=0.02)


def test_gradient_checkpointing_keeps_less_for_the_backward_pass(
    base: Path, make_job: Callable[..., TrainJob]
) -> None:
    import torch

    batch, kept = batch_of([60] * 6), []
    for checkpointing in (False, True):
        learner = learner_of(base, make_job(gradient_checkpointing=checkpointing))
        learner._peft.train()
        numbers = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            learner._network.nats(batch)
        kept.append(numbers)
    assert kept[1] < 0.3 * kept[0]
