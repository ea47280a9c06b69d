"""The model card of the pocket base, from the figures measured while it was built."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_texts import Text


@dataclass
class Figures:
    """What a build measured; losses in nats per token."""

    parameters: int
    shape: dict[str, int]
    steps: int
    seed: int
    tokens: int
    row_tokens: int
    seconds: float
    training_loss: float
    mix: dict[str, float]
    machine: str
    arguments: str
    built: str
    held_out_loss: float = math.nan


def write_card(folder: Path, texts: list[Text], figures: Figures) -> None:
    """Write README.md, and measure the size of what ships."""
    weights = (folder / "model.safetensors").stat().st_size
    fields: dict[str, Any] = {
        "f": figures,
        "perplexity": math.exp(figures.held_out_loss),
        "shape": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.shape.items()),
        "texts": "\n".join(_row(text) for text in texts),
        "mix": "\n".join(f"| {kind} | {share:.0%} |" for kind, share in figures.mix.items()),
        "megabytes": weights / 1e6,
    }
    (folder / "README.md").write_text(CARD.format(**fields), encoding="utf-8")


def _row(text: Text) -> str:
    kinds = Counter(d.kind for d in text.documents)
    count = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items())
    characters = sum(len(d.plain) for d in text.documents)
    licence = f"{text.licence}; {text.note}" if text.note else text.licence
    return f"| {text.title} | {text.source} | {licence} | {characters / 1e6:.2f} M | {count} |"


CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [qwen2, tiny, samloop]
---

# samloop pocket base

A toy that shows that the loop works. It is small enough to ship inside the package ({megabytes:.1f} MB of weights),
so that the demo and the tests of samloop need no download. It forms words and follows the shape of a conversation;
it knows nothing, and nothing it says should be believed.

- Architecture: Qwen2, {f.parameters:,} parameters (tied embeddings): {shape}. Stored in bfloat16.
- Tokenizer: byte-level BPE trained on the same texts, with ChatML (`<|im_start|>`, `<|im_end|>`, `<|endoftext|>`).
- Loads in transformers (`AutoModelForCausalLM`, `AutoTokenizer`) and in mlx-lm.

## Training

| | |
|---|---|
| steps | {f.steps:,} |
| tokens seen | {f.tokens:,} |
| seed | {f.seed} |
| loss at the end, training | {f.training_loss:.3f} nats/token |
| loss, held-out documents | {f.held_out_loss:.3f} nats/token (perplexity {perplexity:.1f}) |
| time | {f.seconds:,.0f} s on {f.machine} |
| built | {f.built} |

One document in fifty, chosen by its own text, was never trained on and gives the held-out loss. That is measured on
the weights as they ship, over all kinds but those made while training.

## Texts

| text | source | licence | characters | documents |
|---|---|---|---|---|
{texts}
| Routing questions, exercises | samloop itself | Apache-2.0 | made while training | as many as drawn |

Documents were drawn in these shares:

| kind | share |
|---|---|
{mix}

Routing questions ("Route this task to …") carry an answer **drawn at random**. The base knows the form of the
question and starts at chance on the answer; what an adapter knows about routing it learnt from its own examples. The
wordings and fillings that the routing suite holds out are not in here. Exercises ask for what a few lines of Python
know of a sentence ("Last word: …"), or to apply a routing rule that is made up and stated. Commit messages are made
from code and the instruction that asked for it, questions on sections from headings.

## Limits

English and a little code, contexts of {f.shape[context]} tokens at most (rows of {f.row_tokens} in training). No
safety training of any kind. Figures about it say something about samloop, not about language models.

## Rebuild

    python scripts/build_pocket_model.py --text FOLDER… {f.arguments}

The folders hold the files that scripts/pocket_texts.toml names.
"""
