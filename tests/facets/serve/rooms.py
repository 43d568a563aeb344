"""Actors that hear sockets."""

from __future__ import annotations

from typing import Any

from actors.sockets.rows import SocketRows
from facets import Actor


class Room(Actor):
    migrations = ["create table said(n integer primary key, what text)"]
    socket_replies = {"ping": "pong"}

    async def on_socket(self, socket: Any) -> None:
        name = socket.query.get("name", "")
        if name == "banned":
            raise PermissionError("not you")
        socket.attachment = {"name": name, "said": 0}
        socket.tags = {"everybody", *socket.query.get("tags", "").split()}
        self._note(f"opened {name}")
        await socket.send(f"welcome {name}")

    async def on_socket_message(self, socket: Any, data: Any) -> None:
        kept = socket.attachment
        socket.attachment = {**kept, "said": kept["said"] + 1}
        if data == "fail":
            self._note("lost")
            raise ValueError("that was wrong")
        if data == "leave":
            return await socket.close(4001, "as you wish")
        if isinstance(data, bytes):
            return await socket.send(data[::-1])
        self._note(f"{kept['name']}: {data}")
        await self.sockets.send(f"{kept['name']}: {data}", but=socket)
        return None

    async def on_socket_close(self, socket: Any, code: int, reason: str) -> None:
        self._note(f"closed {socket.attachment['name']} {code} {reason}".strip())

    def _note(self, what: str) -> None:
        self.sql("insert into said(what) values (?)", what)

    async def said(self) -> list[str]:
        return [row.what for row in self.sql("select what from said order by n")]

    async def tell(self, what: str, tag: str | None = None) -> int:
        return await self.sockets.send(what, tag)

    async def here(self) -> list[Any]:
        return [(one.attachment, sorted(one.tags), one.who) for one in self.sockets]

    async def rows(self) -> int:
        return len(SocketRows(self._active()).all())

    async def later(self, seconds: float, what: str) -> None:
        self.timers.after(seconds, "tell", what)

    async def flood(self, size: int) -> int:
        sent = 0
        while len(list(self.sockets)) and sent < 1_000:
            sent += await self.sockets.send("x" * size)
        return sent

    async def facet(self, name: str) -> Room:
        return self.facets.get(name, Room)

    async def wipe(self, name: str) -> None:
        self.facets.delete(name)


class Deaf(Actor):
    async def hear(self) -> int:
        return 1

    async def facet(self, name: str) -> Deaf:
        return self.facets.get(name, Deaf)
