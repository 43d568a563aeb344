"""One process's share of a state directory: the store, the tree, the gate."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from actors.activation import Activation
from actors.actor import Actor
from actors.clock import Alarm, Clock, SystemClock
from actors.code import ClassCode, Start
from actors.contract import Durability
from actors.errors import KindConflict, NoReplica, RuntimeClosed
from actors.gate import Gate
from actors.limits import IsolateLimits, TimerLimits
from actors.names import check_name
from actors.node import Node
from actors.quotas.quota import Quota
from actors.readings import Ended
from actors.scheduler import Scheduler, TimerStats
from actors.tasks import install, spawn, uninstall
from actors.tracing import find_tracer
from actors.uses import Uses
from actors.values import copy
from storage.errors import JournalFailed, NoState, StorageError
from storage.limits import FileLimits, HistoryLimits, JournalLimits, StorageLimits

if TYPE_CHECKING:
    from actors.quotas.allowance import Allowance
    from actors.supervision import Breaker
    from storage import Database, Store
    from storage.disk import Disk
    from storage.objects import ObjectStore
    from storage.sweep import Sweep


SWEEP = 3600.0
"""Seconds between two sweeps of large contents, and before the first."""
ENFORCE = 300.0
"""Seconds between two looks at the limits of all histories, while anybody is awake."""


@dataclass(frozen=True)
class HostOptions:
    """How a host runs its actors."""

    replica: str | ObjectStore | None = None
    """Where every commit goes besides the disk."""
    durability: Durability = "local"
    """Of classes that do not choose."""
    name: str = "main"
    """Of this host in the replica."""
    idle: float = 60.0
    """Seconds without a call after which an actor is put to sleep."""
    open_databases: int = 256
    """Connections kept open at most; each costs 192 KB and 3 descriptors."""
    limits: StorageLimits = field(default_factory=StorageLimits)
    journal: JournalLimits = field(default_factory=JournalLimits)
    history: HistoryLimits = field(default_factory=HistoryLimits)
    files: FileLimits = field(default_factory=FileLimits)
    isolates: IsolateLimits = field(default_factory=IsolateLimits)
    quota: Quota | None = None
    """Of each root actor."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Plain data that every trusted actor sees as `self.env`."""
    clock: Clock = field(default_factory=SystemClock)
    timers: TimerLimits = field(default_factory=TimerLimits)
    disk: Disk | None = None
    """What storage writes to; None for the machine's own."""


@dataclass(frozen=True)
class Stats:
    """A moment of one host."""

    awake: int
    """Actors running, facets included."""
    calls: int
    """Calls in progress."""
    kinds: dict[str, str]
    """Registered kinds and the class of each."""
    outdated: int
    """Running root actors whose class was replaced since they started."""
    storage: dict[str, Any]
    timers: TimerStats


class Host:
    """Owns an open store; everything here runs on one event loop."""

    def __init__(self, store: Store, options: HostOptions) -> None:
        self.store = store
        self.loop = asyncio.get_running_loop()
        self.options = options
        self.clock = options.clock
        self.tracer = find_tracer()
        self.env: Mapping[str, Any] = MappingProxyType(copy(dict(options.env), "env"))
        self.gate = Gate(store, self._failed)
        self.awake: set[Activation] = set()
        self.over = Ended()
        """What those that are not awake any more did."""
        self.first = store.committed
        """The newest commit when it was opened."""
        self.uses = Uses(self.clock)
        self.allowances: WeakKeyDictionary[Database, Allowance] = WeakKeyDictionary()
        """Quotas in force, by the database of their owner."""
        self.breakers: dict[str, Breaker] = {}
        """Of facets that failed, by id."""
        self.classes: dict[str, type[Actor]] = {}
        self.roots: WeakValueDictionary[tuple[str, str], Node] = WeakValueDictionary()
        self.owns: Callable[[str, str], bool] | None = None
        """Whether an actor of this kind and name is for this host, where there are several."""
        self.moves = 0
        """Actors that got another place or name; only rises."""
        self._refusal: BaseException | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._aside: set[asyncio.Future[Any]] = set()
        """Work of the store on its thread."""
        self.on_close: set[Callable[[], Awaitable[None]]] = set()
        """Awaited when all actors have ended: what they used is given back."""
        self.on_failure: Callable[[StorageError], object] | None = None
        """Told why nothing more can be acknowledged here."""
        self._jobs: set[asyncio.Future[None]] = set()
        """What must be over before the store closes."""
        self._timer: Alarm | None = None
        self._swept = self._enforced = self.clock.time()
        self._sweeping = False
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "facets-storage")
        store.run_in(self._run_aside)
        store.call = self._call_here
        if store.replica is not None:
            store.replica.notify = self.gate.replica_moved
        install(self.loop, self.clock)
        self.timers = Scheduler(self)
        self._schedule_sweep()

    @classmethod
    async def open(cls, root: Path, options: HostOptions) -> Host:
        """Lock and recover the directory on a thread, then serve it from this loop."""
        if options.durability == "replicated" and options.replica is None:
            raise NoReplica("durability is replicated, and there is no replica")
        store = await asyncio.to_thread(_open_store, root, options)
        store.bind_thread()
        return cls(store, options)

    def replicates(self, durability: Durability | None) -> bool:
        """Whether a class that chose `durability` waits for the replica."""
        chosen = durability or self.options.durability
        if chosen == "replicated" and self.store.replica is None:
            raise NoReplica("the class is durable in a replica, and this runtime has none")
        return chosen == "replicated"

    def remote(self, sequence: int) -> int:
        """What must be in the replica before a reply that depends on `sequence` leaves."""
        return sequence if self.options.durability == "replicated" else 0

    @property
    def refused(self) -> BaseException | None:
        """Why nothing new may start here; None if it may."""
        return self._refusal

    def check_open(self) -> None:
        """Raise why nothing new may start here, if so."""
        if self._refusal is not None:
            raise self._refusal

    def deploy(self, cls: type[Actor]) -> None:
        """Serve `cls` under its kind, in the place of whatever class did, wherever that is from."""
        self.classes.pop(cls.kind, None)
        self.register(cls)

    def register(self, cls: type[Actor]) -> None:
        """Serve `cls` under its kind; a later definition of the same class replaces it."""
        known = self.classes.get(cls.kind)
        if known is not None and known is not cls:
            first, second = ClassCode(known), ClassCode(cls)
            if not first.same(second):
                raise KindConflict(
                    f"{second.label} and {first.label} both claim the kind {cls.kind!r}",
                    hint=f'name one of them: class {cls.__name__}(Actor, kind="...")',
                    kind=cls.kind,
                    first=first.label,
                    second=second.label,
                )
        self.classes[cls.kind] = cls
        if known is None:
            self.timers.registered(cls.kind)

    def root(self, cls: type[Actor], name: str) -> Node:
        """The node of a root actor; no I/O."""
        self.check_open()
        self.register(cls)
        key = (cls.kind, check_name(name))
        node = self.roots.get(key)
        if node is None:
            node = Node(self, None, *key, self.store.root(*key))
            self.roots[key] = node
        node.start = Start(ClassCode(cls), quota=self.options.quota)
        return node

    async def on_files(
        self, kind: str, name: str, method: str | Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """One operation on the files of a root actor, from outside it: a step of its own.

        `method` is one of `Files`, or a function that is given them, for several operations in one
        step. Durable when it returns, like a call. `NoState` if the actor has never written, but
        for a function: it finds nothing, and may be the first to write. `StorageError` while a
        transaction or another step holds its database.
        """
        self.check_open()
        database = self.store.root(kind, check_name(name))
        if isinstance(method, str) and not database.exists():
            raise NoState(f"{kind}/{name} has no state", name=name)
        if database.in_step or database.deferred:
            raise StorageError(f"{kind}/{name} is in a transaction; try again when it is over")
        try:
            if isinstance(method, str):
                result = getattr(database.fs, method)(*args, **kwargs)
            else:
                result = method(database.fs, *args, **kwargs)
        except BaseException:
            database.rollback()
            raise
        sequence = database.commit()
        await self.gate.passed(sequence, self.remote(sequence))
        return result

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something nobody waits for; its failure goes to the loop's handler."""
        task = spawn(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _call_here(self, function: Callable[[], Any]) -> Any:
        """Run a function on the loop, for another thread that waits for it."""
        if threading.get_ident() == self.store.thread:
            return function()
        done: Future[Any] = Future()

        def call() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return done.result()

    def _run_aside(
        self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]
    ) -> None:
        """Run the store's slow work on a thread, in the order in which it comes, and `done` with
        its outcome here."""
        running = self.loop.run_in_executor(self._thread, work)
        self._aside.add(running)
        running.add_done_callback(partial(self._ran_aside, done), context=Context())

    def _ran_aside(
        self, done: Callable[[Any, Exception | None], None], ran: asyncio.Future[Any]
    ) -> None:
        self._aside.discard(ran)
        error = ran.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        try:
            done(None if error is not None else ran.result(), error)
            if self.store.due_again:
                self.gate.tend()
        except JournalFailed as failure:
            self._failed(failure)
        finally:
            self.gate.make_room()

    async def aside(self, work: Callable[[], None]) -> None:
        """Run slow work on a thread. It ends before this returns, even if cancelled.

        Raises why the host ended, if it did meanwhile."""
        await self._finished(self.loop.run_in_executor(self._thread, work))
        self.check_open()

    async def elsewhere(self, work: Callable[[], None]) -> None:
        """The same for work that waits for others, and must not hold up the store's."""
        await self._finished(self.loop.run_in_executor(None, work))
        self.check_open()

    async def _finished(self, running: asyncio.Future[Any]) -> None:
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            raise

    @contextlib.contextmanager
    def job(self) -> Iterator[None]:
        """Something under way on the store, which is not closed before it is over."""
        self.check_open()
        over = self.loop.create_future()
        self._jobs.add(over)
        try:
            yield
        finally:
            self._jobs.discard(over)
            over.set_result(None)

    def replica(
        self, replica: str | ObjectStore | None, host: str | None
    ) -> tuple[ObjectStore, str]:
        """A replica to read, and a host in it; those of this host where nothing is said."""
        from storage.objects import open_store

        mine = self.store.replica
        if replica is None and mine is None:
            raise NoReplica("nothing says which replica is to be read")
        if replica is None or replica == self.options.replica:
            assert mine is not None  # noqa: S101 - the options open it
            found: ObjectStore = mine.store
        else:
            found = open_store(replica) if isinstance(replica, str) else replica
        return found, host or self.options.name

    def stats(self) -> Stats:
        """The present moment."""
        roots = [one for one in self.awake if one.node.parent is None]
        return Stats(
            awake=len(self.awake),
            calls=sum(one.calls for one in self.awake),
            kinds={kind: ClassCode(cls).label for kind, cls in self.classes.items()},
            outdated=sum(
                one.start.code.cls is not self.classes.get(one.node.kind) for one in roots
            ),
            storage=self.store.stats(),
            timers=self.timers.stats(),
        )

    # -- sleeping -----------------------------------------------------------------------

    def sweep(self) -> int:
        """Put actors to sleep that were idle for too long, facets before parents; how many.

        Idle time counts from the first sweep that finds an actor idle, so that a call need
        not look at the clock.
        """
        now = self.clock.time()
        slept = 0
        for activation in sorted(self.awake, key=lambda one: -one.node.depth):
            called = self.uses.look(activation)
            if activation.busy or _has_awake(activation.node):
                activation.idle_since = None
            elif called or activation.idle_since is None:
                activation.idle_since = now
            elif now - activation.idle_since >= self.options.idle:
                activation.node.sleep()
                slept += 1
        return slept

    def rest(self, activation: Activation) -> None:
        """Put an actor to sleep now, unless it or one below it is in use."""
        node = activation.node
        if node.activation is activation and not activation.busy and not _has_awake(node):
            node.sleep()

    def _schedule_sweep(self) -> None:
        """Rounds follow each other closely only while somebody is awake."""
        if self._timer is not None:
            self._timer.cancel()
        pause = max(self.options.idle / 4, 0.05) if self.awake else SWEEP
        self._timer = self.clock.call_at(self.clock.time() + pause, self._sweep_again)

    def _sweep_again(self) -> None:
        self.sweep()
        now = self.clock.time()
        if now - self._enforced >= ENFORCE:
            self._enforced = now
            self._run_aside(self.store.enforce, _raise)
        if now - self._swept >= SWEEP:
            self._swept = now
            self.background(self.sweep_objects())
        self._schedule_sweep()

    def woke(self, activation: Activation) -> None:
        """An actor is awake: the rounds go on."""
        first = not self.awake
        self.awake.add(activation)
        if first and self._refusal is None:
            self._schedule_sweep()

    def slept(self, activation: Activation) -> None:
        """An actor is not awake any more."""
        if activation in self.awake:
            self.awake.discard(activation)
            self.over.add(activation)

    async def sweep_objects(self) -> int:
        """Remove large contents that nothing names, and no past leads back to; how many.

        It also happens by itself. At a bounded pace, so that it costs the others nothing; 0 at
        once if one is under way. Contents are named until the history forgets them.
        """
        from storage.sweep import PACE, Sweep

        if self._sweeping:
            return 0
        self._sweeping, self._swept = True, self.clock.time()
        try:
            with self.job():
                return await self._sweep_objects(Sweep(self.store, self._stopping, PACE), PACE)
        finally:
            self._sweeping = False

    async def _sweep_objects(self, sweep: Sweep, pace: float) -> int:
        await self.elsewhere(sweep.begin)
        if not sweep.due:
            return 0
        self.store.tend(everything=True)
        while rows := sweep.next():
            for row in rows:
                while (work := sweep.look(row)) is False:
                    await asyncio.sleep(pace)
                if callable(work):
                    try:
                        await self.elsewhere(work)
                    finally:
                        sweep.leave()
                await asyncio.sleep(pace)
        sweep.mark()
        await self.elsewhere(sweep.end)
        return sweep.removed

    # -- ending -------------------------------------------------------------------------

    def fail(self, failure: JournalFailed) -> None:
        """End everything here as if the journal had failed with this: nothing more is written."""
        self.store.fail(failure)
        self._failed(failure)

    def _failed(self, failure: StorageError) -> None:
        self._refusal = failure
        self._end_all(failure)
        if self.on_failure is not None:
            self.on_failure(failure)

    def _end_all(self, reason: BaseException) -> None:
        for activation in sorted(self.awake, key=lambda one: one.node.depth):
            if activation.broken is None:
                activation.node.abort(reason)

    def _is_busy(self) -> bool:
        """Whether a call, a task or a start is in progress; that of a facet is its parent's too."""
        starting = any(node.starting is not None for node in self.roots.values())
        return starting or any(one.busy for one in self.awake)

    def _end_busy(self, reason: BaseException) -> None:
        for activation in sorted(self.awake, key=lambda one: one.node.depth):
            if activation.busy and activation.broken is None:
                activation.node.abort(reason)

    async def close(self) -> None:
        """Interrupt calls in progress, let idle actors run `on_stop`, sync, release the lock."""
        closed = RuntimeClosed("the runtime is closed")
        failed, self._refusal = self._refusal is not None, self._refusal or closed
        if self._timer is not None:
            self._timer.cancel()
        self._stopping.set()
        self.timers.stop()
        await self._stop_all(closed)
        await self.timers.close()
        for give_back in list(self.on_close):
            await give_back()
        for task in list(self._background):
            task.cancel()
        uninstall(self.loop)
        while self._jobs:
            await asyncio.wait(self._jobs)
        await self.gate.close()
        self.store.closing = True
        try:
            if not failed:
                self.gate.sync()
        finally:
            await self._end_store()
            self.gate.end(closed)

    async def _end_store(self) -> None:
        """Close the store, whose threads may need this loop until then."""
        while self._aside:
            await asyncio.wait(self._aside)
        try:
            if self.store.replica is not None:
                closing = self.loop.run_in_executor(self._thread, self.store.replica.close)
                await self._finished(closing)
        finally:
            self._thread.shutdown()
            self.store.close()

    async def _stop_all(self, closed: RuntimeClosed) -> None:
        if self._refusal is not closed or self._is_busy():
            self._end_busy(closed)
            for _ in range(100):  # the turns that interrupted calls get to unwind
                await asyncio.sleep(0)
            self._end_busy(closed)
        stopping: list[asyncio.Future[None]] = []
        for depth in sorted({one.node.depth for one in self.awake}, reverse=True):
            for activation in [one for one in self.awake if one.node.depth == depth]:
                activation.node.sleep()
                if activation.node.stopping is not None:
                    stopping.append(activation.node.stopping)
            if stopping:
                await asyncio.wait(stopping)
        for task in stopping:
            if not task.cancelled() and task.exception() is not None:
                self.loop.call_exception_handler(
                    {"message": "on_stop failed", "exception": task.exception()}
                )


def _open_store(root: Path, options: HostOptions) -> Store:
    from storage import Store
    from storage.objects import open_store

    replica = options.replica
    return Store.open(
        root,
        limits=options.limits,
        journal=options.journal,
        history=options.history,
        files=options.files,
        open_databases=options.open_databases,
        disk=options.disk,
        replica=open_store(replica) if isinstance(replica, str) else replica,
        host=options.name,
        fence="lease" if options.durability == "replicated" else "disk",
    )


def _raise(_: object, error: Exception | None) -> None:
    if error is not None:
        raise error


def _has_awake(node: Node) -> bool:
    return any(
        child.activation is not None or child.starting is not None or child.stopping is not None
        for child in node.children.values()
    )
