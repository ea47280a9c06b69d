"""Code that means harm: each kind runs in the real sandbox, and nothing of it passes or reaches anything."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from samloop.errors import SandboxError
from samloop.evaluate import sandbox, system_calls, trials
from samloop.evaluate.inside import MESSAGE_BYTES, Unfit, dump_plain, load_plain
from samloop.evaluate.sandbox import Limits
from samloop.evaluate.trials import Outcome, Trial, resident_bytes, run_trial, run_trials
from sandbox_here import needs_sandbox

pytestmark = needs_sandbox

TEST = "def check(candidate):\n    assert candidate(2, 3) == 5\n"
RIGHT = "def add(a, b):\n    return a + b\n"
QUICK = Limits(cpu_seconds=1, wall_seconds=30)


def add(*body: str, before: str = "") -> Outcome:
    """The outcome of a function `add` with this body."""
    program = f"{before}\ndef add(a, b):\n" + "".join(f"    {line}\n" for line in body)
    return run_trial(Trial(programs=(program,), name="add", test=TEST), QUICK)


def said(expression: str, before: str = "") -> str:
    """What an expression inside the sandbox is, as text."""
    outcome = add(f"raise ValueError({expression})", before=before)
    assert not outcome.passed
    return outcome.reason.removeprefix("ValueError: ")


def test_right_code_passes_and_wrong_code_does_not():
    assert add("return a + b") == Outcome(passed=True)
    assert add("return a - b") == Outcome(passed=False, reason="AssertionError")


def test_a_message_of_an_assertion_is_handed_on():
    test = "def check(candidate):\n    assert candidate(1, 1) == 3, 'one and one'\n"
    assert run_trial(Trial(programs=(RIGHT,), name="add", test=test)).reason == "AssertionError: one and one"


@pytest.mark.parametrize(
    "call",
    ["os.fork()", "os.forkpty()", "os.posix_spawn('/bin/true', ['true'], {})", "assert os.system('true') == 0"],
)
def test_no_process_can_be_started(call):
    outcome = add("while True:", f"    {call}", before="import os")
    assert not outcome.passed
    assert "Error" in outcome.reason


def test_a_bomb_of_processes_and_one_of_threads_end_at_once_and_leave_nothing():
    before = {process.pid for process in psutil.process_iter()}
    assert not add("while True:", "    os.fork()", before="import os").passed
    bomb = "import threading, time"
    assert not add("while True:", "    threading.Thread(target=time.sleep, args=(99,)).start()", before=bomb).passed
    mine = psutil.Process().children(recursive=True)
    assert [child.name() for child in mine if child.pid not in before and "bwrap" in child.name()] == []


def test_endless_allocation_ends_at_the_limit():
    assert add("x = []", "while True:", "    x.append(bytearray(10**7))").reason.startswith("MemoryError")


@pytest.mark.parametrize("kind", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_no_socket_can_be_opened(kind):
    assert "PermissionError" in add(f"socket.socket(socket.{kind})", "return 5", before="import socket").reason


def test_nothing_listens_where_this_machine_does():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"socket.create_connection(('127.0.0.1', {port}))"
        assert not add(code, "return 5", before="import socket").passed


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/inside.py", "/dev/x", "/etc/x", "/root/x", "/home/x"])
def test_nothing_can_be_written_outside_its_own_tmp(path):
    assert not add(f"open({path!r}, 'w')", "return a + b").passed


def test_its_tmp_is_its_own_bounded_and_gone_afterwards(tmp_path):
    assert add("open('/tmp/mark', 'w').write('x')", "return a + b").passed
    assert said("os.listdir('/tmp')", "import os") == "[]"
    assert not Path("/tmp/mark").exists()
    assert not add("open('/tmp/x', 'wb').write(bytes(10**6) * 20)", "return a + b").passed
    filled = ["for n in range(99):", "    open(f'/tmp/{n}', 'wb').write(bytes(10**6))", "return a + b"]
    assert "No space left" in add(*filled).reason


def test_home_and_environment_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_KEY", "planted-value")
    there = f"[os.path.exists(p) for p in ({str(Path.home() / '.bashrc')!r}, '/home', '/proc', {str(tmp_path)!r})]"
    assert said(f"str({there})", "import os") == "[False, False, False, False]"
    (tmp_path / "private").write_text("planted-value")
    assert "FileNotFoundError" in add(f"return open({str(tmp_path / 'private')!r}).read()").reason
    assert "planted-value" not in said("str(dict(os.environ))", "import os")
    assert said("str(sorted(os.environ))", "import os") == str(
        sorted(["PATH", "LANG", "PYTHONHASHSEED", "HOME", "TMPDIR", "PWD"])
    )


def test_an_endless_loop_ends_at_the_limit_of_processor_time():
    reason = add("while True:", "    pass").reason
    assert reason == f"{trials.ENDED_EARLY} (it was killed at its limit of processor time)"


def test_code_that_only_waits_ends_at_the_limit_of_real_time():
    trial = Trial(programs=("import time\ntime.sleep(99)",), name="add", test=TEST)
    assert run_trial(trial, Limits(wall_seconds=1.0)).reason == "it was not done after 1 seconds"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_gigabyte_of_output_is_cut_off(stream):
    body = ["for _ in range(1000):", f"    print('x' * 10**6, file=sys.{stream})", "return a + b"]
    assert add(*body, before="import sys").reason == "it printed more than 1,048,576 bytes"


def test_a_little_output_does_no_harm():
    assert add("print('thinking')", "return a + b").passed


def test_it_cannot_kill_what_is_around_it():
    watcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        body = [
            f"for pid in (os.getppid(), 1, {os.getpid()}, {watcher.pid}, -1):",
            "    try:",
            "        os.kill(pid, 9)",
            "    except OSError:",
            "        pass",
            "return a + b",
        ]
        add(*body, before="import os")
        assert watcher.poll() is None
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdin.close()


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)", "raise SystemExit", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("when", ["at once", "when called"])
def test_ending_before_the_tests_is_no_pass(ending, when):
    before = f"import os, sys\n{ending if when == 'at once' else ''}"
    assert not add(ending, before=before).passed


def test_saying_that_all_passed_is_no_pass():
    """It writes to every descriptor it holds what the tests would say; the word for a pass it does not know."""
    forged = dump_plain(("passed", ""))
    body = [
        "for fd in range(64):",
        "    try:",
        f"        os.write(fd, struct.pack('>I', {len(forged)}) + {forged!r})",
        "    except OSError:",
        "        pass",
        "os._exit(0)",
    ]
    assert not add(*body, before="import os, struct").passed


def test_the_tests_are_nowhere_in_its_memory():
    marker = "planted in the test"
    test = f"def check(candidate):\n    assert candidate(2, 3) == 5, {marker!r}\n"
    program = (
        "import gc\ndef add(a, b):\n"
        "    texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]\n"
        f"    return 5 if ''.join(reversed({marker[::-1]!r})) in repr(texts) else 6\n"
    )
    assert not run_trial(Trial(programs=(program,), name="add", test=test)).passed


def test_an_object_that_equals_everything_is_no_pass():
    before = "class Yes:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0"
    assert "no plain data" in add("return Yes()", before=before).reason
    assert "no plain data" in add("return type('I', (int,), {'__eq__': lambda s, o: True})(1)").reason
    assert "no plain data" in add("return lambda: 5").reason


@pytest.mark.parametrize(
    "patch", ["builtins.AssertionError = Warning", "builtins.compile = None", "sys.modules.clear()"]
)
def test_changing_python_itself_changes_the_tests_nothing(patch):
    assert not add("return 6", before=f"import builtins, sys\n{patch}").passed


def test_a_test_that_ends_itself_is_no_pass():
    for test in ("import os\nos._exit(0)", "import sys\nsys.exit(0)"):
        assert not run_trial(Trial(programs=(RIGHT,), name="add", test=test)).passed


def test_two_trials_cannot_meet():
    write = (
        "def add(a, b):\n    open('/tmp/left', 'w').write('x')\n    import time\n    time.sleep(0.3)\n    return 5\n"
    )
    look = "import os, time\ndef add(a, b):\n    time.sleep(0.1)\n    return 5 + len(os.listdir('/tmp'))\n"
    found = run_trials([Trial(programs=(code,), name="add", test=TEST) for code in (write, look)], at_once=2)
    assert [one.passed for one in found] == [True, True]


def test_many_run_side_by_side_and_each_keeps_its_place():
    codes = [RIGHT if at % 3 else "def add(a, b):\n    return 0\n" for at in range(12)]
    found = run_trials([Trial(programs=(code,), name="add", test=TEST) for code in codes], at_once=4)
    assert [one.passed for one in found] == [bool(at % 3) for at in range(12)]
    assert run_trials([]) == []


def test_a_hostile_source_does_not_hurt_us():
    for program in ("(" * 100_000, "\0", "x = " + "-" * 50_000 + "1", "\ud800", "#" * (MESSAGE_BYTES + 1)):
        assert not run_trial(Trial(programs=(program,), name="add", test=TEST)).passed


# --- what crosses ------------------------------------------------------------------------------------------------


def test_arguments_results_and_exceptions_cross_as_they_are():
    test = (
        "import collections\n"
        "def check(candidate):\n"
        "    for value in (None, True, 1.5, float('inf'), 2j, b'x', (1, [2]), {3}, frozenset({4}), {'a': {5: ()}}, "
        "collections.Counter('aab'), collections.deque([1])):\n"
        "        assert candidate(value) == value and type(candidate(value)) is type(value)\n"
        "    assert list(candidate(range(3))) == [0, 1, 2]\n"
        "    assert candidate(value=7) == 7\n"
    )
    assert run_trial(Trial(programs=("def same(value):\n    return value\n",), name="same", test=test)).passed
    generator = "def count(n):\n    yield from range(n)\n"
    test = "def check(candidate):\n    assert list(candidate(3)) == [0, 1, 2]\n    assert candidate(3) != [0, 1, 2]\n"
    assert run_trial(Trial(programs=(generator,), name="count", test=test)).passed
    test = "try:\n    candidate(0)\nexcept ZeroDivisionError:\n    pass\nelse:\n    assert False\n"
    assert run_trial(Trial(programs=("def f(n):\n    return 1 / n\n",), name="f", test=test)).passed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(S'1'\nS'x'\ntR.",
        b"c__main__\nanything\n.",
    ],
)
def test_a_message_that_would_run_something_is_refused(data):
    with pytest.raises(Unfit):
        load_plain(data)


def test_what_is_no_plain_data_is_not_sent():
    for value in (open, lambda: 1, object(), {"a": Path()}, bytes(MESSAGE_BYTES + 1)):
        with pytest.raises(Unfit):
            dump_plain(value)


def test_a_trial_whose_values_are_no_plain_data_does_not_run():
    assert not run_trial(Trial(test="pass", values={"x": object()})).passed
    assert run_trial(Trial(test="assert x == [1]", values={"x": [1]})).passed


# --- where there is none -----------------------------------------------------------------------------------------


@pytest.fixture
def forgotten():
    """The sandbox's check of this machine, made again."""
    sandbox._working.cache_clear()
    yield
    sandbox._working.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_a_sandbox_nothing_runs_and_one_sentence_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"expected a sandbox .* got none .* install bubblewrap") as caught:
        run_trials([Trial(test=f"open({str(tmp_path / 'ran')!r}, 'w')")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("forgotten")
def test_a_sandbox_that_does_not_start_is_none(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxError, match=r"got exit code 1 .*No permissions to create new namespace"):
        run_trials([Trial(test="pass")])


@pytest.mark.usefixtures("forgotten")
def test_a_machine_without_a_filter_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match="riscv64"):
        run_trials([Trial(test="pass")])


def test_the_filters_of_both_machines_refuse_the_same_calls():
    x86, arm = (system_calls.filter_program(machine) for machine in system_calls.MACHINES)
    assert len(x86) % 8 == len(arm) % 8 == 0
    # x86-64 has fork and vfork, five further calls of its own age, and the x32 door.
    assert 0 < len(x86) - len(arm) <= 8 * 2 * 10


def test_the_profile_for_macos_denies_what_it_does_not_name():
    profile = sandbox.seatbelt_profile('/private/var/a "b"')
    lines = profile.splitlines()
    assert lines[:4] == ["(version 1)", "(deny default)", "(deny network*)", "(deny process-fork)"]
    assert '(subpath "/private/var/a \\"b\\"")' in profile
    assert profile.count("(") == profile.count(")")
    assert [line for line in lines if "file-write*" in line and "/private/var" not in line] == []
    assert str(Path.home()) not in profile.replace(os.path.realpath(sys.base_prefix), "")


def test_the_memory_of_a_process_is_seen_from_outside():
    assert resident_bytes(os.getpid()) > 2**20
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert resident_bytes(ended.pid) == 0


def test_leaving_ends_what_was_started():
    with ExitStack() as stack:
        reading, writing = os.pipe()
        child = sandbox.start("answer", Limits(), stack, fds=(reading, writing))
        assert child.poll() is None
        os.close(reading)
    assert child.returncode is not None
    os.close(writing)


def test_no_descriptor_is_left_open():
    run_trial(Trial(programs=(RIGHT,), name="add", test=TEST))
    before, threads = psutil.Process().num_fds(), threading.active_count()
    for _ in range(3):
        add("return a + b")
        add("while True:", "    print('x' * 10**6)")
    assert psutil.Process().num_fds() <= before
    assert threading.active_count() <= threads + 1
