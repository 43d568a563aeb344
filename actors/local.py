"""The runtime of one process: a script, a test, a notebook."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from actors.actor import Actor
from actors.clock import Clock, SystemClock
from actors.contract import Durability
from actors.diffing import diff_trees
from actors.errors import ActorBroken, NotActive, RuntimeClosed
from actors.host import Host, HostOptions, Stats
from actors.limits import IsolateLimits, TimerLimits
from actors.moving import move_tree, parent_of
from actors.quotas.quota import Quota
from actors.stat import ActorStat, Place, stat, tree
from actors.stub import Stub
from actors.trees import (
    bookmark_at,
    clone_tree,
    export_tree,
    import_tree,
    restore_tree,
    retrieve_tree,
)
from storage.limits import FileLimits, HistoryLimits, JournalLimits, StorageLimits

if TYPE_CHECKING:
    from actors.blocking import BlockingRuntime
    from actors.sockets.events import Event
    from storage.diff import Difference
    from storage.disk import Disk
    from storage.objects import ObjectStore

A = TypeVar("A", bound=Actor)


class LocalRuntime:
    """Durable actors in this process, kept in the directory `root`.

    Use it as an async context manager, or `await runtime.open()` and `close()` across the
    cells of a notebook. Opening a directory that this process has open already shares the
    open one; a directory owned by another live process is `StateInUse` with its pid.

    Every reply to this side is durable before it arrives. All calls belong to the event loop
    on which the runtime was opened.

    Arguments: `idle`, seconds without a call until an actor is put to sleep;
    `open_databases`, how many databases stay open at most; `limits` of each database,
    `journal` and `history` of the directory, `files` and `timers` of each actor, `isolates` on
    all sandboxes together; `quota`, what each root actor and all below it may use together; `env`,
    plain data that actors see as `self.env`; `clock` and `disk`, what a test puts in the place of
    the machine's (`facets.testing`). They count for the first opener of a directory.

    `replica`, a url (`s3://bucket/prefix`, `file:///...`, `memory://`) or an `ObjectStore`,
    gets every commit under the name `host`; an empty directory is filled from it. With
    `durability="replicated"` nothing is answered before the replica has it, so it survives the
    loss of the disk; a class may choose for itself: `class Ledger(Actor, durability=...)`. Who
    opens a replica takes it over: the one before can acknowledge nothing more (`LeaseLost`).
    """

    def __init__(
        self,
        root: str | Path,
        *,
        idle: float = 60.0,
        replica: str | ObjectStore | None = None,
        durability: Durability = "local",
        host: str = "main",
        open_databases: int = 256,
        limits: StorageLimits | None = None,
        journal: JournalLimits | None = None,
        history: HistoryLimits | None = None,
        files: FileLimits | None = None,
        isolates: IsolateLimits | None = None,
        quota: Quota | None = None,
        env: Mapping[str, Any] = MappingProxyType({}),
        timers: TimerLimits | None = None,
        clock: Clock | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.root = Path(root)
        self._options = HostOptions(
            idle=idle,
            replica=replica,
            durability=durability,
            name=host,
            open_databases=open_databases,
            limits=limits or StorageLimits(),
            journal=journal or JournalLimits(),
            history=history or HistoryLimits(),
            files=files or FileLimits(),
            isolates=isolates or IsolateLimits(),
            quota=quota,
            env=env,
            timers=timers or TimerLimits(),
            clock=clock or SystemClock(),
            disk=disk,
        )
        self._host: Host | None = None

    async def open(self) -> LocalRuntime:
        """Take the directory and recover it; nothing happens if this runtime is open."""
        if self._host is None:
            self._host = await _shared.open(self, self.root, self._options)
        return self

    async def close(self) -> None:
        """Stop the actors and release the directory, unless another runtime here shares it."""
        host, self._host = self._host, None
        if host is not None:
            await _shared.close(self, host)

    async def __aenter__(self) -> LocalRuntime:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def blocking(self) -> BlockingRuntime:
        """The same for code that is not asynchronous: `with runtime.blocking() as runtime:`."""
        from actors.blocking import BlockingRuntime

        return BlockingRuntime(self)

    def get(self, cls: type[A], name: str) -> A:
        """A stub of the actor `name` of this class, typed as the class. Lazy: no I/O yet."""
        return cast(A, Stub(self._open().root(cls, name)))

    def list(self, cls: type[Actor]) -> list[str]:
        """Names of the actors of this class that have state, sorted."""
        return self._open().store.names(cls.kind)

    def stat(
        self, cls: type[Actor], name: str, *, below: bool = False, rows: bool = False
    ) -> ActorStat:
        """What is known of an actor without waking it; constant in time, however many there are.

        With `below` the sums of it and its facets, some microseconds for each; with `rows` how
        many each of its tables has, which reads them all.
        """
        return stat(self._open().root(cls, name), below=below, rows=rows)

    def tree(self, cls: type[Actor], name: str) -> builtins.list[Place]:
        """An actor and its facets that have state or run, in the order of their paths; nobody is
        woken. Some microseconds for each."""
        return tree(self._open().root(cls, name))

    async def delete(self, cls: type[Actor], name: str) -> None:
        """Wipe an actor and all its facets; durable when it returns. Calls in progress break."""
        host = self._open()
        node = host.root(cls, name)
        node.abort(ActorBroken(f"{node.id} was deleted"))
        sequence = node.database.delete()
        await host.gate.passed(sequence, host.remote(sequence))

    async def clone(
        self, cls: type[Actor], source: str, target: str, *, at: str | None = None
    ) -> None:
        """Copy an actor and all its facets as of now over `target`, while they go on.

        With `at`, a bookmark, as they were then: the copy begins there, the source stays.

        Crash-atomic, and durable when it returns. What `target` was is gone. `NoState` if
        `source` has never written.
        """
        host = self._open()
        await clone_tree(host.root(cls, source), host.root(cls, target), at)

    async def rename(self, cls: type[Actor], name: str, new_name: str) -> None:
        """Give an actor another name; its data, its past and its facets stay what they are.

        Crash-atomic, and durable when it returns. Calls in progress to it and its facets end with
        `ActorMoved`, and so do stubs: `get` the actor under its new name. `NoState` if it has never
        written, `NameTaken` if there is an actor of that name already.
        """
        await move_tree(self._open().root(cls, name), None, cls.kind, new_name)

    async def demote(self, cls: type[Actor], name: str, to: object, new_name: str) -> None:
        """Make an actor, with all its facets, a facet of another one.

        `to` is a stub of the new parent, which gets it as `self.facets.get(new_name, ...)`, with
        whatever class it names. The promise of `rename`, and see `facets.move` for what becomes of
        its past. `facets.promote` is the way back.
        """
        host = self._open()
        await move_tree(host.root(cls, name), parent_of(to, host), "", new_name)

    def bookmark(self) -> str:
        """This moment; it fits every actor here."""
        return str(self._open().store.bookmark())

    async def bookmark_at(self, cls: type[Actor], name: str, when: datetime | float) -> str:
        """The newest bookmark of an actor's tree at or before a time (see `Storage`)."""
        at = when.timestamp() if isinstance(when, datetime) else when
        return await bookmark_at(self._open().root(cls, name), at)

    async def restore(self, cls: type[Actor], name: str, bookmark: str) -> str:
        """Put an actor and all its facets back to what they were at `bookmark`.

        Calls in progress end with `ActorRestored`. Crash-atomic, and durable when it returns: the
        bookmark that leads back. `BookmarkGone` if the history does not reach there,
        `BookmarkAhead` if it is newer than now, `NoState` if there was no such actor then.
        """
        return await restore_tree(self._open().root(cls, name), bookmark)

    async def restore_from_replica(
        self,
        cls: type[Actor],
        name: str,
        at: str | datetime | float | None = None,
        *,
        replica: str | ObjectStore | None = None,
        host: str | None = None,
    ) -> str:
        """Put an actor and all its facets back to what a replica has of them.

        Calls in progress end with `ActorRestored`. Crash-atomic, and durable when it returns: the
        bookmark that leads back, for `restore`. The replica is read and not touched: it is this
        runtime's own, or `replica`, with the state of `host`; that host may be alive.

        `at` is the newest state there if None, else a bookmark of that host, or a time (in
        seconds since 1970 or as a datetime). A replica has only what came since it was
        compacted: `BookmarkGone` before that, `BookmarkAhead` for a bookmark that it does not
        have yet. `NoState` if it has no such actor.
        """
        found = self._open()
        when = at.timestamp() if isinstance(at, datetime) else at
        moment = when if when is None or isinstance(when, str) else int(when * 1e6)
        return await retrieve_tree(found.root(cls, name), moment, *found.replica(replica, host))

    def diff(
        self,
        cls: type[Actor],
        name: str,
        other: str | None = None,
        *,
        at: str | None = None,
        to: str | None = None,
    ) -> AsyncGenerator[Difference, None]:
        """What is not the same in an actor and its facets, and in another one and its facets.

        `async for difference in runtime.diff(Lead, "alice", at=bookmark)` tells what changed since:
        `at` and `to` are bookmarks for the first and the second, now without one; without `other`
        both are the same actor. Actors are matched by what they are (one that was renamed is one
        difference), or else by their names; rows by primary keys. Both go on meanwhile. Memory
        holds a batch, whatever there is. Errors are those of `clone` and `restore`.
        """
        host = self._open()
        second = host.root(cls, name if other is None else other)
        return diff_trees(host.root(cls, name), second, at, to)

    async def export(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Write an actor and all its facets as of now into one file (see `storage.archive`)."""
        await export_tree(self._open().root(cls, name), Path(path))

    async def import_(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Put what `export` wrote in the place of actor `name`; `BadArchive` changes nothing."""
        await import_tree(self._open().root(cls, name), Path(path))

    async def tell_socket(
        self, cls: type[Actor], name: str, door: tuple[str, ...], event: Event
    ) -> dict[str, str]:
        """Tell an actor, or by a `door` one of its facets, what happened to a socket: what the
        server that holds it may answer by itself (see `actors.sockets`)."""
        from actors.sockets.events import tell

        return await tell(self.get(cls, name), door, event)

    def register(self, cls: type[Actor]) -> None:
        """Announce a class before anything is got, so that its actors can wake by themselves."""
        self._open().register(cls)

    async def deploy(self, cls: type[Actor]) -> None:
        """Make this the class that actors of its kind start with, wherever the one before it was
        from; those that are awake keep theirs. Only a cluster has need of more (see `RayRuntime`).
        """
        self._open().deploy(cls)

    def stats(self) -> Stats:
        """What runs now."""
        return self._open().stats()

    def sweep(self) -> int:
        """Put to sleep what has been idle for too long now; it also happens by itself."""
        return self._open().sweep()

    async def on_files(
        self, kind: str, name: str, method: str | Callable[..., Any], *args: Any, **named: Any
    ) -> Any:
        """One operation on the files of an actor, as a step of its own: what the `facets://` file
        system is made of."""
        return await self._open().on_files(kind, name, method, *args, **named)

    @property
    def host(self) -> Host:
        """What runs the actors here; on its own loop only."""
        return self._open()

    def _open(self) -> Host:
        host = self._host
        if host is None:
            raise RuntimeClosed(
                "this runtime is not open", hint="use `async with LocalRuntime(...)`"
            )
        if asyncio._get_running_loop() is not host.loop:
            raise NotActive(
                "this runtime belongs to another event loop",
                hint="open one in this loop, or use runtime.blocking() from plain code",
            )
        return host


class _Shared:
    """Open hosts of this process by directory, each with the runtimes that use it."""

    def __init__(self) -> None:
        self._opening: dict[Path, asyncio.Task[Host]] = {}
        self._users: dict[Path, tuple[Host, WeakSet[LocalRuntime]]] = {}

    async def open(self, runtime: LocalRuntime, root: Path, options: HostOptions) -> Host:
        key = _key(root)
        if key not in self._users:
            host = await self._first(key, options)
            self._users.setdefault(key, (host, WeakSet()))
        host, users = self._users[key]
        if host.loop is not asyncio.get_running_loop():
            raise NotActive(
                f"{root} is open in another event loop of this process",
                hint="close that runtime first, or call it through its own loop",
            )
        users.add(runtime)
        return host

    async def _first(self, key: Path, options: HostOptions) -> Host:
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.ensure_future(Host.open(key, options))
            task.add_done_callback(lambda _: self._opening.pop(key, None))
        return await asyncio.shield(task)

    async def close(self, runtime: LocalRuntime, host: Host) -> None:
        key = next((key for key, (known, _) in self._users.items() if known is host), None)
        if key is None:
            return
        users = self._users[key][1]
        users.discard(runtime)
        if not users:
            del self._users[key]
            await host.close()


def _key(root: Path) -> Path:
    return root.resolve()


_shared = _Shared()
