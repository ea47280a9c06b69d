"""What a run learns from: a dataset's lines as encoded answers and pairs, and what is said where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samloop.errors import InputError, TrainingError
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer
from samloop.train.batches import EMPTY, Examples, Line, joined, read_lines
from samloop.train.job import TrainJob
from samloop.train.pairs import NO_PAIRS, PairReader, Pairs


@dataclass(frozen=True, slots=True)
class Split:
    """One split, encoded.

    Attributes:
        answers: all lines as conversations; those of pairs end with the chosen answer.
        complexity: int64 [answers].
        chosen: how many of the answers are there as the chosen side of a pair alone.
        pairs: the lines with a rejected answer.
    """

    answers: Examples
    complexity: np.ndarray
    chosen: int
    pairs: Pairs


NOTHING = Split(EMPTY, np.zeros(0, np.int64), 0, NO_PAIRS)


@dataclass(frozen=True, slots=True)
class Data:
    """The dataset of a run."""

    train: Split
    valid: Split

    def digests(self) -> dict[str, str]:
        """What identifies it, by part: all that training sees."""
        return {
            "train": self.train.answers.digest(),
            "valid": self.valid.answers.digest(),
            "pairs": self.train.pairs.digest(),
            "valid_pairs": self.valid.pairs.digest(),
        }


def read(job: TrainJob, tokenizer: Tokenizer) -> Data:
    """The train and valid split of the job's dataset.

    Raises:
        InputError: a line is not what `prepare` writes.
        TrainingError: there is nothing to train on by the job's method.
    """
    folder = Path(job.dataset)
    train = read_split(folder / "train.jsonl", tokenizer, job.max_seq_tokens)
    if not len(train.answers):
        _refuse_empty(train, job)
    if "dpo" in job.method and not len(train.pairs):
        _refuse_without_pairs(train.pairs, job)
    valid = NOTHING
    if (folder / "valid.jsonl").is_file():
        valid = read_split(folder / "valid.jsonl", tokenizer, job.max_seq_tokens, weighted=False)
    return Data(train, valid)


def read_split(path: Path, tokenizer: Tokenizer, max_seq_tokens: int, *, weighted: bool = True) -> Split:
    """Encode the lines of a train.jsonl or valid.jsonl; without `weighted`, all that counts counts one.

    Raises:
        InputError: a line is not what `prepare` writes.
        TrainingError: the file cannot be read.
    """
    answers = _Answers(tokenizer, max_seq_tokens, weighted=weighted)
    pairs = PairReader(tokenizer, max_seq_tokens, weighted=weighted)
    for line in read_lines(path):
        answers.add(line)
        pairs.add(line)
    return answers.done(pairs.done())


class _Answers:
    """Encodes lines as conversations, one after the other.

    A correction comes as a pair and as a plain answer. The same conversation from both is one example here, with the
    larger weight: what is to be learnt twice as strongly has a weight that says so.
    """

    def __init__(self, tokenizer: Tokenizer, max_seq_tokens: int, *, weighted: bool) -> None:
        self._tokenizer, self._max, self._weighted = tokenizer, max_seq_tokens, weighted
        self._ids: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []
        self._complexity: list[int] = []
        self._chosen: list[bool] = []
        self._place: dict[bytes, int] = {}
        self._too_long = self._untrainable = 0

    def add(self, line: Line) -> None:
        """Take `line` up, or count why not."""
        try:
            encoded = encode_chat(self._tokenizer, line.messages)
        except InputError:
            self._untrainable += 1
            return
        weights = encoded.trainable.astype(np.float32) * np.float32(line.weight if self._weighted else 1.0)
        if len(encoded.ids) > self._max:
            self._too_long += 1
        elif not weights[1:].any():
            self._untrainable += 1
        else:
            self._keep(encoded.ids, weights, line)

    def _keep(self, ids: np.ndarray, weights: np.ndarray, line: Line) -> None:
        key, chosen = ids.tobytes(), line.rejected is not None
        known = self._place.get(key)
        if known is not None and (chosen or self._chosen[known]):
            self._weights[known] = np.maximum(self._weights[known], weights)
            self._chosen[known] = self._chosen[known] and chosen
            return
        self._place[key] = len(self._ids)
        self._ids.append(ids)
        self._weights.append(weights)
        self._complexity.append(line.complexity)
        self._chosen.append(chosen)

    def done(self, pairs: Pairs) -> Split:
        """All that was taken up."""
        answers = joined(self._ids, self._weights, self._too_long, self._untrainable)
        return Split(answers, np.asarray(self._complexity, dtype=np.int64), sum(self._chosen), pairs)


def _refuse_empty(train: Split, job: TrainJob) -> None:
    where, answers = f"the dataset {job.dataset}", train.answers
    if answers.too_long and not answers.untrainable:
        raise TrainingError(
            f"all {answers.too_long} examples of {where} are longer than "
            f"train.max_seq_tokens = {job.max_seq_tokens}; raise it, or prepare the dataset again"
        )
    if answers.untrainable:
        raise TrainingError(
            f"{where} has no token to train on: {answers.untrainable} examples without a weighted answer, "
            f"{answers.too_long} too long; look at its train.jsonl"
        )
    raise TrainingError(f"{where} has no examples; collect some, or admit more in the recipe's [prepare]")


def _refuse_without_pairs(pairs: Pairs, job: TrainJob) -> None:
    where = f"the dataset {job.dataset}"
    if pairs.too_long or pairs.untrainable:
        raise TrainingError(
            f"no preference pair of {where} can be trained on by method {job.method}: {pairs.too_long} are longer "
            f"than train.max_seq_tokens = {job.max_seq_tokens}, {pairs.untrainable} have no weight or equal sides; "
            "raise it, or take method sft"
        )
    raise TrainingError(
        f"expected preference pairs in {where} for method {job.method}, found plain answers alone; take method sft, "
        "or collect corrections and prepare again"
    )
