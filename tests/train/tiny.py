"""A tiny random Qwen2 base with its own tokenizer, and made-up lines to train it on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from samloop.train.driver import run
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


# --- runs in this process ---

MakeJob = Callable[..., TrainJob]
"""The fixture `make_job`: a job on the tiny base, with the values given."""


class Killed(BaseException):
    """What a test raises in the middle of a run: nothing may catch it."""


def train(job: TrainJob, folder: Path, kill_at: int = 0, stop_at: int = 0) -> tuple[dict[str, Any], list[dict]]:
    lines: list[dict[str, Any]] = []

    def on_metric(metric: dict[str, Any]) -> None:
        lines.append(metric)
        if kill_at and metric["step"] == kill_at:
            raise Killed

    return run(job, folder, on_metric, lambda: bool(stop_at) and lines[-1]["step"] >= stop_at), lines


def weights_of(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()
