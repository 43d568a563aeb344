"""What one isolate may use."""

from __future__ import annotations

from dataclasses import dataclass

MINIMUM_MEMORY = 32 << 20
GRACE = 1.0
"""Seconds that a cancelled call has to end before its isolate is killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one isolate may use. All are on, all are enforced by the host.

    | limit  | scope                         | default | over it                             | error         |
    |--------|-------------------------------|---------|-------------------------------------|---------------|
    | memory | the isolate, interpreter included | 64 MiB | MemoryError inside; killed if the interpreter does not survive it | `MemoryLimit` |
    | cpu    | one uninterrupted stretch     | 5 s     | killed                              | `CpuLimit`    |
    | wall   | one call, from start to end   | 30 s    | call cancelled; killed 1 s later if it goes on | `WallLimit` |
    | calls  | storage operations and calls to capabilities per call | 100,000 | killed      | `CallLimit`   |
    | output | bytes of one message that leaves (results, stream items, arguments of storage) | 16 MiB | killed | `OutputLimit` |
    | logs   | bytes printed per call        | 1 MiB   | killed                              | `LogLimit`    |

    Loading counts as a call. Calls that run at the same time share the sum of what each may
    use of `calls` and `logs`. Killed means that the open step of the isolate is rolled back,
    every pending call of it fails with the error, and its memory is gone; what was committed
    before stays.
    """  # noqa: E501 - one row, one line

    memory: int = 64 << 20
    cpu: float = 5.0
    wall: float = 30.0
    calls: int = 100_000
    output: int = 16 << 20
    logs: int = 1 << 20

    def __post_init__(self) -> None:
        if self.memory < MINIMUM_MEMORY:
            raise ValueError(
                f"memory={self.memory} is less than {MINIMUM_MEMORY} bytes (32 MiB): "
                "the interpreter and the standard library take 29 MiB of it"
            )
        for name in ("cpu", "wall", "calls", "output", "logs"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} leaves nothing; use a positive limit"
                )
