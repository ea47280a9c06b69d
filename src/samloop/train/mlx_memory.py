"""What keeps the memory of training on MLX down: logits a few at a time, and layers that are computed twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import mlx.core as mx
import numpy as np
from mlx import nn

CHUNK_BYTES: Final = 32 * 2**20
"""Room for one chunk of float32 logits."""

Head = Callable[[mx.array], mx.array]


def nats_each(hidden: mx.array, head: Head, targets: mx.array, vocabulary: int) -> mx.array:
    """Nats of each target under logits = head(hidden); never more than `CHUNK_BYTES` of logits stand in memory.

    See `torch_loss`: the gradient of each with respect to its hidden state is worked out while its logits are there.

    Args:
        hidden: float [predictions, width].
        head: linear and frozen; no gradient reaches it.
        targets: int32 [predictions].

    Returns:
        float32 [predictions], differentiable with respect to `hidden`.
    """
    size = max(1, CHUNK_BYTES // (4 * vocabulary))

    @mx.custom_function
    def both(hidden: mx.array) -> tuple[mx.array, mx.array]:
        parts: list[tuple[mx.array, mx.array]] = []
        for at in range(0, len(hidden), size):
            part = hidden[at : at + size]
            if parts:  # one chunk after the other, or the logits of all are worked out before any is used
                part = mx.depends([part], list(parts[-1]))[0]
            parts.append(_chunk(part, head, targets[at : at + size]))
        nats, slopes = zip(*parts, strict=True)
        return mx.concatenate(list(nats)), mx.concatenate(list(slopes))

    @both.vjp
    def _(_: mx.array, gradients: Sequence[mx.array], outputs: Sequence[mx.array]) -> mx.array:
        return (outputs[1] * gradients[0][:, None]).astype(hidden.dtype)

    if not len(hidden):
        return mx.zeros(0)
    found: Any = both(hidden)
    nats: mx.array = found[0]
    return nats


def _chunk(hidden: mx.array, head: Head, targets: mx.array) -> tuple[mx.array, mx.array]:
    """Nats of some targets, and their gradients with respect to the hidden states."""
    raw = head(hidden)
    logits = raw.astype(mx.float32)
    nats = nn.losses.cross_entropy(logits, targets)
    shares = mx.softmax(logits, axis=-1)
    at = targets[:, None]
    errors = mx.put_along_axis(shares, at, mx.take_along_axis(shares, at, axis=-1) - 1.0, axis=-1)
    backward: Any = mx.vjp(head, [hidden], [errors.astype(raw.dtype)])
    return nats, backward[1][0]


def checkpointed(layers: Sequence[Any]) -> None:
    """Have each layer keep its input alone, and compute the rest anew in the backward pass."""
    for layer in layers:
        layer.__class__ = _checkpointed_class(type(layer))


def _random() -> int:
    """The random state as a number that seeds it."""
    high, low = (int(part) for part in np.array(mx.random.state[0]))  # type: ignore[index]
    return high << 32 | low


def _checkpointed_class(kind: type[Any]) -> type[Any]:
    """A class of its own rather than a change to `kind`, which other models of this process share."""

    class Checkpointed(kind):  # type: ignore[misc]
        def __call__(self, *inputs: Any, **options: Any) -> Any:
            if not self.training:
                return super().__call__(*inputs, **options)
            plain = super().__call__

            own = _random()

            def call(trainable: Any, *inputs: Any, **options: Any) -> Any:
                following = _random()
                mx.random.seed(own)  # dropout has to draw the same when the layer is computed anew
                self.update(trainable)
                try:
                    return plain(*inputs, **options)
                finally:
                    mx.random.seed(following)

            mx.random.uniform()  # the next layer draws otherwise
            return mx.checkpoint(call)(self.trainable_parameters(), *inputs, **options)

    Checkpointed.__name__ = kind.__name__
    return Checkpointed
