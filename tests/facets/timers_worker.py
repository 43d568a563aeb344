"""The process that test_timers_torture.py kills: it schedules timers, which are delivered."""

import asyncio
import json
import random
import sys

from facets import Actor, Backoff, LocalRuntime

ACTORS = 3
SOON = Backoff(first=0.01, most=0.02, attempts=50)


class Leaf(Actor):
    migrations = (
        "create table hits(key text primary key, n integer not null)",
        "create table begun(key text primary key, n integer not null)",
        "create table ticks(at real primary key, n integer not null)",
    )

    async def plan(self, keys: list[str], seed: int) -> None:
        pick = random.Random(seed)
        for key in keys:
            method = (self.hit, self.hit_in_two_steps, self.fail_at_times)[pick.randrange(3)]
            self.timers.after(pick.random() * 0.05, method, key, retry=SOON)
        self.timers.every(1, self.tick, name="tick")

    async def hit(self, key: str) -> None:
        self._count("hits", "key", key)

    async def hit_in_two_steps(self, key: str) -> None:
        self._count("begun", "key", key)
        await asyncio.sleep(0)
        self._count("hits", "key", key)

    async def fail_at_times(self, key: str) -> None:
        self._count("hits", "key", key)
        if random.random() < 0.5:
            raise ValueError("undone")

    async def tick(self) -> None:
        current = self.timers.current
        assert current is not None
        self._count("ticks", "at", current.scheduled_for)

    def _count(self, table: str, column: str, value: object) -> None:
        query = f"insert into {table} values (?, 1) on conflict({column}) do update set n = n + 1"
        self.sql.unsafe(query, value)

    async def seen(self) -> dict[str, object]:
        return {
            "hits": dict(self.sql("select key, n from hits")),
            "begun": dict(self.sql("select key, n from begun")),
            "ticks": [n for (n,) in self.sql("select n from ticks")],
            "left": [one.method for one in self.timers.list() if one.method != "tick"],
            "dead": [one.error for one in self.timers.dead()],
        }


class Root(Leaf, kind="TortureRoot"):
    async def on(self, where: str, method: str, *args: object) -> object:
        leaf = self if where == "" else self.facets.get(where, Leaf)
        return await getattr(leaf, method)(*args)


async def schedule(state: str, seed: int) -> None:
    """Schedule batch after batch, and say of each that it is durable."""
    pick = random.Random(seed)
    async with LocalRuntime(state) as runtime:
        for batch in range(1_000_000):
            where = f"a{pick.randrange(ACTORS)}", pick.choice(["", "b"])
            keys = [f"{seed}.{batch}.{n}" for n in range(pick.randrange(1, 6))]
            await runtime.get(Root, where[0]).on(where[1], "plan", keys, pick.random())
            print(json.dumps([*where, keys]), flush=True)
            await asyncio.sleep(pick.random() * 0.01)


async def drain(state: str) -> None:
    """Deliver what is left, and say what was seen."""
    async with LocalRuntime(state) as runtime:
        runtime.register(Root)
        found: dict[str, object] = {}
        for n in range(ACTORS):
            for where in ("", "b"):
                root = runtime.get(Root, f"a{n}")
                while (seen := await root.on(where, "seen"))["left"]:  # type: ignore[index]
                    await asyncio.sleep(0.01)
                found[f"a{n}/{where}"] = seen
        print(json.dumps(found))


if __name__ == "__main__":
    work = drain(sys.argv[2]) if sys.argv[1] == "drain" else schedule(sys.argv[2], int(sys.argv[3]))
    asyncio.run(work)
