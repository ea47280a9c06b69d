"""The worker process: it ends without a word when its job is done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


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
