"""Training on the machines of a Ray cluster: what runs over there, in the trainer's process and in its workers."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from samloop import __version__
from samloop.errors import ModelError, SamloopError, TrainingError
from samloop.text.base import resolve_base
from samloop.train import memory
from samloop.train.base import Base
from samloop.train.freight import Freight, packed, unpack
from samloop.train.job import TrainJob

LOOK_SECONDS: Final = 0.5
"""How often the first worker looks what is asked of the run."""

LOST: Final = frozenset(
    {"ActorDiedError", "ActorUnavailableError", "WorkerHealthCheckFailedError", "WorkerHealthCheckTimeoutError"}
)
"""What Ray says of a worker whose process or machine is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be trained.

    Attributes:
        job: of `TrainJob.to_dict`, with the paths of the machine that it comes from.
        version: samloop's there.
        fingerprint: of the base there.
    """

    job: dict[str, Any]
    version: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many workers there are, whether each has a GPU, and how many cores each has."""

    workers: int
    gpu: bool
    cores: int


class Mailbox:
    """What lies between the workers and the machine that the job comes from; an actor."""

    def __init__(self, freight: list[Any]) -> None:
        """`freight` is a list of one reference to a `Freight`."""
        self._freight = freight
        self._letters: list[tuple[str, Any]] = []
        self._wish: str | None = None

    def freight(self) -> list[Any]:
        """What was given at the beginning."""
        return self._freight

    def post(self, kind: str, item: Any) -> None:
        """Leave a letter: metric, written, result or error."""
        self._letters.append((kind, item))

    def take(self) -> list[tuple[str, Any]]:
        """All letters since the last time."""
        letters, self._letters = self._letters, []
        return letters

    def ask(self, wish: str | None) -> None:
        """Ask the run to ``stop`` or ``pause``; None: go on."""
        self._wish = wish

    def wish(self) -> str | None:
        """What is asked."""
        return self._wish


def supervise(order: Order, places: Places, mailbox: Any) -> str | None:
    """Have the workers train; what went wrong with them, in a few words, or None."""
    train: Any = import_module("ray.train")
    torch: Any = import_module("ray.train.torch")
    with tempfile.TemporaryDirectory(prefix="samloop-") as storage:
        trainer = torch.TorchTrainer(
            work,
            train_loop_config={"order": order, "mailbox": mailbox},
            scaling_config=train.ScalingConfig(
                num_workers=places.workers,
                use_gpu=places.gpu,
                resources_per_worker={"CPU": places.cores, **({"GPU": 1} if places.gpu else {})},
                placement_strategy="SPREAD",
            ),
            run_config=train.RunConfig(
                name=order.job["run_id"],
                storage_path=storage,
                failure_config=train.FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray Train's own tree, and what its parts let through
            return _told(error, places.workers)
    return None


def _told(error: BaseException, workers: int) -> str:
    """What happened, by the worker that it happened to first: one that is gone makes the others fail as well."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    gone = [rank for rank, failure in failures.items() if type(failure).__name__ in LOST]
    if gone:
        return f"worker {gone[0] + 1} of {workers} was lost"
    if failures:
        rank, failure = min(failures.items())
        return f"worker {rank + 1} of {workers} broke with {type(failure).__name__}"
    kind = type(getattr(error, "controller_failure", error)).__name__
    return f"its workers did not start, as other work may hold its places ({kind})"


def work(config: dict[str, Any]) -> None:
    """What every worker does; its own errors are told by the mailbox, for Ray wraps them."""
    ray: Any = import_module("ray")
    order, mailbox = config["order"], config["mailbox"]
    try:
        _train(ray, order, mailbox)
    except SamloopError as error:
        ray.get(mailbox.post.remote("error", (type(error).__name__, str(error))))
        raise


def _train(ray: Any, order: Order, mailbox: Any) -> None:
    from samloop.train.driver import run
    from samloop.train.torch_crew import TorchCrew

    base = _own_base(order)
    crew = TorchCrew()
    with tempfile.TemporaryDirectory(prefix="samloop-") as name:
        folder = Path(name)
        freight: Freight = ray.get(ray.get(mailbox.freight.remote())[0])
        unpack(freight, folder)
        del freight
        job = TrainJob.from_dict({**order.job, "base": str(base), "dataset": str(folder / "dataset")})

        def on_written(path: Path) -> None:
            letter = (str(path.relative_to(folder)), packed(path, folder))
            ray.get(mailbox.post.remote("written", letter))

        def on_metric(line: dict[str, Any]) -> None:
            mailbox.post.remote("metric", line)

        wish = _Wish(lambda: ray.get(mailbox.wish.remote()), watched=crew.leads)

        def between_steps(step: int, keep: Callable[[], None]) -> None:
            if not crew.word(wish.now() == "pause"):
                return
            keep()
            began = time.monotonic()
            event = {"at_step": step, "reason": "asked", "available_bytes": memory.available_bytes()}
            if crew.leads:
                on_metric({"event": "paused", **event, "time": time.time()})
            while crew.word(wish.now() == "pause"):
                time.sleep(LOOK_SECONDS)
            if crew.leads and wish.now() is None:
                seconds = time.monotonic() - began
                on_metric({"event": "resumed", **event, "time": time.time(), "seconds": seconds})

        result = run(job, folder, on_metric, lambda: wish.now() == "stop", between_steps, crew, on_written)
        if crew.leads:
            ray.get(mailbox.post.remote("result", result))


class _Wish:
    """What is asked of the run, looked up now and then by the worker that leads."""

    def __init__(self, look: Callable[[], str | None], *, watched: bool) -> None:
        self._look, self._watched = look, watched
        self._known: str | None = None
        self._looked = float("-inf")

    def now(self) -> str | None:
        """What was asked when it was last looked up."""
        if self._watched and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._known, self._looked = self._look(), time.monotonic()
        return self._known


def _own_base(order: Order) -> Path:
    """The folder on this machine of the base that the run is of.

    Raises:
        TrainingError: samloop is of another version here.
        ModelError: the base is not here, or another one is.
    """
    here = socket.gethostname()
    if order.version != __version__:
        raise TrainingError(
            f"expected samloop {order.version} on the machine {here}, got {__version__}; install it there"
        )
    path, name = Path(order.job["base"]), order.job["base_name"]
    found = []
    for known in (os.fspath(path), name):
        try:
            base = Base.open(resolve_base(known))
        except ModelError:
            continue
        if base.fingerprint == order.fingerprint:
            return base.folder
        found.append(os.fspath(base.folder))
    what = f"another model at {found[0]}" if found else f"none at {path}"
    raise ModelError(
        f"expected the base {name} on the machine {here}, got {what}; copy the same files to that path on every "
        "machine of the cluster, or download the model there"
    )
