from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import line, write_lines

from samloop.errors import InputError, TrainingError
from samloop.text.tokens import Tokenizer
from samloop.train import batches

LENGTHS = st.lists(st.integers(2, 600), min_size=1, max_size=700)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_each_epoch_holds_every_example_once(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    array = np.array(lengths)
    order = batches.bucketed(array, batch_examples=size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(order)) == list(range(len(lengths)))
    assert len(order) == -(-len(lengths) // size)
    again = batches.bucketed(array, batch_examples=size, seed=seed, epoch=epoch)
    assert all((a == b).all() for a, b in zip(order, again, strict=True))


def test_epochs_and_seeds_differ_and_the_longest_comes_first() -> None:
    lengths = np.random.default_rng(0).integers(2, 300, 200)
    first, second, other = (
        np.concatenate(batches.bucketed(lengths, batch_examples=4, seed=s, epoch=e))
        for s, e in ((0, 0), (0, 1), (1, 0))
    )
    assert (first != second).any()
    assert (first != other).any()
    assert lengths.argmax() in first[:4]


def test_buckets_pad_little() -> None:
    lengths = np.random.default_rng(1).lognormal(4.5, 0.8, 2000).astype(int).clip(5, 512)
    order = batches.bucketed(lengths, batch_examples=8, seed=0, epoch=1)
    padded = sum(len(batch) * lengths[batch].max() for batch in order)
    assert padded < 1.05 * lengths.sum()


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_scoring_batches_hold_every_sequence_once_within_bounds(lengths: list[int], bound: int) -> None:
    taken = list(batches.by_length(lengths, max_tokens=bound))
    assert sorted(i for batch in taken for i in batch) == list(range(len(lengths)))
    for batch in taken:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= bound


def test_the_mask_covers_exactly_the_assistant_turns(base: Path, tmp_path: Path) -> None:
    conversation = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "red cat"},
            {"role": "assistant", "content": "blue dog"},
            {"role": "user", "content": "green bird"},
            {"role": "assistant", "content": "small"},
        ]
    }
    write_lines(tmp_path / "train.jsonl", [conversation, line("red", "cat", 2.5)])
    tokenizer = Tokenizer.load(base)
    examples = batches.read_examples(tmp_path / "train.jsonl", tokenizer, max_seq_tokens=200)
    batch = examples.batch([0, 1], tokenizer.pad_id)
    counted = [tokenizer.decode(batch.ids[row][batch.weights[row] > 0].tolist()) for row in (0, 1)]
    assert counted == ["blue dog<|im_end|>small<|im_end|>", "cat<|im_end|>"]
    assert set(batch.weights[1][batch.weights[1] > 0]) == {2.5}
    assert batch.tokens == examples.lengths.sum()
    rows, positions, targets, weights = batch.predictions()
    assert len(rows) == (batch.weights > 0).sum()
    assert (batch.ids[rows, positions + 1] == targets).all()
    assert weights.sum() == pytest.approx(batch.total_weight)
    unweighted = batches.read_examples(tmp_path / "train.jsonl", tokenizer, max_seq_tokens=200, weighted=False)
    assert set(unweighted.weights) == {0.0, 1.0}


def test_what_cannot_train_is_counted(base: Path, tmp_path: Path) -> None:
    silent = {"messages": [{"role": "user", "content": "red"}]}
    lines = [line("red", "cat"), line("red", "cat " * 200), line("red", "cat", 0.0), silent]
    write_lines(tmp_path / "train.jsonl", lines)
    examples = batches.read_examples(tmp_path / "train.jsonl", Tokenizer.load(base), max_seq_tokens=64)
    assert (len(examples), examples.too_long, examples.untrainable) == (1, 1, 2)


def test_validation_takes_evenly_spaced_examples() -> None:
    lengths = np.arange(1000)
    chosen = np.concatenate(batches.in_order(lengths, batch_examples=7, limit=100))
    assert len(set(chosen)) == 100
    assert chosen.min() == 0
    assert chosen.max() == 999
    assert len(np.concatenate(batches.in_order(lengths[:3], batch_examples=7, limit=100))) == 3


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"messages": []}', '{"messages": [{"role": "user"}]}', '{"messages": "secret"}', '{"metadata": {}}'],
)
def test_a_broken_line_is_named_without_its_text(base: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n" + text + "\n")
    with pytest.raises(InputError, match="line 2") as caught:
        batches.read_examples(path, Tokenizer.load(base), max_seq_tokens=64)
    assert "secret" not in str(caught.value)


def test_a_negative_weight_and_a_missing_file_are_refused(base: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", [line("red", "cat", -1.0)])
    with pytest.raises(InputError, match=r"weight of zero or more, got -1\.0"):
        batches.read_examples(tmp_path / "train.jsonl", Tokenizer.load(base), max_seq_tokens=64)
    with pytest.raises(TrainingError, match="samloop prepare"):
        batches.read_examples(tmp_path / "none.jsonl", Tokenizer.load(base), max_seq_tokens=64)
