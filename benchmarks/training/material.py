"""What every contestant of these benchmarks reads: a random Qwen2 base, and real examples encoded once for all.

The weights are random, since speed and memory do not depend on them, so that nothing is downloaded; the tokenizer is
trained on the data's own text. Lengths, the thing that batching is about, are those of the public sets beside the
checkout (see `DATA`), or, where there are none, of a distribution like theirs: the head of a table says which.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

import samloop.pocket

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

DATA = Path(os.environ.get("SAMLOOP_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "instruct"
"""Set SAMLOOP_DATA where the folder with instruct/ lies elsewhere."""

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Size:
    """The shape of a Qwen2: hidden, intermediate, layers, heads, key and value heads, vocabulary."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int

    @property
    def matrices(self) -> int:
        """Weights of the layers' matrices: what each token is multiplied with, apart from the head."""
        head = self.hidden // self.heads
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.key_heads * head
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """With the embedding, which is the head as well; without norms and biases."""
        return self.matrices + self.vocabulary * self.hidden


SIZES = {
    "tiny": Size(64, 352, 2, 4, 2, 2_048),  # to try the scripts themselves
    "30m": Size(384, 2_048, 9, 6, 2, 16_384),
    "68m": Size(512, 2_816, 12, 8, 2, 16_384),
    "0.5b": Size(896, 4_864, 24, 14, 2, 151_936),
    "1.5b": Size(1_536, 8_960, 28, 12, 2, 151_936),
}


def build(folder: Path, size: Size | None, *, train: int, valid: int, max_tokens: int, joined: bool = False) -> str:
    """Write base/, train.jsonl and valid.jsonl: examples of at most `max_tokens`, shuffled, the same for all.

    Args:
        size: None: the bundled pocket base, which is trained.
        joined: conversations of several exchanges, as many as fit.

    Returns:
        Where the examples come from.
    """
    texts, source = read_texts()
    base = folder / "base"
    base.mkdir(parents=True)
    if size is None:
        for file in Path(samloop.pocket.__file__).parent.glob("*.*"):
            if file.suffix in (".json", ".safetensors", ".jinja"):
                shutil.copy(file, base)
    else:
        tokenizer = _tokenizer(texts, size.vocabulary)
        tokenizer.save(str(base / "tokenizer.json"))
        named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
        (base / "tokenizer_config.json").write_text(json.dumps(settings))
        _weights(base, size)
    lines = _fitting(texts, tokenizers.Tokenizer.from_file(str(base / "tokenizer.json")), max_tokens, joined)
    if len(lines) < train + valid:
        sys.exit(f"expected {train + valid} examples of at most {max_tokens} tokens, found {len(lines)} in {DATA}")
    _write(folder / "train.jsonl", lines[:train])
    _write(folder / "valid.jsonl", lines[train : train + valid])
    return source


def read_texts() -> tuple[list[tuple[str, str]], str]:
    """(question, answer) of all examples, shuffled, and where they come from."""
    generator = np.random.default_rng(0)
    if (DATA / "gpteacher_codegen.json").is_file():
        pairs = [
            (f"{one['instruction']}\n{one['input']}".strip(), one["response"])
            for one in json.loads((DATA / "gpteacher_codegen.json").read_text(encoding="utf-8"))
        ]
        for line in (DATA / "self_instruct_seed_tasks.jsonl").read_text(encoding="utf-8").splitlines():
            task = json.loads(line)
            pairs += [(f"{task['instruction']}\n{i['input']}".strip(), i["output"]) for i in task["instances"]]
        pairs += _tool_calls(DATA / "glaive_toolcall_sharegpt.json")
        source = "GPTeacher code, self-instruct seed tasks and Glaive tool calls"
    else:
        words = ["".join(generator.choice(list("etaoinshrdlu"), generator.integers(2, 9))) for _ in range(20_000)]
        lengths = generator.lognormal(4.2, 0.9, 5_000).astype(int).clip(8, 700)
        made = [generator.choice(words, length) for length in lengths]
        pairs = [(" ".join(text[: len(text) // 3]), " ".join(text[len(text) // 3 :])) for text in made]
        source = "made-up words, log-normal lengths"
    order = generator.permutation(len(pairs))
    return [pairs[i] for i in order if all(part.strip() for part in pairs[i])], source


def _tool_calls(path: Path) -> list[tuple[str, str]]:
    """The first exchange of each conversation: its functions and the question, the answer or the call."""
    pairs = []
    for record in json.loads(path.read_text(encoding="utf-8")):
        turns = record["conversations"]
        if len(turns) > 1:
            pairs.append((f"{record.get('tools') or ''}\n{turns[0]['value']}".strip(), turns[1]["value"]))
    return pairs


def _tokenizer(texts: list[tuple[str, str]], vocabulary: int) -> Any:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 16_384), special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator((part for pair in texts for part in pair), trainer)
    return tokenizer


def _weights(base: Path, size: Size) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads,
        max_position_embeddings=4_096,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(base)
    written = json.loads((base / "config.json").read_text())
    written["rope_theta"] = 10_000.0  # where mlx-lm looks for it
    (base / "config.json").write_text(json.dumps(written, indent=2))


def _fitting(
    texts: list[tuple[str, str]], tokenizer: Any, max_tokens: int, joined: bool = False
) -> list[dict[str, Any]]:
    """Conversations of at most `max_tokens`, each of one exchange, or of as many as fit."""
    lines: list[dict[str, Any]] = []
    room = 0
    for question, answer in texts:
        whole = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        tokens = len(tokenizer.encode(whole).ids)
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        if tokens <= room:
            lines[-1]["messages"] += messages
            room -= tokens
        elif tokens <= max_tokens:
            lines.append({"messages": messages})
            room = max_tokens - tokens if joined else 0
    return lines


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
