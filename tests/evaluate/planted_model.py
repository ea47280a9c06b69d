"""A planted model: it says what the test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from samloop.text.tokens import Tokenizer


class PlantedModel:
    """Gives each token of a text the log-probability that `speak` of the adapter in use names for it.

    `speak(prompt, answer)` sees the text before and after the last assistant header, and returns nats per answer
    token; tokens of the prompt cost `PROMPT_NATS`, which no suite may count. `reply(prompt)` is what it generates.
    """

    PROMPT_NATS = 77.0

    def __init__(
        self,
        tokenizer: Tokenizer,
        speak: Mapping[str | None, Callable[[str, str], float]],
        reply: Callable[[str | None, str], str] = lambda adapter, prompt: "",
    ) -> None:
        self.tokenizer, self.speak, self.reply = tokenizer, speak, reply
        self.adapter: str | None = None
        self.calls = 0

    def use(self, adapter: str | None) -> None:
        assert adapter in self.speak
        self.adapter = adapter

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        self.calls += 1
        return [self._scored(list(sequence)) for sequence in sequences]

    def _scored(self, ids: list[int]) -> np.ndarray:
        head, _, answer = self.tokenizer.decode(ids).rpartition("<|im_start|>assistant\n")
        cut = len(self.tokenizer.encode(answer.removesuffix("<|im_end|>\n"))) + 2
        nats = np.full(len(ids) - 1, -self.PROMPT_NATS, dtype=np.float32)
        nats[len(nats) - cut : -1] = -self.speak[self.adapter](head, answer.removesuffix("<|im_end|>\n"))
        return nats

    def generate(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[int]:
        said = self.reply(self.adapter, self.tokenizer.decode(list(prompt)))
        yield from self.tokenizer.encode(said)[:max_new_tokens]
