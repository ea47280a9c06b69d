"""Start a worker process for one job and follow it.

Training and evaluation run in a child process, so that an out-of-memory kill becomes a failed run and not a dead
scheduler. The child holds the read end of a pipe whose write end is ours: when we die, however hard, it ends too, so
that no orphan writes into a run that the next turn takes up again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from samloop.errors import SamloopError, TrainingError
from samloop.files import private_folder, write_json

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.05
STOP_GRACE_SECONDS: Final = 30.0
"""How long a worker may take to write its last checkpoint after it was asked to stop."""

FULL_DISK_EXIT: Final = 28
"""The exit code of a worker whose disk is so full that it cannot even write its error: ENOSPC's own number."""

OPENBLAS: Final = "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0"
"""MLX on Linux ships the reference BLAS; Debian's OpenBLAS, preloaded, is some 40 times faster."""


def run_job(folder: Path, job: Mapping[str, Any], on_metric: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run `job` in a worker process on `folder` and return its result.

    Args:
        folder: receives job.json, metrics.jsonl, worker.log and result.json; what a killed worker left there
            (checkpoints) is taken up again.
        job: JSON-ready; "kind" is train or evaluate.
        on_metric: called with each metric line as it is written.

    Raises:
        SamloopError: what the worker raised, with its message.
        TrainingError: the worker was killed or broke without a word.
    """
    private_folder(folder)
    (folder / "result.json").unlink(missing_ok=True)
    write_json(folder / "job.json", dict(job))
    metrics = folder / "metrics.jsonl"
    seen = metrics.stat().st_size if metrics.exists() else 0
    with (folder / "worker.log").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "samloop.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env=_environment(job),
            start_new_session=True,
        )
    try:
        with _terminated_as_interrupted():
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                seen = _follow(metrics, seen, on_metric)
    except BaseException:
        _stop(process)
        raise
    finally:
        if process.stdin:
            process.stdin.close()
    _follow(metrics, seen, on_metric)
    return _result(folder, process.returncode)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM (a service is stopped, a machine shuts down) end us as Ctrl-C does: with a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; whoever runs us in another has their own
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


SPINS: Final = "1000"
"""How long an idle thread of OpenMP spins before it sleeps (its default is some 300,000 turns).

Threads that spin take the core from the one they wait for as soon as another program wants it too. Measured on two
cores with the pocket model, tokens/s: alone 9,100 by default, 9,000 with 1,000 turns, 7,000 without any; beside a
busy program 840, 5,100 and 5,400.
"""


def _environment(job: Mapping[str, Any]) -> dict[str, str]:
    variables = dict(os.environ, PYTHONUNBUFFERED="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & variables.keys():
        variables["GOMP_SPINCOUNT"] = SPINS
    if job.get("backend") == "mlx" and sys.platform == "linux":
        # MLX compiles kernels into a predictable path under TMPDIR; without compilation it writes none.
        variables["MLX_DISABLE_COMPILE"] = "1"
        if Path(OPENBLAS).exists():
            variables["LD_PRELOAD"] = " ".join(filter(None, [variables.get("LD_PRELOAD"), OPENBLAS]))
    return variables


def _follow(metrics: Path, offset: int, on_metric: Callable[[dict[str, Any]], None]) -> int:
    """Hand on the whole lines written since `offset`; the new offset."""
    if not metrics.exists() or metrics.stat().st_size <= offset:
        return offset
    with metrics.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        on_metric(orjson.loads(line))
    return offset + end


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    log.warning("stopping: the worker ends its step and keeps what it has")
    try:
        process.wait(STOP_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _result(folder: Path, code: int) -> dict[str, Any]:
    path = folder / "result.json"
    if path.exists():
        result: dict[str, Any] = orjson.loads(path.read_bytes())
        if error := result.get("error"):
            raise error_of(error["type"], error["message"])
        return result
    if code == FULL_DISK_EXIT:
        raise TrainingError(
            f"the disk of {folder} is full; make room and start the run again: it goes on from its newest checkpoint"
        )
    if code < 0:
        name = signal.Signals(-code).name
        hint = "; it may have run out of memory: try a smaller preset" if code == -signal.SIGKILL else ""
        raise TrainingError(f"the worker was ended by {name}{hint}; its log is {folder / 'worker.log'}")
    raise TrainingError(f"the worker stopped with exit code {code}; its log is {folder / 'worker.log'}")


def error_of(kind: str, message: str) -> SamloopError:
    """The exception a worker reported, as the nearest class of our tree."""
    classes: dict[str, type[SamloopError]] = {}
    pending: list[type[SamloopError]] = [SamloopError]
    while pending:
        found = pending.pop()
        classes[found.__name__] = found
        pending += found.__subclasses__()
    chosen = classes.get(kind, TrainingError)
    error = chosen.__new__(chosen)
    Exception.__init__(error, message)
    return error
