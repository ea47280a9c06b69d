"""The filter of system calls that sandboxed code runs under on Linux, as a program for the kernel (seccomp).

Namespaces take away what there is to reach; the filter takes away what would get around the limits: further
processes (each would have a memory limit of its own), memory that no limit counts, and calls that have opened ways
out of namespaces before. What is refused looks to the program like a lack of permission.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

_X86_64: Final = 0xC000003E
_AARCH64: Final = 0xC00000B7
"""AUDIT_ARCH_… of linux/audit.h."""

_X32: Final = 0x40000000
"""Calls from this number on are the x32 ones of x86-64: a second door to the same rooms."""

_CLONE_THREAD: Final = 0x00010000

_COMMON: Final = (
    *(425, 426, 427),  # io_uring: does the work of other calls unseen by this filter
    *(428, 429, 430, 431, 432, 433, 442),  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    *(438, 447),  # pidfd_getfd, memfd_secret
)

_REFUSED: Final[dict[str, tuple[int, ...]]] = {
    "x86_64": (
        *_COMMON,
        *(57, 58),  # fork, vfork
        *(41, 101, 310, 311),  # socket, ptrace, process_vm_readv, process_vm_writev
        *(29, 64, 68, 240, 319),  # shmget, semget, msgget, mq_open, memfd_create: memory beside the limit
        *(165, 166, 155, 161, 272, 308),  # mount, umount2, pivot_root, chroot, unshare, setns
        *(248, 249, 250, 298, 321, 323),  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
        *(103, 135, 154, 163, 167, 168, 169, 172, 173, 175, 176, 179),  # syslog … quotactl: the administrator's
        *(246, 278, 303, 304, 313, 320),  # kexec_load, vmsplice, name_to_handle_at, open_by_handle_at, modules
    ),
    "aarch64": (
        *_COMMON,
        *(198, 117, 270, 271),
        *(194, 190, 186, 180, 279),
        *(40, 39, 41, 51, 97, 268),
        *(217, 218, 219, 241, 280, 282),
        *(116, 92, 89, 224, 225, 142, 105, 106, 60),
        *(104, 75, 264, 265, 273, 294),
    ),
}
"""By machine the numbers of refused calls, in one order (Linux: arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h)."""

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_ARCHITECTURE: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}

MACHINES: Final = tuple(_CLONE)
"""Machines that there is a filter for, as `platform.machine` names them."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FLAGS_AT = 0, 4, 16


def filter_program(machine: str) -> bytes:
    """The filter as an array of struct sock_filter (linux/filter.h), which bubblewrap takes by ``--seccomp``.

    New threads are allowed and new processes are not. clone3 keeps its flags where a filter cannot see them, so it
    does not exist here, and the C library falls back to clone.

    Args:
        machine: one of `MACHINES`.
    """
    refused = _REFUSED[machine]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | errno.EPERM)]
    program += [
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
        (_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, _FLAGS_AT),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)
