from __future__ import annotations

import json
import math
import resource
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tiny import WORDS, Killed, MakeJob, line, made_up, train, weights_of, write_lines

from samloop import plugins
from samloop.errors import ModelError, TrainingError
from samloop.protocols import AdapterRef
from samloop.text.template import encode_prompt
from samloop.text.tokens import Tokenizer
from samloop.train import batches
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.driver import run
from samloop.train.job import TrainJob
from samloop.train.objectives import FIGURES

FIELDS = {
    *("step", "steps", "epoch", "loss", "validation_loss", "tokens_per_second", "learning_rate", "grad_norm"),
    *("memory_bytes", "eta_seconds", "trained_tokens", "phase"),
    *FIGURES,
}


def test_a_run_learns_and_reports(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    job = make_job(backend=backend)
    result, lines = train(job, tmp_path / "run")
    assert result["state"] == "completed"
    assert result["steps"] == lines[-1]["step"] == lines[-1]["steps"] == 12
    assert all(set(metric) == FIELDS for metric in lines)
    assert {metric["phase"] for metric in lines} == {"sft"}
    assert all(metric[name] is None for metric in lines for name in FIGURES)
    assert [m["step"] for m in lines if m["validation_loss"] is not None] == [0, 4, 8, 12]
    assert result["validation_loss"] < lines[0]["validation_loss"] - 0.5
    assert result["epochs"] == 3.0
    assert result["examples"] == 30
    examples = batches.read_examples(
        Path(job.dataset) / "train.jsonl", Tokenizer.load(Path(job.base)), max_seq_tokens=128
    )
    assert result["train_tokens"] == lines[-1]["trained_tokens"] == 3 * examples.lengths.sum()
    assert result["peak_memory_bytes"] >= lines[-1]["memory_bytes"] > 10**6
    adapter = Adapter.read(Path(result["adapter"]))
    assert adapter.base_name == "tiny"
    assert result["trainable_parameters"] == sum(a.size + b.size for a, b in adapter.weights.values())
    json.dumps([result, lines])


def test_both_backends_give_the_same_curve_and_adapter(make_job: MakeJob, tmp_path: Path) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    changes = {"weight_decay": 0.1, "max_grad_norm": 0.5, "layers": 1, "targets": ("q_proj", "down_proj")}
    curves, adapters = [], []
    for name in ("torch", "mlx"):
        result, lines = train(make_job(backend=name, **changes), tmp_path / name)
        curves.append([[m["loss"] or 0, m["validation_loss"] or 0, m["grad_norm"] or 0] for m in lines])
        adapters.append(Adapter.read(Path(result["adapter"])))
    np.testing.assert_allclose(curves[0], curves[1], rtol=2e-4)
    assert (
        set(adapters[0].weights)
        == set(adapters[1].weights)
        == {
            "model.layers.1.self_attn.q_proj",
            "model.layers.1.mlp.down_proj",
        }
    )
    for name, pair in adapters[0].weights.items():
        for one, other in zip(pair, adapters[1].weights[name], strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)


def test_eight_examples_can_be_learnt_by_heart(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    job = make_job(
        backend=backend,
        epochs=40,
        accumulation_steps=1,
        batch_examples=8,
        rank=16,
        alpha=32.0,
        learning_rate=2e-2,
        checkpoint_steps=100,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    )
    pairs = [(WORDS[i], WORDS[(i + 5) % len(WORDS)]) for i in range(8)]
    write_lines(Path(job.dataset) / "train.jsonl", [line(*pair) for pair in pairs])
    (Path(job.dataset) / "valid.jsonl").unlink()
    result, _ = train(job, tmp_path / "run")
    assert result["validation_loss"] is None
    assert result["best_step"] == 40
    model = plugins.load("backends", backend)().load(
        Path(job.base), [AdapterRef(name="mine", path=Path(result["adapter"]))]
    )
    for adapter, right in ((None, 0), ("mine", 8)):
        model.use(adapter)
        prompts = [encode_prompt(model.tokenizer, [{"role": "user", "content": q}]) for q, _ in pairs]
        answers = [model.tokenizer.decode(list(model.generate(p, max_new_tokens=8))) for p in prompts]
        assert sum(a == answer for (_, a), answer in zip(pairs, answers, strict=True)) == right


@pytest.mark.parametrize("kill_at", [3, 6, 9])
def test_a_killed_run_ends_with_the_same_bytes(make_job: MakeJob, backend: str, tmp_path: Path, kill_at: int) -> None:
    job = make_job(backend=backend, dropout=0.2)
    whole, whole_lines = train(job, tmp_path / "whole")
    with pytest.raises(Killed):
        train(job, tmp_path / "killed", kill_at=kill_at)
    resumed, lines = train(job, tmp_path / "killed")
    assert (lines[0]["step"] == 0) == (kill_at == 3)
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
    for name in ("steps", "loss", "validation_loss", "best_step", "train_tokens"):
        assert resumed[name] == whole[name]
    assert lines[-1]["loss"] == whole_lines[-1]["loss"]


def test_a_stopped_run_is_kept_and_goes_on(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    whole, _ = train(make_job(backend=backend), tmp_path / "whole")
    stopped, _ = train(make_job(backend=backend), tmp_path / "run", stop_at=5)
    assert (stopped["state"], stopped["steps"]) == ("stopped", 5)
    Adapter.read(Path(stopped["adapter"]))
    finished, lines = train(make_job(backend=backend), tmp_path / "run")
    assert (finished["state"], lines[0]["step"]) == ("completed", 6)
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert finished["loss"] == whole["loss"]


def test_early_stopping_keeps_the_best(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    job = make_job(backend=backend, epochs=40, learning_rate=3e-2, patience=2, evaluate_steps=2, warmup_share=0.0)
    write_lines(Path(job.dataset) / "valid.jsonl", [line("say last of red cat", "bird eats over")])
    write_lines(Path(job.dataset) / "train.jsonl", made_up(12))
    result, lines = train(job, tmp_path / "run")
    measured = {m["step"]: m["validation_loss"] for m in lines if m["validation_loss"] is not None and m["step"]}
    assert result["stopped_early"]
    assert result["steps"] == result["best_step"] + 4 < 80
    assert result["validation_loss"] == min(measured.values()) == measured[result["best_step"]]
    # The adapter written is that of the best step: it gives that loss again.
    base, tokenizer = Base.open(Path(job.base)), Tokenizer.load(Path(job.base))
    learner = plugins.load("backends", backend)().learner(base, job)
    learner.restore(Adapter.read(Path(result["adapter"])), learner.state())
    valid = batches.read_examples(Path(job.dataset) / "valid.jsonl", tokenizer, max_seq_tokens=128)
    batch = valid.batch([0], tokenizer.pad_id)
    assert learner.loss(batch) / batch.total_weight == pytest.approx(result["validation_loss"], rel=1e-6)


def test_the_loss_is_the_mean_over_tokens_however_they_are_batched(
    make_job: MakeJob, backend: str, tmp_path: Path
) -> None:
    """One batch of 8 and eight batches of 1 are the same optimiser step, weights and all."""
    lines = [{**one, "metadata": {"weight": 1.0 + i}} for i, one in enumerate(made_up(8))]
    adapters = []
    for size in (8, 1):
        job = make_job(backend=backend, batch_examples=size, accumulation_steps=8 // size, epochs=3)
        write_lines(Path(job.dataset) / "train.jsonl", lines)
        result, _ = train(job, tmp_path / str(size))
        assert result["steps"] == 3
        adapters.append(Adapter.read(Path(result["adapter"])).arrays())
    for name, array in adapters[0].items():
        np.testing.assert_allclose(array, adapters[1][name], atol=2e-5)


def test_a_weight_of_two_is_the_same_as_twice_the_example(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    one, other = made_up(2)
    results = []
    for name, lines in (("weight", [{**one, "metadata": {"weight": 2}}, other]), ("twice", [one, one, other])):
        job = make_job(backend=backend, epochs=4, batch_examples=3, accumulation_steps=1)
        write_lines(Path(job.dataset) / "train.jsonl", lines)
        results.append(train(job, tmp_path / name)[0]["loss"])
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_run(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    job = make_job(backend=backend, learning_rate=1e30, checkpoint_steps=1, patience=0, warmup_share=0.0)
    Path(job.dataset, "valid.jsonl").unlink()
    with pytest.raises(TrainingError, match=r"stopped at step (\d+) of 12: the loss became .* lower train") as caught:
        train(job, tmp_path / "run")
    kept = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert f"step {int(kept[-1].name[5:])} is kept" in str(caught.value)
    assert all(np.isfinite(array).all() for array in Adapter.read(kept[-1]).arrays().values())
    assert not (tmp_path / "run" / "adapter").exists()


class Rising:
    """A learner whose loss rises with each step."""

    def __init__(self, base: Base, job: TrainJob) -> None:
        self.nats = 1.0

    def accumulate(self, batch: batches.Batch, denominator: float) -> float:
        return self.nats * batch.total_weight

    def update(self, learning_rate: float) -> float:
        self.nats += 0.7
        return 1.0

    def loss(self, batch: batches.Batch) -> float:
        return self.nats * batch.total_weight

    def adapter(self) -> Adapter:
        return Adapter(rank=1, alpha=1.0, weights={"m": (np.ones((1, 2), np.float32), np.ones((2, 1), np.float32))})

    def state(self) -> dict[str, np.ndarray]:
        return {"nats": np.array([self.nats])}

    learner = classmethod(lambda cls, base, job: cls(base, job))


def test_a_run_that_diverges_is_stopped(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda: Rising)
    with pytest.raises(TrainingError, match=r"of 12: the validation loss rose from 1\.00 to 6\.60 .* step 4 is kept"):
        train(make_job(), tmp_path / "run")


class ByLength(Rising):
    """A learner to whom long answers are harder; it keeps what it was asked."""

    asked: ClassVar[list[tuple[float, float]]] = []

    def accumulate(self, batch: batches.Batch, denominator: float) -> float:
        nats = batch.total_weight**2
        self.asked.append((nats, batch.total_weight))
        return nats


def test_the_loss_is_a_mean_over_tokens_and_not_over_steps(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda: ByLength)
    monkeypatch.setattr("samloop.train.driver.DIVERGED_NATS", math.inf)
    monkeypatch.setattr(ByLength, "asked", [])
    result, _ = train(make_job(accumulation_steps=1, max_steps=8), tmp_path / "run")
    nats, weights = zip(*ByLength.asked, strict=True)
    assert len(set(weights)) > 1
    assert result["loss"] == pytest.approx(sum(nats) / sum(weights))
    assert result["loss"] != pytest.approx(np.mean(np.divide(nats, weights)))


def test_checkpoints_are_bounded_and_hold_no_pickle(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(checkpoint_steps=2), tmp_path / "run")
    folders = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [f.name for f in folders] == ["step-00000010", "step-00000012"]
    files = {f.name for folder in folders for f in folder.iterdir()}
    assert {Path(name).suffix for name in files} == {".safetensors", ".json"}


def test_a_full_disk_at_a_checkpoint_keeps_the_one_before(make_job: MakeJob, tmp_path: Path) -> None:
    job, limits = make_job(), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(metric: dict[str, Any]) -> None:
        if metric["step"] == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))

    try:
        with pytest.raises(TrainingError, match=r"checkpoint of step 8 cannot be written .* make room"):
            run(job, tmp_path / "run", fill_the_disk, lambda: False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [f.name for f in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    train(job, tmp_path / "run")
    train(job, tmp_path / "whole")
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_checkpoint_of_another_run_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(), tmp_path / "run", stop_at=4)
    with pytest.raises(TrainingError, match=r"another run \(rank was 4, is 8\)"):
        train(make_job(rank=8), tmp_path / "run")
    job = make_job()
    write_lines(Path(job.dataset) / "train.jsonl", made_up(29))
    with pytest.raises(TrainingError, match=r"another run \(train was"):
        train(job, tmp_path / "run")


def test_a_broken_checkpoint_is_named(make_job: MakeJob, tmp_path: Path) -> None:
    train(make_job(), tmp_path / "run", stop_at=4)
    (tmp_path / "run/checkpoints/step-00000004/optimiser.safetensors").write_bytes(b"no")
    with pytest.raises(TrainingError, match="step-00000004 cannot be read; remove that folder"):
        train(make_job(), tmp_path / "run")


def test_a_split_smaller_than_a_batch_trains(make_job: MakeJob, backend: str, tmp_path: Path) -> None:
    job = make_job(backend=backend, batch_examples=64, epochs=2)
    write_lines(Path(job.dataset) / "train.jsonl", made_up(1))
    write_lines(Path(job.dataset) / "valid.jsonl", [])
    result, _ = train(job, tmp_path / "run")
    assert (result["steps"], result["examples"], result["validation_loss"]) == (2, 1, None)


def test_max_steps_bounds_a_run_and_its_schedule(make_job: MakeJob, tmp_path: Path) -> None:
    result, lines = train(make_job(max_steps=3, epochs=50), tmp_path / "run")
    assert (result["steps"], lines[-1]["steps"]) == (3, 3)
    assert lines[-1]["learning_rate"] < 0.6 * lines[1]["learning_rate"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no examples; collect some"),
        ([line("red", "cat " * 300)] * 2, r"all 2 examples of .* are longer than train.max_seq_tokens = 128"),
        ([line("red", "cat", 0.0)], "has no token to train on: 1 examples"),
    ],
)
def test_a_dataset_that_cannot_train_is_refused(make_job: MakeJob, tmp_path: Path, lines: list, message: str) -> None:
    job = make_job()
    write_lines(Path(job.dataset) / "train.jsonl", lines)
    with pytest.raises(TrainingError, match=message):
        train(job, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("q_prj",)}, "no module 'q_prj' .* did you mean 'q_proj'"),
        ({"targets": ()}, "train.targets is empty"),
        ({"layers": 3}, "asks for the last 3 layers, the base model has 2"),
        ({"rank": 500}, "train.rank is 500"),
        ({"method": "ppo"}, r"expected the method auto, sft, dpo or sft\+dpo, got 'ppo'"),
    ],
)
def test_settings_that_do_not_fit_the_base_are_refused(
    make_job: MakeJob, backend: str, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(make_job(backend=backend, **changes), tmp_path / "run")


def test_a_base_without_tokenizer_is_refused(make_job: MakeJob, base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        train(make_job(base=str(copy)), tmp_path / "run")
