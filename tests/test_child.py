"""Worker processes: results, errors, metrics and deaths come back as they should."""

import os
import signal
import subprocess
import sys
import time

import orjson
import psutil
import pytest

from samloop.child import run_job
from samloop.errors import MissingExtraError, ModelError, SamloopError, TrainingError, UsageError

WORKER = """
import sys, pathlib, json
folder = pathlib.Path(sys.argv[-1])
"""


@pytest.fixture
def fake_worker(monkeypatch):
    """Replace the worker's program text; everything else is the real thing."""
    real = subprocess.Popen

    def use(code):
        def popen(command, **options):
            return real([sys.executable, "-c", WORKER + code, command[-1]], **options)

        monkeypatch.setattr(subprocess, "Popen", popen)

    return use


def test_result_and_metrics_come_back_in_order(tmp_path, fake_worker):
    fake_worker(
        """
with (folder / "metrics.jsonl").open("a") as out:
    for step in range(50):
        out.write(json.dumps({"step": step}) + "\\n"); out.flush()
    out.write('{"half a li')
(folder / "result.json").write_text(json.dumps({"state": "completed"}))
"""
    )
    seen = []
    assert run_job(tmp_path / "run", {"kind": "train"}, seen.append) == {"state": "completed"}
    assert [line["step"] for line in seen] == list(range(50))
    assert orjson.loads((tmp_path / "run" / "job.json").read_bytes()) == {"kind": "train"}


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_that_wait_soon_sleep_unless_the_user_has_a_say(tmp_path, fake_worker, monkeypatch, given, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    fake_worker(
        """
import os
(folder / "result.json").write_text(json.dumps({"spins": os.environ.get("GOMP_SPINCOUNT")}))
"""
    )
    assert run_job(tmp_path / "run", {}, print) == {"spins": spins}


def test_metrics_of_an_earlier_try_are_not_told_again(tmp_path, fake_worker):
    fake_worker("""(folder / "result.json").write_text("{}")""")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    seen = []
    run_job(tmp_path, {}, seen.append)
    assert seen == []


@pytest.mark.parametrize("kind", [ModelError, UsageError, MissingExtraError, SamloopError])
def test_errors_keep_their_class_and_words(tmp_path, fake_worker, kind):
    error = {"type": kind.__name__, "message": "expected this, got that"}
    fake_worker(f"""(folder / "result.json").write_text(json.dumps({{"error": {error!r}}})); sys.exit(1)""")
    with pytest.raises(kind, match="expected this, got that"):
        run_job(tmp_path, {}, print)


def test_a_killed_worker_is_a_failed_run_that_says_so(tmp_path, fake_worker):
    fake_worker("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(TrainingError, match=r"SIGKILL.*memory.*worker\.log"):
        run_job(tmp_path, {}, print)


def test_a_stale_result_is_never_taken_for_the_new_one(tmp_path, fake_worker):
    (tmp_path / "result.json").write_text('{"state": "completed"}')
    fake_worker("sys.exit(3)")
    with pytest.raises(TrainingError, match="exit code 3"):
        run_job(tmp_path, {}, print)


def test_a_disk_that_is_full_is_one_sentence(tmp_path, fake_worker):
    fake_worker("sys.exit(28)")
    with pytest.raises(TrainingError, match=r"the disk of .* is full; make room and start the run again"):
        run_job(tmp_path, {}, print)


def test_being_terminated_is_being_interrupted(tmp_path, fake_worker):
    """As by a service manager: the worker is asked to end, and the handler of before is back."""
    before = signal.getsignal(signal.SIGTERM)
    fake_worker(
        """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (folder / "asked").touch() or sys.exit(0))
(folder / "metrics.jsonl").write_text('{"step": 1}' + "\\n")
time.sleep(60)
"""
    )
    with pytest.raises(KeyboardInterrupt):
        run_job(tmp_path, {}, lambda _line: os.kill(os.getpid(), signal.SIGTERM))
    assert (tmp_path / "asked").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_unknown_kind_of_job_is_refused_by_the_real_worker(tmp_path):
    with pytest.raises(TrainingError, match="got 'dance'"):
        run_job(tmp_path, {"kind": "dance"}, print)


def test_worker_ends_when_its_parent_is_killed(tmp_path):
    """No orphan may go on writing into a run."""
    code = f"""
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import threading, time; from samloop import worker; "
     "threading.Thread(target=worker._end_with_parent, daemon=True).start(); "
     "print('ready', flush=True); time.sleep(60)"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
