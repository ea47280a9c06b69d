"""How much memory a run takes, by part, from the base's config.json and the job alone: nothing is loaded for it.

What autograd keeps for the backward pass is counted array by array, as the backends' own passes keep it; a test holds
the count against what torch says it keeps. What no count tells (libraries, what an allocator does not give back) was
measured: benchmarks/training/memory_estimate.py prints the estimate beside the measured peak.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from samloop.errors import ModelError
from samloop.train.base import SMALL_PARAMETERS
from samloop.train.job import TrainJob

MEBIBYTE: Final = 2**20

PROGRAM_BYTES: Final = {"torch": 470 * MEBIBYTE, "mlx": 320 * MEBIBYTE}
"""A worker with its libraries, a tokenizer and buffers of the matrix products, before any weight. Measured on Linux
with torch 2.13 for CPUs (465 MiB) and mlx 0.32 (315 MiB)."""

HELD: Final = {"torch": 0.6, "mlx": 0.05}
"""What the allocator holds beyond what is in use, as a share of activations and logits. glibc keeps freed arrays
below 32 MiB for the next step. Having it give them back saves 13 % of the peak and costs 30 to 45 % of the speed."""

TOKENS_AT_ONCE: Final = {
    ("torch", "cpu"): 1024,
    ("torch", "cuda"): 8192,
    ("mlx", "cpu"): 2048,
    ("mlx", "metal"): 2048,
}
"""A batch goes through the network in parts of at most so many tokens; see the backends."""

LOGITS_CHUNK_BYTES: Final = 32 * MEBIBYTE
"""No backend has more float32 logits than this at a time; see `torch_loss` and `mlx_memory`."""

SHORT_TOKENS: Final = 512
"""Documents up to this length keep their attention's softmax in torch's backend on a CPU; see `torch_packing`."""

SHORT_ROWS: Final = 128
"""Queries taken at a time there: the softmax has a stair of this width beyond its triangle."""

FOUR_BIT_BYTES: Final = {"nf4": 0.5 + 4 / 64, "affine4": 0.5 + 2 * 4 / 64}
"""Per weight of a linear layer: four bits, and a float32 scale per block of 64; MLX's form has a bias as well."""

CUDA_CONTEXT_BYTES: Final = 600 * MEBIBYTE


LEAN: Final = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose MLP takes the leaner way on torch (`torch_lean.FAMILIES`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides the size of a decoder: widths, counts, vocabulary.

    Attributes:
        hidden: width of the residual stream.
        queries, keys: width of all query heads, and of all key (or value) heads.
        inner: width of the gated MLP.
        lean: torch keeps one array less of the MLP; see `torch_lean`.
    """

    hidden: int
    layers: int
    heads: int
    queries: int
    keys: int
    inner: int
    vocabulary: int
    tied: bool
    lean: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """The shape in a config.json.

        Raises:
            ModelError: it does not say a width that is needed, or has experts: memory cannot be told from it.
        """
        try:
            hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
            width = int(config.get("head_dim") or hidden // heads)
            shape = cls(
                hidden=hidden,
                layers=int(config["num_hidden_layers"]),
                heads=heads,
                queries=heads * width,
                keys=int(config.get("num_key_value_heads") or heads) * width,
                inner=int(config["intermediate_size"]),
                vocabulary=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings", False)),
                lean=config.get("model_type") in LEAN and config.get("hidden_act", "silu") == "silu",
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelError(
                f"config.json of the base does not tell its size ({error}); its memory cannot be estimated"
            ) from None
        if config.get("num_experts") or config.get("num_local_experts"):
            raise ModelError("the base is a mixture of experts; its memory cannot be estimated from config.json")
        return shape

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the linear modules of a layer."""
        h, q, k, i = self.hidden, self.queries, self.keys, self.inner
        attention = {"q_proj": (h, q), "k_proj": (h, k), "v_proj": (h, k), "o_proj": (q, h)}
        return {**attention, "gate_proj": (h, i), "up_proj": (h, i), "down_proj": (i, h)}

    @property
    def in_layers(self) -> int:
        """Weights in the linear modules of all layers."""
        return self.layers * sum(i * o for i, o in self.linear.values())

    @property
    def outside(self) -> int:
        """Weights of embedding, head, norms."""
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return tables + (2 * self.layers + 1) * self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes of a run, by part.

    Attributes:
        program: the worker's libraries.
        weights: the base.
        adapter: LoRA weights, their gradient, and the copy of the best so far.
        optimiser: AdamW's two moments.
        activations: what the backward pass needs of the forward pass.
        logits: the largest float32 logits at a time, with their gradient.
        held: what the allocator keeps beyond what is in use.
        loading: the peak while the base is loaded, when its file is converted.
        device: "cpu", "cuda" or "metal"; on a GPU of its own, what is not `program` lies there.
    """

    program: int
    weights: int
    adapter: int
    optimiser: int
    activations: int
    logits: int
    held: int
    loading: int
    device: str

    @property
    def training(self) -> int:
        """The peak while training."""
        parts = (self.weights, self.adapter, self.optimiser, self.activations, self.logits, self.held)
        return self.program + sum(parts)

    @property
    def peak(self) -> int:
        """The most that is in memory at a time."""
        return max(self.training, self.loading)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: each part in bytes, `training` and `peak`."""
        return {**asdict(self), "training": self.training, "peak": self.peak}


def estimate(
    config: Mapping[str, Any],
    job: TrainJob,
    *,
    longest_tokens: int | None = None,
    pairs: bool = False,
    device: str | None = None,
    half: bool | None = None,
) -> Estimate:
    """The memory that `job` takes on a base with this config.json.

    Args:
        longest_tokens: of the longest example, where the dataset is known; None: the job's bound.
        pairs: whether preference pairs are trained on, whose sides go through the network together.
        device: "cpu", "cuda" or "metal"; None: what this machine has.
        half: whether 16-bit floats are used; None: as the backend decides on this machine.

    Raises:
        ModelError: config.json does not tell the base's size.
    """
    shape = Shape.of(config)
    device = device or default_device(job.backend)
    small = shape.in_layers + shape.outside < SMALL_PARAMETERS
    if half is None:
        half = not small and has_half(job.backend, device)
    size = 2 if half else 4
    form = quantised(config, job)
    lora = trained(shape, job)
    longest = min(job.max_seq_tokens, longest_tokens or job.max_seq_tokens)
    tokens = _tokens_at_once(job, longest, pairs=pairs, device=device)
    layers = min(job.layers or shape.layers, shape.layers)
    per_token = kept_per_token(shape, job, size, quantised=form is not None)
    in_a_layer = tokens * (per_token + kept_scores(shape, job, longest, size, device))
    if longest > SHORT_TOKENS:  # a part of many shorter ones may keep more
        shorter = per_token + kept_scores(shape, job, SHORT_TOKENS, size, device)
        in_a_layer = max(in_a_layer, min(tokens, TOKENS_AT_ONCE.get((job.backend, device), tokens)) * shorter)
    kept = round(in_a_layer * layers)
    if job.gradient_checkpointing:
        kept = round(in_a_layer + tokens * layers * shape.hidden * size)
    logits = _logits(shape, job, tokens, size)
    weights = _weights(shape, form, size)
    program = PROGRAM_BYTES.get(job.backend, PROGRAM_BYTES["torch"]) + CUDA_CONTEXT_BYTES * (device == "cuda")
    stored = _stored_bytes(config)
    files = round((shape.in_layers + shape.outside) * stored)
    converted = form is not None or stored != size
    return Estimate(
        program=program,
        weights=weights,
        adapter=lora * 4 * 3,
        optimiser=lora * 4 * 2,
        activations=kept,
        logits=logits,
        held=round(HELD.get(job.backend, 0.6) * (kept + logits)) if device != "cuda" else 0,
        loading=program + weights + (files if converted and job.backend == "torch" else 0),
        device=device,
    )


def kept_per_token(shape: Shape, job: TrainJob, size: int, *, quantised: bool = False) -> float:
    """Bytes that the backward pass keeps per token and layer with an adapter, floats having `size` bytes.

    Kept are: the input of both norms, queries, keys, values, what attention gives (per document, and put together for
    o_proj), three arrays of the MLP (two where torch goes the leaner way), and per target of LoRA its input: q, k and
    v share one. With dropout each target has its own, and a mask of the same size; on a quantised base a copy in
    float32.
    """
    h, q, k, i = shape.hidden, shape.queries, shape.keys, shape.inner
    arrays = 2 if shape.lean and job.backend == "torch" else 3
    kept = size * (2 * h + (q + 2 * k) + q + arrays * i)
    targets = [name for name in job.targets if name in shape.linear]
    wide = sum(shape.linear[name][0] for name in targets)
    if job.dropout:
        return float(kept + 2 * size * wide)
    shared = {"q_proj": "attention", "k_proj": "attention", "v_proj": "attention"}
    shared |= {"gate_proj": "mlp", "up_proj": "mlp"}
    inputs = {shared.get(name, name): shape.linear[name][0] for name in targets}
    kept += size * sum(inputs.values())
    return float(kept + (4 * wide if quantised else 0))


def kept_scores(shape: Shape, job: TrainJob, longest: int, size: int, device: str) -> float:
    """Bytes of attention that are kept per token and layer: MLX keeps scores and softmax, torch for short ones."""
    if job.backend == "mlx":
        return 2.0 * shape.heads * longest * size
    if device == "cpu" and longest <= SHORT_TOKENS and job.packing != "off":
        return shape.heads * (longest + SHORT_ROWS) / 2 * size
    return 0.0


def trained(shape: Shape, job: TrainJob) -> int:
    """Weights of the adapter."""
    layers = min(job.layers or shape.layers, shape.layers)
    return layers * job.rank * sum(sum(shape.linear[name]) for name in job.targets if name in shape.linear)


def quantised(config: Mapping[str, Any], job: TrainJob) -> str | None:
    """The form of four bits that the base's linear modules are held in; None: they are not."""
    form = str(getattr(job, "quantise", "none"))
    if form in FOUR_BIT_BYTES:
        return form
    if "quantization" in config or "quantization_config" in config:
        return "affine4" if job.backend == "mlx" else "nf4"
    return None


def default_device(backend: str) -> str:
    """Where `backend` trains on this machine."""
    if backend == "mlx":
        return "metal" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


@cache
def has_half(backend: str, device: str) -> bool:
    """Whether a backend uses 16-bit floats on a device, told without loading it."""
    if device != "cpu":
        return True
    if backend == "mlx":
        return False
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _tokens_at_once(job: TrainJob, longest: int, *, pairs: bool, device: str) -> int:
    """The most tokens in the network at a time; an example is never cut, nor a pair parted."""
    whole = job.batch_examples * longest
    if pairs:
        whole = max(whole, 2 * longest)
    bound = TOKENS_AT_ONCE.get((job.backend, device), whole)
    return max(2 * longest if pairs else longest, min(whole, bound))


def _logits(shape: Shape, job: TrainJob, tokens: int, size: int) -> int:
    """Logits and what stands beside them: copies in the narrower type, a softmax, gradients."""
    chunk = min(tokens * shape.vocabulary * 4, LOGITS_CHUNK_BYTES)
    if job.backend == "torch":
        return round(chunk * (2 if size == 2 else 1.5))
    return round(chunk * 4.5)


def _weights(shape: Shape, form: str | None, size: int) -> int:
    per_weight = FOUR_BIT_BYTES[form] if form else size
    return round(shape.in_layers * per_weight + shape.outside * size)


def _stored_bytes(config: Mapping[str, Any]) -> float:
    """Bytes per weight in the base's files."""
    name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if "quantization" in config or "quantization_config" in config:
        return 0.5625
    return 4 if "32" in name else 2


def trained_bytes(found: Estimate) -> int:
    """The adapter's weights alone, as they stand on disk."""
    return found.adapter // 3
