"""What one isolate may use."""

from __future__ import annotations

from dataclasses import dataclass, field

MINIMUM_MEMORY = 32 << 20
GRACE = 1.0
"""Seconds that a cancelled call has to end before its isolate is killed."""
_DEFAULTS = {
    "memory": 64 << 20,
    "host": 256 << 20,
    "cpu": 5.0,
    "wall": 30.0,
    "calls": 100_000,
    "output": 16 << 20,
    "logs": 1 << 20,
}


@dataclass(frozen=True, slots=True, init=False)
class Limits:
    """What one isolate may use. All are on, all are enforced by the host.

    | limit  | scope                         | default | over it                             | error         |
    |--------|-------------------------------|---------|-------------------------------------|---------------|
    | memory | the isolate, interpreter included | 64 MiB | MemoryError inside; killed if the interpreter does not survive it | `MemoryLimit` |
    | host   | memory of the host that the isolate takes: what waits to go in, calls under way, a message while it is read | 256 MiB | killed; a call from outside is refused | `HostMemoryLimit` |
    | cpu    | one uninterrupted stretch; all that tasks compute after the calls have ended, until the next call | 5 s | killed | `CpuLimit` |
    | wall   | one call, from start to end, waits included; of a stream, the wait for an item | 30 s | call cancelled; killed 1 s later if it goes on | `WallLimit` |
    | calls  | storage operations and calls of capabilities per call; prints per call | 100,000 | killed | `CallLimit`   |
    | output | bytes of one message that leaves (results, stream items, arguments of storage) | 16 MiB | killed | `OutputLimit` |
    | logs   | bytes printed per call        | 1 MiB   | killed                              | `LogLimit`    |
    | stack  | the guest's own, fixed        | 2 MiB   | RecursionError inside; killed if the interpreter does not survive it | `StackLimit` |
    | tables | entries of all tables, fixed  | 100,000 | growing them fails inside           |               |

    Loading counts as a call. Calls that run at the same time share the sum of what each may
    use of `calls` and `logs`. Killed means that the open step of the isolate is rolled back,
    every pending call of it fails with the error, and its memory is gone; what was committed
    before stays. The next call of an entrypoint, and the next `facets.get`, start a new one.

    What is not given, or None, is the default. `lowered` tells it from what is given.
    """  # noqa: E501 - one row, one line

    memory: int
    host: int
    cpu: float
    wall: float
    calls: int
    output: int
    logs: int
    given: frozenset[str] = field(repr=False, compare=False)
    """The names of those that were set."""

    def __init__(
        self,
        *,
        memory: int | None = None,
        host: int | None = None,
        cpu: float | None = None,
        wall: float | None = None,
        calls: int | None = None,
        output: int | None = None,
        logs: int | None = None,
    ) -> None:
        chosen = {
            "memory": memory, "host": host, "cpu": cpu, "wall": wall, "calls": calls,
            "output": output, "logs": logs,
        }  # fmt: skip
        given = {name: value for name, value in chosen.items() if value is not None}
        for name, default in _DEFAULTS.items():
            object.__setattr__(self, name, given.get(name, default))
        object.__setattr__(self, "given", frozenset(given))
        self._check()

    def _check(self) -> None:
        if self.memory < MINIMUM_MEMORY:
            raise ValueError(
                f"memory={self.memory} is less than {MINIMUM_MEMORY} bytes (32 MiB): "
                "the interpreter and the standard library take 29 MiB of it"
            )
        for name in _DEFAULTS:
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} leaves nothing; use a positive limit"
                )

    def lowered(self, by: Limits | None) -> Limits:
        """These, each lowered to what `by` sets, if that is less. Nothing is ever raised, and
        what `by` leaves at its default is not looked at."""
        if by is None:
            return self
        values = {name: getattr(self, name) for name in _DEFAULTS}
        for name in by.given:
            values[name] = min(values[name], getattr(by, name))
        return Limits(**values)
