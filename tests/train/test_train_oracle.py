"""TRL's SFTTrainer as the oracle: on the same batch, our loss is its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import made_up, write_lines
from samloop import plugins
from samloop.text.tokens import Tokenizer
from samloop.train import batches
from samloop.train.base import Base
from samloop.train.job import TrainJob


@pytest.fixture
def trainer_of(base: Path, tmp_path: Path) -> Callable[[Path, list[dict[str, Any]]], Any]:
    """SFTTrainer on the base with the adapter in a folder, for rows of input_ids and completion_mask."""
    pytest.importorskip("trl", exc_type=ImportError)

    def make(adapter: Path, rows: list[dict[str, Any]]) -> Any:
        import torch
        from datasets import Dataset
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from trl import SFTConfig, SFTTrainer

        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
        config = SFTConfig(
            output_dir=str(tmp_path / "trl"),
            per_device_train_batch_size=len(rows),
            completion_only_loss=True,
            bf16=False,
            use_cpu=True,
            report_to="none",
            gradient_checkpointing=False,
            disable_tqdm=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(base)
        return SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)

    return make


# Whatever the versions of TRL, transformers and PEFT at hand deprecate among themselves is theirs, not ours.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:(trl|peft|transformers|accelerate|torch).*")
def test_our_loss_is_the_loss_of_trl(
    make_job: Callable[..., TrainJob], backend: str, tmp_path: Path, trainer_of: Callable[..., Any]
) -> None:
    job = make_job(backend=backend)
    write_lines(Path(job.dataset) / "train.jsonl", made_up(9))
    base, tokenizer = Base.open(Path(job.base)), Tokenizer.load(Path(job.base))
    examples = batches.read_examples(Path(job.dataset) / "train.jsonl", tokenizer, max_seq_tokens=128)
    learner = plugins.load("backends", backend)().learner(base, job)
    adapter = learner.adapter()
    generator = np.random.default_rng(0)
    weights = {n: (a, generator.normal(0, 0.1, b.shape).astype(np.float32)) for n, (a, b) in adapter.weights.items()}
    adapter = replace(adapter, weights=weights)
    learner.restore(adapter, learner.state())
    (tmp_path / "adapter").mkdir()
    adapter.write(tmp_path / "adapter")

    spans = [slice(examples.starts[i], examples.starts[i + 1]) for i in range(len(examples))]
    rows = [
        {"input_ids": examples.ids[s].tolist(), "completion_mask": (examples.weights[s] > 0).astype(int).tolist()}
        for s in spans
    ]
    trainer = trainer_of(tmp_path / "adapter", rows)
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
    inputs = {key: value.to(trainer.args.device) for key, value in inputs.items()}
    trainer.model.eval()
    theirs = float(trainer.compute_loss(trainer.model, inputs))

    batch = examples.batch(range(len(examples)), tokenizer.pad_id)
    assert learner.loss(batch) / batch.total_weight == pytest.approx(theirs, rel=2e-6)
    assert learner.accumulate(batch, batch.total_weight) / batch.total_weight == pytest.approx(theirs, rel=2e-6)
