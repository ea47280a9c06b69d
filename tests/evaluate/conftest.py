"""A real tokenizer of single bytes, and a planted model: it says what the test tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from samloop.protocols import Model
from samloop.text.tokens import Tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


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


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("bytes")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: at for at, text in enumerate([*special, *alphabet])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return Tokenizer.load(Path(folder))


@pytest.fixture
def planted(tokenizer: Tokenizer) -> Callable[..., PlantedModel]:
    def make(**speak: Callable[[str, str], float]) -> PlantedModel:
        model = PlantedModel(tokenizer, {None if name == "base" else name: f for name, f in speak.items()})
        assert isinstance(model, Model)
        return model

    return make
