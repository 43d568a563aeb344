"""System calls that no program in a sandbox gets: what namespaces leave open.

A list of what is refused, because compilers, interpreters and package tools use nearly all of the
others. On it: doors that namespaces do not cut (sockets of virtual machines, the kernel's
keyrings, bpf, perf), interfaces that run work outside of the caller's limits (io_uring), memory
that belongs to no process and would not be counted (memfd, System V), and whatever looks into or
acts on other processes.
"""

from __future__ import annotations

import errno
import os
import tempfile
from functools import lru_cache

from facets.sandbox.errors import SandboxUnavailable

_ABSENT = (
    "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create", "memfd_secret",
)  # fmt: skip
_REFUSED = (
    "acct", "add_key", "bpf", "delete_module", "fanotify_init", "finit_module", "fsconfig",
    "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kcmp", "kexec_file_load",
    "kexec_load", "keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount", "msgget",
    "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open",
    "pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
    "ptrace", "quotactl", "quotactl_fd", "reboot", "request_key", "semget", "setns", "shmget",
    "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vhangup",
)  # fmt: skip
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_FAMILIES = frozenset(range(64)) - {_UNIX, _INET, _INET6, _NETLINK}
_LOW = 0xFFFFFFFF
"""The kernel looks at 32 bits of a socket's family; a rule that compares 64 can be passed by."""


@lru_cache(maxsize=4)
def program(but: frozenset[str] = frozenset()) -> bytes:
    """The filter as BPF for this machine, without those in `but`; `SandboxUnavailable` without
    pyseccomp."""
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise SandboxUnavailable(
            f"no system calls can be filtered: {error}",
            hint="pip install 'facets-runtime[sandbox]', and libseccomp2 from the distribution",
        ) from error
    made = seccomp.SyscallFilter(seccomp.ALLOW)
    for names, number in ((_ABSENT, errno.ENOSYS), (_REFUSED, errno.EPERM)):
        for name in set(names) - but:
            _refuse(seccomp, made, name, number)
    arg, masked = seccomp.Arg, seccomp.MASKED_EQ
    no_family = seccomp.ERRNO(errno.EAFNOSUPPORT)
    for call in ("socket", "socketpair"):
        for family in _FAMILIES:
            made.add_rule(no_family, call, arg(0, masked, _LOW, family))
    made.add_rule(no_family, "socket", arg(0, masked, _LOW, _NETLINK), arg(2, seccomp.NE, 0))
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        size = os.lseek(file.fileno(), 0, os.SEEK_END)
        return os.pread(file.fileno(), size, 0)


def _refuse(seccomp: object, made: object, name: str, number: int) -> None:
    """One that this version of libseccomp, or this processor, has no name for is left out."""
    try:
        made.add_rule(seccomp.ERRNO(number), name)  # type: ignore[attr-defined]
    except (RuntimeError, OSError, ValueError, TypeError):
        return
