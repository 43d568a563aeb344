"""The process that test_torture.py kills: twenty actors with facets below them, all busy.

Each grows step by step, and now and then writes two facets in one transaction, clones one over
another, restores one, deletes one, or compacts itself. With a
replica, a second argument, they also come back from there. The journal is small, so that segments
and checkpoints come and go all the time.
"""

import asyncio
import random
import sys

from facets import Actor, LocalRuntime
from storage.errors import NoState
from storage.limits import JournalLimits

JOURNAL = JournalLimits(segment=128 << 10, size=512 << 10)
NAMES = [f"actor{n:02}" for n in range(20)]


class Leaf(Actor):
    migrations = ("create table rows(n integer primary key, ballast)",)

    async def add(self, n: int) -> int:
        # The step may be there already: a kill came between it and the end of its call.
        self.sql("insert or ignore into rows values (?, ?)", n, bytes(random.randrange(4000)))
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

    async def pair(self) -> None:
        """One number more on both sides, or on none."""
        async with self.facets.transaction():
            n = len(await self.facets.get("left", Leaf).rows()) + 1
            await self.facets.get("left", Leaf).add(n)
            await self.facets.get("right", Leaf).add(n)

    async def copy(self) -> None:
        await self.facets.clone("branch", "copy")

    async def swing(self) -> None:
        """Two numbers more, and back to before the second."""
        swing = self.facets.get("swing", Leaf)
        n = len(await swing.rows())
        await swing.add(n + 1)
        mark = self.storage.bookmark()
        await swing.add(n + 2)
        await self.facets.restore("swing", mark)
        if len(await self.facets.get("swing", Leaf).rows()) != n + 1:
            raise AssertionError("the restore led somewhere else")

    async def forget(self) -> None:
        self.facets.delete("copy")

    async def seen(self) -> tuple[int, list[int], list[int], int]:
        branch, leaf = await self.facets.get("branch", Branch).seen()
        return self.kv.get("n", 0), branch, leaf, self.kv.get("done", 0)

    async def others(self) -> dict[str, list[int]]:
        """The numbers of the facets that are cloned, restored and written in pairs."""
        names = ("left", "right", "copy", "swing")
        return {name: await self.facets.get(name, Leaf).rows() for name in names}


async def keep_growing(runtime: LocalRuntime, name: str, *, retrieving: bool) -> None:
    tree = runtime.get(Tree, name)
    n = (await tree.seen())[3]
    while True:
        n += 1
        await tree.grow(n)
        print(name, n, flush=True)
        if retrieving and random.random() < 0.05:
            print(name, 0, flush=True)  # from here on it may be as the replica has it
            try:
                await runtime.restore_from_replica(Tree, name)
            except NoState:
                continue  # the replica is not as far yet
            n = (await tree.seen())[3]
        elif random.random() < 0.2:
            await getattr(tree, random.choice(("pair", "copy", "swing", "forget", "pair")))()


async def main() -> None:
    print("opening", 0, flush=True)
    replica = sys.argv[2] if len(sys.argv) > 2 else None
    options = {"open_databases": 16, "journal": JOURNAL, "replica": replica}
    async with LocalRuntime(sys.argv[1], **options) as runtime:  # type: ignore[arg-type]
        print("open", 0, flush=True)
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                group.create_task(keep_growing(runtime, name, retrieving=bool(replica)))


if __name__ == "__main__":
    asyncio.run(main())
