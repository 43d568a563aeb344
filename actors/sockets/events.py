"""What happens to a socket, told to its actor as a call from outside.

A message is told at most once: if the host dies meanwhile, the connection dies with the server's
call. The end is told at least once: the row goes in the same step in which `on_socket_close`
returns or first waits, and one that is left is told when the actor starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.errors import NoSuchMethod, SocketClosed
from actors.hooks import report
from actors.origin import call_from_outside
from actors.sockets import servers
from actors.sockets.rows import SocketRows
from actors.sockets.servers import SERVERS, holds
from actors.sockets.socket import Socket
from actors.steps import finish
from actors.stub import Method, Stub, _woken

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.actor import Actor

GONE = 1006
"""The code of a connection that ended without a word."""


@dataclass(frozen=True)
class Opened:
    """A client wants to connect; `on_socket` lets it in by returning."""

    id: str
    server: str
    who: Any = None
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """A message came."""

    id: str
    data: str | bytes


@dataclass(frozen=True)
class Closed:
    """It is closed, by whomever."""

    id: str
    code: int
    reason: str


@dataclass(frozen=True)
class Forgotten:
    """It is closed and the actor was told, or it was never let in."""

    id: str


@dataclass(frozen=True)
class Started:
    """The actor has started; the answer is which sockets ended with their servers meanwhile."""


Event = Opened | Said | Closed | Forgotten | Started


async def tell(stub: Any, door: tuple[str, ...], event: Event) -> dict[str, str]:
    """Tell the actor at the end of the way; what the server may answer by itself.

    Errors are what the hook raised. `SocketClosed`: the actor does not know the socket, because
    it was deleted or restored meanwhile. `NoSuchMethod`: it takes no sockets.
    """
    for name in door:
        stub = await stub.facet(name)
    if not isinstance(stub, Stub):
        raise NoSuchMethod(f"{stub!r} is no facet that takes sockets")
    method = Method(stub._node, stub._incarnation, _ENTRY)
    host = stub._node.host
    host.check_open()
    if host.store.congested:
        await host.gate.room()
    target = await _woken(method)
    check(target)
    if isinstance(event, Opened) and event.server in SERVERS:
        SERVERS[event.server].opened(event.id)
    await _told(target, event)
    return dict(getattr(stub._node.cls, "socket_replies", {}))


def check(target: Activation) -> None:
    """Raise if an actor takes no sockets."""
    if "on_socket" not in target.body.contract.hooks:
        raise NoSuchMethod(
            f"{target.id} takes no sockets",
            hint="define `async def on_socket(self, socket)`",
            actor=target.id,
            method="on_socket",
        )


def started(activation: Activation) -> None:
    """An actor that takes sockets has started: tell it which ended with their servers."""
    activation.node.host.background(_sweep(activation))


async def _sweep(activation: Activation) -> None:
    if not activation.database.has_file:
        return
    if servers.settling:
        await asyncio.sleep(servers.settling)
    if activation.broken is not None:
        return
    try:
        for key in await _call(activation, Started()):
            await _told(activation, Closed(key, GONE, "the server of this socket ended"))
    except Exception as error:
        report(activation, "on_socket_close", error)


async def _told(target: Activation, event: Event) -> None:
    try:
        await _call(target, event)
    except SocketClosed:
        raise
    except Exception:
        if isinstance(event, (Opened, Closed)):
            # What fails here was refused as well; then the next start looks again.
            with contextlib.suppress(Exception):
                await _call(target, Forgotten(event.id))
        raise


async def _call(target: Activation, event: Event) -> Any:
    """A call from outside: its outcome passes the gate."""
    call = call_from_outside(target, _ENTRY)
    await target.admit(call)
    target.begun += 1
    try:
        if target.begun > target.allowed:
            await target.mailbox.enter()
        return await finish(target.body.call(call, (event,), {}))
    finally:
        target.ended += 1
        await target.node.host.gate.passed(target.dependency, target.remote)


_ENTRY = "_on_socket_event"


async def happened(actor: Actor, activation: Activation, event: Event) -> list[str] | None:
    """Run the hook of an event, as code of the actor."""
    rows = SocketRows(activation)
    match event:
        case Started():
            rows.forget_others()
            return [row.id for row in rows.all() if not holds(row.server, row.id)]
        case Forgotten():
            rows.remove(event.id)
        case Opened():
            rows.add(event.id, event.server, event.who, event.query)
            await actor.on_socket(Socket(activation, event.id, event.server))
        case Said():
            await actor.on_socket_message(_known(rows, activation, event.id), event.data)
        case Closed():
            socket = _known(rows, activation, event.id)
            await actor.on_socket_close(socket, event.code, event.reason)
            rows.remove(event.id)
    return None


def _known(rows: SocketRows, activation: Activation, key: str) -> Socket:
    row = rows.find(key)
    if row is None:
        raise SocketClosed(f"{activation.id} has no socket {key}", id=key)
    return Socket(activation, *row)
