"""What one server takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServeLimits:
    """Bounds of one server; each has its own error or close code."""

    body: int = 1 << 20
    """Bytes of a request's arguments: `TooLarge`, 413."""
    calls: int = 1_000
    """Requests in progress, streams included: `TooMany`, 429."""
    heartbeat: float = 15.0
    """Seconds without an item until a stream says that it is alive."""
    sockets: int = 32_768
    """WebSockets open at once: `TooMany`, 429."""
    message: int = 1 << 20
    """Bytes of one message of a client, characters of a text: close code 1009."""
    backlog: int = 4 << 20
    """Bytes that wait for a client that is slow to read: close code 1008."""
