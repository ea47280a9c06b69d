"""Checkpoints of a run: all it takes to go on as if nothing had happened, in folders that appear whole.

A checkpoint folder is an adapter in PEFT's layout, plus optimiser.safetensors (moments and random state),
best.safetensors (the best adapter so far) and progress.json. Nothing in it is pickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from samloop.errors import TrainingError
from samloop.files import private_folder, whole_folder, write_atomic, write_json
from samloop.train.adapter import Adapter, weights_of
from samloop.train.learner import Learner

KEPT: Final = 2
"""Checkpoints kept: the newest, and one before it should a disk lose the newest."""

STATE: Final = ("optimiser.safetensors", "best.safetensors", "progress.json")
"""What a checkpoint holds besides its adapter, to go on from it."""

EARLIER: Final = "earlier"
"""Folder beside that of the checkpoints, with the adapters of some that were before."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: optimiser steps taken.
        phase, phase_step: the phase that is on, counted from zero, and the steps taken in it.
        phases: what came of the phases that are done.
        loss: nats per trained token, or per pair, over the steps in `recent`.
        first_loss: validation loss of the untrained adapter.
        recent: nats, weight and further sums of the latest steps of this phase.
        validation_loss: the latest, in nats per token; None before the first.
        found: all that the latest validation found, by name.
        before: what was found when the objective of this phase began.
        best_loss, best_step: the least of what this objective goes by and when it was.
        best_found: what was found of the adapter that is best.
        waited: validations since the best.
        trained_tokens: tokens without padding that went through the model, from the beginning.
        seconds: time spent in steps.
        stopped_early: this phase had no improvement within the job's patience.
    """

    step: int = 0
    phase: int = 0
    phase_step: int = 0
    phases: list[dict[str, Any]] = field(default_factory=list)
    loss: float | None = None
    first_loss: float | None = None
    recent: list[dict[str, float]] = field(default_factory=list)
    validation_loss: float | None = None
    found: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    best_loss: float | None = None
    best_step: int = 0
    best_found: dict[str, float] = field(default_factory=dict)
    waited: int = 0
    trained_tokens: int = 0
    seconds: float = 0.0
    stopped_early: bool = False


def kept_in(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest last."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def forget_old(folder: Path, adapters: int = 0) -> None:
    """Remove all checkpoints in `folder` but the newest `KEPT`; of `adapters` older ones the adapter stays.

    Those lie in the folder `EARLIER` beside it, spread as evenly over the steps as they come.
    """
    earlier = folder.with_name(EARLIER)
    for old in kept_in(folder)[:-KEPT]:
        if adapters and not (earlier / old.name).exists():
            private_folder(earlier)
            for name in STATE:
                (old / name).unlink(missing_ok=True)
            old.replace(earlier / old.name)
        shutil.rmtree(old, ignore_errors=True)
    for crowded in _crowded(kept_in(earlier), adapters):
        shutil.rmtree(crowded, ignore_errors=True)


def _crowded(found: list[Path], most: int) -> list[Path]:
    """Which of some checkpoints to remove so that `most` stay: again and again the one nearest to its neighbours."""
    left, gone = list(found), []
    while len(left) > most:
        steps = [0, *map(step_of, left), step_of(left[-1])]
        gone.append(left.pop(min(range(len(left)), key=lambda at: steps[at + 2] - steps[at])))
    return gone


def step_of(path: Path) -> int:
    """After how many steps the checkpoint in the folder `path` was made."""
    return int(path.name.removeprefix("step-"))


def adapters_of(run: Path) -> list[Path]:
    """The folders of all adapters that the run in this folder kept on its way, by step."""
    return sorted([*kept_in(run / EARLIER), *kept_in(run / "checkpoints")], key=step_of)


class Checkpoints:
    """The checkpoints under one folder, for one job on one base and one dataset."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], adapters: int = 0) -> None:
        """Nothing is read or written yet.

        Args:
            identity: plain JSON; a checkpoint with another one is never gone on from.
            adapters: see `forget_old`.
        """
        self._folder, self._adapters = folder, adapters
        self._identity = json.loads(json.dumps(identity))

    def save(self, learner: Learner, progress: Progress, best: Adapter | None) -> Path:
        """Keep the state after `progress.step` steps; the folder it is in.

        Raises:
            TrainingError: the disk is full or cannot be written; earlier checkpoints are as they were.
        """
        try:
            path = self._folder / f"step-{progress.step:08d}"
            with whole_folder(path) as folder:
                learner.adapter().write(folder)
                write_atomic(folder / "optimiser.safetensors", save_arrays(learner.state()))
                if best is not None:
                    write_atomic(folder / "best.safetensors", save_arrays(best.arrays()))
                write_json(folder / "progress.json", {"identity": self._identity, "progress": asdict(progress)})
        except OSError as error:
            raise TrainingError(
                f"the checkpoint of step {progress.step} cannot be written to {self._folder} ({error.strerror}); "
                "make room and start the run again: it goes on from the checkpoint before"
            ) from error
        forget_old(self._folder, self._adapters)
        return path

    def restore(self, learner: Learner) -> tuple[Progress, Adapter | None]:
        """Put `learner` where the newest checkpoint left it; a fresh `Progress` where there is none.

        Raises:
            TrainingError: the checkpoint is of another job, base or dataset, or cannot be read.
        """
        found = kept_in(self._folder)
        if not found:
            return Progress(), None
        path = found[-1]
        try:
            content = json.loads((path / "progress.json").read_text(encoding="utf-8"))
            state = load_arrays((path / "optimiser.safetensors").read_bytes())
            best = path / "best.safetensors"
            best_arrays = load_arrays(best.read_bytes()) if best.is_file() else None
        except Exception as error:  # the safetensors library raises its own kinds, one per cause
            raise TrainingError(
                f"the checkpoint {path} cannot be read; remove that folder and the run goes on from the one before"
            ) from error
        self._compare(content["identity"], path)
        adapter = Adapter.read(path)
        learner.restore(adapter, state)
        kept = replace(adapter, weights=weights_of(best_arrays)) if best_arrays else None
        return Progress(**content["progress"]), kept

    def last_step(self) -> int | None:
        """The step of the newest checkpoint; None where there is none."""
        found = kept_in(self._folder)
        return step_of(found[-1]) if found else None

    def _compare(self, identity: Mapping[str, Any], path: Path) -> None:
        for name, value in self._identity.items():
            if identity.get(name) != value:
                raise TrainingError(
                    f"the checkpoint {path} is of another run ({name} was {identity.get(name)}, is {value}); "
                    "take the same settings and data, or start in a new folder"
                )
