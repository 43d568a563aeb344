"""What commands in a box may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What may be taken; each is enforced outside of the programs it is about.

    What a program is told (a fork, an allocation or a write fails) is the kernel's doing. What
    ends commands is `SandboxLimit`: looked at five times a second, `wall` and `output` at once.
    """

    wall: float = 120.0
    """Seconds of one command. It and what descends from it are killed: `SandboxTimeout`."""
    cpu: float = 300.0
    """Processor seconds of a box, and of each process in it. All is killed: `SandboxCpu`."""
    memory: int = 1 << 30
    """Bytes of one process (an allocation fails), and of all (all is killed: `SandboxMemory`)."""
    processes: int = 128
    """Processes and threads of a box. A fork fails."""
    output: int = 64 << 20
    """Bytes that one command prints. It is killed: `SandboxOutput`."""
    shown: int = 64 << 10
    """Bytes of each output stream that `exec` returns; the rest is kept in a file."""
    file: int = 256 << 20
    """Bytes of one file. A write fails, and SIGXFSZ comes."""
    disk: int = 256 << 20
    """Bytes of the workspace, and of /tmp. A write fails; `SandboxDisk` where files are put in."""
    files: int = 50_000
    """Files and directories of the box. All is killed: `SandboxDisk`."""
    descriptors: int = 1024
    """Open files of one process. An open fails."""

    def of_broker(self) -> dict[str, Any]:
        """As the broker inside is told them."""
        each = {
            "CPU": max(1, int(self.cpu)), "DATA": self.memory, "NPROC": self.processes,
            "FSIZE": self.file, "NOFILE": self.descriptors, "CORE": 0,
        }  # fmt: skip
        return {"cpu": self.cpu, "memory": self.memory, "files": self.files, "each": each}
