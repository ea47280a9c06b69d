"""The training run: one loop for every backend, from dataset lines to an adapter.

The loss of an optimiser step is the true mean over all its trainable tokens, weights included, however they fall
into batches: Σ weight · nats / Σ weight. A run that is killed and started again in the same folder goes on from its
newest checkpoint and ends with the same weights as one that was never killed.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from samloop import plugins
from samloop.errors import TrainingError
from samloop.files import whole_folder
from samloop.text.tokens import Tokenizer
from samloop.train import batches, memory
from samloop.train.adapter import Adapter
from samloop.train.base import Base
from samloop.train.batches import Batch, Examples
from samloop.train.checkpoints import Checkpoints, Progress
from samloop.train.job import TrainJob
from samloop.train.learner import Learner
from samloop.train.schedule import learning_rate

VALIDATION_EXAMPLES: Final = 256
"""At most this many validation examples are looked at each time: the mean of some ten thousand tokens is steady to
about a hundredth of a nat, and a validation stays cheap beside the fifty steps between two."""

WINDOW_STEPS: Final = 10
"""Steps whose mean loss per token is reported and watched."""

DIVERGED_NATS: Final = 3.0
"""A run is given up when its validation loss lies this far above the untrained one: the model is twenty times more
perplexed, and no schedule brings that back. A step's own loss does not tell: batches differ by more."""

OnMetric = Callable[[dict[str, Any]], None]


BetweenSteps = Callable[[int, Callable[[], None]], None]


def run(
    job: TrainJob,
    folder: Path,
    on_metric: OnMetric,
    should_stop: Callable[[], bool],
    between_steps: BetweenSteps = lambda _step, _keep: None,
) -> dict[str, Any]:
    """Train an adapter as `job` says; checkpoints and the adapter go into `folder`.

    Args:
        on_metric: called with {step, steps, epoch, loss, validation_loss, tokens_per_second, learning_rate,
            grad_norm, memory_bytes, eta_seconds, trained_tokens}; losses in nats per token, None where not measured.
        should_stop: asked after each optimiser step; when true, the run is kept and ends with state ``stopped``.
        between_steps: called after each step but the last, before `should_stop`, with the number of steps taken and
            a function that keeps a checkpoint; a run pauses in there.

    Returns:
        {run_id, state, steps, loss, validation_loss, tokens_per_second, peak_memory_bytes, adapter, best_step,
        epochs, examples, too_long, untrainable, train_tokens, trainable_parameters, stopped_early}; `steps` are
        those taken, `validation_loss` is that of the adapter that was kept: the best, not the last.

    Raises:
        ModelError, InputError, TrainingError: said before time is spent where it can be known.
    """
    if job.method != "sft":
        raise TrainingError(f"expected the method sft, got '{job.method}'")
    backend = plugins.load("backends", job.backend)()
    base = Base.open(Path(job.base))
    tokenizer = Tokenizer.load(base.folder)
    train, valid = _read(job, tokenizer)
    learner: Learner = backend.learner(base, job)
    identity = {**job.shaping(), "base": base.fingerprint, "train": train.digest(), "valid": valid.digest()}
    checkpoints = Checkpoints(folder / "checkpoints", identity)
    return _Run(job, folder, learner, checkpoints, train, valid, tokenizer.pad_id).go(
        on_metric, should_stop, between_steps
    )


def _read(job: TrainJob, tokenizer: Tokenizer) -> tuple[Examples, Examples]:
    dataset = Path(job.dataset)
    train = batches.read_examples(dataset / "train.jsonl", tokenizer, max_seq_tokens=job.max_seq_tokens)
    if not len(train):
        _refuse_empty(train, job)
    valid = batches.EMPTY
    if (dataset / "valid.jsonl").is_file():
        valid = batches.read_examples(
            dataset / "valid.jsonl", tokenizer, max_seq_tokens=job.max_seq_tokens, weighted=False
        )
    return train, valid


def _refuse_empty(train: Examples, job: TrainJob) -> None:
    where = f"the dataset {job.dataset}"
    if train.too_long and not train.untrainable:
        raise TrainingError(
            f"all {train.too_long} examples of {where} are longer than train.max_seq_tokens = {job.max_seq_tokens}; "
            "raise it, or prepare the dataset again"
        )
    if train.untrainable:
        raise TrainingError(
            f"{where} has no token to train on: {train.untrainable} examples without a weighted answer, "
            f"{train.too_long} too long; look at its train.jsonl"
        )
    raise TrainingError(f"{where} has no examples; collect some, or admit more in the recipe's [prepare]")


class _Run:
    """One run in progress."""

    def __init__(
        self,
        job: TrainJob,
        folder: Path,
        learner: Learner,
        checkpoints: Checkpoints,
        train: Examples,
        valid: Examples,
        pad_id: int,
    ) -> None:
        self.job, self.folder, self.learner, self.checkpoints = job, folder, learner, checkpoints
        self.train, self.valid, self.pad_id = train, valid, pad_id
        self.steps_per_epoch = math.ceil(math.ceil(len(train) / job.batch_examples) / job.accumulation_steps)
        planned = max(1, round(job.epochs * self.steps_per_epoch))
        self.steps = min(planned, job.max_steps) if job.max_steps else planned
        self.progress, self.best = Progress(), None
        self.order: tuple[int, list[np.ndarray]] = (-1, [])

    progress: Progress
    best: Adapter | None

    def go(self, on_metric: OnMetric, should_stop: Callable[[], bool], between_steps: BetweenSteps) -> dict[str, Any]:
        self.progress, self.best = self.checkpoints.restore(self.learner)
        stopped = False
        if self.progress.step == 0:
            self._validate(candidate=False)
            on_metric(self._line(grad_norm=None, validated=True))
        while self.progress.step < self.steps and not self.progress.stopped_early and not stopped:
            grad_norm = self._step()
            step, last = self.progress.step, self.progress.step == self.steps
            validated = bool(len(self.valid)) and (last or step % self.job.evaluate_steps == 0)
            if validated:
                self._validate(candidate=True)
            if validated or last or step % self.job.report_steps == 0:
                on_metric(self._line(grad_norm, validated))
            if not last and not self.progress.stopped_early:
                between_steps(step, self._keep)
            stopped = not last and should_stop()
            if last or stopped or self.progress.stopped_early or step % self.job.checkpoint_steps == 0:
                self._keep()
        return self._finish("stopped" if stopped else "completed")

    def _keep(self) -> None:
        self.checkpoints.save(self.learner, self.progress, self.best)

    def _step(self) -> float:
        """One optimiser step; returns the gradient's norm."""
        progress, started = self.progress, time.perf_counter()
        group = self._group(progress.step)
        denominator = sum(batch.total_weight for batch in group)
        loss = sum(self.learner.accumulate(batch, denominator) for batch in group) / denominator
        rate = learning_rate(
            progress.step, self.steps, peak=self.job.learning_rate, warmup_share=self.job.warmup_share
        )
        grad_norm = self.learner.update(rate)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise self._failure(f"the loss became {loss} and the gradient's norm {grad_norm}")
        progress.step += 1
        progress.trained_tokens += sum(batch.tokens for batch in group)
        progress.seconds += time.perf_counter() - started
        self._watch(loss, denominator)
        return grad_norm

    def _group(self, step: int) -> list[Batch]:
        """The batches of an optimiser step."""
        epoch, at = divmod(step, self.steps_per_epoch)
        if self.order[0] != epoch:
            job = self.job
            self.order = (
                epoch,
                batches.bucketed(self.train.lengths, batch_examples=job.batch_examples, seed=job.seed, epoch=epoch),
            )
        size = self.job.accumulation_steps
        return [self.train.batch(indices, self.pad_id) for indices in self.order[1][at * size : (at + 1) * size]]

    def _watch(self, loss: float, weight: float) -> None:
        """Take the loss of a step into account.

        The mean is over tokens, as that of validation is: batches are of equal length, and a step of one-word answers
        has neither the loss nor the tokens of a step of long ones.
        """
        progress = self.progress
        progress.recent = [*progress.recent, (loss * weight, weight)][-WINDOW_STEPS:]
        progress.loss = sum(nats for nats, _ in progress.recent) / sum(weight for _, weight in progress.recent)

    def _validate(self, *, candidate: bool) -> None:
        """Measure the validation loss; with `candidate`, the adapter may become the best."""
        if not len(self.valid):
            return
        progress = self.progress
        progress.validation_loss = self._mean_loss(self.valid)
        if not math.isfinite(progress.validation_loss):
            raise self._failure(f"the validation loss became {progress.validation_loss}")
        if progress.first_loss is None:
            progress.first_loss = progress.validation_loss
        elif progress.validation_loss > progress.first_loss + DIVERGED_NATS:
            rise = f"from {progress.first_loss:.2f} to {progress.validation_loss:.2f} nats per token"
            raise self._failure(f"the validation loss rose {rise}")
        if not candidate:
            return
        if progress.best_loss is None or progress.validation_loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.waited = progress.validation_loss, progress.step, 0
            self.best = self.learner.adapter()
        else:
            progress.waited += 1
            progress.stopped_early = bool(self.job.patience) and progress.waited >= self.job.patience

    def _mean_loss(self, examples: Examples) -> float:
        chosen = batches.in_order(examples.lengths, batch_examples=self.job.batch_examples, limit=VALIDATION_EXAMPLES)
        taken: Sequence[Batch] = [examples.batch(indices, self.pad_id) for indices in chosen]
        return sum(map(self.learner.loss, taken)) / sum(batch.total_weight for batch in taken)

    def _failure(self, what: str) -> TrainingError:
        kept = self.checkpoints.last_step()
        where = f"the checkpoint of step {kept} is kept" if kept else "there was no checkpoint yet"
        return TrainingError(
            f"training was stopped at step {self.progress.step + 1} of {self.steps}: {what}; {where}. "
            f"Try a lower train.learning_rate than {self.job.learning_rate:g}"
        )

    def _line(self, grad_norm: float | None, validated: bool) -> dict[str, Any]:
        progress, job = self.progress, self.job
        per_step = progress.seconds / progress.step if progress.step else None
        return {
            "step": progress.step,
            "steps": self.steps,
            "epoch": progress.step / self.steps_per_epoch,
            "loss": progress.loss,
            "validation_loss": progress.validation_loss if validated else None,
            "tokens_per_second": self._speed(),
            "learning_rate": learning_rate(
                max(0, progress.step - 1), self.steps, peak=job.learning_rate, warmup_share=job.warmup_share
            ),
            "grad_norm": grad_norm,
            "memory_bytes": memory.resident_bytes(),
            "eta_seconds": per_step * (self.steps - progress.step) if per_step is not None else None,
            "trained_tokens": progress.trained_tokens,
        }

    def _speed(self) -> float | None:
        return self.progress.trained_tokens / self.progress.seconds if self.progress.seconds else None

    def _finish(self, state: str) -> dict[str, Any]:
        """Write the best adapter, or the last where there is no validation, and sum up."""
        progress = self.progress
        adapter = self.best or self.learner.adapter()
        path = self.folder / "adapter"
        try:
            shutil.rmtree(path, ignore_errors=True)  # of this run when it was stopped before
            with whole_folder(path) as beside:
                adapter.write(beside)
        except OSError as error:
            raise TrainingError(
                f"the adapter cannot be written to {path} ({error.strerror}); make room and start the run again"
            ) from error
        return {
            "run_id": self.job.run_id,
            "state": state,
            "steps": progress.step,
            "loss": progress.loss,
            "validation_loss": progress.best_loss,
            "tokens_per_second": self._speed(),
            "peak_memory_bytes": memory.peak_bytes(),
            "adapter": str(path),
            "best_step": progress.best_step if self.best else progress.step,
            "epochs": progress.step / self.steps_per_epoch,
            "examples": len(self.train),
            "too_long": self.train.too_long,
            "untrainable": self.train.untrainable,
            "train_tokens": progress.trained_tokens,
            "trainable_parameters": _count(adapter.arrays()),
            "stopped_early": progress.stopped_early,
        }


def _count(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.size for array in arrays.values())
