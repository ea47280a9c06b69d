"""TRL's SFTTrainer as the oracle: on the same batch, our loss is its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import made_up, made_up_pairs, write_lines

from samloop import plugins
from samloop.text.tokens import Tokenizer
from samloop.train import batches
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.job import TrainJob
from samloop.train.pairs import PairReader, Pairs
from samloop.train.preference import measured

PAIRS = made_up_pairs(9)


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
    adapter = shaken(learner)
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


@pytest.fixture
def preferring_trainer_of(base: Path, tmp_path: Path) -> Callable[[Adapter, float], Any]:
    """DPOTrainer on the base with an adapter of these weights, the base itself as the reference."""
    pytest.importorskip("trl", exc_type=ImportError)

    def make(adapter: Adapter, beta: float) -> Any:
        import torch
        from datasets import Dataset
        from peft import LoraConfig, set_peft_model_state_dict
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from trl import DPOConfig, DPOTrainer

        config = DPOConfig(
            output_dir=str(tmp_path / "trl"),
            beta=beta,
            bf16=False,
            use_cpu=True,
            report_to="none",
            gradient_checkpointing=False,
            disable_tqdm=True,
        )
        said = {"prompt": [{"role": "user", "content": "a"}]}
        row = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=config,
            train_dataset=Dataset.from_list([{**said, **row}]),
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=LoraConfig(
                r=adapter.rank,
                lora_alpha=adapter.alpha,
                target_modules=sorted(adapter.weights),
                task_type="CAUSAL_LM",
            ),
        )
        arrays = {name: torch.from_numpy(array.copy()) for name, array in adapter.arrays().items()}
        assert not set_peft_model_state_dict(trainer.model, arrays).unexpected_keys
        return trainer

    return make


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning:(trl|peft|transformers|accelerate|torch).*")
def test_our_preference_loss_and_gradient_are_those_of_trl(
    make_job: Callable[..., TrainJob], backend: str, tmp_path: Path, preferring_trainer_of: Callable[..., Any]
) -> None:
    """Pairs of several turns and lengths, a third with a shared history, all with another weight per pair."""
    job, beta = make_job(backend=backend, dropout=0.3), 0.3
    history = [{"role": "user", "content": "red?"}, {"role": "assistant", "content": "green dog"}]
    lines = [{**one, "messages": [*history, *one["messages"]]} if n % 3 == 0 else one for n, one in enumerate(PAIRS)]
    write_lines(Path(job.dataset) / "train.jsonl", lines)
    base, tokenizer = Base.open(Path(job.base)), Tokenizer.load(Path(job.base))
    reader = PairReader(tokenizer, 128)
    for one in batches.read_lines(Path(job.dataset) / "train.jsonl"):
        reader.add(one)
    pairs = reader.done()
    assert len(pairs) == len(lines)
    learner = plugins.load("backends", backend)().learner(base, job)
    adapter = shaken(learner)
    learner.begin(adapter)

    everything = np.arange(len(pairs))
    documents = pairs.documents(everything, tokenizer.pad_id)
    reference = learner.log_probabilities(documents, bare=True).reshape(-1, 2)
    batch = pairs.batch(everything, tokenizer.pad_id, reference)
    ours = measured(learner.log_probabilities(documents), batch, beta)
    found = learner.prefer(batch, batch.total_weight, beta)
    norm = learner.update(0.0)

    trainer = preferring_trainer_of(adapter, beta)
    rows = [sides_of(pairs, number) for number in everything]
    inputs = trainer.data_collator(rows)
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = sum(float((p.grad.double() ** 2).sum()) for p in trainer.model.parameters() if p.grad is not None) ** 0.5
    told = trainer._metrics["eval"]
    assert ours["loss"] / ours["weight"] == pytest.approx(float(loss.detach()), rel=2e-6)
    assert norm == pytest.approx(theirs, rel=1e-4)
    assert measured(found, batch, beta) == pytest.approx(ours, rel=2e-5)
    for name, key in (("margin", "margins"), ("accuracy", "accuracies"), ("chosen_reward", "chosen")):
        assert ours[name] / ours["pairs"] == pytest.approx(told[f"rewards/{key}"][0], rel=1e-4)


def sides_of(pairs: Pairs, number: int) -> dict[str, list[int]]:
    """A pair as TRL's collator takes it."""
    sides, parts = pairs.sides, []
    for document in (2 * number, 2 * number + 1):
        span = slice(sides.starts[document], sides.starts[document + 1])
        start = int(np.argmax(sides.weights[span] > 0))
        end = start + int((sides.weights[span] > 0).sum())
        parts.append((sides.ids[span][:start].tolist(), sides.ids[span][start:end].tolist()))
    assert parts[0][0] == parts[1][0]
    return {"prompt_ids": parts[0][0], "chosen_ids": parts[0][1], "rejected_ids": parts[1][1]}


def shaken(learner: Any) -> Adapter:
    """The learner's adapter with a second factor that is not zero."""
    adapter, generator = learner.adapter(), np.random.default_rng(0)
    weights = {n: (a, generator.normal(0, 0.1, b.shape).astype(np.float32)) for n, (a, b) in adapter.weights.items()}
    return replace(adapter, weights=weights)
