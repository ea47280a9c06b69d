"""PEFT's layout and MLX's hold the same adapter: each is loaded by the library it is made for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from samloop import plugins
from samloop.errors import ModelError
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.job import TrainJob

SEQUENCE = list(range(20, 75))
EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(params=["all", "last", "scattered"])
def adapter(request: pytest.FixtureRequest, base: Path, make_job: Callable[..., TrainJob]) -> Adapter:
    """Weights on both sides, in all modules, in those of the last layer, or in two that no setting would choose."""
    job = make_job(targets=EVERY, layers=1 if request.param == "last" else 0, rank=3, alpha=5.0)
    fresh = plugins.load("backends", "torch")().learner(Base.open(base), job).adapter()
    draw = np.random.default_rng(1)
    weights = {n: (a, draw.normal(0, 0.2, b.shape).astype(np.float32)) for n, (a, b) in fresh.weights.items()}
    if request.param == "scattered":
        weights = {n: weights[n] for n in ("model.layers.0.mlp.up_proj", "model.layers.1.self_attn.k_proj")}
    return replace(fresh, weights=weights)


def by_peft(base: Path, folder: Path | None) -> np.ndarray:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if folder:
        model = PeftModel.from_pretrained(model, folder).eval()
    with torch.no_grad():
        return model(torch.tensor([SEQUENCE])).logits[0].numpy()


def by_mlx_lm(base: Path, folder: Path | None) -> np.ndarray:
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    model, _ = load_model(base, model_config={"rope_theta": 10_000.0})
    if folder:
        model = load_adapters(model, str(folder))
    model.eval()
    return np.array(model(mx.array([SEQUENCE]))[0])


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_both_layouts_give_the_same_logits_in_their_own_libraries(
    adapter: Adapter, base: Path, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("peft", "mlx")}
    for name, folder in folders.items():
        folder.mkdir()
        adapter.write(folder, (name,))
    peft, mlx = by_peft(base, folders["peft"]), by_mlx_lm(base, folders["mlx"])
    np.testing.assert_allclose(mlx, peft, atol=1e-4)
    assert abs(peft - by_peft(base, None)).max() > 0.1


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments.*fine_tune_type:UserWarning")
def test_one_folder_holds_both(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    adapter.write(tmp_path, ("peft", "mlx"))
    np.testing.assert_allclose(by_mlx_lm(base, tmp_path), by_peft(base, tmp_path), atol=1e-4)
    assert Adapter.read(tmp_path).alpha == 5.0


def test_there_and_back_changes_no_byte(adapter: Adapter, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "between", "last")]
    for folder in folders:
        folder.mkdir()
    adapter.write(folders[0])
    Adapter.read(folders[0]).write(folders[1], ("mlx",))
    Adapter.read(folders[1]).write(folders[2])
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folders[0] / name).read_bytes() == (folders[2] / name).read_bytes()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"lora_dropout": 0.5}])
def test_ranks_and_scales_of_single_modules_are_kept(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """As PEFT itself writes them: rank_pattern, alpha_pattern, rank-stabilised scales, half precision."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "up_proj"],
        rank_pattern={"up_proj": 2, "layers.1.self_attn.q_proj": 3},
        alpha_pattern={"layers.0.self_attn.q_proj": 9},
        init_lora_weights=False,
        task_type="CAUSAL_LM",
        **settings,
    )
    torch.manual_seed(0)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    get_peft_model(model, config).save_pretrained(theirs)
    ours.mkdir()
    Adapter.read(theirs).write(ours)
    np.testing.assert_allclose(by_peft(base, ours), by_peft(base, theirs), atol=1e-4)
    ours = tmp_path / "mlx"
    ours.mkdir()
    Adapter.read(theirs).write(ours, ("mlx",))
    np.testing.assert_allclose(by_mlx_lm(base, ours), by_peft(base, theirs), atol=1e-4)


def test_bfloat16_adapters_are_read(adapter: Adapter, base: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file as load_tensors
    from safetensors.torch import save_file as save_tensors

    adapter.write(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in load_tensors(path).items()}
    save_tensors(rounded, path)
    read = Adapter.read(tmp_path).arrays()
    assert all((read[name] == tensor.float().numpy()).all() for name, tensor in rounded.items())


def _config(**changes: Any) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        path = folder / "adapter_config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return spoil


def _weights(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        arrays = load_file(path)
        change(arrays)
        save_file(arrays, path)

    return spoil


NAME = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_config(use_dora=True), "expected a plain LoRA adapter"),
        (_config(bias="all"), "expected a plain LoRA adapter"),
        (_config(lora_alpha=None), "lacks or garbles 'lora_alpha'"),
        (_config(lora_alpha="much"), "lacks or garbles"),
        (_config(lora_alpha=float("nan")), "its scale, which is no number"),
        (_config(alpha_pattern=[1]), "lacks or garbles"),
        (lambda folder: (folder / "adapter_config.json").write_text("[" * 100_000), "is not readable JSON"),
        (_config(alpha_pattern={"(a+)+$": 3}), r"expected names of modules in alpha_pattern .*, got '\(a\+\)\+\$'"),
        (_weights(lambda a: a.update({NAME.format("A"): a[NAME.format("A")] * np.nan})), "hold NaN or infinity"),
        (_weights(lambda a: a.update({NAME.format("B"): a[NAME.format("B")][:, :2]})), "two matrices of one rank"),
        (_weights(lambda a: a.pop(NAME.format("A"))), "pairs of LoRA matrices and nothing else"),
        (_weights(lambda a: a.update({"lm_head.weight": np.zeros((2, 2), np.float32)})), "and nothing else"),
    ],
)
def test_an_adapter_that_is_not_plain_is_refused(
    base: Path, make_job: Callable[..., TrainJob], tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    job = make_job(targets=EVERY)
    plugins.load("backends", "torch")().learner(Base.open(base), job).adapter().write(folder)
    shutil.copytree(folder, tmp_path / "whole")
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        Adapter.read(folder)
    assert Adapter.read(tmp_path / "whole").rank == 4
