"""The runtime of a Ray cluster."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from actors.actor import Actor
from actors.contract import Durability
from actors.errors import RuntimeClosed
from actors.names import check_name
from actors.ray import verbs
from actors.ray.claims import Claims
from actors.ray.classes import ClusterStats, together
from actors.ray.deploying import deploy
from actors.ray.directory import newest
from actors.ray.errors import NotOwner, OtherHost
from actors.ray.fleet import Fleet, Hosts
from actors.ray.forgetting import Loss, forget
from actors.ray.handover import Moved
from actors.ray.health import HostInfo, look
from actors.ray.hosting import Plan
from actors.ray.router import NAMESPACE, Router, handle, router
from actors.ray.scaling import Scaling
from actors.ray.shipping import ClassStore, pack
from actors.ray.sockets import Telling
from actors.ray.stub import ActorRef, RemoteStub
from actors.scheduler import TimerStats
from actors.sockets.events import Event
from actors.stat import ActorStat, Place

if TYPE_CHECKING:
    from actors.blocking import BlockingRuntime
    from storage.diff import Difference

A = TypeVar("A", bound=Actor)


class RayRuntime:
    """Durable actors on a Ray cluster: the same code as on a `LocalRuntime`.

    `hosts` processes, detached Ray actors that outlive the driver, share the actors; each keeps
    its own under `root/host-N`. Ray starts a host again when its process dies; its actors go on
    from what was acknowledged. The Ray connection that is there is used, else `ray.init(address)`
    makes one, which `close` ends with the hosts on it.

    With a `replica`, a host may be started on any node: what its disk there lacks comes out of the
    replica, and whoever was before can acknowledge nothing more. With `durability="replicated"`
    acknowledged writes survive the loss of a node and its disk.

    Arguments: `root`, a directory that every host can reach, or with a `replica` one on each
    node's own disk (`$NAME` in it is looked up in the environment of the host); `hosts`, how many,
    as `scale` left it, or `"per-node"`; `name`, of the runtime within the cluster, of `root` if not
    given; `resources`, Ray's options for each host (`num_cpus`, `resources`, `runtime_env`); `log`,
    the level from which on hosts log JSON lines (`facets.logs`); the others as for `LocalRuntime`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        address: str | None = None,
        hosts: Hosts = 1,
        name: str | None = None,
        replica: str | None = None,
        durability: Durability = "local",
        resources: Mapping[str, Any] = MappingProxyType({}),
        log: str = "INFO",
        **options: Any,
    ) -> None:
        self.root = Path(root if str(root).startswith("$") else Path(root).absolute())
        self.name = name or hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        self._address = address
        options = {"replica": replica, "durability": durability, **options}
        self.plan = Plan(self.name, str(self.root), options, log)
        self._fleet = Fleet(self.plan, hosts, resources)
        self._router: Router | None = None
        self._telling = Telling()
        self._started_ray = False

    async def open(self) -> RayRuntime:
        """Connect to the hosts, and start those that do not run."""
        if self._router is not None:
            return self
        import ray

        if not ray.is_initialized():
            ray.init(self._address, namespace=NAMESPACE, log_to_driver=False)
            self._started_ray = True
        directory = await self._fleet.up()
        found = router(self.name)
        found.use(directory)
        found.claims = Claims(ClassStore(self.plan.shared()))
        self._router = found
        return self

    async def close(self) -> None:
        """Let the hosts go on without this driver; end them if this runtime started Ray itself."""
        if self._router is None:
            return
        if self._started_ray:
            import ray

            await self.down()
            ray.shutdown()
        self._router = None

    async def down(self) -> None:
        """End the hosts; what they hold stays, and `open` starts them again."""
        await self._fleet.down()
        self._router = None

    async def __aenter__(self) -> RayRuntime:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get(self, cls: type[A], name: str) -> A:
        """A stub of the actor `name` of this class, typed as the class. Lazy: no I/O yet."""
        self.register(cls)
        return cast(A, RemoteStub(ActorRef(self.name, cls.kind, check_name(name))))

    def register(self, cls: type[Actor]) -> None:
        """Calls of its kind are meant for this class: the one that is deployed, or gets deployed
        by the first of them, if there is none. Otherwise they raise `ClassDiffers`."""
        self._open().claim(pack(cls))

    async def deploy(self, cls: type[Actor]) -> None:
        """Make this the class that actors of its kind start with, from now on.

        Those that are awake keep the one they have until they start again; `stats().classes` shows
        both. Programs that call with another class get `ClassDiffers` at their first call. Every
        host tries it out before: `ClassBroken` if one cannot use it, and nothing has changed.
        """
        await deploy(self._fresh(), pack(cls))

    def list(self, cls: type[Actor]) -> list[str]:
        """Names of the actors of this class that have state, sorted. Asks every host and waits."""
        import ray

        while True:
            seen = self._fresh().directory
            asked = [handle(self.name, host).names.remote(cls.kind) for host in seen.hosts]
            names = {name for found in ray.get(asked) for name in found}
            if self._fresh().directory.version == seen.version:  # else some may have moved past us
                return sorted(names)

    def stat(
        self, cls: type[Actor], name: str, *, below: bool = False, rows: bool = False
    ) -> ActorStat:
        """What is known of an actor without waking it (see `LocalRuntime`). Asks its host and
        waits."""
        found: ActorStat = self._ask("stat", cls, name, below=below, rows=rows)
        return found

    def tree(self, cls: type[Actor], name: str) -> builtins.list[Place]:
        """An actor and its facets that have state or run. Asks its host and waits."""
        found: builtins.list[Place] = self._ask("tree", cls, name)
        return found

    def _ask(self, verb: str, cls: type[Actor], name: str, **named: Any) -> Any:
        import ray

        while True:
            owner = handle(self.name, self._fresh().owner(cls.kind, check_name(name)))
            with suppress(NotOwner):  # it has just moved
                return ray.get(owner.perform.remote(pack(cls), verb, name, **named))

    async def delete(self, cls: type[Actor], name: str) -> None:
        """Wipe an actor and all its facets; durable when it returns. Calls in progress break."""
        await self._perform("delete", cls, name)

    async def clone(
        self, cls: type[Actor], source: str, target: str, *, at: str | None = None
    ) -> None:
        """Copy an actor and all its facets as of now over `target`, while they go on.

        With `at`, a bookmark, as they were then; `OtherHost` if the two live on different hosts.

        Crash-atomic, and durable when it returns. What `target` was is gone. `NoState` if
        `source` has never written. The two may live on different hosts.
        """
        try:
            await self._perform("clone", cls, source, check_name(target), at=at)
        except OtherHost:
            if at is not None:
                raise
            await self._unpack(cls, target, await self._pack(cls, source))

    async def rename(self, cls: type[Actor], name: str, new_name: str) -> None:
        """Give an actor another name; `OtherHost` if that would live on another host."""
        await self._perform("rename", cls, name, check_name(new_name))

    async def demote(self, cls: type[Actor], name: str, to: object, new_name: str) -> None:
        """Make an actor a facet of another one, whose stub is `to` (see `LocalRuntime`);
        `OtherHost` if they live on different hosts."""
        verbs.check_beside(self._open(), cls, check_name(name), to)
        await self._perform("demote", cls, name, to, new_name)

    def diff(
        self,
        cls: type[Actor],
        name: str,
        other: str | None = None,
        *,
        at: str | None = None,
        to: str | None = None,
    ) -> AsyncGenerator[Difference, None]:
        """What differs between two actors or two moments (see `LocalRuntime`); `OtherHost` if two
        live on different hosts."""
        return verbs.diff(self._open(), cls, name, other, {"at": at, "to": to})

    def bookmark(self) -> str:
        """This moment, of each host for itself; it fits every actor here, as long as that stays
        on its host. Asks every host and waits."""
        return verbs.together(verbs.ask(self._fresh(), "bookmark"))

    def sweep(self) -> int:
        """Put to sleep what has been idle for too long, on all hosts. Asks every host and waits."""
        return sum(verbs.ask(self._fresh(), "sweep").values())

    def blocking(self) -> BlockingRuntime:
        """The same for code that is not asynchronous: `with runtime.blocking() as runtime:`."""
        from actors.blocking import BlockingRuntime

        return BlockingRuntime(self)

    async def on_files(self, kind: str, name: str, *args: Any, **named: Any) -> Any:
        """One operation on the files of an actor, as a step of its own (see `LocalRuntime`)."""
        return await self._open().perform(
            kind, check_name(name), lambda host: host.on_files.remote(kind, name, *args, **named)
        )

    async def bookmark_at(self, cls: type[Actor], name: str, when: datetime | float) -> str:
        """The newest bookmark of an actor's tree at or before a time (see `Storage`)."""
        return str(await self._perform("bookmark_at", cls, name, when))

    async def restore(self, cls: type[Actor], name: str, bookmark: str) -> str:
        """Put an actor and all its facets back to what they were at `bookmark`; the bookmark that
        leads back. As on a `LocalRuntime`."""
        return str(await self._perform("restore", cls, name, bookmark))

    async def export(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Write an actor and all its facets as of now into one file on this machine."""
        await asyncio.to_thread(_write, Path(path), await self._pack(cls, name))

    async def import_(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Put what `export` wrote in the place of actor `name`; `BadArchive` changes nothing."""
        await self._unpack(cls, name, await asyncio.to_thread(Path(path).read_bytes))

    async def _pack(self, cls: type[Actor], name: str) -> bytes:
        shipment = pack(cls)
        return bytes(
            await self._open().perform(
                cls.kind, check_name(name), lambda host: host.pack.remote(shipment, name)
            )
        )

    async def _unpack(self, cls: type[Actor], name: str, archive: bytes) -> None:
        shipment = pack(cls)
        await self._open().perform(
            cls.kind, check_name(name), lambda host: host.unpack.remote(shipment, name, archive)
        )

    async def restore_from_replica(
        self,
        cls: type[Actor],
        name: str,
        at: str | datetime | float | None = None,
        *,
        replica: str | None = None,
        host: str | None = None,
    ) -> str:
        """Put an actor and all its facets back to what a replica has of them. As on a
        `LocalRuntime`: from what its own host wrote, if no other is named."""
        of = {"replica": replica, "host": host}
        return str(await self._perform("restore_from_replica", cls, name, at, **of))

    async def tell_socket(
        self, cls: type[Actor], name: str, door: tuple[str, ...], event: Event
    ) -> dict[str, str]:
        """Tell an actor, or one of its facets, what happened to a socket. As on a
        `LocalRuntime`."""
        shipment = pack(cls)
        return await self._telling.tell(
            self._open(),
            cls.kind,
            check_name(name),
            event,
            lambda host: host.perform.remote(shipment, "tell_socket", name, door, event),
        )

    async def _perform(
        self, verb: str, cls: type[Actor], name: str, *args: Any, **named: Any
    ) -> Any:
        return await self._open().perform(
            cls.kind,
            check_name(name),
            lambda host: host.perform.remote(pack(cls), verb, name, *args, **named),
        )

    def stats(self) -> ClusterStats:
        """What runs now, on all hosts together; `storage` by host. Asks every host and waits."""
        return _together(verbs.ask(self._fresh(), "stats"))

    async def drain(self, host: str) -> Moved:
        """Move all that a host owns to the others, and end it; what was moved.

        Calls go on: those to an actor that moves wait for a moment, and those that take longer
        than 10 seconds end with `ActorMoved`. An actor takes its facets, files and timers along;
        its history begins anew. When it fails, what has moved is moved; ask again.
        """
        return await self._scaled(lambda scaling: scaling.drain(host))

    async def scale(self, hosts: Hosts | None = None) -> Moved:
        """Have so many hosts, or one on each node, while calls flow: start new ones, or drain the
        last ones; None for as many as there are. Then each owns its share. As `drain`."""
        return await self._scaled(lambda scaling: scaling.scale(hosts))

    async def _scaled(self, change: Callable[[Scaling], Awaitable[Moved]]) -> Moved:
        router = self._open()
        scaling = Scaling(self.name, self.plan.shared(), self._fleet)
        try:
            return await change(scaling)
        finally:
            router.learn(await scaling.directory())
            self._fleet.expect(len(router.directory.hosts))

    def hosts(self) -> builtins.list[HostInfo]:
        """Where each host is and how it does. Asks every host and waits, at most 3 seconds."""
        return look(self.name, self._fresh().directory, self.plan.shared())

    async def forget(self, node: str, *, lose: bool = False) -> builtins.list[Loss]:
        """Give up the disk of a node that is gone (`HostInfo.node`, or its address): its hosts go
        on elsewhere, from the replica, and it never serves them again. What is lost of each host.

        Without a replica that is all, so `OnlyCopy` unless `lose`; nothing with
        `durability="replicated"`. `NodeThere` if the node is there."""
        self._open()
        return await forget(self._fleet, node, lose=lose)

    def _fresh(self) -> Router:
        """As of the newest directory: hosts come and go, and whoever asks all must know all."""
        router = self._open()
        router.learn(newest(self.plan.shared()))
        return router

    def _open(self) -> Router:
        if self._router is None:
            raise RuntimeClosed("this runtime is not open", hint="use `async with RayRuntime(...)`")
        return self._router


def _together(stats: dict[str, ClusterStats]) -> ClusterStats:
    """The sums; what cannot be added by host."""
    every = list(stats.values())
    return ClusterStats(
        awake=sum(one.awake for one in every),
        calls=sum(one.calls for one in every),
        kinds={kind: label for one in every for kind, label in one.kinds.items()},
        outdated=sum(one.outdated for one in every),
        storage={host: one.storage for host, one in stats.items()},
        timers=TimerStats.of([one.timers for one in every]),
        classes=together([one.classes for one in every]),
    )


def _write(path: Path, data: bytes) -> None:
    """The file appears complete or not at all."""
    new = path.with_name(path.name + ".part")
    try:
        new.write_bytes(data)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
