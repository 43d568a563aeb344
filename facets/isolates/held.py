"""How much of the host's memory a message of a guest's takes while it is read."""

from __future__ import annotations

from collections.abc import Callable

from facets.isolates.errors import HostMemoryLimit

SMALL = 1 << 16
"""Bytes of a message that is not weighed: it cannot grow to much."""
VALUE = 64
"""Bytes that a number or a short text takes, with its place in a list."""
LIST = 140
"""Bytes that JSON's list and what is made of it take at the same time."""
OBJECT = 340
"""The same of an object: a dict of one key, then another or a set."""
CALL = 1 << 10
"""Bytes that a call under way takes."""
_PART = 1 << 18
_TAKES = ((b",", VALUE), (b"[", LIST), (b"{", OBJECT))


def weigh(frame: bytes, limit: int, pause: Callable[[], None] | None = None) -> None:
    """HostMemoryLimit if reading the frame could take more than `limit` bytes.

    Text and bytes stand behind the header and take what they are; in the header every value is
    behind a bracket or a comma, which a text in it may also contain: this is an upper bound. It
    bounds the time as well, which is for what is made. `pause` is called between parts.
    """
    if len(frame) <= SMALL:
        return
    head = frame.find(b"\n")
    end, size = len(frame) if head < 0 else head, 2 * len(frame)
    for at in range(0, end, _PART):
        until = min(at + _PART, end)
        size += sum([takes * frame.count(mark, at, until) for mark, takes in _TAKES])
        if pause is not None:
            pause()
    if size > limit:
        raise too_much(size, limit, f"a message of {len(frame)} bytes takes {size} to read")


def too_much(size: int, limit: int, what: str, *, survived: bool = False) -> HostMemoryLimit:
    """The error, with what takes so much."""
    return HostMemoryLimit(
        f"{what}, and the isolate may take {limit} of the host's memory",
        hint="send less at a time, or raise Limits(host=...)",
        size=size,
        limit=limit,
        survived=survived,
    )
