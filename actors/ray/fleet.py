"""The hosts of a runtime: started where their state is, found, greeted and ended.

What all of a host's acknowledged writes are in decides where it may run. With
`durability="replicated"` that is the replica: Ray may start the host on any node. Otherwise it is
the disk: the host is pinned to a node that has its directory, and no other node may start it until
the operator gives that disk up. Which nodes have it is looked up on their disks, so nobody needs to
say whether nodes share one, and a node that comes back under another id is known again.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle  # type: ignore[import-untyped]  # it has no stubs

from actors.ray.board import Board
from actors.ray.directory import Directory, amend, load, settle
from actors.ray.errors import DiskAway, DiskForgotten, HostLost, PythonDiffers
from actors.ray.hosting import Greeting, Hosting, Plan
from actors.ray.link import PULSE, SILENCE
from actors.ray.router import NAMESPACE, actor_name, find, host_name
from actors.ray.seats import Seat, away, holds, newest
from actors.ray.sites import Site, least, scout

if TYPE_CHECKING:
    from storage.objects.store import ObjectStore

Hosts = int | Literal["per-node"]

CONCURRENT = 100_000
"""Requests that a host serves at once; every process that calls keeps at most two."""
HELD = {"num_cpus": 0, "memory": 1 << 20}
"""What a host takes of a node, of Ray's own account: no CPU, which tasks need, and so much memory
that the autoscaler does not remove the node as idle, and the state with it."""
_RECORD = "fleet"
"""Key on the board of what any process needs to start a host again."""


class Fleet:
    """The processes that share the actors of one runtime, each a detached Ray actor."""

    def __init__(self, plan: Plan, hosts: Hosts, resources: Mapping[str, Any]) -> None:
        self.plan = plan
        self._hosts = hosts
        self._resources = {**HELD, **resources}

    @classmethod
    def of(cls, runtime: str) -> Fleet:
        """The fleet of a runtime that was opened on this cluster; `ObjectMissing` if none was."""
        return cls(*pickle.loads(Board(runtime).get(_RECORD)))  # noqa: S301 - our own

    async def directory(self) -> Directory:
        """The newest directory, of a runtime that was opened."""
        found = await asyncio.to_thread(load, self.plan.shared())
        assert found is not None  # noqa: S101 - `up` made it
        return found

    async def up(self) -> Directory:
        """Start the hosts that do not run and can, and hear of each; the directory of them all.

        `PythonDiffers` from one of another version. One whose disk is not there is left out: a
        call to it raises `DiskAway`.
        """
        record = cloudpickle.dumps((self.plan, self._hosts, self._resources))
        await asyncio.to_thread(Board(self.plan.runtime).put, _RECORD, record)
        directory, sites = await self._settle()
        missing = [one for one in directory.hosts if find(self.plan.runtime, one) is None]
        if missing and sites is None and self._is_placed:
            sites = await self.sites()
        places = await asyncio.to_thread(self._places, directory, missing, sites or [])
        await asyncio.gather(*[self._begin(one, directory, places) for one in directory.hosts])
        return directory

    async def cover(self) -> Directory:
        """Have a host on each node from now on, also on those that came since."""
        self._hosts = "per-node"
        return await self.up()

    async def revive(self, *hosts: str) -> list[Any]:
        """Start hosts that do not run, where their state is; their handles. `DiskAway` if no node
        has that of one; the others are started."""
        directory = await self.directory()
        for host in hosts:
            if host not in directory.hosts:
                raise HostLost(f"{host} has left", host=host, actor="", method="")
        sites = await self.sites() if self._is_placed else []
        places = await asyncio.to_thread(self._places, directory, hosts, sites)
        asked = [self._revive(host, directory, places[host]) for host in hosts]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    async def sites(self, *, recall: bool = False) -> list[Site]:
        """What each node has that could run a host."""
        return await scout(self.plan, self._resources, recall=recall)

    def expect(self, hosts: int) -> None:
        """There are so many hosts from now on."""
        if self._hosts != "per-node":
            self._hosts = hosts

    async def down(self) -> None:
        """End the hosts that run; what they hold stays. One that is stuck is killed."""
        import ray

        directory = await asyncio.to_thread(load, self.plan.shared())
        hosts = directory.hosts if directory is not None else ()
        running = [one for host in hosts if (one := find(self.plan.runtime, host)) is not None]
        await asyncio.gather(*[_closed(one) for one in running])
        for one in running:
            ray.kill(one)

    # -- inside -------------------------------------------------------------------------

    @property
    def _is_placed(self) -> bool:
        """Whether hosts belong on certain nodes."""
        return self._hosts == "per-node" or not self.plan.anywhere

    async def _settle(self) -> tuple[Directory, list[Site] | None]:
        """The directory, made if there is none; and what nodes have, if that was looked up."""
        store = self.plan.shared()
        directory, sites = await asyncio.to_thread(load, store), None
        if directory is None and self.plan.options["replica"] is None:
            sites = await self.sites(recall=True)
            directory = await asyncio.to_thread(load, store)
        if self._hosts == "per-node":
            sites = await self.sites() if sites is None else sites
            names = await asyncio.to_thread(_one_each, store, sites)
        else:
            names = [host_name(index) for index in range(self._hosts)]
        return await asyncio.to_thread(self._joined, store, directory, names), sites

    def _joined(
        self, store: ObjectStore, directory: Directory | None, names: Sequence[str]
    ) -> Directory:
        """With hosts on nodes that came since, which own nothing yet."""
        if directory is None or self._hosts != "per-node":
            return settle(store, names)

        def change(found: Directory) -> Directory | None:
            new = [name for name in names if name not in found.hosts]
            return found.joined(new) if new else None

        return amend(store, change)

    def _places(
        self, directory: Directory, hosts: Sequence[str], sites: Sequence[Site]
    ) -> dict[str, Any]:
        """For each of these hosts Ray's strategy, or the error that says why there is none."""
        if not self._is_placed or not hosts:
            return dict.fromkeys(hosts, "SPREAD")
        store = self.plan.shared()
        seats = {host: newest(store, host) for host in directory.hosts}
        taken = Counter(seat.node for host, seat in seats.items() if host not in hosts)
        return {host: self._place(seats[host], sites, taken) for host in hosts}

    def _place(self, seat: Seat, sites: Sequence[Site], taken: Counter[str]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = _nodes_with(seat, sites)
        if not nodes and not seat.vacant and not self.plan.anywhere:
            return away(seat)
        nodes = nodes or [site.node for site in sites]
        if not nodes:
            return "SPREAD"
        node = least(nodes, taken)
        taken[node] += 1
        return NodeAffinitySchedulingStrategy(node, soft=self.plan.anywhere)

    async def _revive(self, host: str, directory: Directory, strategy: Any) -> Any:
        if isinstance(strategy, DiskAway):
            raise strategy
        started = self._started(host, directory, strategy)
        _check_python(await _greeted(started))
        return started

    async def _begin(self, host: str, directory: Directory, places: Mapping[str, Any]) -> None:
        with contextlib.suppress(DiskAway, DiskForgotten):  # or it went away meanwhile
            await self._revive(host, directory, places.get(host, "SPREAD"))

    def _started(self, host: str, directory: Directory, strategy: Any) -> Any:
        """Ray's handle of a host, which is started if it does not run."""
        import ray

        remote: Any = ray.remote(Hosting)
        return remote.options(
            name=actor_name(self.plan.runtime, host),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,  # a request that Ray repeated would run its calls twice
            max_concurrency=CONCURRENT,
            scheduling_strategy=strategy,
            **self._resources,
        ).remote(self.plan, host, directory)


def _nodes_with(seat: Seat, sites: Sequence[Site]) -> list[str]:
    """The nodes whose disk has the state of the host that has this seat."""
    own = {site.node: site.seats.get(seat.host) for site in sites}
    return [node for node, noted in own.items() if holds(seat, noted)]


def _one_each(store: ObjectStore, sites: Sequence[Site]) -> list[str]:
    """A host for each site: those whose state is there, and new ones where there is none."""
    taken: Counter[str] = Counter()
    known = sorted({host for site in sites for host in site.seats})
    held = {host: _nodes_with(newest(store, host), sites) for host in known}
    for nodes in held.values():
        if nodes:
            taken[least(nodes, taken)] += 1
    new = [f"host-{site.node[:12]}" for site in sites if not taken[site.node]]
    return [*(host for host, nodes in held.items() if nodes), *new]


async def _greeted(started: Any) -> Greeting:
    """What a host that is being started says. One that has no state there is not left behind."""
    import ray

    while True:
        try:
            greeting: Greeting = await started.greet.remote()
        except ray.exceptions.ActorUnavailableError:  # Ray is about to start it again
            await asyncio.sleep(0.05)
        except (DiskAway, DiskForgotten):
            ray.kill(started)
            raise
        else:
            return greeting


def _check_python(greeting: Greeting) -> None:
    here = sys.version_info[:2]
    if greeting.python != here:
        raise PythonDiffers(
            f"this driver runs Python {here[0]}.{here[1]}, a host "
            f"{greeting.python[0]}.{greeting.python[1]}",
            here=here,
            there=greeting.python,
        )


async def _closed(host: Any) -> None:
    import ray

    closing = asyncio.ensure_future(host.close.remote())
    try:
        while not (await asyncio.wait([closing], timeout=SILENCE))[0]:
            await asyncio.wait_for(host.pulse.remote(), PULSE)
        await closing
    except (TimeoutError, ray.exceptions.RayActorError):  # it is stuck, or dead already
        closing.cancel()
