"""Examples as the texts that are compared: what is asked, what is answered, and both together.

The system prompt takes no part: a thousand examples share it. A preference pair is compared with preference pairs
only, since a correction is meant to give both a pair and a plain answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from samloop.curate.near.compare import Pairs, confirm, confirm_parts
from samloop.curate.near.shingles import SHORT_WORDS, Sets
from samloop.curate.near.sketch import NOTHING, sketch
from samloop.curate.near.templates import Frequencies
from samloop.curate.near.texts import shingle_all
from samloop.example import Example

Keys = npt.NDArray[np.uint64]

PAIR_SALT: Final = np.uint64(0x5851F42D4C957F2D)
PROMPT_SALT: Final = np.uint64(0x14057B7EF767814F)
"""Keep the keys of preference pairs, and of prompts, apart from those of plain examples."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch of examples cut into shingles.

    Attributes:
        wholes, prompts, answers: a set per example each.
        brief: bool per example: the answer has fewer than `SHORT_WORDS` words.
        pairs: bool per example: it is a preference pair.
    """

    wholes: Sets
    prompts: Sets
    answers: Sets
    brief: npt.NDArray[np.bool_]
    pairs: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Cut:
        """The shingles of `examples`."""
        asked = [prompt_of(example) for example in examples]
        answered = [answer_of(example) for example in examples]
        return cls(
            shingle_all([f"{prompt}\n{answer}" for prompt, answer in zip(asked, answered, strict=True)]),
            shingle_all(asked),
            shingle_all(answered),
            np.array([len(answer.split(None, SHORT_WORDS)) < SHORT_WORDS for answer in answered], bool),
            np.array([example.format == "dpo" for example in examples], bool),
        )

    def keys(self, frequencies: Frequencies) -> npt.NDArray[np.uint64]:
        """Band keys of wholes, then of prompts: uint64, one row per example."""
        wholes = sketch(frequencies.stripped(self.wholes))
        prompts = sketch(frequencies.stripped(self.prompts))
        wholes[self.pairs] = _salted(wholes[self.pairs], PAIR_SALT)
        return np.concatenate((wholes, _salted(prompts, PROMPT_SALT)), axis=1)

    def same(self, frequencies: Frequencies, first: Pairs, other: Pairs) -> npt.NDArray[np.bool_]:
        """Which pairs of examples are near-duplicates, one of which may go."""
        common = frequencies.common(self.wholes)
        found = confirm_parts(self.wholes, common, self.prompts, self.answers, self.brief, first, other)
        found &= self.pairs[first] == self.pairs[other]
        return found

    def same_prompt(self, frequencies: Frequencies, first: Pairs, other: Pairs) -> npt.NDArray[np.bool_]:
        """Which pairs ask nearly the same, whatever they answer: they belong on one side of a split."""
        return confirm(self.prompts, frequencies.common(self.prompts), first, other)


def _salted(keys: Keys, salt: np.uint64) -> Keys:
    return np.where(keys == NOTHING, keys, keys ^ salt)


def prompt_of(example: Example) -> str:
    """What is asked: context, earlier turns and the question."""
    turns = [turn["content"] for turn in example.conversation_history if turn["role"] != "system"]
    return "\n".join(part for part in (example.context, *turns, example.input_text) if part)


def answer_of(example: Example) -> str:
    """What is answered; of a preference pair both answers."""
    return f"{example.output_text}\n{example.rejected_output}" if example.rejected_output else example.output_text
