"""The tool of the suite that gives and takes async generators, in Python."""

import asyncio

from facets import Actor


class Tool(Actor):
    made = 0
    closed = 0

    async def count(self, n):
        try:
            for i in range(n):
                self.made += 1
                yield [i]
        finally:
            self.closed += 1

    async def broken_(self):
        yield 0
        yield 1
        raise LookupError("behind the items")

    async def stuck_(self):
        try:
            yield 0
            await asyncio.sleep(1000)
        finally:
            self.closed += 1

    async def all(self, items):
        return [item async for item in items]

    async def first(self, items, n):
        taken = []
        async for item in items:
            taken.append(item)
            if len(taken) == n:
                break
        await items.aclose()
        return taken

    async def leave(self, items):
        async for item in items:
            return item
        return None

    async def inside(self, value):
        return await self.all(value["a"][0])

    async def granted(self):
        return [await self.all(self.env["items"]), await self.all(self.props[0])]

    async def give(self, n):
        self.given = self.count(n)
        return {"stream": [self.given]}

    async def give_broken(self):
        return self.broken_()

    async def give_stuck(self):
        return self.stuck_()

    async def pass_to(self, cap, n):
        return await cap(self.count(n))

    async def progress(self):
        return [self.made, self.closed]

    async def is_mine(self, items):
        return items is self.given

    async def keep(self, items):
        self.kept = items
        async for item in items:
            return item
        return None

    async def next(self):
        async for item in self.kept:
            return item
        return None

    async def forget(self):
        self.kept = None

    async def echo(self, items):
        return items

    async def wait_for(self, items):
        async for _item in items:
            pass

    async def store(self, items):
        self.kv["a"] = [items]
