"""The tool of the conformance suite, in Python. It runs inside an isolate only."""

import asyncio
import contextlib
import random
import sys

import facets
from facets import Actor, errors


class Own(ValueError):
    pass


class Tool(Actor):
    migrations = ["create table t(n integer)", "create table u(n integer unique)"]

    def __init__(self):
        self.seen = 0
        self.started = False
        self.order = []
        self.gate = asyncio.Event()

    async def on_start(self):
        self.started = True

    # -- values

    async def add(self, a, b=1):
        return a + b

    async def echo(self, value):
        return value

    async def who(self):
        return [self.id, self.name, self.props, self.env]

    async def kinds(self):
        return [
            2**70,
            {"a", "b"},
            {1: "x"},
            b"\x00\xff",
            float("inf"),
            "é" * 3000 + "\U0001f600",
            None,
        ]

    async def strange(self):
        return [{"x": lambda: 1}]

    # -- state

    async def count(self):
        self.seen += 1
        return self.seen

    async def has_started(self):
        return self.started

    def helper(self):
        return 1

    async def _private(self):
        return 2

    def put(self, n):
        self.sql("insert into t values (?)", n)

    async def store(self, n):
        self.put(n)

    async def values(self):
        return [row.n for row in self.sql("select n from t order by rowid")]

    # -- steps

    async def two_steps_then_fail(self):
        self.put(1)
        await asyncio.sleep(0.001)
        self.put(2)
        raise ValueError("second step")

    async def savepoint(self):
        self.put(1)
        try:
            with self.transaction():
                self.put(2)
                with self.transaction():
                    self.put(3)
                raise ValueError
        except ValueError:
            pass
        with self.transaction():
            self.put(4)

    async def across(self):
        with self.transaction():
            self.put(1)
            await asyncio.sleep(0.001)

    async def items_then_fail(self):
        self.put(1)
        yield 1
        self.put(2)
        raise ValueError("after the item")

    async def hang(self):
        self.put(1)
        await asyncio.sleep(0.001)
        self.put(2)
        await asyncio.sleep(60)

    async def hang_and_clean(self):
        try:
            await asyncio.sleep(60)
        finally:
            self.put(7)

    # -- storage

    async def rows(self):
        self.sql.many("insert into t values (?)", [(3,), (4,)])
        rows = self.sql("select n, n * 2 as m from t where n > :low order by n", low=2)
        first = rows.first()
        return [list(rows.columns), len(rows), [row.m for row in rows], first.n, list(first)]

    async def none(self):
        return self.sql("select 1 where 0").value()

    async def many(self):
        return self.sql("select 1 union select 2").one()

    async def broken(self):
        self.sql("selekt 1")

    async def twice(self):
        self.sql("insert into u values (1)")
        try:
            self.sql("insert into u values (1)")
        except errors.ConstraintError as error:
            return error.code

    async def unstorable(self):
        self.kv["x"] = lambda: 1

    async def keys(self):
        self.kv["b"] = [1, {"x": b"y"}]
        self.kv.update({"a": 1, "ab": None})
        del self.kv["ab"]
        found = [self.kv["b"], self.kv.get("zz", 7), "a" in self.kv, "zz" in self.kv, len(self.kv)]
        return [*found, [list(pair) for pair in self.kv.list("a")]]

    async def files(self):
        self.fs.mkdir("/d", exist_ok=True)
        self.fs.write_text("/d/x.txt", "né")
        self.fs.append("/d/x.txt", b"!")
        try:
            self.fs.read("/nothing")
        except errors.FileMissing as error:
            missing = error.path
        return [
            self.fs.listdir("/d"),
            self.fs.read_text("/d/x.txt"),
            self.fs.stat("/d/x.txt").size,
            missing,
        ]

    # -- streams

    async def numbers(self, n):
        for i in range(n):
            yield i

    async def forever(self):
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            print("closed")

    # -- concurrency

    async def first(self):
        self.order.append("first waits")
        await self.gate.wait()
        self.order.append("first goes on")

    async def second(self):
        self.order.append("second")
        self.gate.set()

    async def said(self):
        return self.order

    @facets.exclusive
    async def alone(self):
        n = self.sql("select count(*) from t").value()
        await asyncio.sleep(0.001)
        self.put(n)

    async def section(self):
        async with self.exclusive():
            n = self.sql("select count(*) from t").value()
            await asyncio.sleep(0.001)
            self.put(n)

    async def hold(self):
        async with self.exclusive():
            await self.gate.wait()

    async def section_twice(self):
        async with self.exclusive(), self.exclusive():
            return 1

    async def naps(self):
        woke = []

        async def nap(n):
            await asyncio.sleep(n / 100)
            woke.append(n)

        await asyncio.gather(nap(3), nap(1), nap(2))
        return woke

    # -- errors and output

    async def fail(self):
        raise ValueError("no luck")

    async def own(self):
        raise Own("mine")

    async def noisy(self):
        print("one", 2)
        print("careful \ud800 é", file=sys.stderr)

    async def chance(self):
        return random.random()

    # -- limits

    async def spin(self):
        while True:
            pass

    async def deep(self):
        def f(n):
            return f(n + 1) + 1

        return f(0)

    async def eat(self):
        kept = []
        while True:
            kept.append(bytes(1 << 20))

    async def flood(self):
        while True:
            print("x" * 10_000)

    async def large(self):
        return "x" * (2 << 20)

    async def busy(self):
        while True:
            self.sql("select 1")

    async def stubborn(self):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def leave(self, cap):
        async def use():
            while True:
                await cap()

        self.left = asyncio.create_task(use())

    async def patient(self):
        await asyncio.Event().wait()
