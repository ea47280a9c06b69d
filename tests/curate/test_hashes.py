"""Hashes of a batch are those of its examples one by one."""

from __future__ import annotations

import random

import pytest

from samloop.curate.batch import cleaned
from samloop.curate.hashes import hashes_of
from samloop.example import Example, content_hash, input_hash

PIECES = ("word", "Two", " ", "  ", "\n", "\n\n", "\t", "\x1c", "é", "日本", "?", ".", "!", "\u00a0", "\u2003")


def text(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(8)))


def compare(examples: list[Example]) -> None:
    columns = cleaned(examples, lambda _: False)
    for name in ("input_text", "output_text", "system_prompt", "context", "rejected_output"):
        # As redaction may leave them: with blanks at either end.
        getattr(columns, name)[:] = [getattr(example, name) for example in examples]
    content, asked = hashes_of(columns.to_batch(), columns.history)
    for i, example in enumerate(examples):
        own = (example.system_prompt, example.context, columns.history[i])
        assert content[i] == content_hash(*own, example.input_text, example.output_text, example.rejected_output)
        assert asked[i] == input_hash(columns.history[i], example.input_text)


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_has_the_hashes_of_its_examples(seed: int) -> None:
    rng = random.Random(seed)
    compare(
        [
            Example(
                source="datasets",
                format="instruction",
                input_text=text(rng),
                output_text=text(rng),
                system_prompt=text(rng) if rng.random() < 0.3 else None,
                context=text(rng) if rng.random() < 0.3 else None,
                rejected_output=text(rng) if rng.random() < 0.3 else None,
                conversation_history=({"role": "user", "content": text(rng)},) if rng.random() < 0.2 else (),
            )
            for _ in range(50)
        ]
    )


def test_texts_of_blanks_alone_do_not_run_into_their_neighbours() -> None:
    texts = ["  ", "\n\n  b ", " ", "", "   ", "c  ", " ? "]
    compare([Example(source="datasets", format="instruction", input_text=t, output_text=t) for t in texts])
