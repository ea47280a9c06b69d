from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

os.environ["MLX_DISABLE_COMPILE"] = "1"

from adapter_world import IDS, add_adapter, build, by_mlx_lm, by_transformers

from samloop import pocket
from samloop.errors import ModelError, StoreError, UsageError
from samloop.home import Home
from samloop.loop.context import Context, open_context
from samloop.loop.export import fuse
from samloop.train.adapter import Adapter
from samloop.train.base import Base

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with open_context(Home(tmp_path / "home")) as opened:
        yield opened


def needs_mlx() -> None:
    pytest.importorskip("mlx_lm", reason="mlx-lm is not installed", exc_type=ImportError)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama", "mistral", "gemma"])
def test_a_fused_model_answers_as_base_and_adapter_do(
    context: Context, tmp_path: Path, kind: str, tied: bool
) -> None:
    base = build(tmp_path / "base", kind, tied=tied)
    adapter = add_adapter(base, tmp_path / "adapter")
    result = fuse(context, str(adapter), out=str(tmp_path / "fused"))
    assert (result["dtype"], result["rounding"], result["quantise"]) == ("F32", pytest.approx(0, abs=1e-6), "none")
    expected = by_transformers(base, adapter)
    assert abs(expected - by_transformers(base)).max() > 0.1
    np.testing.assert_allclose(by_transformers(tmp_path / "fused"), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_mlx_lm_reads_a_fused_model_rightly(context: Context, tmp_path: Path, kind: str) -> None:
    """Its rotary base is 777 or scaled: mlx-lm's own default for it gives other logits."""
    needs_mlx()
    base = build(tmp_path / "base", kind)
    adapter = add_adapter(base, tmp_path / "adapter")
    fuse(context, str(adapter), out=str(tmp_path / "fused"))
    np.testing.assert_allclose(by_mlx_lm(tmp_path / "fused"), by_transformers(base, adapter), atol=1e-4)


def test_shards_stay_shards(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base", shard="300KB", tied=False)
    shards = sorted(path.name for path in base.glob("model-*.safetensors"))
    assert len(shards) > 2
    adapter = add_adapter(base, tmp_path / "adapter")
    result = fuse(context, str(adapter), out=str(tmp_path / "fused"))
    assert sorted(path.name for path in (tmp_path / "fused").glob("*.safetensors")) == shards
    index = json.loads((tmp_path / "fused" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == json.loads((base / "model.safetensors.index.json").read_text())["weight_map"]
    assert index["metadata"]["total_size"] == result["bytes"]
    np.testing.assert_allclose(by_transformers(tmp_path / "fused"), by_transformers(base, adapter), atol=1e-4)


def test_bfloat16_is_rounded_once_to_the_nearest_and_says_what_it_took(context: Context, tmp_path: Path) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket", strength=0.02)
    rounded = fuse(context, str(adapter), out=str(tmp_path / "rounded"))
    whole = fuse(context, str(adapter), out=str(tmp_path / "whole"), dtype="float32")
    assert (rounded["dtype"], whole["dtype"]) == ("BF16", "F32")
    assert whole["bytes"] == 2 * rounded["bytes"]
    assert 0.001 < rounded["rounding"] < 0.1
    assert whole["rounding"] < 1e-6
    expected = by_transformers(pocket.path(), adapter)
    np.testing.assert_allclose(by_transformers(tmp_path / "whole"), expected, atol=1e-4)
    assert abs(by_transformers(tmp_path / "rounded") - expected).max() < 0.5
    import torch
    from safetensors.torch import load_file as load_tensors

    exact = load_tensors(tmp_path / "whole" / "model.safetensors")
    for name, tensor in load_tensors(tmp_path / "rounded" / "model.safetensors").items():
        assert torch.equal(tensor, exact[name].to(torch.bfloat16)), name
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["dtype"] == "float32"


def test_what_the_adapter_does_not_touch_keeps_its_bytes(context: Context, tmp_path: Path) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    fuse(context, str(adapter), out=str(tmp_path / "fused"))
    import torch
    from safetensors.torch import load_file as load_tensors

    before = load_tensors(pocket.path() / "model.safetensors")
    after = load_tensors(tmp_path / "fused" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{module}.weight" for module in Adapter.read(adapter).weights}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "fused" / name).read_bytes() == (pocket.path() / name).read_bytes()


def test_a_base_that_mlx_quantised_is_spelt_out(context: Context, tmp_path: Path) -> None:
    needs_mlx()
    from mlx_lm import convert

    from samloop import plugins
    from samloop.protocols import AdapterRef

    plain = build(tmp_path / "plain")
    config = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**config, "rope_theta": 777.0}))
    base = tmp_path / "packed"
    convert(str(plain), mlx_path=str(base), quantize=True, q_group_size=32, q_bits=4)
    adapter = add_adapter(plain, tmp_path / "adapter", quantise="none")
    ours = replace(Adapter.read(adapter), base_fingerprint=Base.open(base).fingerprint, base_name=str(base))
    ours.write(adapter)
    result = fuse(context, str(adapter), out=str(tmp_path / "fused"), dtype="float32")
    assert result["base"] == str(base)
    assert not {"quantization", "quantization_config"} & set(
        json.loads((tmp_path / "fused" / "config.json").read_text())
    )
    model = plugins.load("backends", "mlx")().load(base, [AdapterRef(name="mine", path=adapter)])
    model.use("mine")
    logits = by_transformers(tmp_path / "fused")
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    expected = logs[range(len(IDS) - 1), IDS[1:]]
    np.testing.assert_allclose(model.logprobs([IDS])[0], expected, atol=2e-3)


@pytest.mark.parametrize(("backend", "form"), [("torch", "nf4"), ("mlx", "affine4")])
def test_what_was_trained_on_four_bits_is_fused_into_those(
    context: Context, tmp_path: Path, backend: str, form: str
) -> None:
    """The fused model answers as the adapter did on the quantised base, not as it would on the whole one."""
    pytest.importorskip("bitsandbytes" if backend == "torch" else "mlx_lm", exc_type=ImportError)
    from samloop import plugins
    from samloop.protocols import AdapterRef

    base = build(tmp_path / "base")
    adapter = add_adapter(base, tmp_path / "adapter", quantise=form, strength=0.02)
    result = fuse(context, str(adapter), out=str(tmp_path / "fused"))
    assert result["quantise"] == form
    model = plugins.load("backends", backend)().load(base, [AdapterRef(name="mine", path=adapter)], quantise=form)
    model.use("mine")
    logs = {}
    for name, logits in (("four", by_transformers(tmp_path / "fused")), ("whole", by_transformers(base, adapter))):
        log = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        logs[name] = log[range(len(IDS) - 1), IDS[1:]]
    np.testing.assert_allclose(model.logprobs([IDS])[0], logs["four"], atol=1e-4)
    assert abs(logs["whole"] - logs["four"]).max() > 0.01
    assert f"held as {form}" in (tmp_path / "fused" / "README.md").read_text()


def test_an_adapter_of_another_base_is_one_sentence(context: Context, tmp_path: Path) -> None:
    base, other = build(tmp_path / "base"), build(tmp_path / "other", tied=False)
    adapter = add_adapter(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match="the adapter adapter was trained on another base"):
        fuse(context, str(adapter), out=str(tmp_path / "fused"), base=str(other))
    nameless = replace(Adapter.read(adapter), base_fingerprint="", base_name="")
    narrow = {n: (a[:, :60], b) for n, (a, b) in nameless.weights.items()}
    head = {"lm_head": (np.zeros((4, 64), np.float32), np.zeros((3072, 4), np.float32))}
    for weights, message in (
        (narrow, r"expects model\.layers\.1\.mlp\.down_proj of 60 × 64, .* has 96 × 64; it belongs to another base"),
        ({"model.layers.7.mlp.up_proj": next(iter(narrow.values()))}, "which the base in .* does not have"),
        (head, "changes lm_head, which in this base is its embedding as well"),
    ):
        shutil.rmtree(adapter)
        adapter.mkdir()
        replace(nameless, weights=weights).write(adapter)
        with pytest.raises(ModelError, match=message):
            fuse(context, str(adapter), out=str(tmp_path / "fused"), base=str(base))
    assert not (tmp_path / "fused").exists()


def test_nothing_is_written_where_there_is_no_room_or_no_place(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match=r"there is something at .*/taken already"):
        fuse(context, str(adapter), out=str(tmp_path / "taken"))
    with pytest.raises(UsageError, match=r"there is no folder .*/nowhere; make it"):
        fuse(context, str(adapter), out=str(tmp_path / "nowhere" / "fused"))
    with pytest.raises(UsageError, match="expected --dtype to be one of base, float32, got 'int3'"):
        fuse(context, str(adapter), out=str(tmp_path / "fused"), dtype="int3")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 * 2**20))
    with pytest.raises(StoreError, match=r"the disk of .* has 0\.0 GiB; make room"):
        fuse(context, str(adapter), out=str(tmp_path / "fused"))
    assert not list(tmp_path.glob(".*fused*")) + list(tmp_path.glob("fused*"))


def test_a_base_packed_by_others_is_refused(context: Context, tmp_path: Path) -> None:
    base = build(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    adapter = add_adapter(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match="is quantised as gptq, and an adapter cannot be merged into that"):
        fuse(context, str(adapter), out=str(tmp_path / "fused"))


def test_the_weights_are_read_one_at_a_time(context: Context, tmp_path: Path) -> None:
    from samloop.adapters.tensors import read_tensors

    adapter = add_adapter(pocket.path(), tmp_path / "adapter", name="pocket")
    fuse(context, str(adapter), out=str(tmp_path / "fused"), dtype="float32")
    path = tmp_path / "fused" / "model.safetensors"
    arrays = load_file(path)
    for name, tensor in read_tensors(path).items():
        assert (tensor.floats() == arrays[name]).all()
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"cut off|cannot be read"):
        fuse(context, str(adapter), out=str(tmp_path / "again"), base=str(tmp_path / "fused"))
