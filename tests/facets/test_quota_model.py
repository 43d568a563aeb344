"""Random trees of quotas, with spends, writes, aborts, deletes and crashes, beside a model."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.node import Node
from facets import Actor, Quota, Start
from facets.errors import BytesQuota, DatabasesQuota, MeterQuota
from facets.testing import MemoryRuntime, die_everywhere
from storage.sizes import sizes

Path = tuple[str, ...]
QUOTAS: dict[Path, Quota] = {}
"""Of each facet, by its names from the root's on."""
METER = "tokens"


class Undone(Exception):
    pass


class Worker(Actor):
    async def at(self, path: Path, method: str, *args: Any) -> Any:
        """Do something in the facet at this path."""
        if not path:
            return await getattr(self, method)(*args)
        return await self.below(path[0]).at(path[1:], method, *args)

    def below(self, name: str) -> Worker:
        mine: Path = self.props or ()
        path = (*mine, name)
        start = Start(Worker, props=list(path), quota=QUOTAS.get(path))
        return self.facets.get(name, start)

    async def spend(self, amount: int) -> None:
        self.meters.spend(METER, amount)

    async def fail(self, amount: int) -> None:
        self.meters.spend(METER, amount)
        raise Undone

    async def take_back(self, kept: int, undone: int) -> None:
        self.meters.spend(METER, kept)
        try:
            with self.transaction():
                self.meters.spend(METER, undone)
                raise Undone
        except Undone:
            return

    async def reserve(self, amount: int, used: int) -> None:
        with self.meters.reserve(METER, amount) as held:
            await asyncio.sleep(0)
            held.settle(used)

    async def together(self, spends: list[tuple[Path, int]]) -> list[int]:
        """Which of them were spent, at the same time."""
        calls = [self.at(path, "spend", amount) for path, amount in spends]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert all(one is None or isinstance(one, MeterQuota) for one in done)
        return [n for n, one in enumerate(done) if one is None]

    async def as_one(self, spends: list[tuple[Path, int]], keep: bool) -> None:
        async with self.facets.transaction():
            for path, amount in spends:
                await self.at(path, "spend", amount)
            if not keep:
                raise Undone

    async def write(self, size: int) -> None:
        self.kv[str(len(self.kv))] = b"x" * size

    async def later(self, size: int) -> None:
        self.timers.after(1, self.write, size)

    async def left(self) -> float:
        return self.meters.left(METER)

    async def end(self, name: str, how: str) -> None:
        getattr(self.facets, how)(name)


class Model:
    """What was spent in the name of each facet and all below it, if it has a quota."""

    def __init__(self) -> None:
        self.spent: Counter[Path] = Counter()

    def left(self, path: Path) -> float:
        return min([self.limit(one) - self.spent[one] for one in above(path)], default=math.inf)

    def limit(self, path: Path) -> float:
        quota = QUOTAS.get(path)
        return math.inf if quota is None else quota.meters.get(METER, math.inf)

    def spend(self, path: Path, amount: int) -> None:
        for one in above(path):
            if self.limit(one) != math.inf:
                self.spent[one] += amount

    def delete(self, path: Path) -> None:
        for one in [one for one in self.spent if one[: len(path)] == path]:
            del self.spent[one]

    def can(self, spends: list[tuple[Path, int]]) -> bool:
        """One after the other."""
        tried = Model()
        tried.spent = self.spent.copy()
        for path, amount in spends:
            if amount > tried.left(path):
                return False
            tried.spend(path, amount)
        return True


def above(path: Path) -> Iterator[Path]:
    """It, and those above it that are facets."""
    return (path[:n] for n in range(1, len(path) + 1))


PLACES: list[Path] = [("a",), ("a", "a"), ("a", "b"), ("a", "a", "a"), ("b",)]
paths = st.sampled_from(PLACES)
amounts = st.integers(0, 30)
spends = st.lists(st.tuples(paths, amounts), min_size=1, max_size=4)
quotas = st.builds(
    Quota,
    bytes=st.none() | st.sampled_from([100_000, 250_000]),
    databases=st.none() | st.integers(1, 5),
    meters=st.just({}) | st.fixed_dictionaries({METER: st.integers(0, 100)}),
)
trees = st.dictionaries(paths, quotas, min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(st.just("spend"), paths, amounts),
    st.tuples(st.just("fail"), paths, amounts),
    st.tuples(st.just("take_back"), paths, amounts, amounts),
    st.tuples(st.just("reserve"), paths, amounts, amounts),
    st.tuples(st.just("together"), spends),
    st.tuples(st.just("as_one"), spends, st.booleans()),
    st.tuples(st.just("write"), paths, st.sampled_from([1, 20_000, 90_000])),
    st.tuples(st.just("later"), paths, st.sampled_from([1, 20_000, 90_000])),
    st.tuples(st.just("end"), paths, st.sampled_from(["abort", "delete"])),
    st.tuples(st.sampled_from(["crash", "restart", "sleep"])),
)


class Run:
    """One tree, through some steps."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self.runtime = runtime
        self.model = Model()

    @property
    def root(self) -> Worker:
        return self.runtime.get(Worker, "root")

    async def step(self, name: str, *args: Any) -> None:
        await getattr(self, name)(*args)
        for path in QUOTAS:
            assert await self.root.at(path, "left") == self.model.left(path)
        self.check(self.runtime.host.root(Worker, "root"))
        catalogue = self.runtime.host.store.catalogue
        if catalogue.read("select 1 from sqlite_schema where name = 'meters'"):
            gone = "select uid from meters where uid not in (select uid from actors)"
            assert not catalogue.read(gone)

    async def spending(self, path: Path, most: int, spent: int, method: str, *args: Any) -> None:
        """Spend: `most` at a time, `spent` in the end."""
        try:
            await self.root.at(path, method, *args)
            fits = True
        except Undone:
            fits, spent = True, 0
        except DatabasesQuota:
            return
        except BytesQuota:
            return
        except MeterQuota:
            fits, spent = False, 0
        assert fits == (most <= self.model.left(path))
        self.model.spend(path, spent)

    async def spend(self, path: Path, amount: int) -> None:
        await self.spending(path, amount, amount, "spend", amount)

    async def fail(self, path: Path, amount: int) -> None:
        await self.spending(path, amount, 0, "fail", amount)

    async def take_back(self, path: Path, kept: int, undone: int) -> None:
        await self.spending(path, kept + undone, kept, "take_back", kept, undone)

    async def reserve(self, path: Path, amount: int, used: int) -> None:
        used = min(used, amount)
        await self.spending(path, amount, used, "reserve", amount, used)

    async def together(self, spends: list[tuple[Path, int]]) -> None:
        before = self.model.spent.copy()
        try:
            for n in await self.root.together(spends):
                self.model.spend(*spends[n])
        except AssertionError:  # some have no room for a database: then nothing is known
            self.model.spent = before
            await self.relearn()

    async def as_one(self, spends: list[tuple[Path, int]], keep: bool) -> None:
        try:
            await self.root.as_one(spends, keep)
        except Undone:
            assert self.model.can(spends)
        except MeterQuota:
            assert not self.model.can(spends)
        except (BytesQuota, DatabasesQuota):
            pass
        else:
            assert self.model.can(spends)
            for one in spends:
                self.model.spend(*one)

    async def write(self, path: Path, size: int) -> None:
        with suppress(BytesQuota, DatabasesQuota):
            await self.root.at(path, "write", size)

    async def later(self, path: Path, size: int) -> None:
        with suppress(BytesQuota, DatabasesQuota):
            await self.root.at(path, "later", size)
        await self.runtime.clock.run(2)

    async def end(self, path: Path, how: str) -> None:
        await self.root.at(path[:-1], "end", path[-1], how)
        if how == "delete":
            self.model.delete(path)

    async def crash(self) -> None:
        await self.runtime.crash()

    async def restart(self) -> None:
        await self.runtime.close()
        await self.runtime.open()

    async def sleep(self) -> None:
        while self.runtime.stats().awake:
            self.runtime.sweep()
            self.runtime.clock.advance(61)

    async def relearn(self) -> None:
        for path in QUOTAS:
            for allowance in self.node(path).allowances:
                if allowance.node is self.node(path) and METER in allowance.quota.meters:
                    self.model.spent[path] = int(allowance.used(METER))

    def node(self, path: Path) -> Node:
        node = self.runtime.host.root(Worker, "root")
        for name in path:
            node = node.child(name)
        return node

    def check(self, node: Node) -> None:
        """Nothing exceeds, and nothing leaks: what is counted is what is there."""
        for one in node.allowances:
            total, count = sizes(node.host.store, one.node.database)
            assert (one.bytes, one.databases) == (total, count)
            assert one.quota.bytes is None or total <= one.quota.bytes
            assert one.quota.databases is None or count <= one.quota.databases
            assert (one.calls, one.spenders) == (0, set())
            for meter, limit in one.quota.meters.items():
                assert one.used(meter) <= limit
        for child in list(node.children.values()):
            self.check(child)


@settings(max_examples=80, deadline=None)
@given(tree=trees, script=st.lists(steps, min_size=1, max_size=12))
def test_no_subtree_ever_exceeds_its_quota_and_nothing_is_lost(
    tree: dict[Path, Quota], script: list[Any]
) -> None:
    async def story() -> None:
        QUOTAS.clear()
        QUOTAS.update(tree)
        async with MemoryRuntime() as runtime:
            run = Run(runtime)
            for one in script:
                await run.step(*one)

    asyncio.run(story())


class Saver(Actor):
    """Keeps a note of each spending, in the same step."""

    async def spend(self, depth: int) -> None:
        if depth:
            start = Start(Saver, quota=Quota(meters={METER: 100}))
            await self.facets.get("below", start).spend(depth - 1)
        else:
            self.meters.spend(METER, 7)
            self.kv[str(len(self.kv))] = 7

    async def state(self, depth: int) -> list[float]:
        """What notes say, and what quotas say, from the top down."""
        if not depth:
            return [sum(self.kv.values()), 100 - self.meters.left(METER)]
        start = Start(Saver, quota=Quota(meters={METER: 100}))
        return await self.facets.get("below", start).state(depth - 1)


async def test_wherever_the_process_dies_what_was_spent_is_what_the_step_did() -> None:
    found = Counter[tuple[float, ...]]()

    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Saver, "s").spend(2)

    async def act(runtime: MemoryRuntime) -> None:
        for _ in range(3):
            await runtime.get(Saver, "s").spend(2)

    async def check(runtime: MemoryRuntime) -> None:
        noted, spent = await runtime.get(Saver, "s").state(2)
        assert noted == spent
        found[(spent,)] += 1
        await runtime.get(Saver, "s").spend(2)
        assert await runtime.get(Saver, "s").state(2) == [noted + 7, spent + 7]

    deaths = await die_everywhere(setup, act, check)
    assert deaths >= 3
    assert len(found) >= 3  # deaths before, between and after the steps
