"""Who does the work: this process, processes beside it, or the workers of a Ray cluster. The work is the same."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from samloop.errors import MissingExtraError, SamloopError, UsageError
from samloop.loop.bulk.processes import Processes
from samloop.loop.bulk.unit import Settings
from samloop.loop.bulk.work import Run, W, Work

SMALL_BYTES: Final = 2**22
"""Up to so much input, this process is done before others would have started."""

LOCAL_RAY: Final = "ray://local"

CONNECT_SECONDS: Final = 5.0
RAY_SECONDS: Final = 60.0
"""How long a Ray cluster may take to let us in."""

_RAY_STORE_BYTES: Final = 100 * 2**20
"""What Ray shares between processes here are names and settings."""


def check(engine: str) -> None:
    """Complain about an engine there is none of.

    Raises:
        UsageError: it is neither ``local`` nor a Ray address.
    """
    if engine != "local" and not (engine.startswith("ray://") and urlsplit(engine).netloc):
        raise UsageError(f"expected the engine to be local, ray://local or ray://HOST:PORT, got '{engine}'")


def engine_of(
    engine: str, settings: Settings, folder: Path, *, workers: int, size: int
) -> AbstractContextManager[Run]:
    """What does work on the units in `folder`, as a context.

    Args:
        engine: ``local``, ``ray://local`` (a cluster of this machine, for as long as the run) or ``ray://HOST:PORT``.
        workers: processes; 0: one per core. Of a cluster: units under way; 0: two per core it has.
        size: bytes of input.

    Raises:
        MissingExtraError: Ray is not installed.
        SamloopError: the cluster does not answer.
    """
    if engine != "local":
        return _on_ray(engine, settings, folder, workers)
    count = min(workers or _cores(), _cores())
    if count == 1 or size <= SMALL_BYTES:
        return _here(settings, folder)
    return _beside(settings, folder, count)


@contextmanager
def _here(settings: Settings, folder: Path) -> Iterator[Run]:
    def run(works: Iterable[W]) -> Iterator[W]:
        for work in works:
            work.do(settings, folder)
            yield work

    yield run


@contextmanager
def _beside(settings: Settings, folder: Path, count: int) -> Iterator[Run]:
    with Processes(settings, folder, count) as processes:
        yield processes.run


@contextmanager
def _on_ray(address: str, settings: Settings, folder: Path, workers: int) -> Iterator[Run]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise MissingExtraError("ray", "curating on a Ray cluster") from None
    with ExitStack() as stack:
        _connect(ray, address, workers)
        stack.callback(ray.shutdown)
        cores = int(ray.cluster_resources().get("CPU", 1))
        limit = workers or 2 * cores
        task = ray.remote(num_cpus=1, max_retries=2)(do_quietly)
        shared = ray.put(settings)

        def run(works: Iterable[W]) -> Iterator[W]:
            under_way: dict[Any, W] = {}
            for work in works:
                under_way[task.remote(work, shared, str(folder))] = work
                if len(under_way) >= limit:
                    yield _next(ray, under_way)
            while under_way:
                yield _next(ray, under_way)

        yield run


def do_quietly(work: Work, settings: Settings, folder: str) -> None:
    """Do `work` on one core, in a process whose cores others use as well."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    work.do(settings, Path(folder))


def _next(ray: Any, under_way: dict[Any, W]) -> W:
    (done,), _ = ray.wait(list(under_way), num_returns=1)
    try:
        ray.get(done)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, SamloopError):
            raise cause from None
        kind = type(cause or error).__name__
        raise SamloopError(
            f"a Ray worker failed with {kind}; see that it has samloop of this version and the output folder under "
            "the same path, then run the same command again: what is whole stays"
        ) from error
    return under_way.pop(done)


def _connect(ray: Any, address: str, workers: int) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL_RAY:
        own = {"num_cpus": workers or _cores(), "object_store_memory": _RAY_STORE_BYTES, "include_dashboard": False}
        # In this thread: Linux ends the cluster's processes with the thread that started them.
        ray.init(address="local", **own, **quiet)
        return
    place = urlsplit(address)
    try:
        host, port = place.hostname or "", place.port or 10001
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _no_answer(address, getattr(error, "strerror", None) or "not an address that can be reached") from None
    _in_time(address, lambda: ray.init(address=address, **quiet))


def _in_time(address: str, connect: Callable[[], Any]) -> None:
    """Connect, or give up: something that accepts connections and never speaks must not hold us."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            connect()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="samloop-ray", daemon=True)
    thread.start()
    thread.join(RAY_SECONDS)
    if thread.is_alive():
        raise _no_answer(address, f"no answer in {RAY_SECONDS:.0f} seconds")
    if failure:
        raise _no_answer(address, type(failure[0]).__name__) from failure[0]


def _no_answer(address: str, why: str) -> SamloopError:
    return SamloopError(
        f"the Ray cluster at {address} does not answer ({why}); check the address, that it runs (ray status), and "
        "RAY_AUTH_TOKEN where it wants a token, or use --engine local"
    )


def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
