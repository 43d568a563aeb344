"""Caps on all isolates of one actor and of one process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, final

from actors.readings import sandboxes
from facets.isolates.errors import IsolateCap

if TYPE_CHECKING:
    from actors.limits import IsolateLimits


@final
class Population:
    """How many isolates live, and what they may grow to. Any thread may look and change it."""

    __slots__ = ("count", "lock", "memory")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.memory = 0


PROCESS = Population()
"""All isolates with code in them, of all runtimes. What the pool keeps ahead is not among them."""
sandboxes.append(lambda: PROCESS.count)


@final
class Room:
    """The room that one actor's isolates have."""

    __slots__ = ("_limits", "_own", "_process")

    def __init__(self, limits: IsolateLimits, process: Population = PROCESS) -> None:
        self._limits = limits
        self._own = Population()
        self._process = process

    @property
    def count(self) -> int:
        """Isolates of this actor that live."""
        return self._own.count

    def enter(self, memory: int) -> Seat:
        """Take up room for an isolate that may grow to so many bytes, or IsolateCap."""
        limits, own, process = self._limits, self._own, self._process
        with process.lock:
            for name, used, most in (
                ("actor_count", own.count + 1, limits.actor_count),
                ("actor_memory", own.memory + memory, limits.actor_memory),
                ("process_count", process.count + 1, limits.process_count),
                ("process_memory", process.memory + memory, limits.process_memory),
            ):
                if used > most:
                    raise _full(name, used, most)
            for one in (own, process):
                one.count += 1
                one.memory += memory
        return Seat(memory, (own, process))


@final
class Seat:
    """The room of one isolate."""

    __slots__ = ("_memory", "_taken")

    def __init__(self, memory: int, taken: tuple[Population, Population]) -> None:
        self._memory = memory
        self._taken: tuple[Population, Population] | tuple[()] = taken

    def leave(self) -> None:
        """Give it back. Idempotent."""
        taken, self._taken = self._taken, ()
        if taken:
            with taken[1].lock:
                for one in taken:
                    one.count -= 1
                    one.memory -= self._memory


def _full(cap: str, used: int, most: int) -> IsolateCap:
    return IsolateCap(
        f"one more isolate would make {cap} {used}; the most is {most}",
        hint="end isolates that are not needed (facets.abort, entrypoint.close), "
        f"or raise IsolateLimits({cap}=...)",
        cap=cap,
        limit=most,
    )
