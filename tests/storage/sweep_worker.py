"""The process that test_sweep_torture.py kills: large files come and go, and are swept.

What an actor holds after its n-th change follows from its name and n, so that a checker can tell
without having been told. Contents are few, so that what was given up is soon needed again.
"""

import asyncio
import random
import sys

import storage.spilled
from facets import Actor, LocalRuntime
from storage.files import chunks, extents, streams
from storage.limits import FileLimits, HistoryLimits, JournalLimits

SIZE = 64 << 10
NAMES = [f"keeper{n}" for n in range(6)]
HISTORY = HistoryLimits(age=0.4)
OPTIONS = {
    "journal": JournalLimits(segment=128 << 10, size=512 << 10),
    "files": FileLimits(inline=1000),
}


def change(name: str, n: int, files: dict[str, int]) -> tuple[str, int | None]:
    """The n-th change: a path, and the content that it gets, or None for none."""
    pick = random.Random(f"{name}:{n}")
    path = f"/f{pick.randrange(3)}"
    return path, None if path in files and pick.random() < 0.4 else pick.randrange(60)


def after(name: str, n: int) -> dict[str, int]:
    """What there is after n changes."""
    files: dict[str, int] = {}
    for one in range(1, n + 1):
        path, content = change(name, one, files)
        files.pop(path, None)
        if content is not None:
            files[path] = content
    return files


class Keeper(Actor, kind="Keeper"):
    async def go_on(self, name: str) -> int:
        n = self.kv.get("n", 0)
        path, content = change(name, n + 1, after(name, n))
        if content is None:
            self.fs.unlink(path)
        else:
            self.fs.write(path, bytes([content]) * SIZE)
        self.kv["n"], self.kv["name"] = n + 1, name
        return n + 1

    async def seen(self) -> tuple[str, int, dict[str, int]]:
        """The name, how many changes, and what is in the files."""
        found = {f"/{name}": self.fs.read(f"/{name}") for name in self.fs.listdir()}
        if any(set(data) != {data[0]} or len(data) != SIZE for data in found.values()):
            raise AssertionError("a file holds something else")
        contents = {path: data[0] for path, data in found.items()}
        return self.kv.get("name", ""), self.kv.get("n", 0), contents


async def keep_changing(runtime: LocalRuntime, name: str) -> None:
    while True:
        n = await runtime.get(Keeper, name).go_on(name)
        print(name, n, runtime.bookmark(), runtime.host.store.objects.removed, flush=True)
        chance = random.random()
        if chance < 0.1:
            await runtime.clone(Keeper, name, f"{name}-copy")
        elif chance < 0.15:
            await runtime.delete(Keeper, f"{name}-copy")
        await asyncio.sleep(0)


async def keep_sweeping(runtime: LocalRuntime) -> None:
    host = runtime.host
    while True:
        await host.aside(host.store.enforce)
        await host.sweep_objects()


async def main() -> None:
    storage.spilled.GRACE = 0.0
    for module in (chunks, extents, streams):
        module.OBJECT = SIZE  # type: ignore[misc]
    runtime = LocalRuntime(sys.argv[1], history=HISTORY, **OPTIONS)  # type: ignore[arg-type]
    async with runtime, asyncio.TaskGroup() as group:
        group.create_task(keep_sweeping(runtime))
        for name in NAMES:
            group.create_task(keep_changing(runtime, name))


if __name__ == "__main__":
    asyncio.run(main())
