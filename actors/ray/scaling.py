"""More hosts, or fewer, while calls flow.

A new host joins the directory with no buckets, starts, and is given its share. A host that is to go
gives away all it owns, leaves the directory, waits until its callers have what it answered, and
ends. Where a bucket should be is said by rendezvous hashing, so nothing else moves. Whoever does
this may end in the middle: what has moved is moved, and to ask again goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.ray.directory import Directory, amend, newest, place
from actors.ray.errors import HandoverFailed
from actors.ray.handover import Moved
from actors.ray.router import find, host_name
from actors.ray.seats import vacate
from storage.errors import StorageError

if TYPE_CHECKING:
    from actors.ray.fleet import Fleet, Hosts
    from storage.objects.store import ObjectStore

ATTEMPTS = 8
"""Times in a row that hosts are asked and move nothing, before that is an error."""
PAUSE = 0.25
"""Seconds before the second of these; each further one is twice as long."""
AT_ONCE = 4
"""Hosts that give at once: each makes versions of the directory, and they are in each other's way.
"""

Moves = dict[str, dict[str, list[int]]]
"""By who has them, and by who should, buckets."""


class Scaling:
    """Changes the hosts of one runtime."""

    def __init__(self, runtime: str, store: ObjectStore, fleet: Fleet) -> None:
        self._runtime = runtime
        self._store = store
        self._fleet = fleet
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def directory(self) -> Directory:
        """The newest directory."""
        return await asyncio.to_thread(newest, self._store)

    async def scale(self, wanted: Hosts | None) -> Moved:
        """Have so many hosts: new ones, or without the last ones; and each bucket where it should
        be."""
        if wanted == "per-node":
            await self._fleet.cover()
            return await self._settle(frozenset())
        found = await self.directory()
        count = len(found.hosts) if wanted is None else wanted
        if count < 1:
            raise ValueError(f"a runtime has at least one host, not {count}")
        if count < len(found.hosts):
            return await self._release(found.hosts[count:])
        if count > len(found.hosts):
            found = await asyncio.to_thread(amend, self._store, partial(_joined, count))
        missing = [host for host in found.hosts if find(self._runtime, host) is None]
        await self._fleet.revive(*missing)
        return await self._settle(frozenset())

    async def drain(self, host: str) -> Moved:
        """Have the others own what a host does, and end it. Nothing happens if it has left."""
        found = await self.directory()
        if host not in found.hosts:
            await self._end(host)
            return Moved()
        return await self._release([host])

    async def _release(self, hosts: Collection[str]) -> Moved:
        found = await self.directory()
        if not set(found.hosts) - set(hosts):
            raise ValueError("the last host cannot be drained: nobody could have what it owns")
        done = await self._settle(frozenset(hosts))
        for host in hosts:
            await asyncio.to_thread(amend, self._store, partial(_left, host))
            await self._end(host)
        return done

    async def _settle(self, leaving: frozenset[str]) -> Moved:
        """Have each bucket where it should be, and none with those that leave."""
        done, vain = Moved(), 0
        while moves := misplaced(await self.directory(), leaving):
            asked = [
                self._ask(host, *one) for host, given in moves.items() for one in given.items()
            ]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            moved = sum([one for one in answers if isinstance(one, Moved)], Moved())
            done += moved
            vain = 0 if moved.buckets else vain + 1
            for failure in answers:
                if isinstance(failure, BaseException) and not _passes(failure, vain):
                    raise failure
            await asyncio.sleep(PAUSE * 2 ** (vain - 1) if vain else 0)
        return done

    async def _ask(self, host: str, target: str, buckets: list[int]) -> Moved:
        async with self._turn:
            found = find(self._runtime, host)
            if found is None:
                raise HandoverFailed(f"{host} does not run", host=host, target=target)
            moved: Moved = await found.hand_over.remote(buckets, target)
            return moved

    async def _end(self, host: str) -> None:
        """End the process of a host that has left; one of its name may begin on any disk."""
        import ray

        found = find(self._runtime, host)
        if found is not None:
            with contextlib.suppress(ray.exceptions.RayActorError):  # it may have ended by itself
                await found.retire.remote()
            ray.kill(found)
        await asyncio.to_thread(vacate, self._store, host)


def misplaced(directory: Directory, leaving: frozenset[str]) -> Moves:
    """What has to move so that each bucket is where it should be among those that stay."""
    stay = [host for host in directory.hosts if host not in leaving]
    moves: Moves = {}
    for one, index in enumerate(place(stay)):
        owner, target = directory.owner_of(one), stay[index]
        if owner != target and (not leaving or owner in leaving):
            moves.setdefault(owner, {}).setdefault(target, []).append(one)
    return moves


def _joined(count: int, found: Directory) -> Directory | None:
    names = (name for i in range(count * 2) if (name := host_name(i)) not in found.hosts)
    missing = count - len(found.hosts)
    return found.joined([next(names) for _ in range(missing)]) if missing > 0 else None


def _left(host: str, found: Directory) -> Directory | None:
    if host not in found.hosts:
        return None
    if found.owned(host):
        raise HandoverFailed(f"{host} was given buckets meanwhile", host=host, target="")
    return found.left(host)


def _passes(failure: BaseException, vain: int) -> bool:
    """Whether it may go well the next time: a host is being started again, or the store is away."""
    import ray

    error: Any = ray.exceptions.RayActorError
    return vain < ATTEMPTS and isinstance(failure, (HandoverFailed, StorageError, error))
