"""Who does the work: this process, processes beside it, or the workers of a Ray cluster. The work is the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from samloop import cluster
from samloop.errors import SamloopError, UsageError
from samloop.loop.bulk.processes import Processes
from samloop.loop.bulk.unit import Settings
from samloop.loop.bulk.work import Run, W, Work

SMALL_BYTES: Final = 2**22
"""Up to so much input, this process is done before others would have started."""


def check(engine: str) -> None:
    """Complain about an engine there is none of.

    Raises:
        UsageError: it is neither ``local`` nor a Ray address.
    """
    if engine != "local" and not cluster.is_address(engine):
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
    cores = cluster.own_cores()
    count = min(workers or cores, cores)
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
    options = {"purpose": "curating on a Ray cluster", "instead": "use --engine local"}
    with cluster.connected(address, cores=workers, **options) as ray:
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
