"""Small random bases of several architectures with the pocket tokenizer, and adapters for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from samloop import pocket
from samloop.train.adapter import Adapter, plan
from samloop.train.base import Base

EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IDS = [1, 40, 7, 900, 2500, 31, 77, 402, 2, 5, 1200, 88]

COMMON = {
    "vocab_size": 3072,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ROPE: dict[str, dict[str, Any]] = {
    "llama": {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "mistral": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
}


def build(
    folder: Path, kind: str = "qwen2", *, tied: bool = True, dtype: str = "float32", shard: str = "1GB"
) -> Path:
    """A random model of an architecture of transformers, as transformers saves it."""
    import torch
    import transformers

    names = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "mistral": "Mistral", "gemma": "Gemma"}
    more = {"head_dim": 24} if kind == "qwen3" else {}
    rope = ROPE.get(kind, {"rope_type": "default", "rope_theta": 777.0})
    config = getattr(transformers, f"{names[kind]}Config")(
        **COMMON, **more, rope_parameters=rope, tie_word_embeddings=tied
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{names[kind]}ForCausalLM")(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 1.0, 0.1)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(pocket.path() / name, folder / name)
    return folder


def shapes(base: Path) -> dict[str, tuple[int, int]]:
    """(in, out) of the matrices of the layers, from the files' own headers."""
    found = {}
    for path in Base.open(base).weight_files:
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        header.pop("__metadata__", None)
        found |= {
            name.removesuffix(".weight"): (entry["shape"][1], entry["shape"][0])
            for name, entry in header.items()
            if ".layers." in name and len(entry["shape"]) == 2
        }
    return found


def add_adapter(base: Path, folder: Path, *, name: str = "", strength: float = 0.1, quantise: str = "none") -> Path:
    """A random adapter on all modules of the last two layers."""
    sizes = shapes(base)
    draw = np.random.default_rng(0)
    weights = {
        module: (
            draw.normal(0, 0.1, (4, sizes[module][0])).astype(np.float32),
            draw.normal(0, strength, (sizes[module][1], 4)).astype(np.float32),
        )
        for module in plan(sizes, targets=EVERY, layers=2, rank=4)
    }
    folder.mkdir()
    Adapter(
        rank=4,
        alpha=8.0,
        weights=weights,
        base_name=name or str(base),
        base_fingerprint=Base.open(base).fingerprint,
        quantise=quantise,
    ).write(folder)
    return folder


def by_transformers(folder: Path, adapter: Path | None = None) -> np.ndarray:
    """Logits [tokens, vocabulary] in float32 by transformers, and PEFT, themselves."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return np.asarray(model(torch.tensor([IDS])).logits[0].numpy())


def by_mlx_lm(folder: Path) -> np.ndarray:
    """The same by mlx-lm's own loader, which is told nothing."""
    import mlx.core as mx
    from mlx_lm.utils import load

    model, _ = load(str(folder))
    model.set_dtype(mx.float32)
    return np.array(model(mx.array([IDS]))[0])
