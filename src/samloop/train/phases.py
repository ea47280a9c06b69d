"""The phases of a run: what is learnt from which examples, for how many steps, at which rate.

A plan is all there is to know before the first step. Phases that follow one another with the same objective share one
schedule and one optimiser, and the best adapter among them is kept; a phase with another objective begins with that
adapter, a schedule of its own and a fresh optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from samloop.train.job import TrainJob
from samloop.train.schedule import learning_rate

Objective = Literal["sft", "dpo"]

STAGES: Final = (3, 6)
"""Bounds of complexity in a curriculum, before all examples."""

STAGE_SHARE: Final = 0.25
"""Of the passes over the data, how many each bounded stage of a curriculum takes. The last stage takes the steps that
are left, so that a curriculum costs what a run without one does, and the hardest examples are still seen in half of
the passes at least."""

PREFERENCE_CHECKS: Final = 4
"""How often a dpo phase is validated at least: it is short, and the best of it lies where pairs are not learnt by
heart yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of a run.

    Attributes:
        name: ``sft``, ``sft to 3``, ``dpo``, …; metrics carry it.
        objective: what is minimised: the nats of answers, or the preference loss of pairs.
        most_complexity: examples above it are left out of this phase; None: none is.
        examples: how many it draws from, answers or pairs.
        batch_examples: how many of them go through the model at once.
        steps_per_epoch: optimiser steps of one pass over them.
        steps: optimiser steps it takes, if it is not stopped early.
        peak, schedule_start, schedule_steps: its step k is step schedule_start + k of a schedule of schedule_steps
            that rises to `peak`.
        warmup_share: of the schedule.
        evaluate_steps: steps between validations.
    """

    name: str
    objective: Objective
    most_complexity: int | None = None
    examples: int
    batch_examples: int
    steps_per_epoch: int
    steps: int
    peak: float
    warmup_share: float
    evaluate_steps: int
    schedule_start: int = 0
    schedule_steps: int = 0

    def learning_rate(self, step: int) -> float:
        """The rate of this phase's step `step`, counted from zero."""
        at, of = self.schedule_start + step, self.schedule_steps
        return learning_rate(at, of, peak=self.peak, warmup_share=self.warmup_share)


def method_of(job: TrainJob, pairs: int) -> str:
    """The job's method; auto is sft+dpo where there are as many pairs as it asks for, else sft."""
    if job.method != "auto":
        return job.method
    return "sft+dpo" if pairs >= job.min_pairs else "sft"


def plan(job: TrainJob, complexity: np.ndarray, pairs: int) -> list[Phase]:
    """The phases of a run.

    Args:
        complexity: int [examples], of each example that answers are learnt from.
        pairs: how many preference pairs there are.
    """
    method = method_of(job, pairs)
    phases: list[Phase] = []
    if method in ("sft", "sft+dpo"):
        phases += _answers(job, complexity)
    if method in ("dpo", "sft+dpo"):
        phases.append(_preferences(job, pairs))
    return _scheduled(_bounded(phases, job.max_steps))


def _answers(job: TrainJob, complexity: np.ndarray) -> list[Phase]:
    whole = _answer_phase(job, "sft", len(complexity), None)
    if not job.curriculum:
        return [whole]
    stages = []
    for most in STAGES:
        count = int((complexity <= most).sum())
        if 0 < count < len(complexity):
            stage = _answer_phase(job, f"sft to {most}", count, most)
            stages.append(replace(stage, steps=max(1, round(stage.steps * STAGE_SHARE))))
    if not stages:
        return [whole]
    left = max(1, whole.steps - sum(stage.steps for stage in stages))
    return [*stages, replace(whole, name="sft all", steps=left)]


def _answer_phase(job: TrainJob, name: str, examples: int, most_complexity: int | None) -> Phase:
    per_epoch = math.ceil(math.ceil(examples / job.batch_examples) / job.accumulation_steps)
    return Phase(
        name=name,
        objective="sft",
        most_complexity=most_complexity,
        examples=examples,
        batch_examples=job.batch_examples,
        steps_per_epoch=per_epoch,
        steps=max(1, round(job.epochs * per_epoch)),
        peak=job.learning_rate,
        warmup_share=job.warmup_share,
        evaluate_steps=job.evaluate_steps,
    )


def _preferences(job: TrainJob, pairs: int) -> Phase:
    # A pair is two sequences: half as many of them take the memory that the examples of a batch take.
    batch = max(1, job.batch_examples // 2)
    per_epoch = math.ceil(math.ceil(pairs / batch) / job.accumulation_steps)
    return Phase(
        name="dpo",
        objective="dpo",
        examples=pairs,
        batch_examples=batch,
        steps_per_epoch=per_epoch,
        steps=max(1, round(job.preference_epochs * per_epoch)),
        peak=job.preference_learning_rate,
        warmup_share=job.warmup_share,
        evaluate_steps=job.evaluate_steps,
    )


def _bounded(phases: Sequence[Phase], max_steps: int) -> list[Phase]:
    """The phases with at most `max_steps` steps in all, each with its share and at least one; 0: no bound."""
    whole = sum(phase.steps for phase in phases)
    if not max_steps or whole <= max_steps:
        return list(phases)
    shares = [max(1, phase.steps * max_steps // whole) for phase in phases]
    shares[0] += max(0, max_steps - sum(shares))
    return [replace(phase, steps=steps) for phase, steps in zip(phases, shares, strict=True)]


def _scheduled(phases: Sequence[Phase]) -> list[Phase]:
    """The phases with one schedule over those that share an objective, and the short ones validated often enough."""
    placed = []
    for at, phase in enumerate(phases):
        same = [other for other in phases if other.objective == phase.objective]
        before = [other for other in phases[:at] if other.objective == phase.objective]
        start, whole = sum(other.steps for other in before), sum(other.steps for other in same)
        often = math.ceil(phase.steps / PREFERENCE_CHECKS) if phase.objective == "dpo" else phase.evaluate_steps
        checks = min(phase.evaluate_steps, often)
        placed.append(replace(phase, schedule_start=start, schedule_steps=whole, evaluate_steps=checks))
    return placed
