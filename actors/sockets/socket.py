"""`self.sockets`: the connections of clients that an actor hears."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, final

from actors.call import CURRENT
from actors.errors import SocketClosed
from actors.sockets.rows import SocketRows
from actors.sockets.servers import SERVERS, holds
from actors.transaction import refuse

if TYPE_CHECKING:
    from actors.activation import Activation

MAX_TAGS, MAX_TAG = 10, 256
"""Tags of one socket, and characters of each."""


@final
class Socket:
    """One client's connection. A server holds it; the actor may sleep meanwhile.

    What is kept with it, `attachment` and `tags`, is part of the actor's state: written in its
    steps, undone with them, there again after it slept. Two handles of one socket are equal. It
    is of use to its own actor only; pass its `id`, for `self.sockets.get(id)`.
    """

    __slots__ = ("_activation", "_rows", "_server", "id")

    def __init__(self, activation: Activation, key: str, server: str) -> None:
        self._activation = activation
        self._rows = SocketRows(activation)
        self._server = server
        self.id = key
        """Never used again for another one."""

    @property
    def open(self) -> bool:
        """Whether the client is there, as far as is known here."""
        return holds(self._server, self.id)

    @property
    def who(self) -> Any:
        """What the server's `authenticate` returned: who opened it. Plain data."""
        return self._rows.get(self.id, "who")

    @property
    def query(self) -> dict[str, str]:
        """The query of the url by which it was opened."""
        return self._rows.get(self.id, "query") or {}

    @property
    def attachment(self) -> Any:
        """Whatever is kept with it, plain data; None at first. Set it to change it."""
        return self._rows.get(self.id, "attachment")

    @attachment.setter
    def attachment(self, value: object) -> None:
        self._rows.attach(self.id, value)

    @property
    def tags(self) -> frozenset[str]:
        """Names by which `self.sockets` finds it, at most 10. Set them to change them."""
        return frozenset(self._rows.tags(self.id))

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        wanted = sorted(set(tags))
        if isinstance(tags, str) or len(wanted) > MAX_TAGS or any(len(t) > MAX_TAG for t in wanted):
            raise ValueError(f"tags are at most {MAX_TAGS}, each of at most {MAX_TAG} characters")
        self._rows.set_tags(self.id, wanted)

    async def send(self, data: str | bytes) -> None:
        """Send a message: text as text, bytes as bytes.

        It leaves when everything that it may depend on is durable, behind what was sent before; a
        client that is slow to read does not hold it up. The open step ends here; inside a
        transaction it is refused. `SocketClosed` if the client is gone.
        """
        if not isinstance(data, (str, bytes)):
            raise TypeError(f"a message is str or bytes, not {type(data).__name__}")
        await _effect(self._activation, "sending to a socket")
        server = SERVERS.get(self._server)
        if server is None or not server.send(self.id, data):
            raise SocketClosed(f"socket {self.id} is closed", id=self.id)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, behind what was sent; nothing happens if it is closed. The actor is told as
        when the client closes it."""
        await _effect(self._activation, "closing a socket")
        server = SERVERS.get(self._server)
        if server is not None:
            server.close(self.id, code, reason)

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Socket) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<socket {self.id} of {self._activation.id}>"


@final
class Sockets:
    """The sockets of an actor: iterate it for those that are open."""

    __slots__ = ("_activation", "_rows")

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._rows = SocketRows(activation)

    def __iter__(self) -> Iterator[Socket]:
        return iter(self.list())

    def list(self, tag: str | None = None) -> list[Socket]:
        """Those that are open, or of these those with a tag."""
        rows = self._rows.all(tag)
        return [Socket(self._activation, *row) for row in rows if holds(row.server, row.id)]

    def get(self, key: str) -> Socket:
        """The one with this id; `SocketClosed` if it is gone."""
        row = self._rows.find(key)
        if row is None:
            raise SocketClosed(f"socket {key} is closed", id=key)
        return Socket(self._activation, *row)

    async def send(
        self, data: str | bytes, tag: str | None = None, *, but: Socket | None = None
    ) -> int:
        """Send to all that are open, or to those with a tag, `but` one; to how many.

        The promise of `Socket.send`, for each; one that closes meanwhile is no error.
        """
        sent = 0
        for socket in self.list(tag):
            if socket != but:
                try:
                    await socket.send(data)
                    sent += 1
                except SocketClosed:
                    continue
        return sent


async def _effect(activation: Activation, what: str) -> None:
    """Something is about to leave the host: what it depends on must be durable."""
    call = CURRENT.get()
    if call is not None:
        refuse(call, what)
    activation.leave()
    await activation.node.host.gate.passed(activation.dependency, activation.remote)
