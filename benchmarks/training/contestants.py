"""One epoch of each contestant on the same base and examples; each runs in a process of its own (see `sft`).

Same base, examples, seed, LoRA (rank, alpha, modules), peak learning rate and examples per optimiser step for all;
everything else is what each one does when nothing is said: schedules, precision, gradient checkpointing, padding.
What is timed is training alone, without imports and loading.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import material  # noqa: F401  puts benchmarks/ on the path
import numpy as np

from samloop.text.tokens import Tokenizer
from samloop.train.batches import Examples, read_examples

RANK, ALPHA, TARGETS = 8, 16.0, ("q_proj", "k_proj", "v_proj", "o_proj")
"""The preset `standard`."""

LEARNING_RATE = 1e-3
BATCH = 8
"""Examples per optimiser step: TRL's default."""


Spent = tuple[float, float]
"""Seconds by the clock, and of the processors."""


def now() -> Spent:
    """Both clocks."""
    return time.perf_counter(), time.process_time()


def since(started: Spent) -> Spent:
    """What has passed on both."""
    return time.perf_counter() - started[0], time.process_time() - started[1]


def encoded(folder: Path, max_tokens: int, split: str = "train") -> Examples:
    """The examples as token ids, with a weight of one on every token of an answer."""
    return read_examples(folder / f"{split}.jsonl", Tokenizer.load(folder / "base"), max_seq_tokens=max_tokens)


def samloop_torch(folder: Path, out: Path, seed: int, max_tokens: int, packing: str = "auto") -> Spent:
    """What samloop takes on torch."""
    return _samloop("torch", folder, out, seed, max_tokens, packing)


def samloop_buckets(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What samloop takes on torch with padded batches of similar lengths."""
    return _samloop("torch", folder, out, seed, max_tokens, "off")


def samloop_mlx(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What samloop takes on MLX."""
    return _samloop("mlx", folder, out, seed, max_tokens, "auto")


def _samloop(backend: str, folder: Path, out: Path, seed: int, max_tokens: int, packing: str) -> Spent:
    from samloop.train.driver import run
    from samloop.train.job import TrainJob

    (out / "data").mkdir()
    (out / "data" / "train.jsonl").symlink_to(folder / "train.jsonl")  # without the split that is judged by
    job = TrainJob(
        run_id="benchmark",
        dataset=str(out / "data"),
        base=str(folder / "base"),
        base_name="random",
        backend=backend,
        rank=RANK,
        alpha=ALPHA,
        targets=TARGETS,
        batch_examples=BATCH,
        accumulation_steps=1,
        max_seq_tokens=max_tokens,
        learning_rate=LEARNING_RATE,
        packing=packing,
        seed=seed,
    )
    started: list[Spent] = []
    run(job, out, lambda _: started.append(now()), lambda: False)
    return since(started[0])


def trl(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What TRL's SFTTrainer takes as it comes."""
    return _trl(folder, out, seed, max_tokens, per_device_train_batch_size=BATCH)


def trl_packed(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What TRL takes with packing = True; rows of `max_tokens`, about as many tokens per step as the others."""
    mean = float(encoded(folder, max_tokens).lengths.mean())
    rows = max(1, round(BATCH * mean / max_tokens))
    return _trl(folder, out, seed, max_tokens, per_device_train_batch_size=rows, packing=True)


def _trl(folder: Path, out: Path, seed: int, max_tokens: int, **settings: Any) -> Spent:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=str(out),
        num_train_epochs=1,
        max_length=max_tokens,
        learning_rate=LEARNING_RATE,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=seed,
        **settings,
    )
    trainer = SFTTrainer(
        model=str(folder / "base"),
        args=config,
        train_dataset=Dataset.from_list(_completions(folder, max_tokens)),
        processing_class=AutoTokenizer.from_pretrained(folder / "base"),
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), task_type="CAUSAL_LM"),
    )
    started = now()
    trainer.train()
    spent = since(started)
    trainer.model.save_pretrained(out / "adapter")
    return spent


def _completions(folder: Path, max_tokens: int) -> list[dict[str, Any]]:
    found = encoded(folder, max_tokens)
    spans = [slice(*found.starts[i : i + 2]) for i in range(len(found))]
    return [
        {"input_ids": found.ids[s].tolist(), "completion_mask": (found.weights[s] > 0).astype(int).tolist()}
        for s in spans
    ]


def unsloth(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What Unsloth takes: its model and kernels under TRL's trainer, as its notebooks have it."""
    from unsloth import FastLanguageModel, is_bfloat16_supported  # isort: skip  first of all, as it patches the others
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = FastLanguageModel.from_pretrained(str(folder / "base"), max_tokens, load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), random_state=seed
    )
    config = SFTConfig(
        output_dir=str(out),
        num_train_epochs=1,
        max_length=max_tokens,
        learning_rate=LEARNING_RATE,
        per_device_train_batch_size=BATCH,
        bf16=is_bfloat16_supported(),
        report_to="none",
        save_strategy="no",
        seed=seed,
    )
    rows = Dataset.from_list(_completions(folder, max_tokens))
    trainer = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
    started = now()
    trainer.train()
    spent = since(started)
    model.save_pretrained(out / "adapter")
    return spent


def mlx_lm(folder: Path, out: Path, seed: int, max_tokens: int) -> Spent:
    """What mlx-lm's lora takes; only the sizes above, and the loss on answers alone, are not its defaults."""
    import mlx.core as mx
    from mlx import optimizers
    from mlx_lm.tuner.trainer import TrainingArgs, train
    from mlx_lm.tuner.utils import linear_to_lora_layers
    from mlx_lm.utils import load

    np.random.seed(seed)
    mx.random.seed(seed)
    model, _ = load(str(folder / "base"))
    model.set_dtype(mx.float32)  # it has no fast half precision on a CPU
    model.freeze()
    keys = [f"self_attn.{name}" for name in TARGETS]
    linear_to_lora_layers(model, -1, {"rank": RANK, "scale": ALPHA / RANK, "dropout": 0.0, "keys": keys})
    found = encoded(folder, max_tokens)
    spans = [slice(*found.starts[i : i + 2]) for i in range(len(found))]
    data = [(found.ids[s].tolist(), int((found.weights[s] > 0).argmax())) for s in spans]
    (out / "adapter").mkdir()
    arguments = TrainingArgs(
        batch_size=BATCH,
        iters=len(data) // BATCH,
        max_seq_length=max_tokens + 1,
        adapter_file=out / "adapter" / "adapters.safetensors",
    )
    model.train()
    started = now()
    train(model, optimizers.Adam(learning_rate=LEARNING_RATE), data, args=arguments)
    spent = since(started)
    parameters = {"rank": RANK, "scale": ALPHA / RANK, "dropout": 0.0, "keys": keys}
    settings = {"fine_tune_type": "lora", "num_layers": -1, "lora_parameters": parameters}
    (out / "adapter" / "adapter_config.json").write_text(json.dumps(settings))
    return spent


CONTESTANTS = {
    "samloop": ("samloop, torch", samloop_torch, "torch"),
    "samloop-buckets": ("samloop, torch, packing = off", samloop_buckets, "torch"),
    "samloop-mlx": ("samloop, MLX", samloop_mlx, "mlx"),
    "trl": ("TRL SFTTrainer, defaults", trl, "torch"),
    "trl-packed": ("TRL SFTTrainer, packing", trl_packed, "torch"),
    "unsloth": ("Unsloth under SFTTrainer", unsloth, "torch"),
    "mlx-lm": ("mlx-lm lora", mlx_lm, "mlx"),
}
"""By name: what a table calls it, the function, and whose matrix products it runs on."""


def peak(library: str, half: bool) -> float:
    """FLOP/s of the fastest of some matrix products in what the contestant computes in."""
    size = 1536
    best = 0.0
    if library == "mlx":
        import mlx.core as mx

        one = mx.random.normal((size, size))
        mx.eval(one)

        def multiply() -> None:
            mx.eval(one @ one)
    else:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        size = 8192 if device == "cuda" else size
        two = torch.randn(size, size, dtype=torch.bfloat16 if half else torch.float32, device=device)

        def multiply() -> None:
            two @ two
            if device == "cuda":
                torch.cuda.synchronize()

    ends = time.perf_counter() + 0.6
    while time.perf_counter() < ends:
        started = time.perf_counter()
        multiply()
        best = max(best, 2.0 * size**3 / (time.perf_counter() - started))
    return best


def judged(folder: Path, adapter: Path, max_tokens: int) -> float:
    """Nats per token of held-out answers, by the same judge for all."""
    from samloop.train.adapter import Adapter
    from samloop.train.base import Base
    from samloop.train.job import TrainJob
    from samloop.train.torch_backend import TorchLearner

    base = Base.open(folder / "base")
    job = TrainJob(
        run_id="judge",
        dataset="",
        base="",
        base_name="",
        backend="torch",
        rank=RANK,
        alpha=ALPHA,
        targets=TARGETS,
    )
    learner, found = TorchLearner(base, job), encoded(folder, max_tokens, "valid")
    learner.begin(Adapter.read(adapter))
    whole = [found.batch([i], 0) for i in range(len(found))]
    return sum(map(learner.loss, whole)) / sum(batch.total_weight for batch in whole)
