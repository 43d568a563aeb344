"""Sockets whose server is another process than the host of their actor.

A server tells a host of each event, as one of the runtime's operations. What actors say to its
sockets comes back by a request to each host that waits for it, and takes along which sockets
opened and closed since; so a host that was started again, or got an actor from another one, knows
within some seconds which sockets are open. Until then no actor is told that one ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any

from actors.ray.errors import HostLost
from actors.ray.outbox import PATIENCE
from actors.ray.router import Router, handle
from actors.sockets import servers
from actors.sockets.events import Closed, Event, Opened, started
from actors.sockets.servers import SERVERS

if TYPE_CHECKING:
    from actors.host import Host

GONE = 5 * PATIENCE
"""Seconds without a request after which a server is gone, and its sockets with it."""
SETTLING = 2 * PATIENCE
"""Seconds in which servers tell a host what is open."""
_MOST = 64 << 20
"""Bytes that may wait for a server."""
_AGAIN = 0.2

Command = tuple[str, str, Any]
"""A verb, a socket, and a message or a code with a reason."""
Open = Mapping[str, bool]
"""Sockets that opened (True) or closed since the last request."""


# -- in a host -------------------------------------------------------------------------------------


class Proxy:
    """A server elsewhere."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.heard = 0.0
        self._commands: list[Command] = []
        self._bytes = 0
        self._more: asyncio.Future[None] | None = None

    def opened(self, key: str) -> None:
        """The socket is about to open."""
        self.open.add(key)

    def holds(self, key: str) -> bool:
        """Whether the socket is open, as far as is known here."""
        return key in self.open

    def send(self, key: str, data: str | bytes) -> bool:
        """Have it sent; False if it is not open, or the server takes nothing."""
        self._bytes += len(data)
        return self._bytes <= _MOST and self._put(key, ("send", key, data))

    def close(self, key: str, code: int, reason: str) -> bool:
        """Have it closed; False if it is not open."""
        return self._put(key, ("close", key, (code, reason)))

    def _put(self, key: str, command: Command) -> bool:
        if key not in self.open:
            return False
        self._commands.append(command)
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
        return True

    async def commands(self) -> list[Command]:
        """Everything to be done, as soon as there is something."""
        if not self._commands:
            self._more = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._more], timeout=PATIENCE)
        found, self._commands, self._bytes = self._commands, [], 0
        return found


class Proxies:
    """The servers that one host hears of."""

    def __init__(self, host: Host) -> None:
        self._host = host
        servers.settling = SETTLING
        self._known: dict[str, Proxy] = {}

    async def attend(self, server: str, since: Open, *, afresh: bool) -> list[Command] | None:
        """What is to be done to sockets of a server, when there is something. `since` is what
        changed; `afresh`, all that is open, which is answered at once. None if the host does not
        know the server, which begins afresh then."""
        loop = asyncio.get_running_loop()
        proxy = self._known.get(server)
        if proxy is None:
            if not afresh:
                return None
            if not self._known:
                loop.call_later(GONE, self._look)
            proxy = self._known[server] = SERVERS[server] = Proxy()
        proxy.heard = loop.time()
        if afresh:
            proxy.open = set(since)
            return []
        for key, is_open in since.items():
            (proxy.open.add if is_open else proxy.open.discard)(key)
        return await proxy.commands()

    def _look(self) -> None:
        """Forget servers that are gone, and tell those who are awake."""
        loop = asyncio.get_running_loop()
        gone = [one for one, proxy in self._known.items() if loop.time() - proxy.heard > GONE]
        for server in gone:
            del self._known[server]
            SERVERS.pop(server, None)
        if gone:
            for activation in list(self._host.awake):
                if "on_socket" in activation.body.contract.hooks:
                    started(activation)
        if self._known:
            loop.call_later(GONE, self._look)


# -- in a server -----------------------------------------------------------------------------------


class Attendance:
    """What one server has open, and its requests to the hosts; none while nothing is open."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.open: set[str] = set()
        self._ears: dict[str, Ear] = {}

    async def opens(self, key: str, host: str, router: Router) -> None:
        """A socket is about to open, to an actor of this host, which is listened to from now on,
        and so is every other one."""
        self.open.add(key)
        for ear in self._ears.values():
            ear.unsaid[key] = True
        self.listen(router, host)
        await asyncio.shield(self._ears[host].hearing)

    def listen(self, router: Router, *others: str) -> None:
        """Hear every host that there is, and others."""
        for one in {*others, *router.directory.hosts}:
            if self.open and one not in self._ears:
                self._ears[one] = Ear(router, one, self)

    def leave(self, host: str) -> None:
        """A host is no more; what waited for it finds out who has the actor now."""
        ear = self._ears.pop(host)
        if not ear.hearing.done():
            ear.hearing.set_result(None)

    def closes(self, key: str) -> None:
        """A socket is closed."""
        if key not in self.open:
            return
        self.open.discard(key)
        for ear in self._ears.values():
            ear.unsaid[key] = False
        if not self.open:
            self.end()

    def end(self) -> None:
        """Listen to no host any more."""
        for ear in self._ears.values():
            ear.end()
        self._ears.clear()


class Ear:
    """The requests of one server to one host."""

    def __init__(self, router: Router, host: str, attendance: Attendance) -> None:
        self.unsaid: dict[str, bool] = {}
        """What opened and closed since the last request."""
        loop = asyncio.get_running_loop()
        self.hearing: asyncio.Future[None] = loop.create_future()
        """Done when the host knows the server."""
        self._router, self._host, self._attendance = router, host, attendance
        self._task = loop.create_task(self._listen(), context=Context())

    def end(self) -> None:
        """Ask no more."""
        self._task.cancel()
        self.hearing.cancel()

    async def _listen(self) -> None:
        import ray

        afresh = True
        while True:
            since, self.unsaid = self.unsaid, {}
            if afresh:
                since = dict.fromkeys(self._attendance.open, True)
            try:
                host = handle(self._router.runtime, self._host)
                asked = host.attend.remote(self._attendance.server, since, afresh)
                version, commands = await asked
                await self._router.correct(self._host, version)
            except (ValueError, HostLost, ray.exceptions.RayError):  # it starts again, or has ended
                if self._host not in self._router.directory.hosts:
                    self._attendance.leave(self._host)
                    return
                afresh = True
                await asyncio.sleep(_AGAIN)
                continue
            self._attendance.listen(self._router)  # actors may be about to move to a new host
            afresh = commands is None
            if not self.hearing.done():
                self.hearing.set_result(None)
            self._do(commands or ())

    def _do(self, commands: Iterable[Command]) -> None:
        server = SERVERS.get(self._attendance.server)
        if server is None:
            return
        for verb, key, what in commands:
            if verb == "send":
                server.send(key, what)
            else:
                server.close(key, *what)


class Telling:
    """The servers of this process, on the way to the hosts of one runtime."""

    def __init__(self) -> None:
        self._attending: dict[str, Attendance] = {}

    async def tell(
        self, router: Router, kind: str, name: str, event: Event, ask: Callable[[Any], Any]
    ) -> dict[str, str]:
        """Tell an actor what happened to a socket; `ask` gets the handle of its host."""
        if isinstance(event, Opened):
            attendance = self._attending.get(event.server)
            if attendance is None:
                attendance = self._attending[event.server] = Attendance(event.server)
            await attendance.opens(event.id, router.owner(kind, name), router)
        elif isinstance(event, Closed):
            self._closed(event.id)
        try:
            return await _own_errors(router.perform(kind, name, ask), f"{kind}:{name}")
        except Exception:
            if isinstance(event, Opened):
                self._closed(event.id)
            raise

    def _closed(self, key: str) -> None:
        for attendance in list(self._attending.values()):
            attendance.closes(key)
            if not attendance.open:
                del self._attending[attendance.server]


async def _own_errors(asked: Awaitable[dict[str, str]], actor: str) -> dict[str, str]:
    """Errors as they were raised, and not as Ray wraps them."""
    import ray

    try:
        return await asked
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        raise cause if isinstance(cause, Exception) else error from None
    except ray.exceptions.RayActorError as error:
        raise HostLost(
            f"the host of {actor} was lost while a socket's event was under way",
            host="",
            actor=actor,
            method="on_socket_message",
        ) from error
