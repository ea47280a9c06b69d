"""The workers of one run over torch.distributed: gloo between CPUs, NCCL between GPUs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from samloop.errors import MissingExtraError
from samloop.train.crew import Crew

try:
    import torch
    from torch import distributed

    from samloop.train.torch_shard import Pace
except ImportError:
    raise MissingExtraError("torch", "training on several machines") from None


class TorchCrew(Crew):
    """The workers of the process group that torch.distributed was started with."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        nccl = "nccl" in str(distributed.get_backend())
        self._device = torch.device("cuda" if nccl else "cpu")

    def sums(self, values: np.ndarray) -> np.ndarray:
        """See `Crew.sums`."""
        _wait_for_all()
        tensor = torch.from_numpy(np.array(values, dtype=np.float64)).to(self._device)
        distributed.all_reduce(tensor)
        return np.asarray(tensor.cpu().numpy())


_paces: list[Pace] = []
"""The pace of this process's run, where its base is split among the workers."""


def keep_pace(pace: Pace) -> None:
    """From now on, wait with `pace` for workers that still have passes to take before anything is summed."""
    _paces[:] = [pace]


def _wait_for_all() -> None:
    for pace in _paces:
        pace.until_all_are_done()


def rank() -> int:
    """This process's number among the workers of its run; 0 where it is alone."""
    return distributed.get_rank() if in_company() else 0


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Give every worker the gradients summed over all of them; nothing where there is one worker.

    One flat tensor goes around: adapters are small and have hundreds of parameters. A worker that had no batch in
    this step, which happens at the end of an epoch, adds nothing.
    """
    if not in_company():
        return
    _wait_for_all()
    every = list(parameters)
    grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in every]
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    distributed.all_reduce(flat)
    for one, part in zip(every, torch.split(flat, [one.numel() for one in every]), strict=True):
        one.grad = part.view_as(one)


def in_company() -> bool:
    """Whether this process is one of several workers of a run, or could be."""
    return bool(distributed.is_available() and distributed.is_initialized())
