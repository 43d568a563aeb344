"""The command line of bubblewrap: what there is in a box, and what not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files as resources
from pathlib import Path

from facets.sandbox.limits import SandboxLimits

WORKSPACE = "/workspace"
SMALL = 16 << 20
"""Bytes of the file systems that nobody should fill: the root and shared memory."""
_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "/etc/alternatives", "/etc/ca-certificates.conf", "/etc/ld.so.cache", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/localtime", "/etc/pki/tls/certs", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)  # fmt: skip
PORT = 3128
AUTHORITY = "/etc/facets-authority.pem"
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_BROKER = "/etc/facets-broker.py"
_ACCOUNTS = {
    "/etc/passwd": "user:x:1000:1000:user:/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "/etc/group": "user:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the box's own
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "USER": "user",
}


def command(
    program: str, limits: SandboxLimits, readable: Sequence[str], python: str,
    sock: int, seccomp: int, files: dict[str, int], door: int | None,
) -> list[str]:  # fmt: skip
    """The whole of it; numbers are descriptors that bubblewrap inherits."""
    return [
        program,
        # All namespaces: no network but an own loopback, no process but its own. No further
        # user namespaces, in which programs could ask for more of the kernel.
        "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000",
        "--hostname", "box", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv",
        "--cap-drop", "ALL", "--seccomp", str(seccomp),
        *system((*_ETC, *readable)),
        *(word for path, fd in files.items() for word in ("--ro-bind-data", str(fd), path)),
        *_own(limits),
        "--", python, "-I", "-S", _BROKER, str(sock), WORKSPACE,
        *([] if door is None else [str(door), str(PORT)]),
    ]  # fmt: skip


def small_files() -> dict[str, str]:
    """Files that are in every box, by path; the broker's source is one of them."""
    return _ACCOUNTS | {_BROKER: resources(__package__).joinpath("broker.py").read_text()}


def system(readable: Sequence[str]) -> Iterator[str]:
    """Programs and libraries, and those of `readable` that are there, for reading."""
    yield from ("--ro-bind", "/usr", "/usr")
    for path in _LINKS:
        if Path(path).is_symlink():
            yield from ("--symlink", str(Path(path).readlink()), path)
        elif Path(path).is_dir():
            yield from ("--ro-bind", path, path)
    for path in readable:
        yield from ("--ro-bind-try", path, path)


def trusted() -> list[str]:
    """Where programs look for authorities, by their environment or on their own."""
    return [AUTHORITY, *(path for path in _AUTHORITIES if Path(path).exists())]


def _own(limits: SandboxLimits) -> Iterator[str]:
    """What can be written, all in memory and bounded; everything else cannot."""
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path, size in (
        (WORKSPACE, limits.disk), ("/tmp", limits.disk), ("/dev/shm", SMALL),  # noqa: S108
    ):  # fmt: skip
        yield from ("--size", str(size), "--tmpfs", path)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORKSPACE)
