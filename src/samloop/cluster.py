"""The way to a Ray cluster, for whoever has work for it: curation and training connect here and nowhere else."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from samloop.errors import MissingExtraError, SamloopError

LOCAL: Final = "ray://local"
"""A cluster of this machine, for as long as the connection."""

CONNECT_SECONDS: Final = 5.0
RAY_SECONDS: Final = 60.0
"""How long a cluster may take to let us in."""

_STORE_BYTES: Final = 100 * 2**20
"""What processes of a cluster of this machine share in memory; Ray keeps more on disk."""


def is_address(address: str) -> bool:
    """Whether it is ``ray://local`` or ``ray://HOST:PORT``."""
    return address.startswith("ray://") and bool(urlsplit(address).netloc)


@contextmanager
def connected(address: str, *, cores: int, purpose: str, instead: str) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster at `address` until the block ends.

    Args:
        address: ``ray://local`` or ``ray://HOST:PORT``.
        cores: of a cluster of this machine; 0: those that this process may use.
        purpose: what Ray is missed for where it is not installed, such as "curating on a Ray cluster".
        instead: what else can be done where the cluster does not answer, such as "use --engine local".

    Raises:
        MissingExtraError: Ray is not installed.
        SamloopError: the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise MissingExtraError("ray", purpose) from None
    _connect(ray, address, cores or own_cores(), instead)
    try:
        yield ray
    finally:
        ray.shutdown()


def own_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _connect(ray: Any, address: str, cores: int, instead: str) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL:
        own = {"num_cpus": cores, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
        # In this thread: Linux ends the cluster's processes with the thread that started them.
        ray.init(address="local", **own, **quiet)
        return
    place = urlsplit(address)
    try:
        host, port = place.hostname or "", place.port or 10001
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not an address that can be reached"
        raise _no_answer(address, why, instead) from None
    _in_time(address, lambda: ray.init(address=address, **quiet), instead)


def _in_time(address: str, connect: Callable[[], Any], instead: str) -> None:
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
        raise _no_answer(address, f"no answer in {RAY_SECONDS:.0f} seconds", instead)
    if failure:
        raise _no_answer(address, type(failure[0]).__name__, instead) from failure[0]


def _no_answer(address: str, why: str, instead: str) -> SamloopError:
    return SamloopError(
        f"the Ray cluster at {address} does not answer ({why}); check the address, that it runs (ray status), and "
        f"RAY_AUTH_TOKEN where it wants a token, or {instead}"
    )
