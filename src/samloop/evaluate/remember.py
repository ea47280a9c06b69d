"""A model that remembers what it said: asked again, also in a later evaluation, it answers from the cache.

What is not known yet is worked out in portions of similar length, and each is kept before the next begins: an
evaluation that was killed goes on at the portion it was at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from samloop import __version__
from samloop.evaluate.cache import Cache
from samloop.protocols import Model, generate_many, logprobs_of
from samloop.text.tokens import Tokenizer

PORTION: Final = 64
"""Sequences that are worked out before what came of them is kept. Enough for full batches on a small machine."""

FORMAT: Final = "1"
"""Changes when entries mean something else, so that old ones are not found any more."""


class Remembering:
    """`model`, with a memory; see `protocols.BatchedModel`.

    Args:
        identities: for each name that `use` takes, what tells the weights behind it from all others: digests of base
            and adapter, the form the base is held in, the backend.
    """

    def __init__(self, model: Model, cache: Cache, identities: Mapping[str | None, str]) -> None:
        self.tokenizer: Tokenizer = model.tokenizer
        self._model, self._cache, self._identities = model, cache, identities
        self._identity, self._batch = "", ""

    def about(self, suite: str, items: Sequence[str]) -> None:
        """From now on questions are asked for the items of `suite`."""
        self._batch = hashlib.sha256("\0".join([suite, *items]).encode()).hexdigest()
        self._cache.tell(self._batch, items)

    def use(self, adapter: str | None) -> None:
        """See `protocols.Model.use`."""
        self._model.use(adapter)
        self._identity = f"{FORMAT} {__version__} {self._identities[adapter]}"

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `protocols.Model.logprobs`."""
        return self.logprobs_of(sequences, [np.ones(len(sequence), dtype=bool) for sequence in sequences])

    def logprobs_of(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `protocols.BatchedModel.logprobs_of`."""
        keys = [
            self._key("logprobs", sequence, np.packbits(chosen).tobytes())
            for sequence, chosen in zip(sequences, wanted, strict=True)
        ]

        def ask(at: Sequence[int]) -> Iterator[bytes | None]:
            for found in logprobs_of(self._model, [sequences[i] for i in at], [wanted[i] for i in at]):
                # What is not finite is not kept: it comes of damaged weights, or of a machine that fails.
                yield found.astype("<f4").tobytes() if np.isfinite(found).all() else None

        known = self._ask(keys, [len(sequence) for sequence in sequences], ask)
        return [
            np.full(int(chosen[1:].sum()), np.nan, dtype=np.float32) if value is None else _floats(value)
            for value, chosen in zip(known, wanted, strict=True)
        ]

    def generate(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[int]:
        """See `protocols.Model.generate`; what chance has a part in is not remembered."""
        if temperature > 0:
            return self._model.generate(prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        return iter(self.generate_many([prompt], max_new_tokens=max_new_tokens)[0])

    def generate_many(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """See `protocols.BatchedModel.generate_many`."""
        keys = [self._key("answer", prompt, str(max_new_tokens).encode()) for prompt in prompts]

        def ask(at: Sequence[int]) -> Iterator[bytes | None]:
            for ids in generate_many(self._model, [prompts[i] for i in at], max_new_tokens=max_new_tokens):
                yield np.asarray(ids, dtype="<i4").tobytes()

        known = self._ask(keys, [len(prompt) for prompt in prompts], ask)
        return [np.frombuffer(value or b"", dtype="<i4").tolist() for value in known]

    def _key(self, kind: str, ids: Sequence[int], more: bytes) -> bytes:
        digest = hashlib.sha256(f"{self._identity} {kind} {len(ids)} ".encode())
        digest.update(np.asarray(ids, dtype="<i4").tobytes() + more)
        return digest.digest()

    def _ask(
        self, keys: Sequence[bytes], lengths: Sequence[int], ask: Callable[[Sequence[int]], Iterator[bytes | None]]
    ) -> list[bytes | None]:
        """By place the value of each key: known, or asked for, equal ones once; None where it is not to be kept."""
        known: dict[bytes, bytes | None] = dict(self._cache.get(set(keys), self._batch))
        places = {key: at for at, key in reversed(list(enumerate(keys))) if key not in known}
        missing = sorted(places.values(), key=lambda at: lengths[at])
        for start in range(0, len(missing), PORTION):
            portion = missing[start : start + PORTION]
            found = dict(zip([keys[at] for at in portion], ask(portion), strict=True))
            self._cache.put({key: value for key, value in found.items() if value is not None}, self._batch)
            known |= found
        return [known[key] for key in keys]


def _floats(value: bytes) -> np.ndarray:
    return np.frombuffer(value, dtype="<f4").astype(np.float32)
