"""Cross-entropy without the logits of a batch ever standing in memory together.

With a vocabulary of 150,000 the float32 logits of 512 predictions take 300 MB, and as much again for their gradient.
Here they exist for a few predictions at a time. The gradient of nats[i] with respect to its hidden state does not
depend on what the loss makes of it, apart from one factor per prediction; so it is worked out while the logits are
there, and the backward pass neither keeps nor recomputes any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch.nn import functional

CHUNK_BYTES: Final = 32 * 2**20
"""Room for one chunk of float32 logits. Matrix products of 100 rows are as fast as larger ones; on a CPU it also
keeps the chunk within reach of the last cache."""


def nats_each(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Nats of each target under logits = hidden @ head.T.

    Args:
        hidden: float [predictions, width].
        head: float [vocabulary, width]; frozen, no gradient reaches it.
        targets: int64 [predictions].

    Returns:
        float32 [predictions], differentiable with respect to `hidden`.
    """
    nats: torch.Tensor = _Nats.apply(hidden, head, targets)  # type: ignore[no-untyped-call]
    return nats


class _Nats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nats = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        wanted = ctx.needs_input_grad[0]
        slopes = torch.empty_like(hidden) if wanted else None
        for part in chunks(len(hidden), len(head)):
            logits = functional.linear(hidden[part], head).float()
            highest = logits.amax(-1, keepdim=True)
            own = logits.gather(1, targets[part, None])
            shares = logits.sub_(highest).exp_()
            total = shares.sum(-1, keepdim=True)
            nats[part] = (total.log() + highest - own).squeeze(1)
            if slopes is not None:  # the softmax, minus one at the target, times the head
                shares.div_(total).scatter_add_(1, targets[part, None], torch.full_like(own, -1.0))
                torch.mm(shares.to(head.dtype), head, out=slopes[part])
        ctx.save_for_backward(slopes)
        return nats

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradients[0][:, None]).to(slopes.dtype), None, None


def in_chunks(
    logits: Callable[[slice], torch.Tensor], count: int, vocabulary: int, targets: torch.Tensor
) -> torch.Tensor:
    """Nats of each target where only a function knows the logits of a stretch of predictions; without gradient."""
    parts = [
        functional.cross_entropy(logits(part), targets[part], reduction="none") for part in chunks(count, vocabulary)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, device=targets.device)


def chunks(count: int, vocabulary: int) -> Iterator[slice]:
    """Stretches of `count` predictions whose float32 logits fit `CHUNK_BYTES`."""
    size = max(1, CHUNK_BYTES // (4 * vocabulary))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
