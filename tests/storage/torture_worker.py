"""The process that test_torture.py kills: twenty actors with facets below them, all busy."""

import asyncio
import random
import sys

from facets import Actor, LocalRuntime

NAMES = [f"actor{n:02}" for n in range(20)]


class Leaf(Actor):
    migrations = ("create table rows(n integer primary key, ballast)",)

    async def add(self, n: int) -> int:
        self.sql("insert into rows values (?, ?)", n, bytes(random.randrange(4000)))
        return n

    async def rows(self) -> list[int]:
        return [row.n for row in self.sql("select n from rows order by n")]


class Branch(Leaf):
    async def grow(self, n: int) -> int:
        await self.add(n)
        return await self.facets.get("leaf", Leaf).add(n)

    async def seen(self) -> tuple[list[int], list[int]]:
        return await self.rows(), await self.facets.get("leaf", Leaf).rows()


class Tree(Actor, kind="Tree"):
    async def grow(self, n: int) -> int:
        self.kv["n"] = n
        await self.facets.get("branch", Branch).grow(n)
        self.kv["done"] = n
        return n

    async def seen(self) -> tuple[int, list[int], list[int], int]:
        branch, leaf = await self.facets.get("branch", Branch).seen()
        return self.kv.get("n", 0), branch, leaf, self.kv.get("done", 0)


async def keep_growing(runtime: LocalRuntime, name: str) -> None:
    tree = runtime.get(Tree, name)
    n = (await tree.seen())[0]
    while True:
        n += 1
        await tree.grow(n)
        print(name, n, flush=True)


async def main() -> None:
    print("opening", 0, flush=True)
    async with LocalRuntime(sys.argv[1], open_databases=16) as runtime:
        print("open", 0, flush=True)
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(keep_growing(runtime, name))


if __name__ == "__main__":
    asyncio.run(main())
