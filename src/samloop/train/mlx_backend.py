"""Training and answering with MLX, on mlx-lm's model code and LoRA layers.

Where MLX or mlx-lm differ from the other backend without saying so, this file says so: the rotary base, bias
correction, the LoRA scale. See `TorchBackend` for why no attention mask is needed and where the head runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samloop.errors import MissingExtraError, ModelError, TrainingError
from samloop.protocols import AdapterRef
from samloop.text.tokens import Tokenizer
from samloop.train.adapter import Adapter, Weights, initial, plan
from samloop.train.base import PLAIN_HEADS, Base
from samloop.train.batches import Batch
from samloop.train.job import TrainJob
from samloop.train.many import answer_many
from samloop.train.pairs import PairBatch
from samloop.train.quantise import NONE
from samloop.train.sampling import Sampler, score

if sys.platform != "darwin":
    # On a CPU, mx.compile writes and builds C++ under a predictable path in /tmp that anyone can put a file into.
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import mlx.core as mx
    from mlx import nn, optimizers
    from mlx.utils import tree_flatten, tree_map, tree_unflatten
    from mlx_lm.models.cache import BatchKVCache, KVCache, make_prompt_cache
    from mlx_lm.tuner.lora import LoRALinear
    from mlx_lm.utils import load_model

    from samloop.train import mlx_quantise
    from samloop.train.mlx_memory import CHUNK_BYTES, checkpointed, nats_each
except ImportError:
    raise MissingExtraError("mlx", "training on MLX") from None


TOKENS_AT_ONCE = 2048
"""A batch goes through the network in parts of at most so many tokens, and their gradients add up: memory for what
the backward pass needs is bounded by this and not by the batch."""


LOGITS_BYTES = 128 * 2**20
"""Room for float32 logits at a time when scoring with a base whose head is not `PLAIN_HEADS`'."""


class MlxBackend:
    """The backend called ``mlx``."""

    def learner(self, base: Base, job: TrainJob) -> MlxLearner:
        """The base with a fresh adapter, drawn from the job's seed alone."""
        return MlxLearner(base, job)

    def load(self, base: Path, adapters: Sequence[AdapterRef] = (), *, quantise: str = NONE) -> MlxModel:
        """The base with adapters to switch between; the bare base answers until `use` names one.

        Raises:
            ModelError: a folder is incomplete, or an adapter belongs to another base.
        """
        return MlxModel(Base.open(base), adapters, quantise)


class _Network:
    """A loaded base and the two forward passes that everything here is made of."""

    def __init__(self, base: Base, quantise: str) -> None:
        mlx_quantise.refuse(base, quantise)
        try:
            self.model, _ = load_model(
                base.folder, lazy=True, model_config=_rotary(base.config), trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
            raise ModelError(
                f"the model in {base.folder} cannot be loaded ({first_line}); download it again, or choose another"
            ) from error
        mlx_quantise.quantise(self.model, base, quantise)
        if base.small or mx.default_device() == mx.Device(mx.cpu):  # half precision has no fast path on a CPU
            self.model.set_dtype(mx.float32)
        mx.eval(self.model.parameters())
        self.model.freeze()
        self.model.eval()
        self.plain_head = base.config.get("model_type") in PLAIN_HEADS
        self.vocabulary = int(base.config["vocab_size"])
        self.linear: dict[str, Any] = {
            name: module
            for name, module in self.model.named_modules()
            if isinstance(module, nn.Linear | nn.QuantizedLinear)
        }

    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear module."""
        return {name: _shape(module) for name, module in self.linear.items()}

    def lora(self, rank: int, alpha: float, dropout: float, weights: Weights) -> dict[str, Any]:
        """Modules to put in place of linear ones, by name; they share the base's weights."""
        modules = {}
        for name, pair in weights.items():
            module = LoRALinear.from_base(self.linear[name], r=rank, dropout=dropout, scale=alpha / rank)
            module.lora_a, module.lora_b = _transposed(pair)
            modules[name] = module
        return modules

    def put(self, modules: Mapping[str, Any]) -> None:
        """Have these modules answer under their names."""
        self.model.update_modules(tree_unflatten(list(modules.items())))

    def logits_at(self, ids: mx.array, rows: mx.array, positions: mx.array) -> mx.array:
        """float32 logits [len(rows), vocabulary] at the given positions of int32 ids [batch, tokens]."""
        if not self.plain_head:
            chosen: mx.array = self.model(ids)[rows, positions].astype(mx.float32)
            return chosen
        logits: mx.array = self._head()(self.model.model(ids)[rows, positions]).astype(mx.float32)
        return logits

    def nats_at(self, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> mx.array:
        """float32 nats of ids[row, position + 1] at the given positions of padded int32 ids [batch, tokens]."""
        inputs, targets = mx.array(ids[:, :-1]), mx.array(ids[rows, positions + 1])
        at = (_indices(rows), _indices(positions))
        if not self.plain_head:
            logits = self.logits_at(inputs, *at)
            each: mx.array = nn.losses.cross_entropy(logits, targets)
            return each
        hidden, head = self.model.model(inputs)[at], self._head()
        size, parts = max(1, CHUNK_BYTES // (4 * self.vocabulary)), []
        for start in range(0, len(targets), size):
            part = slice(start, start + size)
            nats = nn.losses.cross_entropy(head(hidden[part]).astype(mx.float32), targets[part])
            mx.eval(nats)  # so that the logits of the next chunk take the place of these
            parts.append(nats)
        return mx.concatenate(parts)

    def _head(self) -> Callable[[mx.array], mx.array]:
        """Hidden states to logits."""
        head: Callable[[mx.array], mx.array] = (
            self.model.lm_head if "lm_head" in self.model else self.model.model.embed_tokens.as_linear
        )
        return head

    def nats_each(self, batch: Batch) -> mx.array:
        """float32 nats of each prediction of a batch that counts, in the order of `Batch.predictions`."""
        rows, positions, targets, _ = batch.predictions()
        ids, at = mx.array(batch.ids[:, :-1]), (_indices(rows), _indices(positions))
        if not self.plain_head:
            each: mx.array = nn.losses.cross_entropy(self.logits_at(ids, *at), mx.array(targets))
            return each
        return nats_each(self.model.model(ids)[at], self._head(), mx.array(targets), self.vocabulary)

    def nats(self, batch: Batch) -> mx.array:
        """Σ weight · nats of a batch, a scalar."""
        *_, weights = batch.predictions()
        return (self.nats_each(batch) * mx.array(weights)).sum()


class MlxLearner:
    """A base model with one trainable adapter and AdamW on it.

    Batches are padded, which length buckets keep cheap: its models take neither attention mask nor positions from
    outside, so that sequences cannot lie end to end.
    """

    def __init__(self, base: Base, job: TrainJob) -> None:
        if job.packing == "on":
            raise TrainingError("train.packing is on, which the MLX backend cannot do; set it to auto")
        self._network = _Network(base, job.quantise)
        self._job, self._fingerprint = job, base.fingerprint
        shapes = self._network.shapes()
        self._names = plan(shapes, targets=job.targets, layers=job.layers, rank=job.rank)
        weights = initial(shapes, self._names, rank=job.rank, seed=job.seed)
        self._lora = self._network.lora(job.rank, job.alpha, job.dropout, weights)
        self._bare = {name: self._network.linear[name] for name in self._lora}
        self._network.put(self._lora)
        self._model = self._network.model
        if job.gradient_checkpointing:
            checkpointed(self._model.layers)
        mx.random.seed(job.seed)
        self._optimiser = self._fresh_optimiser()
        self._gradient: Any = None
        self._differentiated = nn.value_and_grad(
            self._model, lambda batch, denominator: self._network.nats(batch) / denominator
        )
        self._preferring = nn.value_and_grad(self._model, self._preference)

    def _fresh_optimiser(self) -> Any:
        optimiser = optimizers.AdamW(
            learning_rate=self._job.learning_rate,
            betas=[0.9, 0.999],
            eps=1e-8,
            weight_decay=self._job.weight_decay,
            bias_correction=True,
        )
        optimiser.init(self._model.trainable_parameters())
        return optimiser

    def accumulate(self, batch: Batch, denominator: float) -> float:
        """See `Learner.accumulate`."""
        self._model.train()
        return sum(self._accumulate(part, denominator) for part in batch.parts(TOKENS_AT_ONCE))

    def _accumulate(self, batch: Batch, denominator: float) -> float:
        loss, gradient = self._differentiated(batch, denominator)
        self._gather(gradient)
        mx.eval(loss, self._gradient)
        return _number(loss) * denominator

    def _gather(self, gradient: Any) -> None:
        self._gradient = gradient if self._gradient is None else tree_map(mx.add, self._gradient, gradient)

    def prefer(self, pairs: PairBatch, denominator: float, beta: float) -> np.ndarray:
        """See `Learner.prefer`."""
        self._model.train()
        for module in self._lora.values():
            module.dropout.eval()
        return np.concatenate([self._prefer(part, denominator, beta) for part in pairs.parts(TOKENS_AT_ONCE)])

    def _prefer(self, pairs: PairBatch, denominator: float, beta: float) -> np.ndarray:
        (loss, found), gradient = self._preferring(pairs, denominator, beta)
        self._gather(gradient)
        mx.eval(loss, found, self._gradient)
        return np.array(found).astype(np.float64)

    def _preference(self, pairs: PairBatch, denominator: float, beta: float) -> tuple[mx.array, mx.array]:
        """The loss of some pairs, and the log-probability of each of their sides."""
        found = self._by_example(pairs.batch)
        reference = mx.array((pairs.reference[:, 0] - pairs.reference[:, 1]).astype(np.float32))
        margins = found[0::2] - found[1::2] - reference
        weights = mx.array(pairs.weights.astype(np.float32))
        return -(nn.log_sigmoid(beta * margins) * weights).sum() / denominator, found

    def log_probabilities(self, batch: Batch, *, bare: bool = False) -> np.ndarray:
        """See `Learner.log_probabilities`."""
        if bare:
            self._network.put(self._bare)
        try:
            self._model.eval()
            return np.array(self._by_example(batch)).astype(np.float64)
        finally:
            if bare:
                self._network.put(self._lora)

    def _by_example(self, batch: Batch) -> mx.array:
        """float32 log-probability of each example of the batch, differentiable."""
        each, examples = self._network.nats_each(batch), batch.documents()
        sums: mx.array = mx.zeros(int(examples.max()) + 1).at[_indices(examples)].add(-each)
        return sums

    def begin(self, adapter: Adapter) -> None:
        """See `Learner.begin`."""
        self._set(adapter)
        self._optimiser = self._fresh_optimiser()

    def _set(self, adapter: Adapter) -> None:
        for name, pair in adapter.weights.items():
            self._lora[name].lora_a, self._lora[name].lora_b = _transposed(pair)

    def update(self, learning_rate: float) -> float:
        """See `Learner.update`."""
        clipped, total = optimizers.clip_grad_norm(self._gradient, self._job.max_grad_norm)
        self._gradient = None
        norm = _number(total)
        if np.isfinite(norm):
            self._optimiser.learning_rate = learning_rate
            self._optimiser.update(self._model, clipped)
            mx.eval(self._model.trainable_parameters(), self._optimiser.state)
        return norm

    def loss(self, batch: Batch) -> float:
        """See `Learner.loss`."""
        self._model.eval()
        return _number(self._network.nats(batch))

    def adapter(self) -> Adapter:
        """See `Learner.adapter`."""
        pairs = {name: (module.lora_a, module.lora_b) for name, module in self._lora.items()}
        return Adapter(
            rank=self._job.rank,
            alpha=self._job.alpha,
            dropout=self._job.dropout,
            weights={name: (np.array(a.T), np.array(b.T)) for name, (a, b) in pairs.items()},
            base_name=self._job.base_name,
            base_fingerprint=self._fingerprint,
            quantise=self._job.quantise,
        )

    def state(self) -> dict[str, np.ndarray]:
        """See `Learner.state`."""
        state = {f"optimiser/{name}": np.array(value) for name, value in tree_flatten(self._optimiser.state)}
        state["random"] = np.array(mx.random.state[0])  # type: ignore[index]
        return state

    def restore(self, adapter: Adapter, state: Mapping[str, np.ndarray]) -> None:
        """See `Learner.restore`."""
        self._set(adapter)
        flat = [
            (key.removeprefix("optimiser/"), mx.array(value))
            for key, value in state.items()
            if key.startswith("optimiser/")
        ]
        self._optimiser.state = tree_unflatten(flat)
        high, low = (int(part) for part in state["random"])
        mx.random.seed(high << 32 | low)  # the two halves of a seed are the key itself


class MlxModel:
    """A base model that answers, alone or with one of its adapters; see `protocols.Model`."""

    def __init__(self, base: Base, adapters: Sequence[AdapterRef], quantise: str) -> None:
        self.tokenizer = Tokenizer.load(base.folder)
        self._network = _Network(base, quantise)
        self._vocabulary = int(base.config["vocab_size"])
        self._bare = dict(self._network.linear)
        self._lora: dict[str, dict[str, Any]] = {}
        self._using: str | None = None
        shapes = self._network.shapes()
        for ref in adapters:
            adapter = Adapter.read(ref.path)
            adapter.check(shapes, base.fingerprint, str(ref.path), quantise)
            self._lora[ref.name] = self._network.lora(adapter.rank, adapter.alpha, 0.0, dict(adapter.weights))

    def use(self, adapter: str | None) -> None:
        """Answer with the adapter of that name from now on; None is the bare base.

        Raises:
            ModelError: no adapter of that name was loaded.
        """
        if adapter is not None and adapter not in self._lora:
            raise ModelError(f"no adapter '{adapter}' was loaded; there is {', '.join(self._lora) or 'none'}")
        if self._using is not None:
            self._network.put({name: self._bare[name] for name in self._lora[self._using]})
        if adapter is not None:
            self._network.put(self._lora[adapter])
        self._using = adapter
        self._network.model.eval()

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `protocols.Model.logprobs`."""
        return self._scored(sequences, None)

    def logprobs_of(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `protocols.BatchedModel.logprobs_of`."""
        return self._scored(sequences, wanted)

    def _scored(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray] | None) -> list[np.ndarray]:
        room = TOKENS_AT_ONCE
        if not self._network.plain_head:  # then the logits of a whole batch stand in memory at once
            room = max(1, min(room, LOGITS_BYTES // (4 * self._vocabulary)))
        return score(sequences, wanted, self._score, pad_id=self.tokenizer.pad_id, max_tokens=room)

    def _score(self, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return np.array(-self._network.nats_at(ids, rows, positions))

    def generate(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[int]:
        """See `protocols.Model.generate`."""
        sampler, cache = Sampler(temperature, seed), make_prompt_cache(self._network.model)
        feed = list(prompt)
        for _ in range(max_new_tokens):
            logits = self._network.model(mx.array([feed]), cache=cache)[0, -1]
            token = sampler(np.array(logits.astype(mx.float32)))
            if token in self.tokenizer.end_ids:
                return
            yield token
            feed = [token]

    def generate_many(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """See `protocols.BatchedModel.generate_many`.

        Architectures that remember more than keys and values, or only the latest of them, answer one by one.
        """
        if any(type(layer) is not KVCache for layer in make_prompt_cache(self._network.model)):
            return [list(self.generate(prompt, max_new_tokens=max_new_tokens)) for prompt in prompts]
        return answer_many(
            prompts,
            lambda padding: _Rows(self._network.model, padding),
            max_new_tokens=max_new_tokens,
            max_tokens=TOKENS_AT_ONCE,
            pad_id=self.tokenizer.pad_id,
            end_ids=self.tokenizer.end_ids,
        )


class _Rows:
    """Prompts under way; see `many.Rows`."""

    def __init__(self, model: Any, padding: np.ndarray) -> None:
        self._model = model
        self._caches = [BatchKVCache(padding.tolist()) for _ in make_prompt_cache(model)]

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """See `many.Rows.step`."""
        logits = self._model(_indices(tokens), cache=self._caches)[:, -1]
        return np.array(mx.argmax(logits.astype(mx.float32), axis=-1)).astype(np.int64)

    def keep(self, rows: np.ndarray) -> None:
        """See `many.Rows.keep`."""
        for cache in self._caches:
            cache.filter(_indices(rows))


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """What mlx-lm has to be told about rotary embeddings.

    Its models read a top-level rope_theta and fall back to a default of their own, while transformers 5 writes
    rope_parameters: without this, logits are silently wrong.
    """
    parameters = config.get("rope_parameters")
    if not isinstance(parameters, Mapping):
        return {}
    told: dict[str, Any] = {}
    if "rope_theta" not in config and "rope_theta" in parameters:
        told["rope_theta"] = parameters["rope_theta"]
    if not config.get("rope_scaling") and parameters.get("rope_type", "default") != "default":
        told["rope_scaling"] = {key: value for key, value in parameters.items() if key != "rope_theta"}
    return told


def _shape(linear: Any) -> tuple[int, int]:
    outputs, inputs = linear.weight.shape
    return (inputs * 32 // linear.bits if isinstance(linear, nn.QuantizedLinear) else inputs), outputs


def _transposed(pair: tuple[np.ndarray, np.ndarray]) -> tuple[mx.array, mx.array]:
    a, b = pair
    return mx.array(np.ascontiguousarray(a.T)), mx.array(np.ascontiguousarray(b.T))


def _indices(array: np.ndarray) -> mx.array:
    return mx.array(array.astype(np.int32))


def _number(scalar: mx.array) -> float:
    return float(np.array(scalar))
