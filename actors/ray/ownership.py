"""What one host owns, by the directory, and what is under way there from outside.

A request for an actor is admitted by the host that owns it. While its bucket is being handed over
it waits; if the bucket is another host's it is refused, unseen, and its caller goes there.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from actors.ray.directory import Directory, amend, bucket, newest
from actors.ray.errors import HandoverFailed, NotOwner, OtherHost, Superseded
from actors.ray.outbox import Outbox
from actors.ray.sighting import Sighting
from actors.ray.wire import Target, dump_error
from storage.errors import StorageError
from storage.objects.store import ObjectStore


class Ownership:
    """Of one incarnation of a host, on its loop."""

    def __init__(
        self, host: str, store: ObjectStore, directory: Directory, sighting: Sighting
    ) -> None:
        self.host = host
        self.store = store
        self.directory = directory
        """The newest that is known here."""
        self._sighting = sighting
        self.token = ""
        """Of this incarnation: it sorts behind those before it."""
        self.under_way: Counter[int] = Counter()
        """Requests by bucket."""
        self.operations: Counter[int] = Counter()
        """Those among them that are no calls, and cannot be broken off."""
        self.on_change: Callable[[], object] | None = None
        """Called when the host may own other buckets than before."""
        self.on_superseded: Callable[[Superseded], object] | None = None
        self._held: dict[int, asyncio.Future[None]] = {}
        self._lines: dict[int, _Line] = {}
        """Of requests that wait, by bucket."""
        self._looking: asyncio.Task[Directory] | None = None

    async def enter(self) -> None:
        """Name this incarnation in a new version, before it serves or removes anything.

        Whoever is not one of the hosts owns nothing, and enters nothing. `DirectoryStale`."""
        nonce = secrets.token_hex(8)

        def change(found: Directory) -> Directory | None:
            self._sighting.check(found)
            return found.entered(self.host, nonce) if self.host in found.hosts else None

        self.directory = await asyncio.to_thread(amend, self.store, change)
        if self.host in self.directory.hosts:
            self.token = self.directory.tokens.get(self.host, "")
            if not self.token.endswith(nonce):
                raise self._superseded()
        else:
            self.token = f"{self.directory.version:010}-{nonce}"
        await asyncio.to_thread(self._sighting.keep, self.directory)

    def owns(self, kind: str, name: str) -> bool:
        """Whether an actor is this host's, and is not being handed over."""
        one = bucket(kind, name)
        return one not in self._held and self.directory.owner_of(one) == self.host

    # -- requests -----------------------------------------------------------------------

    def has(self, kind: str, name: str) -> bool:
        """Whether an actor is this host's, also while it is being handed over."""
        return self.directory.owner(kind, name) == self.host

    def admit(self, kind: str, name: str) -> int | None:
        """The bucket, in which a request is under way from now on, until `over`; None if it has
        to wait (`admitted`)."""
        one = bucket(kind, name)
        return None if one in self._lines else self._enter(one)

    def _enter(self, one: int) -> int | None:
        if one in self._held or self.directory.owner_of(one) != self.host:
            return None
        self.under_way[one] += 1
        return one

    async def admitted(self, kind: str, name: str) -> int:
        """The same, once it is known who owns the actor; `NotOwner` if that is another host."""
        one = bucket(kind, name)
        line = self._lines.get(one)
        if line is None:
            line = self._lines[one] = _Line()
        line.length += 1
        came = asyncio.get_running_loop().time()
        try:
            async with line.lock:  # in the order in which they came
                while self._enter(one) is None:
                    await self._settled(one, line, came, f"{kind}:{name}")
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[one]
        return one

    async def _settled(self, one: int, line: _Line, came: float, actor: str) -> None:
        """Return when a bucket may be this host's, and is not being handed over; `NotOwner`."""
        if one in self._held:
            await asyncio.wait([self._held[one]])
            return
        if line.looked <= came:  # else somebody has looked since
            line.looked = asyncio.get_running_loop().time()
            await self.look()
        if one not in self._held and self.directory.owner_of(one) != self.host:
            raise NotOwner(f"{self.host} does not own {actor}", version=self.directory.version)

    def over(self, one: int) -> None:
        """A request is not under way any more."""
        _less(self.under_way, one)

    async def serve(
        self, outbox: Outbox, number: int, target: Target, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Answer a call: do the work, or say that the actor is another host's."""
        one = self.admit(target[0], target[1])
        if one is None:
            try:
                one = await self.admitted(target[0], target[1])
            except NotOwner as error:
                outbox.post(("moved", number, error.version))
                return
            except Exception as error:
                outbox.post(("failed", number, dump_error(error)))
                return
        try:
            await work()
        finally:
            self.over(one)

    @asynccontextmanager
    async def operation(self, kind: str, name: str, *others: str) -> AsyncIterator[None]:
        """Something done with an actor that is no call, and is over before the actor leaves.

        `OtherHost` if others that it needs are not here."""
        entered = await self._all_admitted(kind, name, others)
        self.operations.update(entered)
        try:
            yield
        finally:
            for one in entered:
                self.over(one)
                _less(self.operations, one)

    async def _all_admitted(self, kind: str, name: str, others: Sequence[str]) -> list[int]:
        """All at once: who waits for one must not keep another from leaving."""
        while True:
            self.over(await self.admitted(kind, name))
            for other in others:
                if not self.has(kind, other):
                    raise OtherHost(
                        f"{kind}:{other} lives on another host than {kind}:{name}",
                        actor=name,
                        other=other,
                    )
                self.over(await self.admitted(kind, other))
            actors = (name, *others)
            entered = [found for one in actors if (found := self.admit(kind, one)) is not None]
            if len(entered) == len(actors):
                return entered
            for found in entered:
                self.over(found)

    # -- buckets ------------------------------------------------------------------------

    def hold(self, buckets: Iterable[int]) -> None:
        """Requests for these wait, until `release`."""
        over = asyncio.get_running_loop().create_future()
        self._held.update(dict.fromkeys(buckets, over))

    def release(self, buckets: Iterable[int]) -> None:
        """It is decided who owns these."""
        for one in buckets:
            over = self._held.pop(one)
            if not over.done():
                over.set_result(None)

    async def look(self) -> Directory:
        """Follow the newest version; several who ask at once share one look."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(newest, self.store))
            self._looking.add_done_callback(self._looked)
        await self.follow(await asyncio.shield(self._looking))
        return self.directory

    def _looked(self, _: asyncio.Task[Directory]) -> None:
        self._looking = None

    async def follow(self, directory: Directory) -> None:
        """This is a newer version, perhaps. `Superseded` if it names another incarnation."""
        if directory.version <= self.directory.version:
            return
        if self.host in directory.hosts and directory.tokens.get(self.host) != self.token:
            raise self._superseded()
        if directory.owned(self.host) != self.directory.owned(self.host):
            await asyncio.to_thread(self._sighting.keep, directory)
        if directory.version > self.directory.version:
            self.directory = directory
            if self.on_change is not None:
                self.on_change()

    async def give(self, buckets: Sequence[int], target: str, taken: str) -> None:
        """Make another host, whose incarnation `taken` has what it needs, their owner.

        This is the move, and whatever a store answers, the newest version tells whether it was
        made. `HandoverFailed`, or why the store failed, if they are still this host's.
        """
        change = partial(self._given, buckets, target, taken)
        failure: Exception | None = None
        try:
            found = await asyncio.to_thread(amend, self.store, change)
        except (HandoverFailed, StorageError) as error:
            failure, found = error, await self._newest()
        await self.follow(found)
        if any(found.owner_of(one) == self.host for one in buckets):
            raise failure or HandoverFailed(
                f"{self.host} could not give buckets to {target}", host=self.host, target=target
            )

    def _given(
        self, buckets: Sequence[int], target: str, taken: str, found: Directory
    ) -> Directory:
        if found.tokens.get(self.host) != self.token:
            raise self._superseded()
        if target not in found.hosts or found.tokens.get(target) != taken:
            # What it took may be gone: an incarnation removes what it does not own.
            raise HandoverFailed(
                f"{target} was started again, or left", host=self.host, target=target
            )
        return found.moved(buckets, target)

    async def _newest(self) -> Directory:
        """Nothing can be decided before the store answers."""
        pause = 0.01
        while True:
            try:
                return await asyncio.to_thread(newest, self.store)
            except StorageError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _superseded(self) -> Superseded:
        error = Superseded(f"a newer incarnation of {self.host} was started", host=self.host)
        if self.on_superseded is not None:
            self.on_superseded(error)
        return error


class _Line:
    """Requests for one bucket that wait: whoever comes later goes behind them."""

    __slots__ = ("length", "lock", "looked")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0
        self.looked = -math.inf
        """When the newest look at the directory began."""


def _less(counter: Counter[int], one: int) -> None:
    counter[one] -= 1
    if not counter[one]:
        del counter[one]
