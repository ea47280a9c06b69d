"""Trained (non-padding) tokens per second: samloop on torch and on MLX against TRL's SFTTrainer with its defaults.

Each run is a process of its own, the candidates take turns, and what is timed is one epoch: from the first step to
the trained adapter, without imports and loading. Same base, LoRA, data, batch size and number of threads for all. The
base has the shape of the pocket model and random weights, since speed does not depend on them; the data are made-up
conversations whose lengths spread like those of instruction data. TRL's defaults include gradient checkpointing and,
where the processor has it, bfloat16: the ratio says what changing nothing gives, not whose kernels are faster.

    python benchmarks/train_speed.py [--rounds 3] [--threads 2]
"""

from __future__ import annotations

import argparse
import ctypes.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import alternate, machine, median, publish, table

EXAMPLES, BATCH, RANK, MAX_TOKENS = 64, 16, 16, 512
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(folder: Path) -> None:
    """The base and the dataset that every candidate reads."""
    import tokenizers
    import torch
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2Config, Qwen2ForCausalLM

    generator = np.random.default_rng(0)
    letters = list("etaoinshrdlu")
    words = ["".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(6000)]
    base = folder / "base"
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([" ".join(words)], trainer)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=4096,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen2ForCausalLM(config).save_pretrained(base)
    tokenizer.save(str(base / "tokenizer.json"))
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **named}))
    with (folder / "train.jsonl").open("w") as file:
        for length in generator.lognormal(4.0, 0.8, EXAMPLES).astype(int).clip(8, 300):
            text = generator.choice(words, length)
            cut = max(1, length // 3)
            messages = [
                {"role": "user", "content": " ".join(text[:cut])},
                {"role": "assistant", "content": " ".join(text[cut:])},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")


def ours(backend: str, folder: Path) -> dict[str, float]:
    """One epoch of samloop's driver."""
    from samloop.train.driver import run
    from samloop.train.job import TrainJob

    job = TrainJob(
        run_id="speed",
        dataset=str(folder),
        base=str(folder / "base"),
        base_name="random",
        backend=backend,
        rank=RANK,
        alpha=2.0 * RANK,
        targets=TARGETS,
        batch_examples=BATCH,
        accumulation_steps=1,
        max_seq_tokens=MAX_TOKENS,
        learning_rate=1e-3,
    )
    started: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        result = run(job, Path(out), lambda _: started.append(time.perf_counter()), lambda: False)
    return measured(result["train_tokens"], time.perf_counter() - started[0])


def trl(folder: Path) -> dict[str, float]:
    """One epoch of SFTTrainer; only device, reporting and saving are not its defaults."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from samloop.text.tokens import Tokenizer
    from samloop.train.batches import read_examples

    encoded = read_examples(folder / "train.jsonl", Tokenizer.load(folder / "base"), max_seq_tokens=MAX_TOKENS)
    spans = [slice(*encoded.starts[i : i + 2]) for i in range(len(encoded))]
    rows = [
        {"input_ids": encoded.ids[s].tolist(), "completion_mask": (encoded.weights[s] > 0).astype(int).tolist()}
        for s in spans
    ]
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(
            output_dir=out,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            max_length=MAX_TOKENS,
            learning_rate=1e-3,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder / "base"),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder / "base"),
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(TARGETS), task_type="CAUSAL_LM"),
        )
        started = time.perf_counter()
        trainer.train()
        return measured(len(encoded.ids), time.perf_counter() - started)


def measured(tokens: int, seconds: float) -> dict[str, float]:
    """What a child process reports."""
    from samloop.train.memory import peak_bytes

    return {"rate": tokens / seconds, "peak": peak_bytes()}


def child(name: str, folder: Path, threads: int) -> dict[str, Any]:
    """One candidate in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    if name == "mlx" and (library := ctypes.util.find_library("openblas")):
        environment["LD_PRELOAD"] = library
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", choices=("torch", "mlx", "trl"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(trl(options.folder) if options.one == "trl" else ours(options.one, options.folder)))
        return
    names = {"torch": "samloop, torch", "mlx": "samloop, MLX", "trl": "TRL SFTTrainer, defaults"}
    peaks: dict[str, float] = {}

    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))

        def runner(name: str) -> Any:
            def run() -> float:
                found = child(name, Path(folder), options.threads)
                peaks[name] = max(peaks.get(name, 0.0), found["peak"])
                return float(found["rate"])

            return run

        rates = alternate({name: runner(name) for name in names}, options.rounds)
    baseline = median(rates["trl"])
    rows: list[list[object]] = [["candidate", "tokens/s (median)", "lowest", "highest", "of TRL", "peak MB"]]
    for name, label in names.items():
        middle = median(rates[name])
        low, high = min(rates[name]), max(rates[name])
        ratio = f"{middle / baseline:.2f}×"
        rows.append([label, f"{middle:,.0f}", f"{low:,.0f}", f"{high:,.0f}", ratio, f"{peaks[name] / 1e6:,.0f}"])
    blas = ctypes.util.find_library("openblas") or "no OpenBLAS found: MLX ran on its reference BLAS"
    head = machine("torch", "transformers", "peft", "trl", "mlx", "mlx-lm")
    setting = (
        f"{EXAMPLES} examples, batches of {BATCH}, LoRA rank {RANK} on all linear modules, random Qwen2 base of 4 "
        f"layers × 192, {options.threads} threads, {options.rounds} alternating rounds; MLX with {blas}"
    )
    publish("train_speed", f"{head}\n{setting}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
