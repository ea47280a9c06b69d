"""Fine-tuning on an NVIDIA GPU beside TRL and Unsloth: a Qwen2 of 0.5 and 1.5 B, bf16, LoRA, 512 and 2,048 tokens.

    python benchmarks/training/gpu.py [--keep FOLDER]

Without a GPU it says so and does nothing. Unsloth: pip install unsloth, where it installs; its row says so elsewhere.
"of peak" is the model-FLOP utilisation against the matrix products that the same process measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sft
import torch

from common import publish


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=Path, default=Path("build") / "training-gpu")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        publish("gpu", "not run: no GPU", sft.RESULTS)
        return
    for size in ("0.5b", "1.5b"):
        for tokens in (512, 2_048):
            given = [
                "--size",
                size,
                "--max-tokens",
                str(tokens),
                "--joined",
                "--keep",
                str(options.keep / str(tokens)),
            ]
            sft.main([*given, "--examples", "256", "--seeds", "3", "--name", f"gpu_{size}_{tokens}"])


if __name__ == "__main__":
    main()
