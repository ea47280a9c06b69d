"""How much memory this process takes, and how much is left."""

from __future__ import annotations

import ctypes
import gc
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import psutil


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """The most that `resident_bytes` has been in the life of this process.

    Linux counts what getrusage says through an exec, so that a small worker of a large parent would be called large;
    its own count of the process's memory does not.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return max(int(status.partition("VmHWM:")[2].split()[0]) * 1024, resident_bytes())
    except (OSError, ValueError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(peak if sys.platform == "darwin" else peak * 1024, resident_bytes())


def available_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that can be had without swapping: what the system has left, or the container, whichever is less."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return available
    return available if limit == "max" else max(0, min(available, int(limit) - used))


def available_on_gpu_bytes() -> int | None:
    """Free memory of the first NVIDIA GPU, as its driver's own program says; None where that does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        return int(said.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def release() -> None:
    """Give memory that this process holds but does not use back to the system.

    A framework is asked only if it is loaded already: this module imports none.
    """
    gc.collect()
    torch, mlx = sys.modules.get("torch"), sys.modules.get("mlx.core")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if mlx is not None:
        mlx.clear_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
