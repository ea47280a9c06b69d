"""Overfitting, read off a run's metrics: validation gets worse while training gets better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from samloop.train.metrics import latest

RISE: Final = 0.02
"""Rise of the validation loss over its least value, as a part of it, from which on it counts.

This is the generalisation loss of Prechelt (Early Stopping – But When?, in Neural Networks: Tricks of the Trade,
1998), whose experiments stop at 1 to 5 %."""

STRIP: Final = 2
"""Validations in a row that have to lie above the least value: one alone may be chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """Where validation and training parted.

    Attributes:
        step: the one to go back to: least validation loss.
        last_step: of the last validation.
        validation_loss, training_loss: (there, at the end), nats per token.
        rise: of the validation loss, as a part of its least value.
    """

    step: int
    last_step: int
    validation_loss: tuple[float, float]
    training_loss: tuple[float, float]
    rise: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)

    def sentence(self) -> str:
        """What it means, for people."""
        validation, training = self.validation_loss, self.training_loss
        return (
            f"from step {self.step} to {self.last_step} validation loss rose by {self.rise:.1%} "
            f"({validation[0]:.3f} to {validation[1]:.3f}) while training loss fell "
            f"({training[0]:.3f} to {training[1]:.3f}); go back to step {self.step}"
        )


def overfitting(metrics: Iterable[Mapping[str, Any]]) -> Overfitting | None:
    """Where a run began to learn its examples by heart; None where nothing shows it.

    Args:
        metrics: lines as `metrics.read_metrics` gives them. Steps that learnt from preferences are left out: what
            they do to the loss of answers is no overfitting.
    """
    lines = [line for line in latest([dict(line) for line in metrics]) if line.get("preference_loss") is None]
    trained = [(line["step"], line["loss"]) for line in lines if _is_figure(line.get("loss"))]
    valid = [(line["step"], line["validation_loss"]) for line in lines if _is_figure(line.get("validation_loss"))]
    if not valid or not trained:
        return None
    step, least = min(valid, key=lambda point: (point[1], point[0]))
    last_step, last = valid[-1]
    after = [loss for at, loss in valid if at > step]
    rise = (last - least) / least if least > 0 else 0.0
    there, end = _at(trained, step), _at(trained, last_step)
    if len(after) < STRIP or min(after[-STRIP:]) <= least or rise < RISE or not end < there:
        return None
    return Overfitting(
        step=step, last_step=last_step, validation_loss=(least, last), training_loss=(there, end), rise=rise
    )


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _at(points: list[tuple[int, float]], step: int) -> float:
    """The figure that stands nearest to `step`."""
    return min(points, key=lambda point: abs(point[0] - step))[1]
