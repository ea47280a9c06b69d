"""`samloop adapters import|export|convert|fuse|gguf`, as a user calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from samloop import pocket


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A small adapter for the pocket base, as PEFT writes one."""
    draw = np.random.default_rng(0)
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_{}.weight"
    shapes = {"A": (2, 160), "B": (160, 2)}
    folder = tmp_path / "theirs"
    folder.mkdir()
    arrays = {name.format(part): draw.normal(0, 0.1, shape).astype(np.float32) for part, shape in shapes.items()}
    save_file(arrays, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "pocket"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def on_pocket(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "samloop.toml").write_text('[train]\nmodel = "pocket"\n\n[sam]\nsystem_prompt = "Be kind."\n')


@pytest.mark.usefixtures("on_pocket")
def test_an_adapter_comes_in_and_goes_out_in_every_form(run: Any, adapter: Path, tmp_path: Path) -> None:
    taken = run("--json", "adapters", "import", adapter).data
    name = taken["adapter"]
    assert (taken["known"], taken["base"], taken["slot"]) == (False, "pocket", "main")
    assert run("adapters", "import", adapter).out == f"{name} was here already.\n"
    assert run("--json", "adapters", "verify", name).data["ok"] is True
    assert run("--json", "adapters", "lineage", name).data["lineage"] == "imported"

    exported = run("--json", "adapters", "export", name, "-o", tmp_path / "sam.zip").data
    assert exported["files"] == ["manifest.json", "README.md", "adapter_config.json", "adapter_model.safetensors"]
    converted = run("--json", "adapters", "convert", name, "--to", "both", "-o", tmp_path / "both").data
    assert converted["files"] == ["adapter_config.json", "adapter_model.safetensors", "adapters.safetensors"]
    fused = run("--json", "adapters", "fuse", name[:8], "--out", tmp_path / "fused").data
    assert (fused["dtype"], fused["base"]) == ("BF16", "pocket")
    assert fused["bytes"] == pytest.approx((pocket.path() / "model.safetensors").stat().st_size, rel=0.01)
    written = run("--json", "adapters", "gguf", name, "-o", tmp_path / "sam.gguf", "--outtype", "q8_0").data
    assert 'SYSTEM """Be kind."""' in Path(written["modelfile"]).read_text()
    alone = run("--json", "adapters", "gguf", name, "-o", tmp_path / "lora.gguf", "--lora").data
    assert alone["bytes"] < written["bytes"] / 10
    assert (tmp_path / "sam.gguf").read_bytes()[:4] == b"GGUF"


@pytest.mark.usefixtures("on_pocket")
def test_people_are_told_where_it_is_and_what_rounding_took(run: Any, adapter: Path, tmp_path: Path) -> None:
    said = run("adapters", "fuse", adapter, "-o", tmp_path / "fused").out
    assert str(tmp_path / "fused") in said
    assert "of what the adapter learnt; --dtype float32 keeps all of it." in said
    said = run("adapters", "fuse", adapter, "-o", tmp_path / "whole", "--dtype", "float32").out
    assert "Rounding" not in said
    assert "ollama create NAME -f" in run("adapters", "gguf", adapter, "-o", tmp_path / "sam.gguf").out
    assert "adapters.safetensors" in run("adapters", "convert", adapter, "--to", "mlx", "-o", tmp_path / "mlx").out
    assert "is a candidate for slot main, on pocket." in run("adapters", "import", tmp_path / "mlx").out


@pytest.mark.usefixtures("on_pocket")
def test_what_cannot_be_done_is_one_sentence(
    refused: Callable[..., str], run: Any, adapter: Path, tmp_path: Path
) -> None:
    run("adapters", "list")
    taken = tmp_path / "taken"
    taken.mkdir()
    for arguments, code, message in (
        (("convert", adapter, "--to", "onnx", "-o", tmp_path / "x"), 2, "expected --to to be one of peft, mlx, both"),
        (("convert", adapter, "--to", "mlx", "-o", taken), 2, "there is something at"),
        (("convert", "ad-nobody", "--to", "mlx", "-o", tmp_path / "x"), 1, "ad-nobody"),
        (("fuse", adapter, "-o", tmp_path / "x", "--base", tmp_path / "none"), 1, "expected a model folder at"),
        (("fuse", "champion", "-o", tmp_path / "x"), 1, "the base is in service, no adapter"),
        (("gguf", adapter, "-o", tmp_path / "x.gguf", "--outtype", "q2"), 2, "expected --outtype to be one of f32"),
        (("export", adapter, "-o", tmp_path / "x.zip"), 2, "import it first"),
        (("import", tmp_path / "nowhere"), 1, "found none; check the path"),
        (("import", adapter, "--slot", "../main"), 2, "expected the name of a slot"),
    ):
        assert message in refused("adapters", *arguments, code=code)
    assert not (tmp_path / "x").exists()
