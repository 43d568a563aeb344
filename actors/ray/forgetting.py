"""Giving up the disk of a node that will not come back: its hosts go on from the replica."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.ray.directory import newest as newest_directory
from actors.ray.errors import NodeThere, OnlyCopy
from actors.ray.router import find
from actors.ray.seats import Seat, announce, holds, newest
from storage.replica.reach import Reach, reach

if TYPE_CHECKING:
    from actors.ray.fleet import Fleet
    from actors.ray.sites import Site
    from storage.objects.store import ObjectStore


@dataclass(frozen=True)
class Loss:
    """What is lost of one host, as far as anybody knows."""

    host: str
    complete: float = 0.0
    """Every write from before this moment is kept, in seconds since 1970; 0 if none is."""
    seen: float = 0.0
    """When the host gave its last sign of life to the replica; 0 if there is none. What it wrote
    later is lost, too: it gives a sign every 3.3 seconds, unless it cannot reach the replica."""

    @property
    def seconds(self) -> float | None:
        """How long before its last sign of life it made writes that are lost; None if all are."""
        return max(0.0, self.seen - self.complete) if self.complete else None


async def forget(fleet: Fleet, node: str, *, lose: bool) -> list[Loss]:
    """Give up the disk of a node, by Ray's id of it or its address; its hosts start elsewhere.

    What each host lost, and how much of it is known. Nothing is lost, and the list is empty, with
    `durability="replicated"`. Crash-atomic for each host; a host that was given up and does not
    run yet is started by the next call. `NodeThere` if the node or its disk is there, `OnlyCopy`
    if there is no replica and not `lose`.
    """
    store = fleet.plan.shared()
    seats = await asyncio.to_thread(_seats, store, node)
    if fleet.plan.anywhere:
        return []
    _check_gone(node, seats, await fleet.sites())
    has_replica = fleet.plan.options["replica"] is not None
    if not has_replica and not lose:
        hosts = [seat.host for seat in seats]
        raise OnlyCopy(f"only {node} has the state of {', '.join(hosts)}", node=node, hosts=hosts)
    lost = [await asyncio.to_thread(_give_up, store, seat, known=has_replica) for seat in seats]
    await asyncio.gather(*[_begin_again(fleet, one.host) for one in lost])
    return lost


def _seats(store: ObjectStore, node: str) -> list[Seat]:
    """Those that are on a node."""
    found = [newest(store, host) for host in newest_directory(store).hosts]
    return [seat for seat in found if not seat.vacant and node in (seat.node, seat.ip)]


def _check_gone(node: str, seats: Sequence[Seat], sites: Sequence[Site]) -> None:
    if not seats:
        raise NodeThere(f"{node} has the disk of no host", node=node)
    for seat in seats:
        for site in sites:
            if site.node == seat.node or holds(seat, site.seats.get(seat.host)):
                raise NodeThere(
                    f"the disk of {seat.host} is there, on node {site.node}",
                    hint="runtime.drain(host) moves actors off a host that runs",
                    node=node,
                )


def _give_up(store: ObjectStore, seat: Seat, *, known: bool) -> Loss:
    """Make the host's disk no longer its own, for ever; what the replica had then."""
    if not announce(store, Seat(seat.host, seat.number + 1)):
        raise NodeThere(f"{seat.host} came back just now", node=seat.node)
    there = reach(store, seat.host) if known else Reach(0.0, 0.0)
    return Loss(seat.host, there.complete, there.seen)


async def _begin_again(fleet: Fleet, host: str) -> None:
    import ray

    running = find(fleet.plan.runtime, host)
    if running is not None:  # Ray tries to start it where it cannot
        ray.kill(running)
        while find(fleet.plan.runtime, host) == running:  # and not one that a caller has started
            await asyncio.sleep(0.01)
    await fleet.revive(host)
