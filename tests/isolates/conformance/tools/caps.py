"""The tool of the suite that uses capabilities, in Python."""

import asyncio

import facets
from facets import Actor


@facets.capability
class Counter:
    def __init__(self):
        self.n = 0

    async def up(self, by=1):
        self.n += by
        return self.n

    async def each(self, n):
        for i in range(n):
            yield i

    def _hidden(self):
        return 1


class Tool(Actor):
    migrations = ["create table t(n)"]

    async def call(self, cap, *args):
        return await cap(*args)

    async def by_name(self, cap, x):
        return await cap(x=x)

    async def sell(self, shop, what):
        return await shop.sell(what)

    async def secret(self, shop):
        return await shop._secret()

    async def listed(self, shop, n):
        return [item async for item in shop.list(n)]

    async def granted(self):
        return [await self.env["f"](1), await self.props[0].stock()]

    async def many(self, cap, n):
        return await asyncio.gather(*[cap(i) for i in range(n)])

    async def items(self, cap, *args):
        return [item async for item in cap(*args)]

    async def first(self, cap, n):
        taken = []
        async for item in cap():
            taken.append(item)
            if len(taken) == n:
                return taken
        return None

    async def keep(self, cap):
        self.kept = cap
        return cap

    async def again(self, *args):
        return await self.kept(*args)

    async def let_go(self):
        self.kept = None

    async def same(self, a, b):
        return a is b

    async def write(self, cap):
        self.sql("insert into t values (1)")
        await cap()
        self.sql("insert into t values (2)")

    async def store(self, cap):
        self.kv["a"] = [cap]

    async def caught(self, cap):
        try:
            await cap()
        except Exception as error:
            return [type(error).__name__, isinstance(error, LookupError), str(error)]

    async def counter(self):
        self.made = Counter()
        return self.made

    async def function(self):
        @facets.capability
        async def double(x):
            return 2 * x

        return double

    async def mine(self, it):
        return it is self.made

    async def give(self, cap):
        @facets.capability
        def heard(x):
            return x + 1

        return await cap(heard)

    async def unmarked(self, cap):
        return await cap({"f": lambda: 1})
