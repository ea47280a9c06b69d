"""A tiny random Qwen2 base with its own tokenizer, and datasets of made-up lines, for the tests of the train room."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

os.environ["MLX_DISABLE_COMPILE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from samloop.train.job import TrainJob

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ["red", "green", "blue", "small", "large", "cat", "dog", "bird", "runs", "sleeps", "eats", "over", "under"]


def _tokenizer(folder: Path) -> int:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()


def build_base(folder: Path, *, seed: int = 0, layers: int = 2, tied: bool = True) -> Path:
    """A random Qwen2 with hidden size 64; weights a little larger than usual, so that logits differ clearly."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir(parents=True)
    vocabulary = _tokenizer(folder)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=tied,
        initializer_range=0.1,
        eos_token_id=2,
        bos_token_id=None,
        pad_token_id=0,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(params=["torch", "mlx"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "mlx":
        pytest.importorskip("mlx.core", reason="mlx is not installed", exc_type=ImportError)
    return str(request.param)


def line(question: str, answer: str, weight: float = 1.0) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "metadata": {"weight": weight}}


def pair(question: str, chosen: str, rejected: str, weight: float = 1.0) -> dict[str, Any]:
    return {**line(question, chosen, weight), "rejected": rejected}


def made_up_pairs(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Questions whose last word is the right answer; the wrong one is the first, and says more."""
    lines = []
    for i in range(start, start + count):
        words = [WORDS[(i * 5 + k * 4) % len(WORDS)] for k in range(2 + i % 7)]
        lines.append(pair("say last of " + " ".join(words), words[-1], f"{words[0]} under"))
    return lines


def made_up(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Questions of varied length with an answer that follows from them."""
    lines = []
    for i in range(start, start + count):
        words = [WORDS[(i * 7 + k * 3) % len(WORDS)] for k in range(2 + i % 9)]
        lines.append(line("say last of " + " ".join(words), words[-1]))
    return lines


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_lines(folder / "train.jsonl", made_up(30))
    write_lines(folder / "valid.jsonl", made_up(7, start=30))
    return folder


@pytest.fixture
def make_job(base: Path, dataset: Path) -> Callable[..., TrainJob]:
    def make(**changes: Any) -> TrainJob:
        settings: dict[str, Any] = {
            "run_id": "run-1",
            "dataset": str(dataset),
            "base": str(base),
            "base_name": "tiny",
            "backend": "torch",
            "rank": 4,
            "alpha": 8.0,
            "batch_examples": 4,
            "accumulation_steps": 2,
            "max_seq_tokens": 128,
            "epochs": 3.0,
            "learning_rate": 5e-3,
            "report_steps": 1,
            "evaluate_steps": 4,
            "checkpoint_steps": 4,
        }
        return TrainJob(**{**settings, **changes})

    return make
