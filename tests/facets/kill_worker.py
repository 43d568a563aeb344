"""The process that test_kill.py kills: it adds to two facets and acknowledges each call."""

import asyncio
import sys

from facets import Actor, LocalRuntime

TOOL = """
from facets import Actor

class Tool(Actor):
    migrations = ["create table rows(n integer primary key)"]

    async def add(self, n):
        self.sql("insert into rows values (?)", n)
        return n

    async def rows(self):
        return [row.n for row in self.sql("select n from rows order by n")]
"""


class Plain(Actor):
    migrations = ("create table rows(n integer primary key)",)

    async def add(self, n: int) -> int:
        self.sql("insert into rows values (?)", n)
        return n

    async def rows(self) -> list[int]:
        return [row.n for row in self.sql("select n from rows order by n")]


class Lead(Actor, kind="Lead"):
    async def add(self, n: int) -> int:
        self.kv["n"] = n
        await self.facets.get("plain", Plain).add(n)
        return await self.facets.get("tool", self.isolates.get(TOOL).actor("Tool")).add(n)

    async def seen(self) -> tuple[int, list[int], list[int]]:
        plain = self.facets.get("plain", Plain)
        tool = self.facets.get("tool", self.isolates.get(TOOL).actor("Tool"))
        return self.kv.get("n", 0), await plain.rows(), await tool.rows()


async def main() -> None:
    async with LocalRuntime(sys.argv[1]) as runtime:
        lead = runtime.get(Lead, "a")
        n = (await lead.seen())[0]
        while True:
            n += 1
            print(await lead.add(n), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
