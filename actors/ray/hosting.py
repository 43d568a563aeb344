"""The Ray actor that runs one host: durable actors behind requests of many calls."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from inspect import isawaitable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actors.local import LocalRuntime
from actors.logs import log_lines
from actors.ray.board import Board
from actors.ray.classes import Classes
from actors.ray.directory import Directory
from actors.ray.ending import end_process, reach
from actors.ray.entering import enter
from actors.ray.errors import ClassBroken
from actors.ray.handover import GRACE, Handover, Moved, Neighbour, Tree
from actors.ray.health import Presence, presence
from actors.ray.here import HERE
from actors.ray.lending import Lending
from actors.ray.metrics import Metrics
from actors.ray.outbox import Message, Outbox
from actors.ray.ownership import Ownership
from actors.ray.serving import Serving
from actors.ray.shipping import ClassStore, Shipment
from actors.ray.sighting import Sighting
from actors.ray.sockets import Command, Open, Proxies
from actors.ray.verbs import OWN, diff_here, for_host
from actors.ray.wire import Target, exports
from actors.readings import Readings, read
from storage.objects import FolderStore, ObjectStore, open_store

_log = logging.getLogger("facets.host")
RETIRE = 5.0
"""Seconds in which callers must fetch their last replies from a host that has left."""


@dataclass(frozen=True)
class Plan:
    """What a host needs to know to start; the same for every host of a runtime."""

    runtime: str
    root: str
    """Where each host keeps its state; `$NAME` is looked up in the environment of the host."""
    options: dict[str, Any]
    log: str = "INFO"
    """The level from which on a host logs."""
    mirror: str = ""
    """On a host, where it keeps what it sees on the board; empty elsewhere."""

    @property
    def anywhere(self) -> bool:
        """Whether a host may run on any node: all that it acknowledged is in the replica."""
        return bool(self.options["durability"] == "replicated")

    def shared(self) -> ObjectStore:
        """What all hosts and drivers see: the replica, or where there is none the board."""
        if (replica := self.options["replica"]) is not None:
            return open_store(replica)
        return Board(self.runtime, FolderStore(self.mirror) if self.mirror else None)


@dataclass(frozen=True)
class Greeting:
    """What a host says of itself."""

    python: tuple[int, int]
    directory: Directory


class Hosting:
    """One host. All methods are called through Ray, but `local`."""

    def __init__(self, plan: Plan, name: str, directory: Directory) -> None:
        root = Path(os.path.expandvars(plan.root))
        plan = self._plan = replace(plan, mirror=str(root / "board"))
        self._name = name
        log_lines(name, plan.log)
        self._runtime = LocalRuntime(root / name, host=name, **plan.options)
        self._classes = Classes(ClassStore(plan.shared()), name)
        self._ownership = Ownership(name, plan.shared(), directory, Sighting(root / name))
        self._handover: Handover
        self._opening: asyncio.Task[None] | None = None
        self._serving = Serving(self._ownership, self._classes, self._method)
        self._lending: Lending
        self._proxies: Proxies
        self._presence: Presence

    async def greet(self) -> Greeting:
        """Open the state, if that has not happened, and say who is here."""
        await self._opened()
        return Greeting(sys.version_info[:2], self._ownership.directory)

    async def pulse(self) -> None:
        """Answer, also while the state is being opened."""

    async def exchange(self, request: Any) -> Any:
        """Take calls in; who answers, and what is done soon.

        Both as bytes, which Ray passes on as they are (its own pickling costs 0.2 ms a request),
        unless they carry parcels.
        """
        await self._opened()
        return await self._serving.exchange(request)

    async def collect(self, caller: str, token: str, got: int) -> tuple[str, int, list[Message]]:
        """What became ready since the caller `got` so many; waits until there is something, or
        tells that `token`, who took the calls, is no more."""
        await self._opened()
        return await self._serving.collect(caller, token, got)

    async def names(self, kind: str) -> list[str]:
        """Names of actors of a kind that have state here."""
        await self._opened()
        await self._ownership.look()  # something may be given to this host just now
        found = self._runtime.host.store.names(kind)
        return [name for name in found if self._ownership.has(kind, name)]

    async def perform(self, shipment: Shipment, verb: str, *args: Any, **named: Any) -> Any:
        """One of the runtime's own operations on actors of a class."""
        await self._opened()
        await self._classes.admit(shipment)
        names = args[:2] if verb in ("clone", "rename") else args[:1]
        async with self._ownership.operation(shipment.kind, *names):
            given, options = for_host(self._name, verb, args, named)
            cls = self._classes.find(shipment.kind)
            done = getattr(self._runtime, verb)(cls, *given, **options)
            return await done if isawaitable(done) else done

    async def ask(self, verb: str) -> Any:
        """What the runtime of this host answers by itself."""
        await self._opened()
        answering = self._classes if verb == "stats" else self._runtime
        return getattr(answering, verb)()

    async def on_files(self, kind: str, name: str, *args: Any, **named: Any) -> Any:
        """One operation on the files of an actor."""
        await self._opened()
        await self._classes.need(kind)
        self._classes.find(kind)
        async with self._ownership.operation(kind, name):
            return await self._runtime.on_files(kind, name, *args, **named)

    async def pack(self, shipment: Shipment, name: str) -> bytes:
        """An actor and all its facets as of now, as the archive that an export writes."""
        with TemporaryDirectory(prefix="facets-") as folder:
            path = Path(folder) / "archive"
            await self.perform(shipment, "export", name, path)
            return await asyncio.to_thread(path.read_bytes)

    async def unpack(self, shipment: Shipment, name: str, archive: bytes) -> None:
        """Put what was packed in the place of an actor."""
        with TemporaryDirectory(prefix="facets-") as folder:
            path = Path(folder) / "archive"
            await asyncio.to_thread(path.write_bytes, archive)
            await self.perform(shipment, "import_", name, path)

    async def hand_over(self, buckets: Sequence[int], target: str, grace: float = GRACE) -> Moved:
        """Give buckets to another host (see `handover.Handover`)."""
        await self._opened()
        neighbour = Neighbour(self._plan.runtime, target)
        moved = await self._handover.give(buckets, target, neighbour, grace)
        _log.info("buckets were handed over", extra={"target": target} | asdict(moved))
        return moved

    async def take(self, sender: str, token: str, trees: Sequence[Tree]) -> str:
        """Keep what another host hands over."""
        await self._opened()
        return await self._handover.take(sender, token, trees)

    async def look(self) -> Directory:
        """The newest directory, which counts here from now on."""
        await self._opened()
        return await self._ownership.look()

    async def try_class(self, shipment: Shipment) -> ClassBroken | None:
        """Why a class could not be used here; None if it could."""
        await self._opened()
        return await self._classes.try_out(shipment)

    async def take_class(self, kind: str) -> None:
        """Another class is deployed."""
        await self._opened()
        await self._classes.look(kind)
        _log.info("a class was deployed", extra={"kind": kind})

    async def readings(self) -> Readings:
        """What the meters show."""
        await self._opened()
        return read(self._runtime.host)

    async def describe(self) -> tuple[Presence, int]:
        """Who is here, and how many actors are awake."""
        await self._opened()
        return self._presence, len(self._runtime.host.awake)

    async def retire(self) -> None:
        """Let callers have what was answered, and close: nothing is owned here any more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + RETIRE
        while loop.time() < until and self._serving.owes:
            await asyncio.sleep(0.01)
        await self.close()

    async def attend(
        self, server: str, since: Open, afresh: bool
    ) -> tuple[int, list[Command] | None]:
        """What actors here want done to a server's sockets (see `sockets`), and the version of the
        directory."""
        await self._opened()
        commands = await self._proxies.attend(server, since, afresh=afresh)
        return self._ownership.directory.version, commands

    async def close(self) -> None:
        """Stop the actors and let the state go; the process may be ended then."""
        await self._opened()
        HERE.pop(self._plan.runtime, None)
        exports.remove(self._lending.export)
        await self._runtime.close()
        _log.info("the state is closed")

    def local(self, target: Target) -> Any:
        """A stub of an actor of this very host; None if it is another's."""
        kind, name, _, token = target
        if not self._ownership.owns(kind, name) or (token and token != self._ownership.token):
            return None
        return self._stub(target)

    def _stub(self, target: Target) -> Any:
        kind, name, lent, token = target
        if lent:
            return self._lending.find(lent, token)
        return self._runtime.get(self._classes.find(kind), name)

    def _method(self, outbox: Outbox, target: Target, name: str) -> Callable[..., Any]:
        if not target[0]:
            return outbox.peer.method(target[2], name)
        if name.startswith(OWN):
            return partial(
                diff_here, self._runtime, self._name, self._classes.find(target[0]), target[1]
            )
        return getattr(self._stub(target), name)  # type: ignore[no-any-return]

    # -- inside -------------------------------------------------------------------------

    async def _opened(self) -> None:
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.ensure_future(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        self._presence = presence()
        store, anywhere = self._plan.shared(), self._plan.anywhere
        await reach(store)
        await enter(self._runtime, store, self._name, self._presence, anywhere=anywhere)
        self._runtime.host.on_failure = end_process
        _log.info("the state is open", extra={"state": str(self._runtime.root)})
        self._runtime.host.owns = self._ownership.owns
        self._ownership.on_superseded = end_process
        await self._ownership.enter()
        self._ownership.on_change = self._classes.refresh
        self._handover = Handover(self._runtime.host, self._ownership)
        await self._handover.clear()
        await self._classes.open(self._runtime.host)
        HERE[self._plan.runtime] = self
        Metrics(self._runtime.host, self._plan.runtime, self._name).begin()
        self._proxies = Proxies(self._runtime.host)
        self._lending = Lending(self._plan.runtime, self._ownership.token, self._runtime.host)
        exports.append(self._lending.export)
        self._serving.sweep()
