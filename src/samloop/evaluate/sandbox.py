"""Where model-written code runs, and nowhere else: one process that sees no network, no home and no other process.

On Linux the sandbox is bubblewrap (the program ``bwrap``, 0.7 or newer): namespaces of its own for processes,
network, messages and users; of the file system only /usr and the Python that runs samloop, both read-only, and an
empty /tmp in memory; and a filter of system calls (`samloop.evaluate.system_calls`) that leaves it one process. On
macOS it is seatbelt (``sandbox-exec``) with a profile that allows as little; that side follows Apple's documentation
and has not been run yet. Memory, processor time, files and output are bounded on both. Where
neither is there, or it does not work, running code is refused: nothing is ever run without.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from samloop.errors import SandboxError
from samloop.evaluate import system_calls

INSIDE: Final = Path(__file__).with_name("inside.py")
"""The script that every sandbox starts: it sets its own limits before it reads any code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What sandboxed code may use at most.

    Attributes:
        cpu_seconds: processor time; it decides, so that a busy machine does not change what passes.
        wall_seconds: real time, for code that only waits.
        memory_bytes: address space of the process.
        disk_bytes: all that it writes to /tmp, and each file there.
        output_bytes: what it prints; the rest of its run is cut off.
        open_files: files and pipes open at once.
    """

    cpu_seconds: int = 5
    wall_seconds: float = 20.0
    memory_bytes: int = 256 * 2**20
    disk_bytes: int = 16 * 2**20
    output_bytes: int = 2**20
    open_files: int = 64


LIMITS: Final = Limits()


def start(
    role: str,
    limits: Limits,
    stack: ExitStack,
    *,
    fds: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `INSIDE` in a sandbox of its own; leaving `stack` ends it and all it left.

    Args:
        role: what the script shall do there: "answer", "test" or "probe".
        fds: further descriptors that it inherits; their numbers are its arguments.

    Raises:
        SandboxError: this machine has no sandbox that works.
    """
    _working()
    return _start(role, limits, stack, fds, stdin, stdout)


def check_sandbox() -> None:
    """Make sure that this machine has a sandbox that works.

    Raises:
        SandboxError: it has none, with what to do about it.
    """
    _working()


@cache
def _working() -> None:
    """Run a script of ours in the sandbox once: a program that is there may still be forbidden to do its work."""
    kind = _kind()
    with ExitStack() as stack:
        child = _start("probe", LIMITS, stack, (), subprocess.DEVNULL, subprocess.PIPE)
        said, complaint = child.communicate(timeout=60)
        if said.strip() != b"sandboxed":
            last = (complaint or said).decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise SandboxError(
                f"expected the sandbox to start, got exit code {child.returncode} from {kind} ({last[0]}); code is "
                "not run without a sandbox: allow unprivileged user namespaces and use bubblewrap 0.7 or newer, or "
                "leave suites that run code out of evaluate.suites"
            )


def _kind() -> str:
    """The program that makes the sandbox here."""
    system, machine = platform.system(), platform.machine()
    wanted = {"Linux": "bwrap", "Darwin": "sandbox-exec"}.get(system)
    if wanted and shutil.which(wanted) and (system == "Darwin" or machine in system_calls.MACHINES):
        return wanted
    remedy = "install bubblewrap" if system == "Linux" and not shutil.which("bwrap") else "use another machine for it"
    raise SandboxError(
        f"expected a sandbox to run model-written code in (bubblewrap on Linux, sandbox-exec on macOS), got none on "
        f"this {system} machine ({machine}); {remedy}, or leave suites that run code out of evaluate.suites"
    )


def _start(
    role: str, limits: Limits, stack: ExitStack, fds: Sequence[int], stdin: int, stdout: int
) -> subprocess.Popen[bytes]:
    python = [os.path.realpath(sys.executable), "-P", "-s", "-S", "-B", "-X", "utf8"]
    told = [str(INSIDE), role, *(str(getattr(limits, name)) for name in _TOLD), *map(str, fds)]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    inherited = list(fds)
    if _kind() == "bwrap":
        calls, end = os.pipe()
        inherited.append(calls)
        with os.fdopen(end, "wb") as writing:  # a few hundred bytes, far less than a pipe takes
            writing.write(system_calls.filter_program(platform.machine()))
        told[0] = "/inside.py"
        command = [*_bubblewrap(calls, limits, environment), *python, *told]
    else:
        calls = -1
        scratch = os.path.realpath(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        environment |= {"HOME": scratch, "TMPDIR": scratch}
        command = ["sandbox-exec", "-p", seatbelt_profile(scratch), *python, *told]
    child = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE if role == "probe" else subprocess.STDOUT,
        env=_outer_environment() if calls >= 0 else environment,
        cwd="/" if calls >= 0 else environment["TMPDIR"],
        pass_fds=inherited,
        start_new_session=True,
    )
    if calls >= 0:
        os.close(calls)
    stack.callback(_end, child)
    return child


_TOLD: Final = ("cpu_seconds", "memory_bytes", "disk_bytes", "open_files")


def _outer_environment() -> Mapping[str, str]:
    """What bubblewrap itself needs: it starts without the variables of this process, which may hold keys."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the sandbox; its first process takes all others with it (die-with-parent, and a PID namespace)."""
    if child.poll() is None:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            pipe.close()


def _bubblewrap(calls: int, limits: Limits, environment: Mapping[str, str]) -> list[str]:
    command = [
        "bwrap",
        "--unshare-all",
        "--unshare-user",
        "--uid",
        "65534",
        "--gid",
        "65534",
        "--hostname",
        "sandbox",
    ]
    command += ["--cap-drop", "ALL", "--die-with-parent", "--new-session", "--seccomp", str(calls), "--clearenv"]
    for name, value in {**environment, "HOME": "/tmp", "TMPDIR": "/tmp"}.items():  # noqa: S108  its own, in memory
        command += ["--setenv", name, value]
    for folder in _system_folders():
        command += ["--ro-bind", folder, folder]
    for name in ("/bin", "/lib", "/lib64", "/sbin"):
        if Path(name).is_symlink():
            command += ["--symlink", str(Path(name).readlink()), name]
        elif Path(name).is_dir():
            command += ["--ro-bind", name, name]
    for name in ("/dev/null", "/dev/zero", "/dev/urandom"):
        command += ["--dev-bind", name, name]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    command += ["--size", str(limits.disk_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    # No /proc: nobody looks at the processes around, and it works where a container forbids to mount one.
    return [*command, "--ro-bind", str(INSIDE), "/inside.py", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def _system_folders() -> list[str]:
    """/usr, and the Python that runs samloop where it lies elsewhere: not the environment around it, nor the home."""
    found = ["/usr"]
    for prefix in (sys.base_prefix, sys.base_exec_prefix, "/nix/store"):
        folder = os.path.realpath(prefix)
        if folder not in found and not folder.startswith("/usr/") and folder != "/" and Path(folder).is_dir():
            found.append(folder)
    return found


def seatbelt_profile(scratch: str) -> str:
    """The profile for macOS: all is denied but to run this Python, to read it and the system's libraries, and to
    write to the folder `scratch`."""
    readable = ["/usr/lib", "/System/Library", "/Library/Apple", *(f for f in _system_folders() if f != "/usr")]
    subpaths = " ".join(f'(subpath "{_quoted(folder)}")' for folder in readable)
    devices = " ".join(f'(literal "{name}")' for name in ("/dev/null", "/dev/zero", "/dev/urandom"))
    return "\n".join(
        (
            "(version 1)",
            "(deny default)",
            "(deny network*)",
            "(deny process-fork)",
            f"(allow process-exec {subpaths})",
            f'(allow file-read* (literal "/") {subpaths} {devices} (literal "{_quoted(str(INSIDE))}"))',
            "(allow file-read-metadata)",
            "(allow sysctl-read)",
            f'(allow file-read* file-write* (subpath "{_quoted(scratch)}"))',
            '(allow file-write-data (literal "/dev/null"))',
        )
    )


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')
