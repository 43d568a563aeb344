"""How much of the host's memory a message of a guest's takes while it is read."""

from __future__ import annotations

from facets.isolates.errors import HostMemoryLimit

SMALL = 1 << 16
"""Bytes of a message that is not weighed: it cannot grow to much."""
VALUE = 40
"""Bytes of a value in a container, about: JSON takes two of `[]` and a list takes 56."""
CALL = 1 << 10
"""Bytes that a call under way takes."""


def weigh(frame: bytes, limit: int) -> None:
    """HostMemoryLimit if reading the frame could take more than `limit` bytes.

    Text and bytes stand behind the header and take what they are; in the header every value is
    behind a bracket or a comma, which a text in it may also contain: this is an upper bound.
    """
    if len(frame) > SMALL:
        head = frame.find(b"\n")
        end = len(frame) if head < 0 else head
        values = sum([frame.count(mark, 0, end) for mark in (b",", b"[", b"{")])
        size = 2 * len(frame) + VALUE * values
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
