"""Handing buckets over, from the host that owns them to another.

The owner holds new requests, lets what runs end, puts the trees to sleep, and sends them to the
target, which keeps them as durably as the runtime keeps anything, and does not own them yet. Then
the owner makes the version of the directory that names the target: that is the move. So at each
moment one host owns a tree, and has it whole:

    owner ends before the move    it is the owner still; the target removes what it took when it is
                                  opened next, or takes it anew
    owner ends after the move     it removes what it does not own when it is opened next; while it
                                  lives, it does so when the target has seen the move
    target ends before the move   its next incarnation may have removed what it took, so the move
                                  names the one that took it, and fails if there is a newer one
    target ends after the move    it has all of it, durably

A target asks the directory who sends before it takes: what an older incarnation of the owner sends
cannot come behind what a newer one has sent.

A tree takes its facets, files and timers along; its history begins anew. Trees go in groups, so
that calls of each wait only as long as its group takes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from actors.errors import ActorMoved
from actors.ray.census import Census, Name
from actors.ray.directory import bucket
from actors.ray.errors import HandoverFailed
from actors.ray.ownership import Ownership
from actors.ray.router import handle
from actors.standstill import Standstill
from storage.errors import StorageError

if TYPE_CHECKING:
    from actors.host import Host
    from actors.node import Node

A = TypeVar("A")

GRACE = 10.0
"""Seconds that calls under way may take before they are broken off."""
BUCKETS = 64
"""Buckets with trees that move at once, at most."""
TREES = 64
"""Trees that move at once, unless one bucket has more."""
AT_ONCE = 16
"""Trees that are packed, or put in place, at the same time: each waits for the disk."""
BATCH = 16 << 20
"""Bytes of trees that are sent at once, unless one is larger."""
_numbers = itertools.count()

Tree = tuple[str, str, bytes]
"""Kind and name of a root, and its archive."""


class Peer(Protocol):
    """The target of a hand-over."""

    async def take(self, sender: str, token: str, trees: Sequence[Tree]) -> str:
        """Keep these trees, durably, without serving them; the incarnation that did.

        `token` is the sender's. Those that were taken before are replaced.
        """

    async def look(self) -> object:
        """Something may be yours now."""


class Neighbour:
    """Another host of the cluster, as a target."""

    def __init__(self, runtime: str, host: str) -> None:
        self._runtime = runtime
        self._host = host

    async def take(self, sender: str, token: str, trees: Sequence[Tree]) -> str:
        """As `Peer.take`."""
        taken: str = await handle(self._runtime, self._host).take.remote(sender, token, trees)
        return taken

    async def look(self) -> object:
        """As `Peer.look`."""
        return await handle(self._runtime, self._host).look.remote()


@dataclass(frozen=True)
class Moved:
    """What a hand-over did."""

    buckets: int = 0
    trees: int = 0
    size: int = 0
    """Bytes that were sent."""
    held: float = 0.0
    """Seconds that calls had to wait, at most."""

    def __add__(self, other: Moved) -> Moved:
        return Moved(
            self.buckets + other.buckets,
            self.trees + other.trees,
            self.size + other.size,
            max(self.held, other.held),
        )


class Handover:
    """What a host gives to others and takes from them; one thing at a time."""

    def __init__(self, host: Host, ownership: Ownership) -> None:
        self._host = host
        self._ownership = ownership
        self._giving = asyncio.Lock()
        self._taking = asyncio.Lock()
        self._left: set[Name] = set()
        """Trees that moved away, and are still here."""
        self._taken: set[Name] = set()
        """Trees that were taken, and may not be owned yet."""
        self._waiting: asyncio.Task[None] | None = None

    # -- giving -------------------------------------------------------------------------

    async def give(
        self, buckets: Sequence[int], target: str, peer: Peer, grace: float = GRACE
    ) -> Moved:
        """Hand over those of the buckets that are this host's. What has moved before something
        failed stays moved; the rest goes on here."""
        done = Moved()
        owned = set(self._ownership.directory.owned(self._ownership.host))
        census = Census(self._host)
        await census.take()
        for group in list(_groups(sorted(owned & set(buckets)), census)):
            # Never broken off in the middle: nobody would know whose they are.
            moving = self._host.background(self._move(group, census, target, peer, grace))
            done += await asyncio.shield(moving)
        return done

    async def _move(
        self, group: list[int], census: Census, target: str, peer: Peer, grace: float
    ) -> Moved:
        async with self._giving:
            owned = set(self._ownership.directory.owned(self._ownership.host))
            return await self._move_now(sorted(owned & set(group)), census, target, peer, grace)

    async def _move_now(
        self, group: list[int], census: Census, target: str, peer: Peer, grace: float
    ) -> Moved:
        loop, ownership = self._host.loop, self._ownership
        began, moving = loop.time(), set(group)
        still = Standstill(
            self._host,
            lambda kind, name: bucket(kind, name) in moving,
            lambda: not moving.isdisjoint(ownership.under_way),
            lambda: not moving.isdisjoint(ownership.operations),
        )
        ownership.hold(group)
        try:
            await still.begin(grace, partial(_broken_off, target))
            trees = [name for one in group for name in census.trees(one)]
            size = await self._send(group, trees, target, peer)
            still.leave(partial(_gone, target))
            held = loop.time() - began
        finally:
            still.go_on()
            ownership.release(group)
            self._host.timers.again()
        self._left.update(trees)
        await peer.look()
        await self._remove(trees)
        return Moved(len(group), len(trees), size, held)

    async def _send(self, group: list[int], trees: Sequence[Name], target: str, peer: Peer) -> int:
        """Send the trees of these buckets, and make the move; how many bytes that were."""
        ownership = self._ownership
        tokens, size = set[str](), 0
        async with aclosing(_batches(self._host, trees)) as batches:
            async for batch in batches:
                tokens.add(await peer.take(ownership.host, ownership.token, batch))
                size += sum(len(archive) for _, _, archive in batch)
        if len(tokens) > 1:
            raise HandoverFailed(
                f"{target} was started again meanwhile", host=ownership.host, target=target
            )
        await ownership.give(group, target, tokens.pop())
        return size

    async def _remove(self, trees: Sequence[Name]) -> None:
        """Remove what has moved, unless it was given back meanwhile."""
        async with self._taking:
            gone = [one for one in trees if one in self._left]
            self._left.difference_update(gone)
            await remove(self._host, gone)

    # -- taking -------------------------------------------------------------------------

    async def take(self, sender: str, token: str, trees: Sequence[Tree]) -> str:
        """As `Peer.take`."""
        host, ownership = self._host, self._ownership
        async with self._taking:
            found = await ownership.look()
            theirs = all(found.owner(kind, name) == sender for kind, name, _ in trees)
            if found.tokens.get(sender) != token or not theirs:
                raise HandoverFailed(
                    f"{sender} does not own what it sends", host=sender, target=ownership.host
                )
            sequence = 0
            for at in range(0, len(trees), AT_ONCE):
                some = trees[at : at + AT_ONCE]
                sequence = max(await gathered(unpack(host, *one) for one in some))
                self._left.difference_update(one[:2] for one in some)
                self._taken.update(one[:2] for one in some)
            await host.gate.passed(sequence, host.remote(sequence))
        if self._waiting is None or self._waiting.done():
            self._waiting = host.background(self._wait())
        return ownership.token

    async def _wait(self) -> None:
        """Look whether what was taken is owned: the sender may end before it says so."""
        pause = 1.0
        while self._taken:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 60.0)
            with suppress(StorageError):  # the next look tells as well
                await self._ownership.look()
                self._taken = {one for one in self._taken if not self._ownership.has(*one)}

    async def clear(self) -> None:
        """Remove what another host owns: what was moved away, or never arrived. For an opening."""
        owns = self._ownership.owns
        rows = self._host.store.catalogue.read("select kind, name from actors where parent = 0")
        gone = [(kind, name) for kind, name in rows if not owns(kind, name)]
        await remove(self._host, gone)


async def gathered(work: Iterable[Coroutine[Any, Any, A]]) -> list[A]:
    """What all of these return; when one fails, when all have ended."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


async def _batches(host: Host, trees: Sequence[Name]) -> AsyncGenerator[list[Tree], None]:
    """Trees, each as of now and durable, while nobody writes to them; at least one batch, of about
    `BATCH` bytes at most or of one tree. Memory holds one."""
    batch: list[Tree] = []
    for at in range(0, len(trees), AT_ONCE):
        some = trees[at : at + AT_ONCE]
        paths = await gathered(pack(host, *one) for one in some)
        try:
            for (kind, name), path in zip(some, paths, strict=True):
                if sum(len(one[2]) for one in batch) + path.stat().st_size > BATCH and batch:
                    yield batch
                    batch = []
                batch.append((kind, name, await asyncio.to_thread(path.read_bytes)))
        finally:
            for path in paths:
                path.unlink()
    yield batch


async def pack(host: Host, kind: str, name: str) -> Path:
    """A file that holds a tree as of now, durable; nobody writes to it meanwhile."""
    from storage.archive import Export

    path = _aside(host)
    with host.job():
        job = Export(host.store, host.store.root(kind, name), path, sync=False)
        try:
            await host.gate.passed(job.sequence, host.remote(job.sequence))
            await host.elsewhere(job.work)
        finally:
            job.close()
    return path


async def unpack(host: Host, kind: str, name: str, archive: bytes) -> int:
    """Put a tree in place; the record that did."""
    from storage.archive import import_

    path = _aside(host)
    await asyncio.to_thread(path.write_bytes, archive)
    try:
        graft = import_(host.store, path, host.store.root(kind, name))
        with host.job():
            try:
                await host.elsewhere(graft.work)
            except BaseException:
                graft.cancel()
                raise
            return graft.finish()
    finally:
        path.unlink()


async def remove(host: Host, trees: Sequence[Name]) -> None:
    """Delete trees; durable on return."""
    sequence = 0
    for i, one in enumerate(trees):
        sequence = max(sequence, host.store.root(*one).delete())
        if i % 64 == 63:
            await asyncio.sleep(0)
    await host.gate.passed(sequence, host.remote(sequence))


def _aside(host: Host) -> Path:
    folder = host.store.layout.staging
    folder.mkdir(exist_ok=True)
    return folder / f"moving-{next(_numbers)}.tar"


def _groups(buckets: Sequence[int], census: Census) -> Iterator[list[int]]:
    """First those without a tree, all at once."""
    if empty := [one for one in buckets if not census.count(one)]:
        yield empty
    group: list[int] = []
    trees = 0
    for one in buckets:
        if count := census.count(one):
            if group and (len(group) >= BUCKETS or trees + count > TREES):
                yield group
                group, trees = [], 0
            group.append(one)
            trees += count
    if group:
        yield group


def _broken_off(target: str, node: Node) -> ActorMoved:
    return ActorMoved(
        f"{node.id} is moving to {target}, and the call took too long to wait for; it may have run",
        to=node.id,
    )


def _gone(target: str, node: Node) -> ActorMoved:
    return ActorMoved(
        f"{node.id} was moved to {target}",
        hint="load the stub again, or ask for it again: it leads there then",
        to=node.id,
    )
