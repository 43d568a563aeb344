"""Who holds the sockets: servers of this process, by a name that is never used again."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakValueDictionary


class SocketServer(Protocol):
    """Holds connections and forwards what they say, in order, one message at a time."""

    def opened(self, key: str) -> None:
        """A socket of it is about to open here; it may be a server that is elsewhere."""

    def holds(self, key: str) -> bool:
        """Whether the socket is open."""

    def send(self, key: str, data: str | bytes) -> bool:
        """Send behind what was sent before, without waiting; False if it is not open."""

    def close(self, key: str, code: int, reason: str) -> bool:
        """Close it behind what was sent; False if it is not open."""


SERVERS: WeakValueDictionary[str, SocketServer] = WeakValueDictionary()
"""Those of this process."""


def holds(server: str, key: str) -> bool:
    """Whether that server is there and the socket open."""
    found = SERVERS.get(server)
    return found is not None and found.holds(key)


settling = 0.0
"""Seconds that an actor is awake before it is told which sockets ended: in these, servers that are
elsewhere say what is open."""
