"""Dataset lines to numpy batches: encoded once, bucketed by length, in an order that seed and epoch alone decide.

Each token carries one weight: how much its prediction counts. It is the example's own weight on assistant tokens and
zero on all else, so that mask and weight are one array and no backend can confuse them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import xxhash

from samloop.errors import InputError, TrainingError
from samloop.text.template import encode_chat
from samloop.text.tokens import Tokenizer

MEGABATCH: Final = 64
"""Batches that are sorted together. With batches of 4 to 16 and lengths spread like those of instruction data, 2 to
3 % of a batch is padding (32 give 5 to 6, 128 give 1 to 2), and the examples of a batch still vary between epochs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some sequences, padded on the right to the longest.

    Attributes:
        ids: int32 [examples, tokens].
        weights: float32 [examples, tokens]; weights[b, t] is how much the prediction of ids[b, t] from the tokens
            before it counts; zero on prompts, padding and the first token.
        lengths: int64 [examples], the tokens of each without padding.
    """

    ids: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return int(self.lengths.sum())

    @property
    def total_weight(self) -> float:
        """Σ weights, in float64."""
        return float(self.weights.sum(dtype=np.float64))

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(row, position, token, weight) of each prediction that counts: ids[row, position] predicts token."""
        rows, columns = np.nonzero(self.weights[:, 1:])
        return rows, columns, self.ids[rows, columns + 1], self.weights[rows, columns + 1]

    def documents(self) -> np.ndarray:
        """Which of the examples the batch was made of each prediction belongs to, in the order of `predictions`."""
        return self.predictions()[0]

    def end_to_end(self) -> Row:
        """The same sequences without padding, each without its last token, which predicts nothing."""
        inputs = self.lengths - 1
        starts = np.cumsum(inputs) - inputs
        real = np.arange(self.ids.shape[1] - 1) < inputs[:, None]
        documents, positions, *_ = self.predictions()
        return Row(self.ids[:, :-1][real], np.nonzero(real)[1], inputs, starts[documents] + positions)

    def parts(self, max_tokens: int) -> Iterator[Batch]:
        """This batch in stretches of rows, none with more than `max_tokens` tokens unless it is one row."""
        for start, end in self.stretches(max_tokens):
            yield self.rows(start, end)

    def rows(self, start: int, end: int) -> Batch:
        """The rows from `start` to before `end`, as wide as the longest of them."""
        width = int(self.lengths[start:end].max())
        return Batch(self.ids[start:end, :width], self.weights[start:end, :width], self.lengths[start:end])

    def stretches(self, max_tokens: int, together: int = 1) -> Iterator[tuple[int, int]]:
        """(start, end) of stretches of rows with at most `max_tokens` tokens, or of `together` rows that have more.

        Args:
            together: rows that belong together, and stay so: 2 where pairs lie side by side.
        """
        ends = np.cumsum(self.lengths)[together - 1 :: together]
        start, before = 0, 0
        while start < len(ends):
            end = max(start + 1, int(np.searchsorted(ends, before + max_tokens, side="right")))
            yield start * together, end * together
            start, before = end, int(ends[end - 1])


@dataclass(frozen=True, slots=True)
class Row:
    """Some sequences end to end.

    Attributes:
        ids: int32 [tokens].
        positions: int64 [tokens], counted anew in each sequence.
        lengths: int64 [sequences].
        predicting: int64, where in the row each of `Batch.predictions` is made.
    """

    ids: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray
    predicting: np.ndarray


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a train.jsonl or valid.jsonl.

    Attributes:
        rejected: the worse answer, where the line is a pair.
        weight: how much it counts.
        complexity: 1 to 10, where it is told.
    """

    messages: list[Any]
    rejected: str | None
    weight: float
    complexity: int


@dataclass(frozen=True, slots=True)
class Examples:
    """The encoded examples of one split, end to end in flat arrays.

    Attributes:
        ids: int32 [all tokens].
        weights: float32 [all tokens], as in `Batch`.
        starts: int64 [examples + 1]; example i lies at starts[i]:starts[i + 1].
        too_long: examples left out because they exceed the sequence bound.
        untrainable: examples left out because no token of theirs counts.
    """

    ids: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    too_long: int
    untrainable: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per example, int64."""
        return np.diff(self.starts)

    def digest(self) -> str:
        """128-bit xxh3 of all that training sees of these examples."""
        hasher = xxhash.xxh3_128()
        for array in (self.ids, self.weights, self.starts):
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()

    def batch(self, indices: Sequence[int] | np.ndarray, pad_id: int) -> Batch:
        """The examples at `indices` as one batch."""
        spans = [(int(self.starts[i]), int(self.starts[i + 1])) for i in indices]
        width = max(end - start for start, end in spans)
        ids = np.full((len(spans), width), pad_id, dtype=np.int32)
        weights = np.zeros((len(spans), width), dtype=np.float32)
        for row, (start, end) in enumerate(spans):
            ids[row, : end - start] = self.ids[start:end]
            weights[row, : end - start] = self.weights[start:end]
        weights[:, 0] = 0.0
        return Batch(ids, weights, np.array([end - start for start, end in spans]))


EMPTY: Final = Examples(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64), 0, 0)
"""A split without examples."""


def read_examples(path: Path, tokenizer: Tokenizer, *, max_seq_tokens: int, weighted: bool = True) -> Examples:
    """Encode the lines of a train.jsonl or valid.jsonl.

    Args:
        weighted: let each example count by its metadata.weight; without it, every trainable token counts one.

    Raises:
        InputError: a line is not what `prepare` writes.
        TrainingError: the file cannot be read.
    """
    ids: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    too_long = untrainable = 0
    for line in read_lines(path):
        try:
            encoded = encode_chat(tokenizer, line.messages)
        except InputError:
            untrainable += 1
            continue
        counts = encoded.trainable.astype(np.float32) * np.float32(line.weight if weighted else 1.0)
        if len(encoded.ids) > max_seq_tokens:
            too_long += 1
        elif not counts[1:].any():
            untrainable += 1
        else:
            ids.append(np.asarray(encoded.ids, dtype=np.int32))
            weights.append(counts)
    return joined(ids, weights, too_long, untrainable)


def joined(ids: Sequence[np.ndarray], weights: Sequence[np.ndarray], too_long: int, untrainable: int) -> Examples:
    """Encoded examples end to end."""
    starts = np.cumsum([0, *(len(one) for one in ids)], dtype=np.int64)
    return Examples(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        weights=np.concatenate(weights) if weights else np.zeros(0, np.float32),
        starts=starts,
        too_long=too_long,
        untrainable=untrainable,
    )


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a train.jsonl or valid.jsonl.

    Raises:
        InputError: a line is not what `prepare` writes.
        TrainingError: the file cannot be read.
    """
    for number, line in _lines(path):
        yield _parse(line, f"{path}, line {number}")


def bucketed(lengths: np.ndarray, *, batch_examples: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch, as arrays of example numbers: each example exactly once.

    Shuffled, cut into stretches of `MEGABATCH` batches, sorted by length within each, cut into batches, and the
    batches shuffled. There are ceil(examples / batch_examples) of them in every epoch. In epoch 0 the batch with the
    longest example comes first, so that a run that cannot fit its memory fails at once and not after hours.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    stretch = batch_examples * MEGABATCH
    batches: list[np.ndarray] = []
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch_examples] for at in range(0, len(part), batch_examples)]
    shuffled = [batches[i] for i in generator.permutation(len(batches))]
    if epoch == 0 and shuffled:
        longest = max(range(len(shuffled)), key=lambda i: int(lengths[shuffled[i]].max()))
        shuffled[0], shuffled[longest] = shuffled[longest], shuffled[0]
    return shuffled


def in_order(lengths: np.ndarray, *, batch_examples: int, limit: int) -> list[np.ndarray]:
    """Batches for validation: at most `limit` examples, evenly spaced over the split, sorted by length."""
    chosen = np.unique(np.linspace(0, len(lengths) - 1, min(limit, len(lengths))).astype(np.int64))
    chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
    return [chosen[at : at + batch_examples] for at in range(0, len(chosen), batch_examples)]


def by_length(lengths: Sequence[int], *, max_tokens: int) -> Iterator[list[int]]:
    """Numbers of sequences in batches of similar length, none larger than `max_tokens` with padding unless alone."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    cuts, start = [0], 0
    for at, index in enumerate(order):
        if at > start and (at - start + 1) * lengths[index] > max_tokens:
            cuts.append(at)
            start = at
    for first, last in pairwise([*cuts, len(order)]):
        if last > first:
            yield order[first:last]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise TrainingError(
            f"the dataset file {path} cannot be read ({error.strerror}); 'samloop prepare' writes it"
        ) from error


def _parse(line: bytes, where: str) -> Line:
    record: Any = None
    try:
        record = orjson.loads(line)
        messages, rejected, metadata = record["messages"], record.get("rejected"), record.get("metadata") or {}
        weight, complexity = float(metadata.get("weight", 1.0)), int(metadata.get("complexity") or 1)
        fits = bool(messages) and all(isinstance(m["role"], str) and isinstance(m["content"], str) for m in messages)
        fits = fits and (rejected is None or (isinstance(rejected, str) and messages[-1]["role"] == "assistant"))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        foreign = isinstance(record, dict) and {"chosen", "rejected"} <= record.keys()
        got = "; this is a pair in another format, which 'samloop collect dataset' reads" if foreign else ""
        raise InputError(
            f"expected an object with messages of role and content, as 'samloop prepare' writes it, at {where}{got}"
        )
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"expected a weight of zero or more, got {weight} at {where}")
    return Line(messages, rejected, weight, complexity)
