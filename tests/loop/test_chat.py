"""Talking to the champion and to the base; an answer that runs in circles is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from loop_world import Finished, Open

from samloop import pocket
from samloop.errors import NotFoundError
from samloop.loop.chat import CUT_NOTE, Chat, looping, open_chat
from samloop.text.tokens import Tokenizer


class Parrot:
    """A model with the bundled tokenizer that says the tokens it was given, whatever is asked."""

    def __init__(self, said: Sequence[int]) -> None:
        self.tokenizer, self.said = Tokenizer.load(pocket.path()), list(said)
        self.prompts: list[list[int]] = []
        self.taken = 0

    def use(self, adapter: str | None) -> None: ...

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[Any]:
        raise NotImplementedError

    def generate(self, prompt: Sequence[int], *, max_new_tokens: int, **_: Any) -> Iterator[int]:
        self.prompts.append(list(prompt))
        for token in self.said[:max_new_tokens]:
            self.taken += 1
            yield token


def parrot(text: str, system_prompt: str = "") -> Chat:
    return Chat(Parrot(Tokenizer.load(pocket.path()).encode(text)), "parrot", system_prompt)


def ask(chat: Chat, question: str, **options: Any) -> str:
    return "".join(chat.reply([{"role": "user", "content": question}], **options))


def test_champion_and_base_answer_as_they_did_in_the_evaluation(finished: Finished, after: Open) -> None:
    samples = finished.report["evaluation"]["samples"]
    with after() as context:
        for name, answering in ((None, finished.challenger), ("base", "base")):
            chat = open_chat(context, name)
            assert chat.answering == answering
            answers = [ask(chat, sample["question"], max_new_tokens=12) for sample in samples[-2:]]
            for answer, sample in zip(answers, samples[-2:], strict=True):
                assert answer.strip()
                assert sample["answers"][answering].startswith(answer.strip())
        with pytest.raises(NotFoundError, match="no adapter 'ad-nobody'"):
            open_chat(context, "ad-nobody")


def test_an_answer_that_runs_in_circles_is_cut_and_marked() -> None:
    chat = parrot("It depends. " + "The cache is full, so " * 50)
    answer = ask(chat, "Why?")
    assert answer.endswith(CUT_NOTE)
    assert answer.startswith("It depends. The cache is full")
    assert answer.count("The cache is full") <= 5
    assert chat.model.taken < len(chat.model.said) / 5


@pytest.mark.parametrize(
    "text",
    [
        "The reader, the writer and the index each keep a list of rows, and each list is sorted by number.",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
        "ha ha ha, that is good",
        "Grüße aus Köln 🙂, 你好",
    ],
)
def test_an_honest_answer_comes_whole_in_whole_characters(text: str) -> None:
    chat = parrot(text)
    pieces = list(chat.reply([{"role": "user", "content": "Go on"}]))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert len(pieces) > 1
    assert ask(parrot(text), "Go on", max_new_tokens=3) in text


def test_the_system_prompt_goes_first_and_never_twice() -> None:
    chat = parrot("Yes.", system_prompt="You are SAM.")
    ask(chat, "Really?")
    list(chat.reply([{"role": "system", "content": "You are Ada."}, {"role": "user", "content": "Really?"}]))
    first, second = (chat.model.tokenizer.decode(prompt) for prompt in chat.model.prompts)
    assert first.count("You are SAM.") == 1
    assert "You are SAM." not in second
    assert second.count("You are Ada.") == 1


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], False),
        ([7] * 15, False),
        ([7] * 16, True),
        ([1, 2] * 3, False),
        ([1, 2] * 4, True),
        ([9, 9, 1, 2, 3] + [4, 5, 6] * 4, True),
        ([4, 5, 6] * 4 + [9], False),
        (list(range(32)) * 4, True),
        (list(range(33)) * 4, False),
        (list(range(200)), False),
    ],
)
def test_a_loop_is_the_same_run_four_times_at_the_end(tokens: list[int], expected: bool) -> None:
    assert looping(tokens) is expected


def test_a_damaged_champion_gives_way_to_the_one_before(
    finished: Finished, after: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with after() as context:
        weights = context.home.adapters / "main" / finished.challenger / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
        chat = open_chat(context, "champion")
        assert chat.answering == "base"
        assert ask(chat, "Route this task: add 2 and 3", max_new_tokens=4)
        assert f"adapter {finished.challenger} is damaged" in caplog.text
        assert "the bare base is in service in slot main instead" in caplog.text
        (last, *_) = context.store.champion_history("main")
        assert last["adapter_id"] is None
        assert "damaged" in last["reason"]
