"""Why an isolate ended, said as an error."""

from __future__ import annotations

import copy
from typing import Any

from facets.isolates.errors import (
    CpuLimit,
    GuestAborted,
    IsolateClosed,
    IsolateDead,
    MemoryLimit,
    StackLimit,
    WallLimit,
)
from facets.isolates.limits import Limits


def again(error: BaseException) -> BaseException:
    """The error, for one more caller: raising one object twice would mix their tracebacks."""
    if isinstance(error, IsolateDead | IsolateClosed):
        fresh = copy.copy(error)
        fresh.__cause__ = error.__cause__
        return fresh
    return error


def too_late(wall: float, *, survived: bool) -> WallLimit:
    """The error of a call that took too long."""
    rest = (
        "it was cancelled"
        if survived
        else "its isolate was killed, as it did not stop when cancelled"
    )
    return WallLimit(
        f"the call took more than {wall} s; {rest}",
        hint="raise Limits(wall=...) if it may take longer",
        limit=wall,
        survived=survived,
    )


def too_long(limit: float) -> CpuLimit:
    """The error of a guest that computed too long."""
    return CpuLimit(
        f"the isolate computed for more than {limit} s without a pause",
        hint="await asyncio.sleep(0) between parts, or raise Limits(cpu=...)",
        limit=limit,
    )


def too_long_behind(limit: float) -> CpuLimit:
    """The error of a guest that computed too much after its calls had ended."""
    return CpuLimit(
        f"tasks that calls left behind computed for more than {limit} s since the last call",
        hint="await them before the method returns, or raise Limits(cpu=...)",
        limit=limit,
    )


def panic(message: list[Any], limits: Limits) -> IsolateDead:
    """The guest's own runtime raised outside any call."""
    if message[1] == "MemoryError":
        return MemoryLimit(f"the isolate ran out of its {limits.memory} bytes", limit=limits.memory)
    return GuestAborted(
        f"the guest's runtime failed: {message[1]}: {message[2]}"[:500], trap="panic"
    )


def why_trapped(trap: str, limits: Limits) -> IsolateDead:
    """The error for what WebAssembly said."""
    cause = trap.rpartition("Caused by:")[2].strip() or trap
    if "out_of_memory" in trap:  # a function that guests call when nothing else is left
        return MemoryLimit(
            f"the isolate ran out of its {limits.memory} bytes", limit=limits.memory, trap=cause
        )
    if "call stack exhausted" in trap:
        return StackLimit("the isolate recursed too deeply inside the interpreter", trap=cause)
    if "all fuel consumed" in trap:
        return too_long(limits.cpu)
    hint = "it may have run out of memory outside Python" if "stderr" in cause else None
    return GuestAborted(f"the interpreter ended: {cause}"[:500], hint=hint, trap=cause)
