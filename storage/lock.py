"""Ownership of a state directory: one live process at a time."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import sys
from pathlib import Path

from storage.errors import StateInUse


class Lock:
    """An flock on `lock` in the directory; the kernel lets go of it when the process dies.

    The file says who holds it, for the error that the next one gets. It is never removed:
    removing a lock file races with the next owner.
    """

    def __init__(self, root: Path) -> None:
        path = root / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _owner(self._fd)
            os.close(self._fd)
            raise StateInUse(
                f"{root} belongs to the running process {owner['pid']} ({owner['command']})",
                hint="end that process, or use another directory",
                path=str(root),
                **owner,
            ) from error
        try:
            self._sign()
        except OSError:
            self.release()
            raise

    def _sign(self) -> None:
        command = " ".join(sys.argv)[:200]
        said = json.dumps({"pid": os.getpid(), "command": command, "machine": machine()})
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, said.encode(), 0)

    def release(self) -> None:
        """Let the next owner in. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def machine() -> str:
    """Where a process id of ours means something: this boot of this machine, and the namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: such a machine is not shared by containers
        return platform.node()


def _owner(fd: int) -> dict[str, object]:
    try:
        said = json.loads(os.pread(fd, 4096, 0))
        return {"pid": said["pid"], "command": said["command"], "machine": said.get("machine", "")}
    except (ValueError, KeyError, TypeError):  # it has the lock and has not said its name yet
        return {"pid": 0, "command": "unknown", "machine": ""}
