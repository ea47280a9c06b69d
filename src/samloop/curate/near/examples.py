"""Examples as the texts that are compared: what is asked, what is answered, and both together.

The system prompt takes no part: a thousand examples share it. A preference pair is compared with preference pairs
only, since a correction is meant to give both a pair and a plain answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samloop.curate.near.compare import BRIEF, JACCARD, PAIR, Compared, Pairs, Verdicts
from samloop.curate.near.shingles import PROMPT, SHORT_WORDS, WHOLE, Marked, join, shingle_all
from samloop.curate.near.sketch import example_keys
from samloop.curate.near.templates import Frequencies
from samloop.example import Example, Message


@dataclass(frozen=True, slots=True)
class Cut:
    """A batch of examples cut into shingles.

    Attributes:
        marked: a set per example, of the shingles of the whole and of its parts.
        kinds: uint8 per example, of `BRIEF` (the answer has fewer than `SHORT_WORDS` words) and `PAIR`.
    """

    marked: Marked
    kinds: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, examples: Sequence[Example], threads: int = 1) -> Cut:
        """The shingles of `examples`."""
        asked = [_asked(e.context, e.conversation_history, e.input_text) for e in examples]
        answered = [_answered(e.output_text, e.rejected_output) for e in examples]
        return cls._of(asked, answered, (e.format for e in examples), threads)

    @classmethod
    def of_columns(
        cls, values: Mapping[str, Sequence[Any]], histories: Sequence[tuple[Message, ...]], chosen: Iterable[int]
    ) -> Cut:
        """The same of some of a batch that was judged.

        Args:
            values: by field what each example has there.
            histories: their earlier turns.
            chosen: which examples.
        """
        context, question, answer, rejected, kind = (
            values[name] for name in ("context", "input_text", "output_text", "rejected_output", "format")
        )
        asked, answered, formats = [], [], []
        for at in chosen:
            plain = context[at] is None and not histories[at]
            asked.append(question[at] if plain else _asked(context[at], histories[at], question[at]))
            answered.append(_answered(answer[at], rejected[at]))
            formats.append(kind[at])
        return cls._of(asked, answered, formats, 1)

    @classmethod
    def _of(cls, asked: Sequence[str], answered: Sequence[str], formats: Iterable[str], threads: int) -> Cut:
        brief = [len(answer.split(None, SHORT_WORDS)) < SHORT_WORDS for answer in answered]
        pairs = [format == "dpo" for format in formats]
        kinds = np.array(brief, np.uint8) * BRIEF | np.array(pairs, np.uint8) * PAIR
        return cls(shingle_all(asked, answered, threads), kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    def followed_by(self, other: Cut) -> Cut:
        """These examples and, after them, others."""
        return Cut(join([self.marked, other.marked]), np.concatenate((self.kinds, other.kinds)))

    def keys(self, frequencies: Frequencies) -> npt.NDArray[np.uint64]:
        """Band keys of wholes, then of prompts: uint64, one row per example."""
        wholes, prompts = (frequencies.stripped(self.marked.part(mark)) for mark in (WHOLE, PROMPT))
        return example_keys(wholes, prompts, (self.kinds & PAIR) != 0)

    def compare(self, frequencies: Frequencies, first: Pairs, other: Pairs, jaccard: float = JACCARD) -> Verdicts:
        """Compare examples first[i] and other[i]."""
        common = frequencies.common(self.marked.sets)
        return Compared.of(self.marked, common, self.kinds).compare(first, other, jaccard)


def _asked(context: str | None, turns: Iterable[Message], question: str) -> str:
    """What is asked: context, earlier turns and the question."""
    told = (turn["content"] for turn in turns if turn["role"] != "system")
    return "\n".join(part for part in (context, *told, question) if part)


def _answered(answer: str, rejected: str | None) -> str:
    """What is answered; of a preference pair both answers."""
    return f"{answer}\n{rejected}" if rejected else answer
