"""A base split among the workers of a run, for one that does not fit a device: FSDP over its decoder layers.

Each worker keeps its part of every layer and has a whole layer only while it computes it (Zhao et al., PyTorch FSDP,
VLDB 2023, arXiv 2304.11277; here `torch.distributed.fsdp.fully_shard`). Embeddings, head and adapter are whole
everywhere: the adapter is small, and its gradients are summed as in a run without this.

Layers are put together by all workers at once, so all have to take the same number of passes. Batches do not fall so:
a worker may have none in a step, or fewer parts. `Pace` has those that are done take empty passes until all are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import distributed

from samloop.errors import TrainingError

DONE: Final = 0
LOOKING: Final = 1
LEARNING: Final = 2
"""What a worker is about to do: nothing more before the next sum, a pass without a backward one, or with."""


def shard(model: torch.nn.Module, layers: Iterable[torch.nn.Module], device: torch.device) -> None:
    """Leave on this worker its part of each layer's frozen weights, and all else of `model` whole on `device`.

    Args:
        layers: the decoder layers, with the adapter in place.
    """
    from torch.distributed.fsdp import fully_shard

    for layer in layers:
        fully_shard(layer, ignored_params={one for one in layer.parameters() if one.requires_grad})
    model.to(device)


def layers_of(model: Any, base: str) -> list[torch.nn.Module]:
    """The decoder layers of a causal language model.

    Raises:
        TrainingError: it is not built of such.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, torch.nn.ModuleList):
        raise TrainingError(
            f"expected a base made of decoder layers to split, got {base}, which is not; set train.cluster_shard to "
            "false"
        )
    return list(layers)


class Pace:
    """Keeps the workers at the same number of passes."""

    def __init__(self, empty_pass: Callable[[], torch.Tensor], device: torch.device) -> None:
        """`empty_pass` runs two tokens through all layers and returns a scalar of no meaning."""
        self._empty_pass, self._device = empty_pass, device

    def before_pass(self) -> None:
        """Tell the others that a pass follows; with gradients switched on, also a backward one."""
        self._agree(LEARNING if torch.is_grad_enabled() else LOOKING)

    def until_all_are_done(self) -> None:
        """Take empty passes for as long as another worker has real ones."""
        while (kind := self._agree(DONE)) != DONE:
            if kind == LEARNING:
                with torch.enable_grad():
                    (self._empty_pass() * 0.0).backward()  # type: ignore[no-untyped-call]
            else:
                with torch.no_grad():
                    self._empty_pass()

    def _agree(self, kind: int) -> int:
        told = torch.tensor([kind], device=self._device)
        distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
        return int(told)
