"""Sequences end to end in one row, without padding: each attends to itself alone and counts positions of its own."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.nn import functional
from transformers import AttentionInterface

DOCUMENTS: Final = "samloop_documents"
"""The name under which transformers knows `attend`. It makes no masks for implementations that it does not know."""

SHORT: Final = 512
"""Documents up to this many tokens take `_Short` on a CPU. Beyond, what it keeps would grow too large."""

ROWS: Final = 128
"""Queries that `_Short` takes at a time, against the keys up to the last of them."""


def attend(
    module: torch.nn.Module,  # noqa: ARG001  the signature is transformers'
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001
    *,
    documents: list[int],
    sliding_window: int | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,  # noqa: ARG001
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document of a row; see `transformers.AttentionInterface`.

    Args:
        query: [1, heads, tokens, width]; key and value may have fewer heads.
        documents: tokens of each document, in order. Without a default: an architecture that does not hand them on
            must not train its documents on one another.

    Returns:
        [1, tokens, heads, width], and no attention weights.
    """
    queries, keys, values = (torch.split(one, documents, dim=2) for one in (query, key, value))
    grouped = query.shape[1] != key.shape[1]
    found = [
        _one(q, k, v, sliding_window, scaling, dropout, grouped=grouped)
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(found, dim=2).transpose(1, 2), None


def _one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    window: int | None,
    scaling: float | None,
    dropout: float,
    *,
    grouped: bool,
) -> torch.Tensor:
    tokens, mask = query.shape[2], None
    outside = window is not None and tokens > window
    if query.device.type == "cpu" and tokens <= SHORT and not dropout and not outside:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        found: torch.Tensor = _Short.apply(query[0], key[0], value[0], scale)  # type: ignore[no-untyped-call]
        return found[None]
    if window is not None and tokens > window:
        distance = torch.arange(tokens, device=query.device)
        distance = distance[:, None] - distance[None, :]
        mask = (distance >= 0) & (distance < window)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=grouped,
    )


class _Short(torch.autograd.Function):
    """Causal attention of one document by plain matrix products, keeping the softmax.

    torch's own kernel for a CPU takes, in its backward pass on short documents, several times what the products in it
    need: 8 heads of 64 and 125 tokens take 4.4 ms there (bfloat16, one core), 1.8 here; 512 tokens 27 and 12 ms.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        (heads, tokens, width), groups = query.shape, key.shape[0]
        out, kept = [], []
        for start in range(0, tokens, ROWS):
            end = min(start + ROWS, tokens)
            rows = query[:, start:end].reshape(groups, -1, width)
            scores = torch.bmm(rows, key[:, :end].transpose(1, 2)).view(groups, -1, end - start, end)
            future = torch.full((end - start, end), -torch.inf, device=query.device).triu_(start + 1)
            shares = torch.softmax(torch.add(future, scores, alpha=scale), -1).to(query.dtype)
            kept.append(shares.view(groups, -1, end))
            out.append(torch.bmm(kept[-1], value[:, :end]).view(heads, end - start, -1))
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale = scale
        return torch.cat(out, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        query, key, value, *kept = ctx.saved_tensors
        (heads, tokens, width), groups = query.shape, key.shape[0]
        to_query = torch.empty_like(query)
        to_key, to_value = (torch.zeros_like(one, dtype=torch.float32) for one in (key, value))
        for start, shares in zip(range(0, tokens, ROWS), kept, strict=True):
            end = min(start + ROWS, tokens)
            rows = query[:, start:end].reshape(groups, -1, width)
            gradient = gradients[0][:, start:end].reshape(groups, -1, value.shape[-1])
            to_value[:, :end] += torch.bmm(shares.transpose(1, 2), gradient)
            to_shares = torch.bmm(gradient, value[:, :end].transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_shares, shares, -1, query.dtype)
            to_query[:, start:end] = torch.bmm(to_scores, key[:, :end]).mul_(ctx.scale).view(heads, -1, width)
            to_key[:, :end] += torch.bmm(to_scores.transpose(1, 2), rows)
        return to_query, to_key.mul_(ctx.scale).to(key.dtype), to_value.to(value.dtype), None


AttentionInterface.register(DOCUMENTS, attend)
