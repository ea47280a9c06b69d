"""A base held in four bits beside the same base whole: what its weights take, what it learns, how fast.

Two bases: the pocket model, which has learnt something that rounding could spoil, and a random Qwen2 of 30 M
parameters, whose matrices are of a size that memory and speed can be read from. Each run is a process of its own, on
the same data, seed and settings; speed is in trained tokens per second of processor time. MLX multiplies packed
matrices on a processor without a BLAS, so that the random base takes it many minutes there: with --all.

    python benchmarks/training/qlora.py [--bases pocket 30m] [--backends torch mlx] [--examples 96] [--all]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from material import SIZES, _fitting, _write, build, read_texts

from common import machine, publish, table

FORMS = {"torch": ("none", "nf4"), "mlx": ("none", "affine4")}
HELD_OUT, MAX_TOKENS = 48, 256
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def run_one(backend: str, form: str, base: str, dataset: str, folder: str) -> dict[str, Any]:
    """Load, weigh, train one epoch."""
    from samloop import plugins
    from samloop.train import memory
    from samloop.train.base import Base
    from samloop.train.driver import run
    from samloop.train.job import TrainJob

    job = TrainJob(
        run_id="qlora",
        dataset=dataset,
        base=base,
        base_name=Path(base).name,
        backend=backend,
        quantise=form,
        rank=8,
        targets=TARGETS,
        batch_examples=4,
        accumulation_steps=2,
        max_seq_tokens=MAX_TOKENS,
        epochs=1.0,
        learning_rate=1e-3,
        evaluate_steps=10_000,
    )
    learner = plugins.load("backends", backend)().learner(Base.open(Path(base)), job)
    layers, whole, layers_float32, whole_float32 = weigh(learner._network.model)
    del learner
    first: list[float] = []

    def note(news: dict[str, Any]) -> None:
        if news.get("validation_loss") is not None:
            first.append(news["validation_loss"])

    started, processor = time.perf_counter(), time.process_time()
    result = run(job, Path(folder), note, lambda: False)
    processor = time.process_time() - processor
    return {
        "layers": layers,
        "whole": whole,
        "layers_float32": layers_float32,
        "whole_float32": whole_float32,
        "start": first[0],
        "end": result["validation_loss"],
        "speed": result["train_tokens"] / processor,
        "wall": result["train_tokens"] / (time.perf_counter() - started),
        "peak": memory.peak_bytes(),
    }


def weigh(model: Any) -> tuple[int, int, int, int]:
    """Bytes of the base's matrices inside the layers, scales included, and of all its weights; LoRA not counted.

    Then both once more for as many numbers in float32, which means something where the base is whole.
    """
    sizes: dict[str, int] = {}
    counts: dict[str, int] = {}
    if hasattr(model, "named_parameters"):
        for name, parameter in model.named_parameters():
            state = getattr(parameter, "quant_state", None)
            counts[name] = parameter.numel()
            sizes[name] = parameter.nbytes + (state.absmax.nbytes + state.code.nbytes if state is not None else 0)
    else:
        from mlx.utils import tree_flatten

        arrays = dict(tree_flatten(model.parameters()))
        sizes = {name: array.nbytes for name, array in arrays.items()}
        counts = {name: array.size for name, array in arrays.items()}
    base = [name for name in sizes if "lora_" not in name]
    layers = [name for name in base if "_proj" in name and not name.endswith("bias")]
    bytes_of = [sum(sizes[name] for name in names) for names in (layers, base)]
    return (*bytes_of, *(4 * sum(counts[name] for name in names) for names in (layers, base)))


def prepare(folder: Path, name: str, examples: int) -> tuple[Path, Path]:
    """The base and the dataset."""
    if name != "pocket":
        build(folder, SIZES[name], train=examples, valid=HELD_OUT, max_tokens=MAX_TOKENS)
        return folder / "base", folder
    import tokenizers

    from samloop import pocket

    folder.mkdir()
    tokenizer = tokenizers.Tokenizer.from_file(str(pocket.path() / "tokenizer.json"))
    lines = _fitting(read_texts()[0], tokenizer, MAX_TOKENS)
    _write(folder / "train.jsonl", lines[:examples])
    _write(folder / "valid.jsonl", lines[examples : examples + HELD_OUT])
    return pocket.path(), folder


def child(backend: str, form: str, base: Path, dataset: Path, folder: Path) -> dict[str, Any]:
    """`run_one` in a process of its own."""
    from samloop.child import _environment

    words = [sys.executable, __file__, "--one", backend, form, str(base), str(dataset), str(folder)]
    environment = _environment({"backend": backend}) | {"TQDM_DISABLE": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{backend} {form} on {base} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rows_of(name: str, backend: str, found: dict[str, dict[str, Any]]) -> list[list[object]]:
    """One row per form, with the sizes as shares of float32 and the speed as one of the whole base's."""
    rows: list[list[object]] = []
    plain = found["none"]
    for form, figures in found.items():
        ratio = f" ({figures['layers'] / plain['layers_float32']:.2f})"
        whole = f" ({figures['whole'] / plain['whole_float32']:.2f})"
        speed = "" if form == "none" else f" ({figures['speed'] / plain['speed']:.2f})"
        rows.append(
            [
                f"{name}, {backend}, {form}",
                f"{figures['layers'] / 1e6:.1f}{ratio}",
                f"{figures['whole'] / 1e6:.1f}{whole}",
                f"{figures['start']:.3f}",
                f"{figures['end']:.3f}",
                f"{figures['speed']:,.0f}{speed}",
                f"{figures['peak'] / 1e6:,.0f}",
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", nargs="+", default=["pocket", "30m"], choices=["pocket", *SIZES])
    parser.add_argument("--backends", nargs="+", default=["torch", "mlx"], choices=list(FORMS))
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--all", action="store_true", help="the random base on MLX as well, off Apple's processors")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_one(*options.one)))
        return
    rows: list[list[object]] = [
        ["base, backend, form", "matrices MB", "weights MB", "loss before", "loss after", "tokens/CPU s", "peak MB"]
    ]
    with tempfile.TemporaryDirectory() as name:
        for base_name in options.bases:
            base, dataset = prepare(Path(name) / base_name, base_name, options.examples)
            for backend in options.backends:
                if backend == "mlx" and base_name != "pocket" and not options.all and sys.platform != "darwin":
                    continue
                found = {
                    form: child(backend, form, base, dataset, Path(name) / f"{base_name}-{backend}-{form}")
                    for form in FORMS[backend]
                }
                rows += rows_of(base_name, backend, found)
    packages = ["torch", "bitsandbytes"] if "torch" in options.backends else []
    packages += ["mlx"] if "mlx" in options.backends else []
    text = "\n".join(
        [
            machine(*packages),
            f"one epoch of {options.examples} examples of {read_texts()[1]},",
            f"of at most {MAX_TOKENS} tokens, rank 8 on all modules; losses in nats per token of {HELD_OUT} held-out",
            "answers; in brackets: sizes as shares of float32 (a whole base of over 20 M parameters is in bfloat16",
            "where the processor has it), speed as a share of the whole base's",
            "",
            table(rows),
        ]
    )
    publish("qlora", text, folder=Path(__file__).parent / "results")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
