"""Training and answering with torch, transformers and PEFT, on a CPU or a CUDA device.

In training, the sequences of a batch lie end to end in one row where the architecture allows it (`torch_packing`).
Elsewhere they are padded on the right; the attention is causal, so a real token never sees padding and no attention
mask is needed. The output head, the dearest matrix of a small model, runs only on positions whose loss counts, and
its logits never stand in memory together (`torch_loss`).
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from samloop.errors import MissingExtraError, ModelError, TrainingError
from samloop.protocols import AdapterRef
from samloop.text.tokens import Tokenizer
from samloop.train.adapter import PEFT_PREFIX, Adapter, Weights, initial, plan, weights_of
from samloop.train.base import PLAIN_HEADS, Base
from samloop.train.batches import Batch
from samloop.train.job import TrainJob
from samloop.train.many import answer_many
from samloop.train.pairs import PairBatch
from samloop.train.quantise import NONE
from samloop.train.sampling import Sampler, score

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import; samloop loads folders, never names
# peft imports bitsandbytes wherever it is installed, and that tells of a kernel it would like to download.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from torch.nn import functional
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    from samloop.train import torch_crew, torch_quantise, torch_shard
    from samloop.train.torch_lean import make_lean
    from samloop.train.torch_loss import nats_each
    from samloop.train.torch_packing import DOCUMENTS
except ImportError:
    raise MissingExtraError("torch", "training on torch") from None

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

NAME: Final = "adapter"

TOKENS_AT_ONCE: Final = {"cpu": 1024, "cuda": 8192}
"""A batch goes through the network in parts of at most so many tokens, and their gradients add up: memory for what
the backward pass needs is bounded by this and not by the batch. A CPU is no faster with more, a GPU is."""


LOGITS_BYTES: Final = 128 * 2**20
"""Room for float32 logits at a time when scoring with a base whose head is not `PLAIN_HEADS`'."""


class TorchBackend:
    """The backend called ``torch``."""

    def learner(self, base: Base, job: TrainJob) -> TorchLearner:
        """The base with a fresh adapter, drawn from the job's seed alone."""
        return TorchLearner(base, job)

    def load(self, base: Path, adapters: Sequence[AdapterRef] = (), *, quantise: str = NONE) -> TorchModel:
        """The base with adapters to switch between; the bare base answers until `use` names one.

        Raises:
            ModelError: a folder is incomplete, or an adapter belongs to another base.
        """
        return TorchModel(Base.open(base), adapters, quantise)


class _Network:
    """A loaded base, its device, and the forward passes that everything here is made of."""

    def __init__(self, base: Base, quantise: str, *, packed: bool = False, split: bool = False) -> None:
        """With `split`, the weights stay where they were loaded until `TorchLearner` splits them."""
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = not base.small and _has_bfloat16(self.device)
        dtype = torch.bfloat16 if self.half else torch.float32
        form = torch_quantise.options(base, quantise, dtype=dtype, device=self.device)
        try:
            self.model = AutoModelForCausalLM.from_pretrained(
                base.folder,
                dtype=dtype,
                attn_implementation="sdpa",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                **form,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
            raise ModelError(
                f"the model in {base.folder} cannot be loaded ({first_line}); download it again, or choose another"
            ) from error
        torch_quantise.settle(self.model, base)
        (self.model if form or split else self.model.to(self.device)).eval().requires_grad_(False)
        self.before_pass: Callable[[], None] = lambda: None
        # What is made in inference mode cannot be learnt with later, and split layers keep what they are put into.
        self.looking: Callable[[], AbstractContextManager[Any]] = torch.no_grad if split else torch.inference_mode
        self.plain_head = base.config.get("model_type") in PLAIN_HEADS
        self.packed, self.tokens_at_once = packed, TOKENS_AT_ONCE[self.device.type]
        if packed:
            self.model.set_attn_implementation(DOCUMENTS)

    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear module."""
        return {
            name: (module.in_features, module.out_features)
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }

    def autocast(self) -> AbstractContextManager[Any]:
        if not self.half:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def logits_at(self, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> torch.Tensor:
        """float32 logits [len(rows), vocabulary] at the given positions of int32 ids [batch, tokens]."""
        tokens, at = self.tensor(ids.astype(np.int64)), (self.tensor(rows), self.tensor(positions))
        with self.autocast():
            if self.plain_head:
                logits = self.model.get_output_embeddings()(self._hidden(tokens)[at])
            else:
                logits = self.model(input_ids=tokens, use_cache=False).logits[at]
        return cast("torch.Tensor", logits.float())

    def nats_at(self, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> torch.Tensor:
        """float32 nats of ids[row, position + 1] at the given positions of padded int32 ids [batch, tokens]."""
        wanted = self.tensor(ids[rows, positions + 1].astype(np.int64))
        if not self.plain_head:
            return functional.cross_entropy(self.logits_at(ids, rows, positions), wanted, reduction="none")
        with self.autocast():
            hidden = self._hidden(self.tensor(ids[:, :-1].astype(np.int64)))
            at = hidden[self.tensor(rows), self.tensor(positions)]
            return nats_each(at, self.model.get_output_embeddings().weight, wanted)

    def nats_each(self, batch: Batch) -> torch.Tensor:
        """float32 nats of each prediction of a batch that counts, in the order of `Batch.predictions`."""
        self.before_pass()
        return self._nats_each(batch)

    def empty_pass(self) -> torch.Tensor:
        """A scalar of no meaning, made of three tokens that went through all layers."""
        ids, lengths = np.zeros((1, 3), np.int32), np.array([3])
        return self._nats_each(Batch(ids, np.ones((1, 3), np.float32), lengths)).sum()

    def _nats_each(self, batch: Batch) -> torch.Tensor:
        rows, positions, targets, _ = batch.predictions()
        wanted = self.tensor(targets.astype(np.int64))
        if not self.plain_head:
            logits = self.logits_at(batch.ids[:, :-1], rows, positions)
            return functional.cross_entropy(logits, wanted, reduction="none")
        with self.autocast():
            if self.packed:
                row = batch.end_to_end()
                hidden = self._hidden(
                    self.tensor(row.ids[None].astype(np.int64)),
                    position_ids=self.tensor(row.positions[None]),
                    documents=row.lengths.tolist(),
                )[0, self.tensor(row.predicting)]
            else:
                tokens = self.tensor(batch.ids[:, :-1].astype(np.int64))
                hidden = self._hidden(tokens)[self.tensor(rows), self.tensor(positions)]
            return nats_each(hidden, self.model.get_output_embeddings().weight, wanted)

    def _hidden(self, tokens: torch.Tensor, **options: Any) -> torch.Tensor:
        """The last hidden states [batch, tokens, width]."""
        out = self.model.get_decoder()(input_ids=tokens, use_cache=False, **options)
        return cast("torch.Tensor", out.last_hidden_state)

    def nats(self, batch: Batch) -> torch.Tensor:
        """Σ weight · nats of a batch, a scalar."""
        *_, weights = batch.predictions()
        return (self.nats_each(batch) * self.tensor(weights)).sum()


class TorchLearner:
    """A base model with one trainable adapter and AdamW on it."""

    def __init__(self, base: Base, job: TrainJob) -> None:
        if job.packing == "on" and not base.packable:
            raise TrainingError(
                f"train.packing is on, which a base of type {base.config.get('model_type')} cannot be trained with; "
                "set it to auto"
            )
        packed = base.packable and job.packing != "off"
        split = job.cluster_shard and torch_crew.in_company()
        self._network = _Network(base, job.quantise, packed=packed, split=split)
        self._job, self._fingerprint = job, base.fingerprint
        shapes = self._network.shapes()
        modules = plan(shapes, targets=job.targets, layers=job.layers, rank=job.rank)
        torch.manual_seed(job.seed)
        self._peft = _attach(self._network.model, NAME, job.rank, job.alpha, job.dropout, modules)
        if job.gradient_checkpointing:
            model = self._network.model  # transformers renamed it during its version 5
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        make_lean(self._peft)
        _set_weights(self._peft, NAME, initial(shapes, modules, rank=job.rank, seed=job.seed))
        if split:
            self._split(job.base_name)
        self._dropouts = [module for module in self._peft.modules() if isinstance(module, torch.nn.Dropout)]
        torch.manual_seed(job.seed + torch_crew.rank())  # workers learn from other batches, with other dropout
        self._trainable = {name: p for name, p in _lora_parameters(self._peft, NAME).items() if p.requires_grad}
        self._optimiser = torch.optim.AdamW(
            self._trainable.values(),
            lr=job.learning_rate,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=job.weight_decay,
            fused=True,
        )

    def _split(self, base_name: str) -> None:
        network = self._network
        torch_shard.shard(self._peft, torch_shard.layers_of(network.model, base_name), network.device)
        pace = torch_shard.Pace(network.empty_pass, network.device)
        network.before_pass = pace.before_pass
        torch_crew.keep_pace(pace)

    def accumulate(self, batch: Batch, denominator: float) -> float:
        """See `Learner.accumulate`."""
        self._peft.train()
        total = 0.0
        for part in batch.parts(self._network.tokens_at_once):
            loss = self._network.nats(part)
            (loss / denominator).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def prefer(self, pairs: PairBatch, denominator: float, beta: float) -> np.ndarray:
        """See `Learner.prefer`."""
        self._peft.train()
        for module in self._dropouts:
            module.eval()
        parts = pairs.parts(self._network.tokens_at_once)
        return np.concatenate([self._prefer(part, denominator, beta) for part in parts])

    def _prefer(self, pairs: PairBatch, denominator: float, beta: float) -> np.ndarray:
        found = self._by_example(pairs.batch)
        reference = pairs.reference[:, 0] - pairs.reference[:, 1]
        margins = found[0::2] - found[1::2] - self._network.tensor(reference.astype(np.float32))
        weights = self._network.tensor(pairs.weights.astype(np.float32))
        loss = -(functional.logsigmoid(beta * margins) * weights).sum() / denominator
        loss.backward()  # type: ignore[no-untyped-call]
        return found.detach().double().cpu().numpy()

    def log_probabilities(self, batch: Batch, *, bare: bool = False) -> np.ndarray:
        """See `Learner.log_probabilities`."""
        self._peft.eval()
        adapter = self._peft.disable_adapter() if bare else nullcontext()
        with self._network.looking(), adapter:
            parts = batch.parts(self._network.tokens_at_once)
            return np.concatenate([self._by_example(part).double().cpu().numpy() for part in parts])

    def _by_example(self, batch: Batch) -> torch.Tensor:
        """float32 log-probability of each example of the batch, differentiable."""
        each, examples = self._network.nats_each(batch), batch.documents()
        sums = torch.zeros(int(examples.max()) + 1, device=self._network.device)
        return sums.index_add(0, self._network.tensor(examples.astype(np.int64)), -each)

    def begin(self, adapter: Adapter) -> None:
        """See `Learner.begin`."""
        _set_weights(self._peft, NAME, adapter.weights)
        self._optimiser.state.clear()

    def update(self, learning_rate: float) -> float:
        """See `Learner.update`."""
        torch_crew.sum_gradients(self._trainable.values())
        norm = float(torch.nn.utils.clip_grad_norm_(self._trainable.values(), self._job.max_grad_norm))
        if np.isfinite(norm):
            self._optimiser.param_groups[0]["lr"] = learning_rate
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return norm

    def loss(self, batch: Batch) -> float:
        """See `Learner.loss`."""
        self._peft.eval()
        with self._network.looking():
            return sum(float(self._network.nats(part)) for part in batch.parts(self._network.tokens_at_once))

    def adapter(self) -> Adapter:
        """See `Learner.adapter`."""
        return Adapter(
            rank=self._job.rank,
            alpha=self._job.alpha,
            dropout=self._job.dropout,
            weights=_get_weights(self._peft, NAME),
            base_name=self._job.base_name,
            base_fingerprint=self._fingerprint,
            quantise=self._job.quantise,
        )

    def state(self) -> dict[str, np.ndarray]:
        """See `Learner.state`."""
        state = {"random": torch.get_rng_state().numpy().copy()}
        if self._network.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state().numpy().copy()
        for name, parameter in self._trainable.items():
            for part, value in self._optimiser.state[parameter].items():
                state[f"{name}/{part}"] = value.detach().cpu().numpy().copy()
        return state

    def restore(self, adapter: Adapter, state: Mapping[str, np.ndarray]) -> None:
        """See `Learner.restore`."""
        _set_weights(self._peft, NAME, adapter.weights)
        torch.set_rng_state(torch.from_numpy(state["random"].copy()))
        if "random_cuda" in state and self._network.device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(state["random_cuda"].copy()))
        for name, parameter in self._trainable.items():
            parts = {key.rsplit("/", 1)[1]: value for key, value in state.items() if key.startswith(f"{name}/")}
            self._optimiser.state[parameter] = {
                part: torch.from_numpy(value.copy()).to(parameter.device) for part, value in parts.items()
            }


class TorchModel:
    """A base model that answers, alone or with one of its adapters; see `protocols.Model`."""

    def __init__(self, base: Base, adapters: Sequence[AdapterRef], quantise: str) -> None:
        self.tokenizer = Tokenizer.load(base.folder)
        self._network = _Network(base, quantise)
        self._vocabulary = int(self._network.model.get_output_embeddings().weight.shape[0])
        self._names = tuple(ref.name for ref in adapters)
        self._peft: PeftModel | None = None
        shapes = self._network.shapes()
        for ref in adapters:
            adapter = Adapter.read(ref.path)
            adapter.check(shapes, base.fingerprint, str(ref.path), quantise)
            self._add(ref.name, adapter)
        self.use(None)

    def _add(self, name: str, adapter: Adapter) -> None:
        shape = (adapter.rank, adapter.alpha, 0.0, sorted(adapter.weights))
        if self._peft is None:
            self._peft = _attach(self._network.model, name, *shape)
        else:
            self._peft.add_adapter(name, _config(*shape))
        _set_weights(self._peft, name, adapter.weights)

    def use(self, adapter: str | None) -> None:
        """Answer with the adapter of that name from now on; None is the bare base.

        Raises:
            ModelError: no adapter of that name was loaded.
        """
        if adapter is not None and adapter not in self._names:
            raise ModelError(f"no adapter '{adapter}' was loaded; there is {', '.join(self._names) or 'none'}")
        if self._peft is None:
            return
        if adapter is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(adapter)
        self._peft.eval().requires_grad_(False)

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `protocols.Model.logprobs`."""
        return self._scored(sequences, None)

    def logprobs_of(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `protocols.BatchedModel.logprobs_of`."""
        return self._scored(sequences, wanted)

    def _scored(self, sequences: Sequence[Sequence[int]], wanted: Sequence[np.ndarray] | None) -> list[np.ndarray]:
        room, network = self._network.tokens_at_once, self._network
        if not network.plain_head:  # then the logits of a whole batch stand in memory at once
            room = max(1, min(room, LOGITS_BYTES // (4 * self._vocabulary)))
        return score(sequences, wanted, self._score, pad_id=self.tokenizer.pad_id, max_tokens=room)

    def _score(self, ids: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return -self._network.nats_at(ids, rows, positions).cpu().numpy()

    def generate(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[int]:
        """See `protocols.Model.generate`."""
        sampler, cache, feed = Sampler(temperature, seed), None, list(prompt)
        for _ in range(max_new_tokens):
            with torch.inference_mode(), self._network.autocast():
                out = self._network.model(
                    input_ids=torch.tensor([feed], device=self._network.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            cache = out.past_key_values
            token = sampler(out.logits[0, -1].float().cpu().numpy())
            if token in self.tokenizer.end_ids:
                return
            yield token
            feed = [token]

    def generate_many(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """See `protocols.BatchedModel.generate_many`."""
        return answer_many(
            prompts,
            lambda padding: _Rows(self._network, padding),
            max_new_tokens=max_new_tokens,
            max_tokens=2 * self._network.tokens_at_once,
            pad_id=self.tokenizer.pad_id,
            end_ids=self.tokenizer.end_ids,
        )


class _Rows:
    """Prompts under way; see `many.Rows`."""

    def __init__(self, network: _Network, padding: np.ndarray) -> None:
        self._network, self._cache, self._read = network, None, 0
        self._padding = network.tensor(padding.astype(np.int64))[:, None]
        self._padded = bool(padding.any())  # without padding the attention is the plain causal one, which is faster

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """See `many.Rows.step`."""
        options: dict[str, Any] = {}
        if self._padded:
            places = torch.arange(self._read + tokens.shape[1], device=self._network.device)[None]
            options["attention_mask"] = (places >= self._padding).long()
            options["position_ids"] = (places[:, self._read :] - self._padding).clamp(min=0)
        with torch.inference_mode(), self._network.autocast():
            out = self._network.model(
                input_ids=self._network.tensor(tokens),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
                **options,
            )
        self._cache, self._read = out.past_key_values, self._read + tokens.shape[1]
        return cast("np.ndarray", out.logits[:, -1].float().argmax(-1).cpu().numpy())

    def keep(self, rows: np.ndarray) -> None:
        """See `many.Rows.keep`."""
        chosen = self._network.tensor(rows)
        with torch.inference_mode():
            self._cache.batch_select_indices(chosen)  # type: ignore[attr-defined]
        self._padding = self._padding[chosen]


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def _config(rank: int, alpha: float, dropout: float, modules: list[str]) -> LoraConfig:
    return LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none", task_type="CAUSAL_LM"
    )


def _attach(model: Any, name: str, rank: int, alpha: float, dropout: float, modules: list[str]) -> PeftModel:
    with warnings.catch_warnings():
        # PEFT asks transformers whether it checkpoints activations, by a name that transformers has since changed.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        return get_peft_model(model, _config(rank, alpha, dropout, modules), adapter_name=name)


def _lora_parameters(peft: PeftModel, name: str) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters by PEFT's name on disk, sorted."""
    found = {
        key.replace(f".{name}.weight", ".weight"): parameter
        for key, parameter in peft.named_parameters()
        if ".lora_" in key and key.endswith(f".{name}.weight")
    }
    return dict(sorted(found.items()))


def _get_weights(peft: PeftModel, name: str) -> Weights:
    arrays = {key: p.detach().float().cpu().numpy().copy() for key, p in _lora_parameters(peft, name).items()}
    return weights_of(arrays)


def _set_weights(peft: PeftModel, name: str, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    parameters = _lora_parameters(peft, name)
    with torch.no_grad():
        for module, (a, b) in weights.items():
            parameters[f"{PEFT_PREFIX}{module}.lora_A.weight"].copy_(torch.from_numpy(a))
            parameters[f"{PEFT_PREFIX}{module}.lora_B.weight"].copy_(torch.from_numpy(b))
