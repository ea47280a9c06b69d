"""Training on the machines of a Ray cluster: this side of it, which sends the job and keeps what comes back.

The dataset, and the checkpoint to go on from, travel to the workers through Ray's object store; checkpoints, figures
and the adapter come back and are written into the run's folder, as those of a run on this machine are. The base does
not travel: it has to be on every machine, and is compared there by its fingerprint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from samloop import __version__
from samloop.child import error_of
from samloop.cluster import connected, is_address
from samloop.errors import TrainingError
from samloop.train.base import Base
from samloop.train.checkpoints import forget_old, kept_in
from samloop.train.cluster_worker import Mailbox, Order, Places, supervise
from samloop.train.freight import packed, unpack_whole
from samloop.train.job import TrainJob

POLL_SECONDS: Final = 0.2
"""How often the mailbox is emptied."""

LOST_SECONDS: Final = 60.0
"""A cluster that is silent for so long is lost."""

SPLITS: Final = ("train.jsonl", "valid.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of a run from here, looked at while it goes on.

    Attributes:
        stop: whether it is to end now, kept.
        pause: whether it is to wait after its step.
    """

    stop: Callable[[], bool]
    pause: Callable[[], bool]


def check(address: str, backend: str) -> None:
    """Complain about a cluster that cannot be meant.

    Raises:
        TrainingError: the address is none, or the backend trains on one machine only.
    """
    if not is_address(address):
        raise TrainingError(f"expected train.cluster to be ray://local or ray://HOST:PORT, got '{address}'")
    if backend != "torch":
        raise TrainingError(f"a cluster trains with the backend torch, got '{backend}'; set train.backend to torch")


def run(
    job: TrainJob,
    folder: Path,
    address: str,
    workers: int,
    on_metric: Callable[[dict[str, Any]], None],
    wishes: Wishes,
) -> dict[str, Any]:
    """Train as `driver.run` does, on the cluster at `address`; `folder` ends up as it does there.

    Args:
        workers: how many train; 0: one per GPU, or one per machine where there is none.

    Returns:
        as `driver.run`; speed and memory are those of the first worker.

    Raises:
        SamloopError: what a worker raised, with its message; or the cluster does not answer.
        TrainingError: a worker or the cluster was lost; the newest checkpoint is kept.
    """
    check(address, job.backend)
    base = Base.open(Path(job.base))
    order = Order(job=job.to_dict(), version=__version__, fingerprint=base.fingerprint)
    freight = _freight(Path(job.dataset), folder)
    purpose, instead = "training on a Ray cluster", 'train on this machine with train.cluster = ""'
    with connected(address, cores=workers, purpose=purpose, instead=instead) as ray:
        places = placed([node["Resources"] for node in ray.nodes() if node["Alive"]], workers)
        mailbox = ray.remote(num_cpus=0)(Mailbox).remote([ray.put(freight)])
        task = ray.remote(num_cpus=0, max_retries=0)(supervise)
        try:
            result = _Followed(folder, on_metric, wishes).until_done(
                ray, mailbox, task.remote(order, places, mailbox)
            )
        except (ray.exceptions.RayError, ConnectionError, TimeoutError) as error:
            raise TrainingError(
                f"the Ray cluster at {address} was lost ({type(error).__name__}); look at it with 'ray status' and "
                "start the run again: it goes on from its newest checkpoint"
            ) from error
    return {**result, "adapter": str(folder / "adapter")}


def placed(machines: Sequence[Mapping[str, float]], asked: int) -> Places:
    """Where the workers of a run go.

    Args:
        machines: Ray's resources of each machine, by name.
        asked: how many workers there shall be; 0: one per GPU, or one per machine where there is none.

    Raises:
        TrainingError: the cluster has no place for so many.
    """
    gpus = int(sum(machine.get("GPU", 0) for machine in machines))
    if gpus:
        if asked > gpus:
            raise TrainingError(
                f"the cluster has {gpus} GPUs for train.cluster_workers = {asked}; lower it to at most {gpus}"
            )
        return Places(workers=asked or gpus, gpu=True, cores=1)
    cores = [int(machine.get("CPU", 0)) for machine in machines if machine.get("CPU", 0) >= 1]
    count = asked or len(cores)
    fitting = [each for each in range(1, max(cores, default=0) + 1) if sum(own // each for own in cores) >= count > 0]
    if not fitting:
        raise TrainingError(
            f"the cluster has {sum(cores)} cores for train.cluster_workers = {asked}; lower it, or add machines"
        )
    return Places(workers=count, gpu=False, cores=fitting[-1])


class _Followed:
    """Follows a run on a cluster, and keeps what comes of it in `folder`."""

    def __init__(self, folder: Path, on_metric: Callable[[dict[str, Any]], None], wishes: Wishes) -> None:
        self._folder, self._on_metric, self._wishes = folder, on_metric, wishes
        self._asked: str | None = None
        self._result: dict[str, Any] | None = None
        self._errors: list[tuple[str, str]] = []

    def until_done(self, ray: Any, mailbox: Any, running: Any) -> dict[str, Any]:
        """The run's result."""
        over: Sequence[Any] = ()
        while not over:
            over, _ = ray.wait([running], timeout=POLL_SECONDS)
            self._ask(mailbox)
            for kind, item in ray.get(mailbox.take.remote(), timeout=LOST_SECONDS):
                self._receive(kind, item)
        if self._errors:
            raise error_of(*self._errors[0])
        try:
            failure = ray.get(running)
        except ray.exceptions.RayTaskError as error:
            raise TrainingError(_sentence(f"{type(error.cause or error).__name__} in the cluster")) from error
        if failure:
            raise TrainingError(_sentence(failure))
        if self._result is None:
            raise TrainingError(_sentence("it ended without a result"))
        return self._result

    def _ask(self, mailbox: Any) -> None:
        wish = "stop" if self._wishes.stop() else "pause" if self._wishes.pause() else None
        if wish != self._asked:
            self._asked = wish
            mailbox.ask.remote(wish)

    def _receive(self, kind: str, item: Any) -> None:
        if kind == "metric":
            self._on_metric(item)
        elif kind == "written":
            self._keep(*item)
        elif kind == "result":
            self._result = item
        else:
            self._errors.append(item)

    def _keep(self, name: str, freight: Mapping[str, bytes]) -> None:
        path = self._folder / name
        try:
            if name == "adapter":
                shutil.rmtree(path, ignore_errors=True)  # of this run when it was stopped before
            unpack_whole(freight, name, self._folder)
        except OSError as error:
            raise TrainingError(
                f"{name} of the run cannot be written to {path} ({error.strerror}); make room and start the run "
                "again: it goes on from its newest checkpoint"
            ) from error
        forget_old(self._folder / "checkpoints")


def _freight(dataset: Path, folder: Path) -> dict[str, bytes]:
    """All that a worker needs besides the base: by path under the folder that it works in."""
    freight = {f"dataset/{name}": data for split in SPLITS for name, data in packed(dataset / split, dataset).items()}
    for path in (*kept_in(folder / "checkpoints")[-1:], folder / "reference.safetensors"):
        freight |= packed(path, folder)
    return freight


def _sentence(what: str) -> str:
    return (
        f"the run on the cluster failed: {what}; see that every machine is up and has samloop of this version "
        "with its extras torch and ray, and start the run again: it goes on from its newest checkpoint"
    )
