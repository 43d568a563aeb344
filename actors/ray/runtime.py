"""The runtime of a Ray cluster."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from actors.actor import Actor
from actors.contract import Durability
from actors.errors import RuntimeClosed
from actors.host import Stats
from actors.names import check_name
from actors.ray.directory import Directory, settle
from actors.ray.errors import PythonDiffers
from actors.ray.hosting import Hosting, Plan
from actors.ray.router import NAMESPACE, Router, actor_name, handle, host_name, router
from actors.ray.shipping import pack
from actors.ray.stub import ActorRef, RemoteStub

A = TypeVar("A", bound=Actor)

CONCURRENT = 100_000
"""Requests that a host serves at once; every process that calls keeps at most two."""


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
    for the life of the directory; `name`, of the runtime within the cluster, from `root` if not
    given; `resources`, Ray's options for each host (`num_cpus`, `resources`, `runtime_env`); the
    others as for `LocalRuntime`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        address: str | None = None,
        hosts: int = 1,
        name: str | None = None,
        replica: str | None = None,
        durability: Durability = "local",
        resources: Mapping[str, Any] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        self.root = Path(root if str(root).startswith("$") else Path(root).absolute())
        self.name = name or hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        self._address = address
        self._hosts = [host_name(index) for index in range(hosts)]
        self._resources = {"num_cpus": 0, **resources}
        options = {"replica": replica, "durability": durability, **options}
        self._plan = Plan(self.name, str(self.root), options)
        self._router: Router | None = None
        self._started_ray = False

    async def open(self) -> RayRuntime:
        """Connect to the hosts, and start those that do not run."""
        if self._router is not None:
            return self
        import ray

        if not ray.is_initialized():
            ray.init(self._address, namespace=NAMESPACE, log_to_driver=False)
            self._started_ray = True
        directory = await asyncio.to_thread(
            settle, self._plan.shared(), self._hosts, uuid.uuid4().hex
        )
        greetings = await asyncio.gather(*[self._start(host, directory) for host in self._hosts])
        _check_python(greetings)
        found = router(self.name)
        found.use(directory)
        self._router = found
        return self

    async def _start(self, host: str, directory: Directory) -> Any:
        import ray

        remote: Any = ray.remote(Hosting)
        started = remote.options(
            name=actor_name(self.name, host),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_concurrency=CONCURRENT,
            scheduling_strategy="SPREAD",
            **self._resources,
        ).remote(self._plan, host, directory)
        return await started.greet.remote()

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
        import ray

        running = [handle(self.name, host) for host in self._hosts]
        await asyncio.gather(*[one.close.remote() for one in running])
        for one in running:
            ray.kill(one)
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
        """Send a class along with the next call of its kind."""
        self._open().know(pack(cls))

    def list(self, cls: type[Actor]) -> list[str]:
        """Names of the actors of this class that have state, sorted. Asks every host and waits."""
        import ray

        self._open()
        asked = [handle(self.name, host).names.remote(cls.kind) for host in self._hosts]
        return sorted(name for names in ray.get(asked) for name in names)

    async def delete(self, cls: type[Actor], name: str) -> None:
        """Wipe an actor and all its facets; durable when it returns. Calls in progress break."""
        await self._perform("delete", cls, name)

    async def _perform(self, verb: str, cls: type[Actor], name: str, *args: Any) -> Any:
        link = await self._open().link(cls.kind, name)
        shipment = pack(cls)
        return await link.handle.perform.remote(shipment, verb, name, *args)

    async def stats(self) -> dict[str, Stats]:
        """What runs now, by host."""
        self._open()
        found = await asyncio.gather(
            *[handle(self.name, host).stats.remote() for host in self._hosts]
        )
        return dict(zip(self._hosts, found, strict=True))

    def _open(self) -> Router:
        if self._router is None:
            raise RuntimeClosed("this runtime is not open", hint="use `async with RayRuntime(...)`")
        return self._router


def _check_python(greetings: list[Any]) -> None:
    here = sys.version_info[:2]
    for greeting in greetings:
        if greeting.python != here:
            raise PythonDiffers(
                f"this driver runs Python {here[0]}.{here[1]}, a host "
                f"{greeting.python[0]}.{greeting.python[1]}",
                here=here,
                there=greeting.python,
            )
