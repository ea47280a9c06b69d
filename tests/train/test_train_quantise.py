"""A base held in four bits: it trains, answers as it was trained, and says where it cannot be had."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import build_base, made_up_pairs, write_lines

from samloop import plugins
from samloop.errors import MissingExtraError, ModelError, TrainingError
from samloop.protocols import AdapterRef
from samloop.train.adapter import Adapter
from samloop.train.driver import run
from samloop.train.job import TrainJob
from samloop.train.layouts import read_metadata
from samloop.train.quantise import FORMS, resolve

SEQUENCE = list(range(20, 75))


@pytest.fixture
def four_bits(backend: str) -> str:
    """The backend's form, where its library is installed."""
    if backend == "torch":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    return FORMS[backend]


def logs(backend: str, base: Path, *refs: AdapterRef, quantise: str = "none") -> np.ndarray:
    model = plugins.load("backends", backend)().load(base, refs, quantise=quantise)
    model.use(refs[0].name if refs else None)
    return np.asarray(model.logprobs([SEQUENCE])[0])


def go(job: TrainJob, folder: Path, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """The result of a run, with the validation loss it began with as "start"."""
    told: list[dict[str, Any]] = []
    result = run(job, folder, told.append, stop)
    losses = [line["validation_loss"] for line in told if line.get("validation_loss") is not None]
    return {**result, "start": losses[0]}


def test_training_on_four_bits_learns_as_much(
    make_job: Callable[..., TrainJob], backend: str, four_bits: str, tmp_path: Path
) -> None:
    found = {form: go(make_job(backend=backend, quantise=form), tmp_path / form) for form in ("none", four_bits)}
    assert found[four_bits]["validation_loss"] < found[four_bits]["start"] - 0.5
    assert found[four_bits]["validation_loss"] == pytest.approx(found["none"]["validation_loss"], rel=0.1)


def test_an_adapter_answers_on_the_base_it_was_trained_on(
    make_job: Callable[..., TrainJob], base: Path, backend: str, four_bits: str, tmp_path: Path
) -> None:
    result = go(make_job(backend=backend, quantise=four_bits), tmp_path / "run")
    folder = Path(result["adapter"])
    assert Adapter.read(folder).quantise == read_metadata(folder)["quantise"] == four_bits
    mine = AdapterRef(name="mine", path=folder, quantise=four_bits)
    adapted, bare = logs(backend, base, mine, quantise=four_bits), logs(backend, base, quantise=four_bits)
    assert abs(adapted - bare).max() > 0.1
    assert abs(bare - logs(backend, base)).max() > 0.01
    with pytest.raises(ModelError, match=f"was trained on a base held as {four_bits}, and this one is held as none"):
        logs(backend, base, mine)


def test_evaluation_between_steps_leaves_the_weights_as_they_were(
    make_job: Callable[..., TrainJob], base: Path, backend: str, four_bits: str
) -> None:
    """A layer that is repacked at a pass without gradients would give other losses, and none to learn from."""
    from samloop.text.tokens import Tokenizer
    from samloop.train import batches
    from samloop.train.base import Base

    job = make_job(backend=backend, quantise=four_bits)
    tokenizer = Tokenizer.load(base)
    examples = batches.read_examples(Path(job.dataset) / "train.jsonl", tokenizer, max_seq_tokens=128)
    batch = examples.batch(np.arange(4), tokenizer.pad_id)
    learner = plugins.load("backends", backend)().learner(Base.open(base), job)
    first = learner.loss(batch)
    for _ in range(3):
        assert learner.accumulate(batch, batch.total_weight) == pytest.approx(learner.loss(batch), rel=1e-5)
        assert learner.update(5e-2) > 0
    assert learner.loss(batch) < first - 0.1 * batch.total_weight


def test_a_run_that_was_stopped_ends_with_the_same_weights(
    make_job: Callable[..., TrainJob], backend: str, four_bits: str, tmp_path: Path
) -> None:
    job = make_job(backend=backend, quantise=four_bits, dropout=0.1)
    whole = go(job, tmp_path / "whole")
    calls = iter(range(1000))
    assert go(job, tmp_path / "parts", lambda: next(calls) == 4)["state"] == "stopped"
    parts = go(job, tmp_path / "parts")
    assert parts["steps"] == whole["steps"]
    one, other = (Adapter.read(Path(result["adapter"])).arrays() for result in (whole, parts))
    assert all((one[name] == other[name]).all() for name in one)


def test_preferences_are_learnt_against_the_base_in_four_bits(
    make_job: Callable[..., TrainJob], backend: str, four_bits: str, dataset: Path, tmp_path: Path
) -> None:
    write_lines(dataset / "train.jsonl", made_up_pairs(24))
    write_lines(dataset / "valid.jsonl", made_up_pairs(12, start=40))
    told: list[dict[str, Any]] = []
    job = make_job(
        backend=backend,
        quantise=four_bits,
        method="dpo",
        preference_learning_rate=1e-2,
        preference_epochs=4.0,
        patience=0,
    )
    run(job, tmp_path / "run", told.append, lambda: False)
    accuracies = [line["validation_accuracy"] for line in told if line.get("validation_accuracy") is not None]
    assert accuracies[-1] > 0.9


def weight_bytes(model: Any) -> int:
    """What the linear modules of the layers take, scales included."""
    if hasattr(model._network.model, "parameters") and "torch" in type(model).__module__:
        return sum(
            module.weight.nbytes
            + (module.weight.quant_state.absmax.nbytes if hasattr(module.weight, "quant_state") else 0)
            for name, module in model._network.model.named_modules()
            if name.endswith("_proj")
        )
    from mlx.utils import tree_flatten

    return sum(
        array.nbytes
        for name, array in tree_flatten(model._network.model.parameters())
        if "_proj." in name and not name.endswith("proj.bias")
    )


def test_the_weights_take_less_than_a_fifth(tmp_path: Path, backend: str, four_bits: str) -> None:
    base = build_base(tmp_path / "base", layers=3)
    load = plugins.load("backends", backend)().load
    whole, small = (weight_bytes(load(base, (), quantise=form)) for form in ("none", four_bits))
    assert small < 0.2 * whole


def test_rows_that_are_no_multiple_of_64_are_rounded_no_more_than_others() -> None:
    """The bundled base is 160 wide; read with the wrong scales it would be 0.4 nats worse."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    from samloop import pocket

    model = plugins.load("backends", "torch")().load(pocket.path(), (), quantise="nf4")
    whole = plugins.load("backends", "torch")().load(pocket.path(), ())
    for layer, packed in zip(whole._network.model.model.layers, model._network.model.model.layers, strict=True):
        for part in ("gate_proj", "down_proj"):
            exact, module = getattr(layer.mlp, part).weight, getattr(packed.mlp, part)
            x = np.random.default_rng(0).normal(size=(8, module.in_features)).astype(np.float32)
            found = module(whole._network.tensor(x)).detach().numpy()
            expected = x @ exact.detach().numpy().T
            assert np.linalg.norm(found - expected) < 0.12 * np.linalg.norm(expected)


def test_a_base_that_mlx_quantised_trains_on_mlx_and_is_refused_on_torch(
    make_job: Callable[..., TrainJob], base: Path, tmp_path: Path
) -> None:
    """As the hub's …-4bit folders are: packed weights, and both keys in config.json."""
    pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from mlx_lm import convert

    folder = tmp_path / "tiny-4bit"
    convert(str(base), mlx_path=str(folder), quantize=True, q_group_size=32, q_bits=4)
    config = json.loads((folder / "config.json").read_text())
    assert {"quantization", "quantization_config"} <= set(config)
    (folder / "config.json").write_text(json.dumps({**config, "rope_theta": 10_000.0}))
    found = logs("mlx", folder)
    assert 0.001 < abs(found - logs("mlx", base)).mean() < 1
    result = go(make_job(base=str(folder), backend="mlx", epochs=1.0), tmp_path / "run")
    mine = AdapterRef(name="mine", path=Path(result["adapter"]))
    assert result["validation_loss"] < result["start"] - 0.2
    assert abs(logs("mlx", folder, mine) - found).max() > 0.1
    assert resolve("4bit", "mlx", folder) == "none"
    with pytest.raises(
        ModelError, match=r"is quantised by mlx, which the backend torch does not train on; train\.backend"
    ):
        logs("torch", folder)
    with pytest.raises(ModelError, match=r"is quantised already \(by mlx\), so train\.quantise = 'affine4' cannot"):
        resolve("affine4", "mlx", folder)


def test_a_base_that_bitsandbytes_quantised_trains_on_torch_and_is_refused_on_mlx(
    make_job: Callable[..., TrainJob], base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = shutil.copytree(
        base, tmp_path / "tiny-bnb", ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    AutoModelForCausalLM.from_pretrained(base, quantization_config=four).save_pretrained(folder)
    np.testing.assert_allclose(logs("torch", folder), logs("torch", base, quantise="nf4"), atol=1e-5)
    result = go(make_job(base=str(folder), epochs=1.0), tmp_path / "run")
    assert result["validation_loss"] < result["start"] - 0.2
    assert resolve("4bit", "torch", folder) == "none"
    with pytest.raises(ModelError, match="is quantised by bitsandbytes, which MLX does not read"):
        logs("mlx", folder)


def test_forms_belong_to_backends(base: Path) -> None:
    assert [resolve("4bit", backend, base) for backend in ("torch", "mlx")] == ["nf4", "affine4"]
    assert resolve("none", "anything", base) == "none"
    with pytest.raises(
        TrainingError, match=r"'nf4' is not a form of the backend mlx; set train\.backend to torch, or"
    ):
        resolve("nf4", "mlx", base)
    with pytest.raises(
        TrainingError, match=r"'4bit' is not a form of the backend other; set train\.backend to torch or mlx"
    ):
        resolve("4bit", "other", base)


def test_a_width_that_does_not_divide_is_said(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = shutil.copytree(base, tmp_path / "odd")
    config = Qwen2Config.from_pretrained(folder)
    config.intermediate_size = 72
    Qwen2ForCausalLM(config).save_pretrained(folder)
    with pytest.raises(
        ModelError, match=r"down_proj of the model in .* is 72 wide, and MLX quantises multiples of 32"
    ):
        logs("mlx", folder, quantise="affine4")


def test_a_missing_library_is_one_sentence(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'samloop\[quantise\]'"):
        logs("torch", base, quantise="nf4")
    with pytest.raises(MissingExtraError, match=r"pip install 'samloop\[quantise\]'"):
        resolve("4bit", "torch", base)
    assert resolve("4bit", "mlx", base) == "affine4"


def test_a_library_that_does_not_work_is_one_sentence(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not installed")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel image is available.\nmore")

    monkeypatch.setattr(functional, "quantize_4bit", fail)
    with pytest.raises(ModelError, match=r"does not work on this machine's cpu \(no kernel image is available\)"):
        logs("torch", base, quantise="nf4")
