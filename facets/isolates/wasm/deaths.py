"""Why raw WebAssembly ended, said as an error."""

from __future__ import annotations

from facets.isolates.errors import GuestAborted, IsolateDead, MemoryLimit, StackLimit
from facets.isolates.limits import Limits

_HINTS = {
    "unreachable": "compiled code ends so when it panics, aborts or runs out of memory",
    "out of bounds memory": "it reads or writes where it has no memory",
}


def why_trapped(said: str, limits: Limits) -> IsolateDead:
    """The error for what Wasmtime said about a call."""
    cause = (said.rpartition("Caused by:")[2] or said).strip()
    if "call stack exhausted" in said:
        return StackLimit("the module recursed too deeply", trap=cause[:500])
    if "exceeds memory limits" in said or "exceeds table limits" in said:
        return MemoryLimit(f"the module asks for too much: {cause}"[:500], limit=limits.memory)
    hint = next((hint for word, hint in _HINTS.items() if word in said), None)
    return GuestAborted(f"the module trapped: {cause}"[:500], hint=hint, trap=cause[:500])
