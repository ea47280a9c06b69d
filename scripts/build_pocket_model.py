"""Build the pocket base: a tokenizer and a Qwen2 model of a few million parameters, from text given by folder.

    python scripts/build_pocket_model.py --text FOLDER… [--steps N | --minutes N] [--seed 0] [--out FOLDER]

The same texts, steps and seed on the same machine and torch give the same model. What is written is what ships in
src/samloop/pocket: config, weights in bfloat16 (safetensors), tokenizer, ChatML template, and a model card with the
figures measured here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM

from pocket_card import Figures, write_card
from pocket_texts import Document, made_exercises, random_routing, read_texts, routing_tasks
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer

OUT = Path(__file__).parents[1] / "src" / "samloop" / "pocket"
VOCABULARY = 3072
CONTEXT = 1024
ROPE_THETA = 10000.0
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
ROW_TOKENS = 512
ROWS_PER_STEP = 4
PEAK_RATE = 3e-3
WARMUP_STEPS = 40
HELD_OUT_ROWS = 48

SHAPE = {
    "hidden_size": 160,
    "intermediate_size": 448,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}

MIX = {
    "raw text": 0.16,
    "questions on sections": 0.06,
    "instructions": 0.34,
    "conversations": 0.05,
    "commit messages": 0.09,
    "exercises": 0.15,
    "routing, random answers": 0.15,
}
"""Shares of documents drawn; routing questions and exercises are short: of the tokens they are a smaller share."""

TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}"
    "{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}\n"
)

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text into words; the same here, so that what is learnt about its tokenizer holds."""


def main() -> None:
    """Read, train, write, and say how it went."""
    options = _options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    texts = read_texts(options.text)
    documents = [d for t in texts for d in t.documents]
    if not documents:
        raise SystemExit("no text that scripts/pocket_texts.toml names was found in the folders given by --text")
    tasks = routing_tasks(documents, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_tokenizer(documents, tasks, folder)
        tokenizer = Tokenizer.load(folder)
        model = Qwen2ForCausalLM(_config(tokenizer))
        figures = train(model, tokenizer, documents, tasks, options)
        write_model(model, tokenizer, folder)
        figures.held_out_loss = held_out_loss(_reloaded(folder), tokenizer, documents)
        write_card(folder, texts, figures)
        options.out.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            shutil.copy(path, options.out / path.name)
    print(f"{figures.parameters:,} parameters, held-out loss {figures.held_out_loss:.3f} nats/token → {options.out}")


def write_tokenizer(documents: Sequence[Document], tasks: Sequence[str], folder: Path) -> None:
    """Train a byte-level BPE and write tokenizer.json, its settings and the chat template."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(itertools.chain((d.plain for d in documents), tasks), trainer)
    bpe.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PAD,
        "additional_special_tokens": [START, END],
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def train(
    model: Qwen2ForCausalLM,
    tokenizer: Tokenizer,
    documents: Sequence[Document],
    tasks: Sequence[str],
    options: argparse.Namespace,
) -> Figures:
    """Next-token training on packed rows with AdamW, warm-up and a cosine to a tenth of the peak rate."""
    rows = _rows(_stream(documents, tasks, options.seed), tokenizer)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))
    losses: list[float] = []
    started, step, steps = time.monotonic(), 0, options.steps
    while step < steps:
        rate = PEAK_RATE * min((step + 1) / WARMUP_STEPS, 0.55 + 0.45 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = torch.tensor(list(itertools.islice(rows, ROWS_PER_STEP)))
        loss = _loss(model, batch, options.bf16)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        step += 1
        seconds = time.monotonic() - started
        if step == 20 and options.minutes:
            steps = max(20, int(options.minutes * 60 / seconds * 20))
        if step % 20 == 0:
            speed = step * ROWS_PER_STEP * ROW_TOKENS / seconds
            recent = sum(losses[-20:]) / 20
            print(f"step {step}/{steps}  loss {recent:.3f}  {speed:,.0f} tokens/s  {seconds:,.0f} s", flush=True)
    return Figures(
        parameters=sum(p.numel() for p in model.parameters()),
        shape={**SHAPE, "vocabulary": tokenizer.vocab_size, "context": CONTEXT},
        steps=steps,
        seed=options.seed,
        tokens=steps * ROWS_PER_STEP * ROW_TOKENS,
        row_tokens=ROW_TOKENS,
        seconds=time.monotonic() - started,
        training_loss=sum(losses[-50:]) / len(losses[-50:]),
        mix=MIX,
        machine=f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}",
        arguments=f"--steps {steps} --seed {options.seed} --threads {options.threads}{' --bf16' * options.bf16}",
        built=date.today().isoformat(),
    )


def held_out_loss(model: Qwen2ForCausalLM, tokenizer: Tokenizer, documents: Sequence[Document]) -> float:
    """Nats per token on documents that were never trained on."""
    kept = (d for d in documents if d.held_out)
    rows = torch.tensor(list(itertools.islice(_rows(kept, tokenizer), HELD_OUT_ROWS)))
    with torch.no_grad():
        return float(_loss(model, rows, bf16=False))


def write_model(model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights in bfloat16 and the configuration, readable by transformers and mlx-lm alike."""
    weights = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict()
    # mlx-lm reads rope_theta at the top, transformers 5 in rope_parameters; with one alone the other guesses.
    config |= {"architectures": ["Qwen2ForCausalLM"], "dtype": "float32", "rope_theta": ROPE_THETA}
    config.pop("layer_types", None)
    _write_json(folder / "config.json", config)
    ends = sorted(tokenizer.end_ids | {tokenizer.pad_id})
    settings = {"eos_token_id": ends, "pad_token_id": tokenizer.pad_id, "do_sample": False, "max_new_tokens": 128}
    _write_json(folder / "generation_config.json", settings)


def _config(tokenizer: Tokenizer) -> Qwen2Config:
    return Qwen2Config(
        **SHAPE,
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        rms_norm_eps=1e-6,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=tokenizer.encode_rendered(END)[0],
        pad_token_id=tokenizer.pad_id,
    )


def _stream(documents: Sequence[Document], tasks: Sequence[str], seed: int) -> Iterator[Document]:
    """Documents without end in the shares of `MIX`; each kind is shuffled again whenever it has been read through."""
    chance = random.Random(seed)
    kinds = {kind: [d for d in documents if d.kind == kind and not d.held_out] for kind in MIX}
    streams = {kind: _shuffled(found, chance) for kind, found in kinds.items() if found}
    streams["exercises"] = made_exercises(documents, tasks, chance)
    streams["routing, random answers"] = random_routing(tasks, chance)
    shares = [MIX[kind] for kind in streams]
    while True:
        yield next(streams[chance.choices(list(streams), shares)[0]])


def _shuffled(documents: list[Document], chance: random.Random) -> Iterator[Document]:
    while True:
        yield from chance.sample(documents, len(documents))


def _rows(documents: Iterator[Document], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Rows of ROW_TOKENS + 1 ids: documents one after the other, an end-of-text token between them.

    A row begins with a document; what does not fit is cut off, or continued in the next row if it is long.
    """
    row: list[int] = []
    for document in documents:
        content = document.content
        ids = tokenizer.encode(content) if isinstance(content, str) else encode_chat(tokenizer, content).ids.tolist()
        ids.append(tokenizer.pad_id)
        while ids:
            take = ROW_TOKENS + 1 - len(row)
            row, ids = row + ids[:take], ids[take:] if len(ids) - take > ROW_TOKENS // 4 else []
            if len(row) == ROW_TOKENS + 1:
                yield row
                row = []


def _loss(model: Qwen2ForCausalLM, rows: torch.Tensor, bf16: bool) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = model(rows[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


def _reloaded(folder: Path) -> Qwen2ForCausalLM:
    """The model as it was written: the figures in the card are those of the rounded weights."""
    return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=1500, help=f"of {ROWS_PER_STEP * ROW_TOKENS} tokens each")
    parser.add_argument("--minutes", type=float, default=0, help="instead of --steps: what fits into this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="one is faster than two on a busy machine")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast: faster where the processor has it")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
