"""What a phase minimises, as the driver sees it: batches in, gradients gathered, and figures to report.

Losses are true means however examples fall into batches: over all weighted tokens of an optimiser step for answers,
over all weighted pairs of it for preferences. Where several workers train together, each takes its share of the
batches, and all figures are those of all workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from samloop.train import batches
from samloop.train.batches import Examples
from samloop.train.crew import ALONE, Crew
from samloop.train.learner import Learner
from samloop.train.pairs import Pairs
from samloop.train.preference import MEASURES, SUMS, added, means, measured

VALIDATION_EXAMPLES: Final = 256
"""At most this many validation examples are looked at each time: the mean of some ten thousand tokens is steady to
about a hundredth of a nat, and a validation stays cheap beside the fifty steps between two."""

VALIDATION_PAIRS: Final = 128
"""At most this many validation pairs are looked at each time."""

MIN_PAIRS: Final = 8
"""With fewer validation pairs than these their loss is an accident, and it chooses no adapter."""

WORSE_NATS: Final = 0.1
"""A preference phase keeps no adapter whose held-out answers lie further above those at its beginning, in nats per
token: 10 % more perplexed. Preferring can be learnt by unlearning to speak, and its own loss does not tell."""


@dataclass(slots=True)
class Done:
    """What one optimiser step summed up.

    Attributes:
        nats: Σ weight · loss.
        weight: Σ weight, of tokens or pairs.
        tokens: that went through the model, padding apart.
        pairs: further sums of a preference step, see `preference.measured`.
    """

    nats: float
    weight: float
    tokens: int
    pairs: dict[str, float] = field(default_factory=dict)


class Objective(Protocol):
    """One way to learn, with its examples."""

    lengths: np.ndarray
    """Tokens per example, by which batches are made."""

    def accumulate(self, learner: Learner, group: Sequence[np.ndarray]) -> Done:
        """Gather the gradient of the mean loss over the examples of these batches."""

    def validate(self, learner: Learner) -> dict[str, float]:
        """Figures on the validation split, by name; those that cannot be measured are missing."""

    def measure(self, found: Mapping[str, Any]) -> float | None:
        """Of what `validate` found, what the best adapter has least of; None where nothing tells."""


class Answers:
    """Learning what to say: the nats of answers."""

    def __init__(
        self,
        train: Examples,
        valid: Examples,
        chosen: np.ndarray,
        pad_id: int,
        batch_examples: int,
        crew: Crew = ALONE,
    ) -> None:
        """`chosen` are the numbers of the training examples that count, int64."""
        self._train, self._valid, self._chosen = train, valid, chosen
        self._pad_id, self._batch_examples, self._crew = pad_id, batch_examples, crew
        self.lengths = train.lengths[chosen]

    def accumulate(self, learner: Learner, group: Sequence[np.ndarray]) -> Done:
        """See `Objective.accumulate`."""
        taken = [self._train.batch(self._chosen[indices], self._pad_id) for indices in group]
        weight = sum(batch.total_weight for batch in taken)
        nats = self._crew.sum(sum(learner.accumulate(batch, weight) for batch in self._crew.share(taken)))
        return Done(nats, weight, sum(batch.tokens for batch in taken))

    def validate(self, learner: Learner) -> dict[str, float]:
        """{validation_loss: nats per token}."""
        loss = mean_loss(learner, self._valid, self._pad_id, self._batch_examples, self._crew)
        return {} if loss is None else {"validation_loss": loss}

    def measure(self, found: Mapping[str, Any]) -> float | None:
        """The validation loss."""
        return found.get("validation_loss")


def mean_loss(
    learner: Learner, examples: Examples, pad_id: int, batch_examples: int, crew: Crew = ALONE
) -> float | None:
    """Nats per token of some of the examples, evenly spaced; None where there are none."""
    if not len(examples):
        return None
    chosen = batches.in_order(examples.lengths, batch_examples=batch_examples, limit=VALIDATION_EXAMPLES)
    taken = [examples.batch(indices, pad_id) for indices in chosen]
    return crew.sum(sum(map(learner.loss, crew.share(taken)))) / sum(batch.total_weight for batch in taken)


class Preferences:
    """Learning which of two answers is better: the preference loss of pairs, held to the base."""

    def __init__(
        self,
        train: Pairs,
        valid: Pairs,
        answers: Examples,
        pad_id: int,
        batch_pairs: int,
        beta: float,
        crew: Crew = ALONE,
    ) -> None:
        """`answers` is the validation split of answers, watched so that preferring does not spoil them."""
        self._train, self._valid, self._answers = train, valid, answers
        self._pad_id, self._batch_pairs, self._beta, self._crew = pad_id, batch_pairs, beta, crew
        self._reference = self._valid_reference = np.zeros((0, 2))
        self.lengths = train.lengths

    def refer(self, train: np.ndarray, valid: np.ndarray) -> None:
        """Take up what the base thinks of the pairs: float64 [pairs, 2], of both splits."""
        self._reference, self._valid_reference = train, valid

    def accumulate(self, learner: Learner, group: Sequence[np.ndarray]) -> Done:
        """See `Objective.accumulate`."""
        taken = [self._train.batch(indices, self._pad_id, self._reference) for indices in group]
        weight = sum(pairs.total_weight for pairs in taken)
        own = self._crew.share(taken)
        sums = self._sums([measured(learner.prefer(pairs, weight, self._beta), pairs, self._beta) for pairs in own])
        return Done(sums["loss"], weight, sum(pairs.batch.tokens for pairs in taken), sums)

    def validate(self, learner: Learner) -> dict[str, float]:
        """{validation_loss: nats per token of answers, validation_preference_loss and one figure per measure}."""
        loss = mean_loss(learner, self._answers, self._pad_id, 2 * self._batch_pairs, self._crew)
        found = {} if loss is None else {"validation_loss": loss}
        if len(self._valid):
            limit = min(len(self._valid), VALIDATION_PAIRS)
            chosen = batches.in_order(self._valid.lengths, batch_examples=self._batch_pairs, limit=limit)
            sums = self._sums([self._measured(learner, indices) for indices in self._crew.share(chosen)])
            found |= {f"validation_{name}": value for name, value in means(sums).items()}
        return found

    def _sums(self, own: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """What all workers measured, added up; a worker may have measured nothing."""
        sums = added(own) or dict.fromkeys(SUMS, 0.0)
        return dict(zip(SUMS, self._crew.sums(np.array([sums[name] for name in SUMS])).tolist(), strict=True))

    def _measured(self, learner: Learner, indices: np.ndarray) -> dict[str, float]:
        pairs = self._valid.batch(indices, self._pad_id, self._valid_reference)
        return measured(learner.log_probabilities(pairs.batch), pairs, self._beta)

    def measure(self, found: Mapping[str, Any]) -> float | None:
        """The preference loss on validation pairs, where there are enough of them."""
        return found.get("validation_preference_loss") if len(self._valid) >= MIN_PAIRS else None


FIGURES: Final = (
    "preference_loss",
    *MEASURES,
    "validation_preference_loss",
    *(f"validation_{name}" for name in MEASURES),
)
"""What metric lines carry of preferences; None in phases without."""
