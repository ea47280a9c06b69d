"""The training run: one loop for every backend and objective, from dataset lines to an adapter.

A run is one phase or several (`phases`), each with an objective (`objectives`). The loss of an optimiser step is the
true mean over all it learns from, weights included, however that falls into batches. A run that is killed and started
again in the same folder goes on from its newest checkpoint and ends with the same weights as one that was never
killed, wherever in its phases that was.
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
from samloop.train.checkpoints import Checkpoints, Progress
from samloop.train.crew import ALONE, Crew
from samloop.train.data import Data, read
from samloop.train.job import TrainJob
from samloop.train.learner import Learner
from samloop.train.objectives import FIGURES, WORSE_NATS, Answers, Done, Objective, Preferences
from samloop.train.phases import Phase, method_of, plan
from samloop.train.preference import added, means
from samloop.train.reference import Reference

METHODS: Final = ("auto", "sft", "dpo", "sft+dpo")

WINDOW_STEPS: Final = 10
"""Steps whose mean loss is reported and watched."""

DIVERGED_NATS: Final = 3.0
"""A run is given up when its validation loss lies this far above the untrained one: the model is twenty times more
perplexed, and no schedule brings that back. A step's own loss does not tell: batches differ by more."""

OnMetric = Callable[[dict[str, Any]], None]


OnWritten = Callable[[Path], None]
BetweenSteps = Callable[[int, Callable[[], None]], None]


def run(
    job: TrainJob,
    folder: Path,
    on_metric: OnMetric,
    should_stop: Callable[[], bool],
    between_steps: BetweenSteps = lambda _step, _keep: None,
    crew: Crew = ALONE,
    on_written: OnWritten = lambda _: None,
) -> dict[str, Any]:
    """Train an adapter as `job` says; checkpoints and the adapter go into `folder`.

    Args:
        on_metric: called with {phase, step, steps, epoch, loss, validation_loss, tokens_per_second, learning_rate,
            grad_norm, memory_bytes, eta_seconds, trained_tokens} and `objectives.FIGURES`, None where not measured.
            `loss` is in nats per token, or per pair in a dpo phase; `validation_loss` is nats per token always.
            Before a dpo phase, also with {event: "reference", done, total}.
        should_stop: asked after each optimiser step; when true, the run is kept and ends with state ``stopped``.
        between_steps: called after each step but the last, before `should_stop`, with the number of steps taken and
            a function that keeps a checkpoint; a run pauses in there.
        crew: the workers that train together. All of them call this, each with its copy of the data and of what an
            earlier run left in `folder`; the first one writes and tells.
        on_written: called with each file or folder in `folder` when it was written whole.

    Returns:
        {run_id, state, method, steps, loss, validation_loss, tokens_per_second, peak_memory_bytes, adapter,
        best_step, epochs, examples, pairs, chosen, too_long, untrainable, train_tokens, trainable_parameters,
        stopped_early, phases}; `steps` are those taken, `validation_loss` is that of the adapter that was kept: the
        best, not the last. `chosen` counts answers that are learnt because a pair prefers them. Of each phase, {name,
        objective, examples, steps, loss, best_step, stopped_early, before, after}: what was found before its
        objective began, and of the adapter that it left.

    Raises:
        ModelError, InputError, TrainingError: said before time is spent where it can be known.
    """
    if job.method not in METHODS:
        raise TrainingError(f"expected the method {', '.join(METHODS[:-1])} or {METHODS[-1]}, got '{job.method}'")
    backend = plugins.load("backends", job.backend)()
    base = Base.open(Path(job.base))
    tokenizer = Tokenizer.load(base.folder)
    data = read(job, tokenizer)
    learner: Learner = backend.learner(base, job)
    identity = {**job.shaping(), "base": base.fingerprint, **data.digests()}
    checkpoints = Checkpoints(folder / "checkpoints", identity, job.earlier_adapters)
    reference = Reference(folder / "reference.safetensors", base.fingerprint, crew, on_written)
    one = _Run(job, folder, learner, checkpoints, reference, data, tokenizer.pad_id, crew, on_written)
    return one.go(on_metric if crew.leads else lambda _: None, should_stop, between_steps)


class _Run:
    """One run in progress."""

    def __init__(
        self,
        job: TrainJob,
        folder: Path,
        learner: Learner,
        checkpoints: Checkpoints,
        reference: Reference,
        data: Data,
        pad_id: int,
        crew: Crew,
        on_written: OnWritten,
    ) -> None:
        self.crew, self.on_written = crew, on_written
        self.job, self.folder, self.learner, self.checkpoints = job, folder, learner, checkpoints
        self.reference, self.data, self.pad_id = reference, data, pad_id
        self.method = method_of(job, len(data.train.pairs))
        self.phases = plan(job, data.train.complexity, len(data.train.pairs))
        self.progress, self.best = Progress(), None
        self.ready = -1
        self.order: tuple[tuple[int, int], list[np.ndarray]] = ((-1, -1), [])

    progress: Progress
    best: Adapter | None
    objective: Objective
    ready: int
    """The phase whose objective is at hand."""

    @property
    def phase(self) -> Phase:
        """The phase that is on; the last one when all are done."""
        return self.phases[min(self.progress.phase, len(self.phases) - 1)]

    @property
    def steps(self) -> int:
        """Steps of the whole run: those of the phases that are done, and what is planned."""
        taken = [int(done["steps"]) for done in self.progress.phases]
        return sum(taken) + sum(phase.steps for phase in self.phases[len(taken) :])

    def go(self, on_metric: OnMetric, should_stop: Callable[[], bool], between_steps: BetweenSteps) -> dict[str, Any]:
        self.progress, self.best = self.checkpoints.restore(self.learner)
        stopped = False
        while self.progress.phase < len(self.phases) and not stopped:
            if not self._begin(on_metric, should_stop):
                stopped = True
                break
            grad_norm = self._step()
            ends = self.progress.phase_step == self.phase.steps
            validated = ends or self.progress.phase_step % self.phase.evaluate_steps == 0
            validated = validated and self._validate(candidate=True)
            if validated or ends or self.progress.step % self.job.report_steps == 0:
                on_metric(self._line(grad_norm, validated))
            over = ends or self.progress.stopped_early
            if over:
                self._end_phase()
            if self.progress.phase < len(self.phases):
                between_steps(self.progress.step, self._checkpoint)
                stopped = self.crew.word(should_stop())
            if over or stopped or self.progress.step % self.job.checkpoint_steps == 0:
                self._checkpoint()
        return self._finish("stopped" if stopped else "completed")

    def _checkpoint(self) -> None:
        if self.crew.leads:
            self.on_written(self.checkpoints.save(self.learner, self.progress, self.best))

    # --- phases ------------------------------------------------------------------------------------------------

    def _begin(self, on_metric: OnMetric, should_stop: Callable[[], bool]) -> bool:
        """Have the objective of the phase at hand; False where the run was stopped meanwhile."""
        progress = self.progress
        if self.ready == progress.phase:
            return True
        if self.phase.objective == "sft":
            self.objective = self._answers()
        else:
            found = self._preferences(on_metric, should_stop)
            if found is None:
                return False
            self.objective = found
        self.ready = progress.phase
        if progress.phase_step == 0 and self._anew(progress.phase):
            # What an earlier objective learnt may be as good as it gets; an untrained adapter may not.
            validated = self._validate(candidate=progress.phase > 0)
            progress.before = dict(progress.found)
            if progress.step == 0:
                on_metric(self._line(grad_norm=None, validated=validated))
        return True

    def _answers(self) -> Answers:
        train, most = self.data.train, self.phase.most_complexity
        chosen = np.flatnonzero(train.complexity <= most) if most else np.arange(len(train.answers))
        valid, size = self.data.valid.answers, self.phase.batch_examples
        return Answers(train.answers, valid, chosen, self.pad_id, size, self.crew)

    def _preferences(self, on_metric: OnMetric, should_stop: Callable[[], bool]) -> Preferences | None:
        splits = {"train": self.data.train.pairs, "valid": self.data.valid.pairs}
        size = self.phase.batch_examples
        found = self.reference.of(self.learner, splits, self.pad_id, size, on_metric, should_stop)
        if found is None:
            return None
        answers, beta = self.data.valid.answers, self.job.beta
        objective = Preferences(splits["train"], splits["valid"], answers, self.pad_id, size, beta, self.crew)
        objective.refer(found["train"], found["valid"])
        return objective

    def _anew(self, at: int) -> bool:
        """Whether phase `at` has another objective than the one before."""
        return at == 0 or self.phases[at].objective != self.phases[at - 1].objective

    def _end_phase(self) -> None:
        """Note what came of the phase, and go over to the next one."""
        progress, phase = self.progress, self.phase
        kept = self.best is not None
        progress.phases.append(
            {
                "name": phase.name,
                "objective": phase.objective,
                "examples": phase.examples,
                "steps": progress.phase_step,
                "loss": progress.loss,
                "best_step": progress.best_step if kept else progress.step,
                "stopped_early": progress.stopped_early,
                "before": progress.before,
                "after": dict(progress.best_found if kept else progress.found),
            }
        )
        progress.phase, progress.phase_step = progress.phase + 1, 0
        if progress.phase == len(self.phases):
            return
        progress.recent, progress.waited, progress.stopped_early = [], 0, False
        if self._anew(progress.phase):
            self.learner.begin(self.best or self.learner.adapter())
            self.best, progress.best_loss = None, None

    # --- steps -------------------------------------------------------------------------------------------------

    def _step(self) -> float:
        """One optimiser step; returns the gradient's norm."""
        progress, started = self.progress, time.perf_counter()
        done = self.objective.accumulate(self.learner, self._group(progress.phase_step))
        grad_norm = self.learner.update(self.phase.learning_rate(progress.phase_step))
        loss = done.nats / done.weight
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise self._failure(f"the loss became {loss} and the gradient's norm {grad_norm}")
        progress.step += 1
        progress.phase_step += 1
        progress.trained_tokens += done.tokens
        progress.seconds += time.perf_counter() - started
        self._watch(done)
        return grad_norm

    def _group(self, step: int) -> list[np.ndarray]:
        """The batches of an optimiser step of this phase, as numbers of its examples."""
        epoch, at = divmod(step, self.phase.steps_per_epoch)
        if self.order[0] != (self.progress.phase, epoch):
            size, seed = self.phase.batch_examples, self.job.seed
            order = batches.bucketed(self.objective.lengths, batch_examples=size, seed=seed, epoch=epoch)
            self.order = ((self.progress.phase, epoch), order)
        size = self.job.accumulation_steps
        return self.order[1][at * size : (at + 1) * size]

    def _watch(self, done: Done) -> None:
        """Take the loss of a step into account.

        The mean is over tokens, as that of validation is: batches are of equal length, and a step of one-word answers
        has neither the loss nor the tokens of a step of long ones.
        """
        progress = self.progress
        latest = {**done.pairs, "loss": done.nats, "weight": done.weight}
        progress.recent = [*progress.recent, latest][-WINDOW_STEPS:]
        progress.loss = sum(one["loss"] for one in progress.recent) / sum(one["weight"] for one in progress.recent)

    def _validate(self, *, candidate: bool) -> bool:
        """Measure on the validation split, if there is one; with `candidate`, the adapter may become the best."""
        found = self.objective.validate(self.learner)
        if not found:
            return False
        for name, value in found.items():
            if not math.isfinite(value):
                raise self._failure(f"the {name.replace('_', ' ')} became {value}")
        progress = self.progress
        progress.found = found
        loss = progress.validation_loss = found.get("validation_loss")
        if progress.first_loss is None:
            progress.first_loss = loss
        elif loss is not None and loss > progress.first_loss + DIVERGED_NATS:
            rise = f"from {progress.first_loss:.2f} to {loss:.2f} nats per token"
            raise self._failure(f"the validation loss rose {rise}")
        if candidate:
            self._consider(found)
        return True

    def _consider(self, found: Mapping[str, float]) -> None:
        """Keep the adapter if it is the best so far; else wait, within the job's patience."""
        progress, measure = self.progress, self.objective.measure(found)
        if measure is None:
            if self._speaks(found):  # nothing tells which is best: the latest is
                self._keep(found, None)
        elif self._speaks(found) and (progress.best_loss is None or measure < progress.best_loss):
            self._keep(found, measure)
            progress.waited = 0
        else:
            progress.waited += 1
            progress.stopped_early = bool(self.job.patience) and progress.waited >= self.job.patience

    def _keep(self, found: Mapping[str, float], measure: float | None) -> None:
        progress = self.progress
        progress.best_loss, progress.best_step, progress.best_found = measure, progress.step, dict(found)
        self.best = self.learner.adapter()

    def _speaks(self, found: Mapping[str, float]) -> bool:
        """Whether preferring has left held-out answers about as likely as they were; see `objectives.WORSE_NATS`."""
        loss, before = found.get("validation_loss"), self.progress.before.get("validation_loss")
        if self.phase.objective == "sft" or loss is None or before is None:
            return True
        return loss <= before + WORSE_NATS

    def _failure(self, what: str) -> TrainingError:
        kept = self.checkpoints.last_step()
        where = f"the checkpoint of step {kept} is kept" if kept else "there was no checkpoint yet"
        name = "learning_rate" if self.phase.objective == "sft" else "preference_learning_rate"
        return TrainingError(
            f"training was stopped at step {self.progress.step + 1} of {self.steps}: {what}; {where}. "
            f"Try a lower train.{name} than {self.phase.peak:g}"
        )

    # --- what is told ------------------------------------------------------------------------------------------

    def _line(self, grad_norm: float | None, validated: bool) -> dict[str, Any]:
        progress = self.progress
        per_step = progress.seconds / progress.step if progress.step else None
        line = {
            "phase": self.phase.name,
            "step": progress.step,
            "steps": self.steps,
            "epoch": progress.phase_step / self.phase.steps_per_epoch,
            "loss": progress.loss,
            "validation_loss": progress.validation_loss if validated else None,
            "tokens_per_second": self._speed(),
            "learning_rate": self.phase.learning_rate(max(0, progress.phase_step - 1)),
            "grad_norm": grad_norm,
            "memory_bytes": memory.resident_bytes(),
            "eta_seconds": per_step * (self.steps - progress.step) if per_step is not None else None,
            "trained_tokens": progress.trained_tokens,
            **dict.fromkeys(FIGURES),
        }
        if self.phase.objective == "dpo":
            line |= means(added(progress.recent)) if progress.recent else {}
            line |= {name: progress.found.get(name) for name in FIGURES if validated and name in progress.found}
        return line

    def _speed(self) -> float | None:
        return self.progress.trained_tokens / self.progress.seconds if self.progress.seconds else None

    def _finish(self, state: str) -> dict[str, Any]:
        """Write the best adapter, or the last where there is no validation, and sum up."""
        progress, train = self.progress, self.data.train
        adapter = self.best or self.learner.adapter()
        path = self.folder / "adapter"
        if self.crew.leads:
            self._write(adapter, path)
        return {
            "run_id": self.job.run_id,
            "state": state,
            "method": self.method,
            "steps": progress.step,
            "loss": progress.loss,
            "validation_loss": progress.best_found.get("validation_loss") if self.best else None,
            "tokens_per_second": self._speed(),
            "peak_memory_bytes": memory.peak_bytes(),
            "adapter": str(path),
            "best_step": progress.best_step if self.best else progress.step,
            "epochs": _epochs(self.phases, progress),
            "examples": len(train.answers),
            "pairs": len(train.pairs),
            "chosen": train.chosen,
            "too_long": train.answers.too_long,
            "untrainable": train.answers.untrainable,
            "train_tokens": progress.trained_tokens,
            "trainable_parameters": _count(adapter.arrays()),
            "stopped_early": progress.stopped_early or any(done["stopped_early"] for done in progress.phases),
            "phases": progress.phases,
        }

    def _write(self, adapter: Adapter, path: Path) -> None:
        try:
            shutil.rmtree(path, ignore_errors=True)  # of this run when it was stopped before
            with whole_folder(path) as beside:
                adapter.write(beside)
        except OSError as error:
            raise TrainingError(
                f"the adapter cannot be written to {path} ({error.strerror}); make room and start the run again"
            ) from error
        self.on_written(path)


def _epochs(phases: Sequence[Phase], progress: Progress) -> float:
    """Passes over the data, of the phases that are done and the one that is on."""
    taken = [int(done["steps"]) for done in progress.phases]
    if len(taken) < len(phases):
        taken.append(progress.phase_step)
    return sum(steps / phase.steps_per_epoch for phase, steps in zip(phases, taken, strict=False))


def _count(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.size for array in arrays.values())
