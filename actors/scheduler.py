"""The scheduler of a host: it wakes whose timers are due, and delivers them.

It knows when the next few are due (`agenda`), waits for the first with one alarm, and then visits
the actor: wakes its tree, parents first, and runs one delivery. Visits are limited in number and
go round between trees (`turns`), among the thousand actors that have been due longest. An actor
that sleeps costs a row in the catalogue and no more.

A visit that finds nothing due puts the agenda right: what is written there may be too early, and
never is too late.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from actors import delivery
from actors.activation import Activation
from actors.agenda import HEAD, Agenda
from actors.errors import ActorBroken, ActorMoved, ActorRestored, FacetDeleted
from actors.laps import Laps
from actors.starts import OWN, found_again, keep_starts, kept_starts
from actors.steps import finish
from actors.tasks import spawn
from actors.ticks import SECOND
from actors.turns import Turns
from actors.unended import Unended
from storage.errors import StorageError

if TYPE_CHECKING:
    from actors.clock import Alarm
    from actors.host import Host
    from actors.node import Node
    from storage import Database
    from storage.catalogue import Row
    from storage.schedule import Entry

ELSEWHERE = (FacetDeleted, ActorRestored, ActorMoved)
"""Ends of a delivery that say nothing about it: what there is now is delivered."""
EARLY = 10
"""Microseconds by which an alarm may come early: clocks are rounded."""
AGAIN = 5
"""Seconds until an actor is visited again whose database could not be read or written."""
LOOK = 60.0
"""Seconds after which the wall clock is looked at again: somebody may have set it."""
STRANGERS = 10_000
"""Facets that are remembered because nobody has said what they run."""


@dataclass(frozen=True, slots=True)
class TimerStats:
    """A moment of the host's timers."""

    actors: int
    """Actors with timers."""
    queued: int
    """Actors that are due and wait for their turn."""
    running: int
    """Visits under way."""
    delivered: int
    """Deliveries that were done, since the runtime was opened."""
    failed: int
    """Deliveries that failed."""
    unregistered: dict[str, int]
    """Due root actors, or facets below them, whose kind no class was registered for; by kind."""
    strangers: tuple[str, ...]
    """Due facets of which nothing says what they run: their parents' `on_facet_due` is to say."""

    @classmethod
    def of(cls, hosts: Sequence[TimerStats]) -> TimerStats:
        """Those of several hosts together."""
        unregistered: Counter[str] = Counter()
        for one in hosts:
            unregistered.update(one.unregistered)
        return cls(
            actors=sum(one.actors for one in hosts),
            queued=sum(one.queued for one in hosts),
            running=sum(one.running for one in hosts),
            delivered=sum(one.delivered for one in hosts),
            failed=sum(one.failed for one in hosts),
            unregistered=dict(unregistered),
            strangers=tuple(name for one in hosts for name in one.strangers),
        )


class Scheduler:
    """Delivers the timers of one host, on its loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._store = host.store
        self._limits = host.options.timers
        self.agenda = Agenda(host.store)
        self._turns = Turns(self._limits.tree)
        self._unended = Unended(host)
        self._visits: set[asyncio.Task[None]] = set()
        self._running: dict[int, set[int]] = {}
        """Timers being delivered, by the uid of their actor."""
        self._alarm: Alarm | None = None
        self._armed: int | None = None
        self._unregistered: dict[str, int] = {}
        self._strangers: dict[int, str] = {}
        self._closed = False
        self._delivered = self._failed = 0
        self.late = Laps()
        """By how much each delivery began too late, failed ones included."""
        self.any = False
        """Whether any actor here may have timers."""
        self.waiting = False
        """Whether there are facets of which nothing says what they run."""
        host.store.on_due = self._heard
        host.store.on_graft = self._replaced
        self.arm()

    def stats(self, actors: int | None = None) -> TimerStats:
        """The present moment; how many `actors` have timers is counted unless it is given."""
        return TimerStats(
            actors=self._store.catalogue.count_due() if actors is None else actors,
            queued=len(self._turns),
            running=len(self._visits),
            delivered=self._delivered,
            failed=self._failed,
            unregistered=dict(self._unregistered),
            strangers=tuple(self._strangers.values()),
        )

    # -- hearing --------------------------------------------------------------------------

    def _heard(self, database: Database) -> None:
        """A commit changed the timers of an actor."""
        assert database.uid is not None  # noqa: S101 - it was committed
        self.any = True
        self.agenda.hear(database.uid, database.next_due, database.due)
        self._ring_by(database.next_due)

    def _replaced(self, dues: Mapping[int, int | None]) -> None:
        """Other rows took the place of some."""
        first = min([due for due in dues.values() if due is not None], default=None)
        if self.any or first is not None:
            self.any = True
            self.agenda.replaced(dues)
            self._ring_by(first)

    def registered(self, kind: str) -> None:
        """A class was registered: who waited for it is looked at again."""
        if self._unregistered.pop(kind, None):
            self.again()

    def known(self, node: Node) -> None:
        """Somebody has said what a facet runs."""
        if len(self._strangers) >= STRANGERS:
            self.again()  # not all of them are remembered
            return
        for uid in [uid for uid, one in self._strangers.items() if one == node.id]:
            del self._strangers[uid]
            self.agenda.expect(uid, self._now())
        self.waiting = bool(self._strangers)
        self.arm()

    def again(self) -> None:
        """Look at everybody again: what stood in their way may be gone."""
        self._unregistered.clear()
        self._strangers.clear()
        self.waiting = False
        self.agenda.restart()
        self.arm()

    def started(self, activation: Activation) -> None:
        """A facet runs: if it has timers, what it runs is kept with them."""
        database = activation.database
        database.look()
        if database.due is not None and not database.in_step and not database.deferred:
            with delivery.aside(database):
                keep_starts(activation)

    # -- time -----------------------------------------------------------------------------

    def _now(self) -> int:
        return round(self._host.clock.now() * SECOND)

    def arm(self) -> None:
        """Have the alarm ring when the first is due."""
        if not self._closed and len(self._turns) < HEAD:
            self._ring_by(self.agenda.head)

    def _ring_by(self, due: int | None) -> None:
        """Have it ring then at the latest. It never fails, and reads nothing: whoever calls it may
        have made a commit that cannot be taken back."""
        late = self._armed is None or (due is not None and due < self._armed)
        if due is not None and late and not self._closed:
            self._ring_at(due)

    def _ring_at(self, due: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self.any = True
        self._armed = due
        clock = self._host.clock
        wait = min(max(0.0, due / SECOND - clock.now()), LOOK)
        self._alarm = clock.call_at(clock.time() + wait, self._ring)

    def _ring(self) -> None:
        self._alarm = self._armed = None
        self._proceed()

    def _proceed(self) -> None:
        """Begin what is due, and have the alarm ring for the rest."""
        if self._closed:
            return
        try:
            if self.agenda.untidy:
                self.agenda.correct()
            now = self._now() + EARLY
            while len(self._turns) < HEAD and (uid := self.agenda.pop(now)) is not None:
                self._queue(uid)
            self._go_on()
            self.arm()
        except StorageError as error:
            if self._host.refused is None:
                self._tell(error)
                self._ring_at(self._now() + AGAIN * SECOND)

    # -- visits ---------------------------------------------------------------------------

    def _queue(self, uid: int) -> None:
        database = self._store.databases.live.get(uid)
        if database is not None:
            self._turns.add(database.tree, uid)
            return
        path = self._store.catalogue.path(uid)
        if path:
            self._turns.add(path[0].uid, uid)

    def _go_on(self) -> None:
        while not self._closed and len(self._visits) < self._limits.concurrent:
            taken = self._turns.take()
            if taken is None:
                return
            tree, uid = taken
            visit = spawn(self._visit(uid))
            self._visits.add(visit)
            visit.add_done_callback(partial(self._visited, tree))

    def _visited(self, tree: int, visit: asyncio.Task[None]) -> None:
        self._visits.discard(visit)
        self._turns.over(tree)
        if not visit.cancelled() and (error := visit.exception()) is not None:
            self._tell(error)
        self._proceed()

    def _tell(self, error: BaseException) -> None:
        """Nobody has called who could be told; it is tried again."""
        said = {"message": "timers could not be looked after", "exception": error}
        self._host.loop.call_exception_handler(said)

    async def _visit(self, uid: int) -> None:
        """Deliver the first timer of an actor that is due."""
        with self._hold():
            try:
                await self._deliver(uid)
            except Exception as error:
                if self._closed or self._host.refused is not None:
                    return  # what is due is so again when the directory is opened
                broken = isinstance(error, ActorBroken)  # it ended meanwhile: the next one, soon
                self.agenda.expect(uid, self._now() + (0 if broken else AGAIN * SECOND))
                if not broken:
                    raise

    def _hold(self) -> AbstractContextManager[Any]:
        hold = getattr(self._host.clock, "hold", None)
        return nullcontext() if hold is None else hold()

    def _is_ours(self, uid: int) -> bool:
        """Whether its tree is this host's; if it becomes so, `again` is called."""
        owns, path = self._host.owns, self._store.catalogue.path(uid)
        return owns is None or not path or owns(path[0].kind, path[0].name)

    async def _deliver(self, uid: int) -> None:
        if self._host.owns is not None and not self._is_ours(uid):
            return
        database = self._store.databases.live.get(uid)
        awake = None if database is None else _awake(database)
        target = awake or await self._wake(uid)
        if target is None:
            return
        if self._store.congested:
            await self._host.gate.room()
        await target.admit(None)
        entry = await self._take(target, uid)
        if entry is not None:
            await self._run(target, uid, entry)
            if awake is None and len(self._turns) >= self._limits.concurrent:
                # So many are due that they cannot all stay awake until they are idle.
                self._host.rest(target)

    async def _take(self, target: Activation, uid: int) -> Entry | None:
        """The timer to deliver now, which is under way from now on; None if there is none. The
        agenda hears what is next."""
        database = target.database
        await delivery.quiet(database)
        if target.broken is not None:
            raise target.reason()
        running = self._running.get(uid, ())
        found = [*database.schedule.ahead(running), None, None]
        entry = found[0]
        if entry is None or not self._is_due(entry):
            self._come_again(database, uid, entry)
            return None
        entry = self._count(database, uid, entry)
        if entry is None:
            return None
        self._running.setdefault(uid, set()).add(entry.id)
        assert entry.due is not None  # noqa: S101 - it is due
        self.late.add(max(0, self._now() - entry.due) / SECOND)
        self._come_again(database, uid, found[1])
        return entry

    def _count(self, database: Database, uid: int, entry: Entry) -> Entry | None:
        """See `Unended.count`; the agenda hears of what it put off."""
        counted = self._unended.count(database, uid, entry)
        if counted is None:
            self._failed += 1
            self.agenda.expect(uid, self._now())
        return counted

    def _is_due(self, entry: Entry) -> bool:
        return entry.due is not None and entry.due <= self._now() + EARLY

    def _come_again(self, database: Database, uid: int, entry: Entry | None) -> None:
        """Look after the actor again when this is due."""
        due = None if entry is None else entry.due
        if uid in self._running:
            self.agenda.expect(uid, due)  # the catalogue has what runs, until that is done
        else:
            self.agenda.hear(uid, due, database.due)

    async def _run(self, target: Activation, uid: int, entry: Entry) -> None:
        self.arm()
        try:
            await self._unended.kept(target.database, uid, entry)
            error = await self._try(target, uid, entry)
            if error is not None:
                await self._fail(target.database, uid, entry, error)
        finally:
            self._over(uid, entry.id)
        if error is None:
            self._delivered += 1
        else:
            self.agenda.expect(uid, self._now())  # whatever is there now: it may be another past
        if not isinstance(error, ELSEWHERE):
            self._unended.over(uid, entry.id)
        await self._host.gate.passed(target.dependency, target.remote)

    async def _try(self, target: Activation, uid: int, entry: Entry) -> BaseException | None:
        """Deliver; why that failed. Raises only when the host ends."""
        database = target.database
        done = partial(self._finish, database, entry)
        try:
            await delivery.run(target, uid, entry, done)
            if target.body.own_steps:
                await delivery.quiet(database)
                with delivery.aside(database):
                    done()
        except asyncio.CancelledError as error:
            if self._closed:
                raise
            return error
        except Exception as error:
            if self._host.refused is not None:
                raise
            return error
        return None

    def _finish(self, database: Database, entry: Entry) -> None:
        delivery.finish(database.schedule, entry, self._now())

    def _over(self, uid: int, number: int) -> None:
        running = self._running[uid]
        running.discard(number)
        if not running:
            del self._running[uid]

    async def _fail(self, database: Database, uid: int, entry: Entry, error: BaseException) -> None:
        self._failed += 1
        await delivery.quiet(database)
        if database.uid != uid or isinstance(error, ELSEWHERE):
            return
        with delivery.aside(database) as schedule:
            delivery.fail(schedule, uid, entry, error, self._now(), self._limits)

    # -- waking ---------------------------------------------------------------------------

    async def _wake(self, uid: int) -> Activation | None:
        """Wake an actor that has a timer due. That it cannot start is a failed delivery."""
        path = self._store.catalogue.path(uid)
        if not path:
            return None
        database = self._store.databases.at(path[-1])
        await delivery.quiet(database)
        if database.uid != uid:
            return None  # it was deleted, and another may have its place
        with delivery.aside(database) as schedule:
            entry = next(iter(schedule.ahead(self._running.get(uid, ()))), None)
        if entry is None or not self._is_due(entry):
            self._come_again(database, uid, entry)
            return None
        if path[0].kind in self._host.classes:
            counted = self._count(database, uid, entry)
            if counted is None:
                return None
            entry = counted
            await self._unended.kept(database, uid, entry)
        try:
            return await self._reach(path, database)
        except Exception as error:
            if self._host.refused is not None:
                raise
            await self._fail(database, uid, entry, error)
            if not isinstance(error, ELSEWHERE):
                self._unended.over(uid, entry.id)
            return None

    async def _reach(self, path: list[Row], database: Database) -> Activation | None:
        """Wake an actor, after all above it; None if it is not known what one of them runs."""
        root = path[0]
        cls = self._host.classes.get(root.kind)
        if cls is None:
            self._unregistered[root.kind] = self._unregistered.get(root.kind, 0) + 1
            return None
        node = self._host.root(cls, root.name)
        activation = await node.wake()
        for row in path[1:]:
            node = node.child(row.name)
            if node.activation is None and node.starting is None and node.start is None:
                await self._find_start(node, row, database, activation)
                if node.start is None:
                    self._strange(path[-1].uid, node)
                    return None
            activation = await node.wake()
        return activation

    async def _find_start(
        self, node: Node, row: Row, database: Database, above: Activation
    ) -> None:
        """What was kept with the timers, or what the actor above says."""
        own = database is node.database
        await delivery.quiet(database)
        with delivery.aside(database):
            kept = kept_starts(database).get(OWN if own else row.uid)
        start = None if kept is None else found_again(kept, self._host.classes.values())
        if node.start is None and start is not None:
            node.start = start
        elif node.start is None and "on_facet_due" in above.body.contract.hooks:
            call = above.new_call("on_facet_due")
            await finish(above.body.call(call, (node.name,), {}))

    def _strange(self, uid: int, node: Node) -> None:
        self.waiting = True
        if len(self._strangers) < STRANGERS:
            self._strangers[uid] = node.id

    # -- the end --------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin nothing more."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._turns.clear()

    async def close(self) -> None:
        """End what is under way, and leave the catalogue as it should be."""
        for visit in self._visits:
            visit.cancel()
        if self._visits:
            await asyncio.wait(self._visits)
        if self._host.store.failed is None:
            self._unended.forget()
            self.agenda.correct()


def _awake(database: Database) -> Activation | None:
    """Who runs over a database."""
    owner = database.owner
    if isinstance(owner, Activation) and owner.node.activation is owner:
        return owner if owner.database is database else None
    return None
