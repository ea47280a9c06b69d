"""What a model said is found again: in one evaluation, in a later one, after a kill; never where it is another's."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from planted_model import PlantedModel

from samloop.evaluate.answers import answer_texts
from samloop.evaluate.cache import Cache, forget
from samloop.evaluate.remember import PORTION, Remembering
from samloop.text.tokens import Tokenizer

ROOM = 10**6


class Counting(PlantedModel):
    """Says which adapter answers, and notes each sequence it was really asked."""

    def __init__(self, tokenizer: Tokenizer, dies_at: int = 10**9) -> None:
        speak = {None: lambda p, a: 2.0, "ad-1": lambda p, a: 0.5}
        super().__init__(tokenizer, speak, lambda adapter, prompt: f"{adapter} {len(prompt)}")
        self.asked: list[tuple[int, ...]] = []
        self.dies_at = dies_at

    def generate(self, prompt, **options):
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append(tuple(prompt))
        return super().generate(prompt, **options)

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        self.asked += [tuple(sequence) for sequence in sequences]
        return super().logprobs(sequences)


def remembering(model: PlantedModel, path: Path | None, room: int = ROOM, **identities: str) -> Remembering:
    names = {None: "base", "ad-1": "one"} | identities
    found = Remembering(model, Cache(path, room), names)
    found.use("ad-1")
    found.about("suite", ["ex-1", "ex-2"])
    return found


def questions(count: int) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": "why? " * (1 + n % 7) + str(n)}] for n in range(count)]


def test_what_was_said_is_found_again_and_equal_questions_are_asked_once(tokenizer, tmp_path):
    path = tmp_path / "answers.db"
    first = Counting(tokenizer)
    asked = [*questions(5), *questions(3)]
    said = answer_texts(remembering(first, path), asked, max_new_tokens=9)
    assert len(first.asked) == 5
    assert said[:3] == said[5:]
    assert said[0].startswith("ad-1")
    later = Counting(tokenizer)
    assert answer_texts(remembering(later, path), asked, max_new_tokens=9) == said
    assert later.asked == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_log_probabilities_are_found_again_to_the_bit(tokenizer, tmp_path):
    sequences = [tokenizer.encode(text) for text in ("one and two", "a", "one and two")]
    first, later = Counting(tokenizer), Counting(tokenizer)
    one = remembering(first, tmp_path / "a").logprobs(sequences)
    other = remembering(later, tmp_path / "a").logprobs(sequences)
    assert (len(first.asked), later.asked) == (2, [])
    for mine, again, plain in zip(one, other, PlantedModel.logprobs(first, sequences), strict=True):
        assert mine.dtype == again.dtype == np.float32
        assert mine.tobytes() == again.tobytes() == plain.tobytes()
    wanted = [np.arange(len(sequence)) == 1 for sequence in sequences]
    (some, *_) = remembering(later, tmp_path / "a").logprobs_of(sequences, wanted)
    assert some == one[0][:1], "other tokens of the same sequence are another question"


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.use(None),
        lambda model: model._identities.update({"ad-1": "two"}) or model.use("ad-1"),
    ],
)
def test_another_adapter_or_bound_is_asked_for_itself(tokenizer, tmp_path, change):
    path = tmp_path / "answers.db"
    answer_texts(remembering(Counting(tokenizer), path), questions(2), max_new_tokens=9)
    model = Counting(tokenizer)
    other = remembering(model, path)
    change(other)
    answer_texts(other, questions(2), max_new_tokens=9)
    assert len(model.asked) == 2
    assert [len(text) for text in answer_texts(other, questions(2), max_new_tokens=3)] == [3, 3]
    assert len(model.asked) == 4


def test_an_evaluation_that_was_killed_goes_on_where_it_was(tokenizer, tmp_path):
    path, asked = tmp_path / "answers.db", questions(3 * PORTION)
    dying = Counting(tokenizer, dies_at=2 * PORTION + 5)
    with pytest.raises(KeyboardInterrupt):
        answer_texts(remembering(dying, path), asked, max_new_tokens=5)
    model = Counting(tokenizer)
    answer_texts(remembering(model, path), asked, max_new_tokens=5)
    assert len(model.asked) == PORTION, "two portions were whole"
    assert not set(model.asked) & set(dying.asked[: 2 * PORTION])


def test_chance_is_not_remembered(tokenizer, tmp_path):
    model = Counting(tokenizer)
    found = remembering(model, tmp_path / "a")
    for _ in range(2):
        assert list(found.generate([3, 4], max_new_tokens=3, temperature=1.0, seed=1))
    assert len(model.asked) == 2
    alone = [list(found.generate([3, 4], max_new_tokens=3)) for _ in range(2)]
    assert alone[0] == alone[1]
    assert len(model.asked) == 3


def test_what_is_not_a_number_is_not_kept(tokenizer, tmp_path):
    broken = Counting(tokenizer)
    broken.speak = {"ad-1": lambda p, a: float("nan")}
    sequences = [tokenizer.encode("<|im_start|>assistant\nx")]
    (found,) = remembering(broken, tmp_path / "a").logprobs(sequences)
    assert np.isnan(found).any()
    whole = Counting(tokenizer)
    remembering(whole, tmp_path / "a").logprobs(sequences)
    assert len(whole.asked) == 1


def _flip(path: Path) -> None:
    with sqlite3.connect(path) as database:
        (value,) = database.execute("SELECT value FROM entries").fetchone()
        database.execute("UPDATE entries SET value = ?", (value[:-1] + bytes([value[-1] ^ 1]),))
    database.close()


@pytest.mark.parametrize(
    "spoil",
    [
        _flip,
        lambda path: path.write_bytes(b"no database at all" * 99),
        lambda path: path.write_bytes(path.read_bytes()[:-5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + os.urandom(len(path.read_bytes()) - 4096)),
    ],
)
def test_a_damaged_cache_is_noticed_and_made_again(tokenizer, tmp_path, spoil):
    path = tmp_path / "answers.db"
    said = answer_texts(remembering(Counting(tokenizer), path), questions(1), max_new_tokens=9)
    spoil(path)
    model = Counting(tokenizer)
    assert answer_texts(remembering(model, path), questions(1), max_new_tokens=9) == said
    assert len(model.asked) == 1
    again = Counting(tokenizer)
    assert answer_texts(remembering(again, path), questions(1), max_new_tokens=9) == said
    assert again.asked == []


def test_a_cache_that_cannot_be_written_costs_time_alone(tokenizer, tmp_path, caplog):
    (tmp_path / "answers.db").mkdir()
    model = Counting(tokenizer)
    found = remembering(model, tmp_path / "answers.db")
    for _ in range(2):
        assert len(answer_texts(found, questions(2), max_new_tokens=9)) == 2
    assert len(model.asked) == 2, "remembered as long as it lives"
    assert "cannot be used" in caplog.text


def test_a_full_cache_loses_what_was_used_longest_ago(tokenizer, tmp_path):
    path = tmp_path / "answers.db"
    old, new = questions(60)[:30], questions(60)[30:]
    model = remembering(Counting(tokenizer), path, room=50 * (8 + 4 * 5))
    answer_texts(model, old, max_new_tokens=5)
    answer_texts(model, old[:10], max_new_tokens=5)
    answer_texts(model, new, max_new_tokens=5)
    database = sqlite3.connect(path)
    assert database.execute("SELECT sum(length(value)) FROM entries").fetchone()[0] <= 50 * (8 + 4 * 5)
    assert database.execute("SELECT count(*) FROM asked").fetchone()[0] <= 50
    database.close()
    later = Counting(tokenizer)
    answer_texts(remembering(later, path), [*new, *old[:10]], max_new_tokens=5)
    assert later.asked == []


def test_an_example_that_is_forgotten_leaves_nothing_behind(tokenizer, tmp_path):
    path = tmp_path / "answers.db"
    model = remembering(Counting(tokenizer), path)
    model.about("kept", ["ex-3"])
    answer_texts(model, questions(2), max_new_tokens=9)
    model.about("gone", ["ex-1-paraphrase", "ex-2"])
    answer_texts(model, questions(4), max_new_tokens=9)
    whole = path.read_bytes()
    ids = np.asarray(tokenizer.encode("ad-1 42"), dtype="<i4").tobytes()
    assert forget(path, ["ex-9"]) == 0
    assert forget(path, ["ex-1"]) == 4
    left = path.read_bytes()
    assert b"ex-1-paraphrase" in whole
    assert b"ex-1" not in left
    assert b"ex-3" not in left, "nothing is left that was asked for it"
    assert ids[:12] in whole
    assert ids[:12] not in left
    assert forget(tmp_path / "none", ["ex-1"]) == 0
    path.write_bytes(b"no database" * 99)
    assert forget(path, ["ex-1"]) == 0
    assert not path.exists()
