"""The durable state of an actor as a whole: bookmarks, restore, compact."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from actors import Actor, LocalRuntime
from actors.errors import ActorRestored
from storage.errors import BookmarkGone, NotABookmark


class Diary(Actor, kind="Diary"):
    async def write(self, text: str) -> str:
        self.kv["text"] = text
        self.fs.write_text("/page", text)
        return self.storage.bookmark()

    async def read(self) -> tuple[str | None, str | None]:
        there = self.fs.exists("/page")
        return self.kv.get("text"), self.fs.read_text("/page") if there else None

    async def at(self, when: float) -> str:
        return await self.storage.bookmark_at(when)

    async def go_back(self, bookmark: str) -> None:
        await self.storage.restore(bookmark)

    async def fill_and_empty(self) -> None:
        self.sql("create table if not exists t(x)")
        self.sql.many("insert into t values (zeroblob(4000 + ?))", [(0,)] * 300)
        await asyncio.sleep(0)
        self.sql("delete from t")

    async def compact(self) -> int:
        return await self.storage.compact()

    async def wait(self) -> None:
        await asyncio.Event().wait()


async def test_a_bookmark_is_the_moment_before_the_step(runtime: LocalRuntime) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    before_two = await diary.write("two")

    await runtime.restore(Diary, "a", before_two)

    assert await diary.read() == ("one", "one")


async def test_the_undo_leads_back(runtime: LocalRuntime) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    mark = runtime.bookmark()
    await diary.write("two")

    undo = await runtime.restore(Diary, "a", mark)
    assert await diary.read() == ("one", "one")
    await runtime.restore(Diary, "a", undo)

    assert await diary.read() == ("two", "two")


async def test_calls_in_progress_end_with_the_bookmark_that_leads_back(
    runtime: LocalRuntime,
) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    mark = runtime.bookmark()
    waiting = asyncio.create_task(diary.wait())
    await diary.write("two")

    undo = await runtime.restore(Diary, "a", mark)

    with pytest.raises(ActorRestored) as caught:
        await waiting
    assert caught.value.undo == undo


async def test_an_actor_can_restore_itself(runtime: LocalRuntime) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    mark = runtime.bookmark()
    await diary.write("two")

    with pytest.raises(ActorRestored) as caught:
        await diary.go_back(mark)
    for _ in range(1000):
        if await diary.read() == ("one", "one"):
            break
        await asyncio.sleep(0)
    assert await diary.read() == ("one", "one")
    await runtime.restore(Diary, "a", caught.value.undo)
    assert await diary.read() == ("two", "two")


async def test_bookmarks_survive_the_runtime(runtime: LocalRuntime, state: Path) -> None:
    await runtime.get(Diary, "a").write("one")
    mark = runtime.bookmark()
    await runtime.get(Diary, "a").write("two")
    await runtime.close()

    async with LocalRuntime(state) as again:
        await again.restore(Diary, "a", mark)
        assert await again.get(Diary, "a").read() == ("one", "one")


async def test_a_time_is_a_bookmark_too(runtime: LocalRuntime) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    now = time.time()
    while time.time() <= now:
        pass
    await diary.write("two")

    await runtime.restore(Diary, "a", await diary.at(now))

    assert await diary.read() == ("one", "one")


async def test_a_text_that_is_no_bookmark_is_refused(runtime: LocalRuntime) -> None:
    await runtime.get(Diary, "a").write("one")
    with pytest.raises(NotABookmark):
        await runtime.restore(Diary, "a", "yesterday")


async def test_a_time_before_everything_is_gone(runtime: LocalRuntime) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    with pytest.raises(BookmarkGone):
        await diary.at(-1.0)


async def test_compacting_gives_space_back_and_keeps_everything(
    runtime: LocalRuntime, state: Path
) -> None:
    diary = runtime.get(Diary, "a")
    await diary.write("one")
    mark = runtime.bookmark()
    await diary.fill_and_empty()

    assert await diary.compact() > 1_000_000
    assert await diary.read() == ("one", "one")
    await diary.write("two")
    await runtime.close()

    async with LocalRuntime(state) as again:
        assert await again.get(Diary, "a").read() == ("two", "two")
        await again.restore(Diary, "a", mark)
        assert await again.get(Diary, "a").read() == ("one", "one")
