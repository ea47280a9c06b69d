"""The worker process: it ends without a word when its job is done."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from samloop.child import FULL_DISK_EXIT


def test_a_worker_whose_job_is_done_ends_without_a_word(tmp_path: Path) -> None:
    """It was aborted once, by its own thread that waits for the parent's end."""
    (tmp_path / "job.json").write_text('{"kind": "dance"}')
    command = [sys.executable, "-m", "samloop.worker", tmp_path]
    pipe = subprocess.PIPE
    # Its standard input stays open until it has ended, as that of a parent that lives.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as worker:
        assert worker.stdout is not None
        said = worker.stdout.read()
        code = worker.wait()
    assert (code, said) == (1, b"")
    assert "got 'dance'" in json.loads((tmp_path / "result.json").read_bytes())["error"]["message"]


def full_disk() -> None:
    """No file may grow: what a process finds on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_a_worker_that_cannot_even_write_its_error_says_so_by_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"kind": "dance"}')
    command = [sys.executable, "-m", "samloop.worker", tmp_path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, preexec_fn=full_disk) as worker:
        assert worker.stdout is not None
        said, code = worker.stdout.read(), worker.wait()
    assert (code, said) == (FULL_DISK_EXIT, b"")
    assert {path.name for path in tmp_path.iterdir()} <= {"job.json", "metrics.jsonl", "worker.lock"}
