"""The pocket base: a tiny language model that ships with samloop for demos and tests; see README.md beside this."""

from __future__ import annotations

from pathlib import Path


def path() -> Path:
    """The folder of the bundled model: config, weights as safetensors, tokenizer, chat template, model card."""
    return Path(__file__).parent
