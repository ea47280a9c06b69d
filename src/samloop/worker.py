"""The child process: one job.json in, metrics.jsonl and result.json out.

Started as ``python -m samloop.worker FOLDER`` by `samloop.child`. It ends when its standard input closes (the parent
died). On SIGTERM a training stops cleanly, with a checkpoint; an evaluation has nothing to keep and just ends.
Between its steps a training looks at the memory that is left, and for what is asked of it (`train.guard`).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from samloop import plugins
from samloop.child import FULL_DISK_EXIT
from samloop.errors import SamloopError, TrainingError
from samloop.files import write_json
from samloop.protocols import AdapterRef, Model


def work(folder: Path) -> dict[str, Any]:
    """Do the job in `folder` and return its result; a second worker on the same folder is refused.

    Raises:
        TrainingError: another worker is at it, or the job is of an unknown kind.
    """
    try:
        with FileLock(folder / "worker.lock", timeout=5), (folder / "metrics.jsonl").open("ab") as metrics:

            def on_metric(line: Mapping[str, Any]) -> None:
                try:
                    metrics.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
                    metrics.flush()
                except OSError as error:
                    raise TrainingError(
                        f"the metrics cannot be written to {metrics.name} ({error.strerror}); make room and start "
                        "the run again: it goes on from its newest checkpoint"
                    ) from error

            return _dispatch(orjson.loads((folder / "job.json").read_bytes()), folder, on_metric)
    except Timeout:
        raise TrainingError(f"another worker is at work in {folder}; wait for it or stop it first") from None


def _dispatch(
    job: dict[str, Any],
    folder: Path,
    on_metric: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    kind = job.pop("kind", None)
    if kind == "train":
        return _train(job, folder, on_metric)
    if kind == "evaluate":
        from samloop.evaluate.job import EvaluateJob
        from samloop.evaluate.run import run as run_evaluation

        parsed = EvaluateJob.from_dict(job)
        return run_evaluation(
            parsed, folder, on_metric, lambda base, adapters, form: load_model(parsed.backend, base, adapters, form)
        )
    raise TrainingError(f"expected a job of kind train or evaluate in {folder}, got {kind!r}")


def _train(job: dict[str, Any], folder: Path, on_metric: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Train as `job` says; its "guard" is what `train.guard.Guard` takes, in the recipe's units, and
    "report_to" names the trackers of `train.report`, and "cluster" is the address where "cluster_workers" train."""
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    from samloop.train import cluster
    from samloop.train.control import Control
    from samloop.train.driver import run
    from samloop.train.guard import GIGABYTE, Guard
    from samloop.train.job import TrainJob
    from samloop.train.report import Report

    watch = job.pop("guard", {})
    address, workers = job.pop("cluster", ""), job.pop("cluster_workers", 0)
    control = Control(folder)
    guard = Guard(
        control,
        pause_below_bytes=round(watch.get("pause_below_gb", 0) * GIGABYTE),
        go_on_at_bytes=round(watch.get("go_on_at_gb", 0) * GIGABYTE),
        give_up_seconds=watch.get("memory_wait_minutes", 0) * 60,
        ended=end.is_set,
        on_event=on_metric,
    )
    names = job.pop("report_to", ())
    parsed = TrainJob.from_dict(job)
    report = Report(names, parsed.run_id, parsed.to_dict(), folder)

    def on_line(line: Mapping[str, Any]) -> None:
        on_metric(line)
        report(line)

    state = "failed"
    try:
        if address:
            wishes = cluster.Wishes(stop=guard.should_stop, pause=lambda: control.wish() == "pause")
            result = cluster.run(parsed, folder, address, workers, on_line, wishes)
        else:
            result = run(parsed, folder, on_line, guard.should_stop, guard.between_steps)
        state = str(result["state"])
    finally:
        report.finish(state)
    return {**result, "reason": guard.reason} if state == "stopped" else result


def load_model(backend: str, base: Path, adapters: Sequence[AdapterRef], quantise: str = "none") -> Model:
    """The base model at `base`, held as `quantise` says, with `adapters`, loaded by the backend of that name."""
    model: Model = plugins.load("backends", backend)().load(base, adapters, quantise=quantise)
    return model


def _end_with_parent() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, aborts the interpreter when the job is done.
    while os.read(0, 1024):
        pass
    os._exit(1)


def main(folder: Path) -> int:
    """Work in `folder`; errors end up in result.json as {"error": {type, message}}. The exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return _answer(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return FULL_DISK_EXIT  # not even the error can be written


def _answer(folder: Path) -> int:
    try:
        result = work(folder)
    except SamloopError as error:
        write_json(folder / "result.json", {"error": {"type": type(error).__name__, "message": str(error)}})
        return 1
    except Exception as error:
        traceback.print_exc()
        message = f"the worker broke with {type(error).__name__}; its log is {folder / 'worker.log'}"
        write_json(folder / "result.json", {"error": {"type": "TrainingError", "message": message}})
        return 1
    write_json(folder / "result.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
