"""Sequences end to end in one row, without padding: each attends to itself alone and counts positions of its own."""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

DOCUMENTS: Final = "samloop_documents"
"""The name under which transformers knows `attend`. It makes no masks for implementations that it does not know."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    documents: list[int] | None = None,
    sliding_window: int | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document of a row; see `transformers.AttentionInterface`.

    Args:
        query: [1, heads, tokens, width]; key and value may have fewer heads.
        documents: tokens of each document, in order; None: the row is one.

    Returns:
        [1, tokens, heads, width], and no attention weights.
    """
    if documents is None:
        return cast(
            "tuple[torch.Tensor, None]",
            sdpa_attention_forward(
                module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
            ),
        )
    queries, keys, values = (torch.split(one, documents, dim=2) for one in (query, key, value))  # type: ignore[no-untyped-call]
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


AttentionInterface.register(DOCUMENTS, attend)
