"""One quota in force, and what of it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from actors.hooks import tell
from actors.quotas.admission import Admitting
from actors.quotas.bucket import Bucket
from actors.quotas.errors import (
    BytesQuota,
    ConcurrentQuota,
    CpuQuota,
    DatabasesQuota,
    MeterQuota,
    OpenDatabasesQuota,
    QuotaExceeded,
    RateQuota,
)
from actors.quotas.quota import CPU_WINDOW, Quota
from storage.connections import close_idle
from storage.meters import sums
from storage.sizes import shape, sizes

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.node import Node
    from actors.quotas.meters import Meters
    from storage import Database


class Usage(NamedTuple):
    """How much of one limit is used."""

    used: float
    limit: float


class Allowance:
    """The quota of one actor, counted for it and all below it.

    Sums of bytes and databases are taken from the catalogue when they are first needed, and
    again when something in the tree was deleted or put in place of something else: some
    microseconds for each database. What is spent on meters is kept in the catalogue.
    """

    __slots__ = (
        "_bytes", "_calls", "_counted", "_cpu", "_databases", "_node", "_read", "_spent",
        "_telling", "calls", "owner", "quota", "spenders",
    )  # fmt: skip

    def __init__(self, node: Node, quota: Quota) -> None:
        self.quota = quota
        self.owner = node.id
        self._node = ref(node)  # what is below a node keeps it alive
        self.calls = 0
        """In progress."""
        self._calls = Bucket()
        self._cpu = Bucket()
        self._counted: object = None
        self._bytes = 0
        self._databases = 0
        self._read: object = None
        self._spent: dict[str, float] = {}
        self.spenders: set[Meters] = set()
        """Who spent something in a step that is open."""
        self._telling: set[str] = set()

    @property
    def node(self) -> Node:
        """Whose quota it is."""
        node = self._node()
        assert node is not None  # noqa: S101 - whoever asks is it, or below it
        return node

    def _now(self) -> float:
        return self.node.host.clock.time()

    # -- calls --------------------------------------------------------------------------

    @property
    def counts_calls(self) -> bool:
        """Whether it matters which calls are made."""
        quota = self.quota
        return (quota.concurrent, quota.rate, quota.cpu) != (None, None, None)

    def admit(self, *, computes: bool) -> None:
        """Raise if one more call is too much; nothing is counted yet. `computes`: in a sandbox."""
        quota = self.quota
        if computes and quota.cpu is not None and self.cpu_left() <= 0:
            raise self.no_cpu()
        if quota.concurrent is not None and self.calls >= quota.concurrent:
            raise self._crossed(ConcurrentQuota, "concurrent", self.calls, quota.concurrent, 1)
        if quota.rate is not None:
            used = self._calls.used(self._now(), quota.rate)
            most = max(quota.rate, 1.0)
            if used + 1 > most * (1 + 1e-9):
                wait = (used + 1 - most) / quota.rate
                raise self._crossed(RateQuota, "rate", used, quota.rate, 1, retry_after=wait)

    def enter(self) -> None:
        """A call begins that was admitted."""
        self.calls += 1
        if self.quota.rate is not None:
            self._calls.add(1)

    # -- processor time -----------------------------------------------------------------

    def cpu_left(self) -> float:
        """Seconds; infinite without a limit, negative if more was used than allowed."""
        most = self.quota.cpu
        if most is None:
            return math.inf
        return most - self._cpu.used(self._now(), most / CPU_WINDOW)

    def use_cpu(self, seconds: float) -> None:
        """A sandbox computed."""
        self._cpu.add(seconds)

    def no_cpu(self) -> QuotaExceeded:
        """The error of whoever wants some while none is left."""
        most = self.quota.cpu or 0.0
        over = -min(self.cpu_left(), 0.0)
        wait = (over + most * 0.1) * CPU_WINDOW / most if most else math.inf
        return self._crossed(CpuQuota, "cpu", most + over, most, 0, retry_after=wait)

    # -- storage ------------------------------------------------------------------------

    @property
    def stores(self) -> bool:
        """Whether it matters how much is stored."""
        return self.quota.bytes is not None or self.quota.databases is not None

    @property
    def bytes(self) -> int:
        """Of all databases, as of the newest commits."""
        self._count()
        return self._bytes

    @property
    def databases(self) -> int:
        """Actors that have one."""
        self._count()
        return self._databases

    def _count(self) -> None:
        store, database = self.node.host.store, self.node.database
        now = shape(store, database)
        if now != self._counted:
            self._bytes, self._databases = sizes(store, database)
            self._counted = now

    def check_storage(self, growth: int, newborn: int) -> None:
        """Raise if a commit is too much that makes so many bytes and databases more."""
        quota = self.quota
        if quota.bytes is not None and growth > 0 and self.bytes + growth > quota.bytes:
            raise self._crossed(BytesQuota, "bytes", self.bytes, quota.bytes, growth)
        if (
            quota.databases is not None
            and newborn > 0
            and self.databases + newborn > quota.databases
        ):
            raise self._crossed(
                DatabasesQuota, "databases", self.databases, quota.databases, newborn
            )

    def stored(self, growth: int, newborn: int) -> None:
        """So much more was committed, by whomever: the runtime writes to databases as well."""
        if self._counted is not None:
            self._bytes += growth
            self._databases += newborn

    def make_way(self) -> None:
        """One more database is to be opened: close others, or raise."""
        most = self.quota.open_databases
        if most is None:
            return
        found = self._open()
        over = len(found) + 1 - most
        if over > 0 and close_idle(found, over) < over:
            used = len(self._open())
            raise self._crossed(OpenDatabasesQuota, "open_databases", used, most, 1)

    def _open(self) -> list[Database]:
        return self.node.host.store.connections.below(self.node.database)

    # -- meters -------------------------------------------------------------------------

    def spent(self, meter: str) -> float:
        """What of it was spent, as of the newest commits."""
        database, catalogue = self.node.database, self.node.host.store.catalogue
        database.look()
        if self._read is None or self._read != database.uid:
            self._spent = sums(catalogue, database.uid) if database.uid is not None else {}
            self._read = database.uid
        return self._spent.get(meter, 0)

    def used(self, meter: str) -> float:
        """The same and what steps that are still open have spent."""
        return self.spent(meter) + sum([one.pending(meter) for one in list(self.spenders)])

    def check_meter(self, meter: str, amount: float) -> None:
        """Raise if so much more is too much."""
        limit = self.quota.meters.get(meter)
        if limit is None:
            return
        used = self.used(meter)
        if used + amount > limit and not _same(used + amount, limit):
            raise self._crossed(MeterQuota, meter, used, limit, amount)

    def has_spent(self, meter: str, amount: float) -> None:
        """It was committed."""
        if self._read is not None:  # else it is part of what is read first
            # Never below: of what is given back, some may have been spent before it was limited.
            self._spent[meter] = max(0, self._spent.get(meter, 0) + amount)

    # -- telling ------------------------------------------------------------------------

    def usage(self) -> dict[str, Usage]:
        """Every limit that is set, and how much of it is used."""
        quota = self.quota
        found: dict[str, Usage] = {}
        if quota.bytes is not None:
            found["bytes"] = Usage(self.bytes, quota.bytes)
        if quota.databases is not None:
            found["databases"] = Usage(self.databases, quota.databases)
        if quota.open_databases is not None:
            found["open_databases"] = Usage(len(self._open()), quota.open_databases)
        if quota.concurrent is not None:
            found["concurrent"] = Usage(self.calls, quota.concurrent)
        if quota.rate is not None:
            found["rate"] = Usage(self._calls.used(self._now(), quota.rate), quota.rate)
        if quota.cpu is not None:
            found["cpu"] = Usage(quota.cpu - self.cpu_left(), quota.cpu)
        return found | {name: Usage(self.used(name), most) for name, most in quota.meters.items()}

    def _crossed(
        self,
        kind: type[QuotaExceeded],
        name: str,
        used: float,
        limit: float,
        asked: float,
        **fields: Any,
    ) -> QuotaExceeded:
        """The error, of which whoever gave the quota is told as well: once at a time, as a loop
        that is refused again and again is one piece of news."""
        error = kind(
            f"{self.owner} and all below it may use {limit:g} of {name} together: "
            f"{used:g} is used, and {asked:g} was asked for",
            owner=self.owner,
            quota=name,
            limit=limit,
            used=used,
            asked=asked,
            **fields,
        )
        node = self.node
        giver = node if node.parent is None else node.parent
        if name not in self._telling and giver.activation is not None:
            told = tell(giver.activation, "on_quota", node.name, error)
            if told is not None:
                self._telling.add(name)
                told.add_done_callback(lambda _: self._telling.discard(name))
        return error


def hold(node: Node, quota: Quota | None) -> None:
    """From now on this is the quota of a node, or it has none of its own."""
    own = next((one for one in node.allowances if one.node is node), None)
    if own is None and quota is None:
        return
    if quota is None:
        held: tuple[Allowance, ...] = ()
    elif own is None:
        held = (Allowance(node, quota),)
    else:
        own.quota = quota
        held = (own,)
    host = node.host
    host.allowances.pop(node.database, None)
    for one in held:
        host.allowances[node.database] = one
        host.store.commits.on_growth = partial(_grown, host.allowances)
        host.store.connections.on_open = partial(_opening, host.allowances)
    _inherit(node, held)


def _grown(
    allowances: Mapping[Database, Allowance], database: Database, growth: int, newborn: int
) -> None:
    for held in _holding(allowances, database):
        held.stored(growth, newborn)


def _opening(allowances: Mapping[Database, Allowance], database: Database) -> None:
    for held in _holding(allowances, database):
        held.make_way()


def _holding(allowances: Mapping[Database, Allowance], database: Database) -> Iterator[Allowance]:
    """Those of a database and of all above it."""
    above: Database | None = database
    while above is not None:
        held = allowances.get(above)
        if held is not None:
            yield held
        above = above.parent


def _inherit(node: Node, own: tuple[Allowance, ...]) -> None:
    above = () if node.parent is None else node.parent.allowances
    node.allowances = (*own, *above)
    if node.activation is not None:
        enforce(node.activation)
    for child in list(node.children.values()):
        _inherit(child, tuple([one for one in child.allowances if one.node is child]))


def usage(node: Node) -> dict[str, Usage]:
    """What is used of a node's own quota; nothing if it has none."""
    return next((one.usage() for one in node.allowances if one.node is node), {})


def enforce(activation: Activation) -> None:
    """Have the calls of an activation counted, and its files, if an allowance holds for it."""
    allowances = activation.node.allowances
    activation.database.spills = True
    if allowances:
        activation.database.spills = all(one.quota.bytes is None for one in allowances)
        counts = any(one.counts_calls for one in allowances)
        if counts and type(activation.body) is not Admitting:
            activation.body = Admitting(activation.body, activation.node)


def check_room(place: Node, size: int, count: int) -> None:
    """Raise if so many bytes and databases are too much in the place of a node and all below."""
    held = () if place.parent is None else place.parent.allowances
    if held:
        old, fewer = sizes(place.host.store, place.database)
        for one in held:
            one.check_storage(size - old, count - fewer)


def check_arrival(node: Node, above: Node) -> None:
    """Raise if a node and all below it are too much for a place that it is to be moved to."""
    leaves = () if node.parent is None else node.parent.allowances
    held = [one for one in above.allowances if one not in leaves]
    if held:
        arriving = sizes(node.host.store, node.database)
        for one in held:
            one.check_storage(*arriving)


def _same(one: float, other: float) -> bool:
    """But for what adding fractions loses; whole numbers are exact."""
    if type(one) is int and type(other) is int:
        return False
    return math.isclose(one, other, rel_tol=1e-12)
