"""Sub-agents: got, listed, told apart, ended, found again after a crash; and their parents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets import Actor, Quota
from facets.agents import Agent, Event, Run, TextDelta, as_tool, tool
from facets.errors import OtherParent
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import DOORS, call, script

SEEN: list[Any] = []
NAMES = ("octopus", "a/b", "/", "50%", "_", "\x1f", "Reader\x1fx", "'", "дом", "x" * 900)


class Reader(Agent):
    model = script([call("read")], "read it")

    @tool(seconds=None)
    async def read(self) -> None:
        """Read."""
        SEEN.append((self.path, self.props, self.meters.left("tokens")))
        await DOORS.setdefault("book", asyncio.Event()).wait()

    async def put(self, what: str) -> None:
        self.kv["what"] = what

    async def got(self) -> str | None:
        return self.kv.get("what")

    async def put_below(self, name: str, what: str) -> None:
        await self.agents.get(Reader, name).put(what)

    async def below(self) -> list[str]:
        return [one.name for one in self.agents.list()]

    async def above(self) -> str:
        return await self.parent_agent(Library).called()

    async def wrong_above(self) -> None:
        self.parent_agent(Reader)


class Other(Reader):
    model = script("other")


class Library(Agent):
    model = "unused"

    async def reader(self, name: str, **given: Any) -> Reader:
        return self.agents.get(Reader, name, **given)

    async def other(self, name: str) -> Other:
        return self.agents.get(Other, name)

    async def listed(self, cls: type[Agent] | str | None = None) -> list[tuple[str, str, Any]]:
        return [tuple(one) for one in self.agents.list(cls)]  # type: ignore[misc]

    async def exists(self, cls: type[Agent] | str, name: str) -> bool:
        return self.agents.exists(cls, name)

    async def called(self) -> str:
        return self.id

    async def abort(self, name: str) -> None:
        self.agents.abort(Reader, name)

    async def delete(self, name: str) -> None:
        self.agents.delete(Reader, name)

    async def relayed(self, name: str) -> AsyncIterator[Event]:
        async for event in self.agents.get(Reader, name).stream("read"):
            yield event


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    SEEN.clear()
    DOORS.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_each_name_is_an_agent_of_its_own_whatever_is_in_it(runtime: MemoryRuntime) -> None:
    library = runtime.get(Library, "a")
    for name in NAMES:
        await (await library.reader(name)).put(name)
    assert [await (await library.reader(name)).got() for name in NAMES] == list(NAMES)
    assert [name for _, name, _ in await library.listed()] == sorted(NAMES)
    for name in NAMES:
        await (await library.reader(name)).submit("read", id="1")
    while len(SEEN) < len(NAMES):
        await asyncio.sleep(0)
    assert sorted(path for path, _, _ in SEEN) == sorted(
        (("Library", "a"), ("Reader", name)) for name in NAMES
    )


async def test_one_name_is_another_agent_for_each_class_and_each_parent(
    runtime: MemoryRuntime,
) -> None:
    one, two = runtime.get(Library, "a"), runtime.get(Library, "b")
    await (await one.reader("x")).put("one")
    await (await one.reader("x")).put_below("x", "below")
    assert await (await one.other("x")).got() is None
    assert await (await two.reader("x")).got() is None
    assert await (await one.reader("x")).got() == "one"


async def test_the_list_says_what_there_is_and_since_when(runtime: MemoryRuntime) -> None:
    library = runtime.get(Library, "a")
    begun = runtime.clock.now()
    await (await library.reader("x")).put("x")
    await runtime.clock.run(60)
    await (await library.reader("y")).put("y")
    await (await library.other("x")).put("x")
    x, y = ("Reader", "x", begun), ("Reader", "y", begun + 60)
    assert await library.listed() == [("Other", "x", begun + 60), x, y]
    assert await library.listed(Reader) == await library.listed("Reader") == [x, y]
    await runtime.crash()
    library = runtime.get(Library, "a")
    assert await library.listed(Reader) == [x, y]
    assert await library.exists(Reader, "x")
    assert not await library.exists("Reader", "z")


async def test_an_aborted_sub_agent_starts_again_with_what_it_had_and_goes_on(
    runtime: MemoryRuntime,
) -> None:
    library = runtime.get(Library, "a")
    reader = await library.reader("x")
    await reader.put("kept")
    await reader.submit("read", id="1")
    while not SEEN:
        await asyncio.sleep(0)
    await library.abort("x")
    DOORS["book"].set()
    reader = await library.reader("x")
    assert await reader.got() == "kept"
    assert (await reader.wait("1")).output == "read it"


async def test_a_deleted_sub_agent_is_gone_with_all_below_it_and_its_timers(
    runtime: MemoryRuntime,
) -> None:
    library = runtime.get(Library, "a")
    reader = await library.reader("x")
    await reader.put_below("y", "below")
    await reader.submit("read", id="1")
    while not SEEN:
        await asyncio.sleep(0)
    await library.delete("x")
    assert await library.listed() == []
    await runtime.clock.run(60)
    assert len(SEEN) == 1  # nobody has gone on with its turn
    reader = await library.reader("x")
    assert await reader.below() == []
    assert await reader.turns() == []
    assert await (await library.reader("y")).got() is None


async def test_events_of_a_sub_agent_stream_through_its_parent(runtime: MemoryRuntime) -> None:
    DOORS["book"] = asyncio.Event()
    DOORS["book"].set()
    events = [one async for one in runtime.get(Library, "a").relayed("x")]
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["read", "it"]


async def test_a_sub_agent_knows_its_path_and_asks_for_a_parent_of_a_class(
    runtime: MemoryRuntime,
) -> None:
    class Grand(Library):
        pass

    reader = await runtime.get(Grand, "a").reader("x")
    assert await reader.above() == "Grand:a"
    with pytest.raises(OtherParent, match="no Reader"):
        await reader.wrong_above()
    with pytest.raises(OtherParent, match="has no parent"):
        await runtime.get(Reader, "root").wrong_above()

    class Plain(Actor):
        async def below(self) -> str:
            return str(await self.facets.get("x", Reader).above())

    with pytest.raises(OtherParent, match="no Library"):
        await runtime.get(Plain, "a").below()


async def test_a_sub_agent_goes_on_by_itself_after_a_crash_with_the_quota_and_props_it_was_got_with(
    runtime: MemoryRuntime,
) -> None:
    library = runtime.get(Library, "a")
    given: dict[str, Any] = {"quota": Quota(meters={"tokens": 5000}), "props": {"lamp": 1}}
    reader = await library.reader("x", **given)
    await reader.submit("read", id="1")
    while not SEEN:
        await asyncio.sleep(0)
    await runtime.crash()
    runtime.register(Library)
    await runtime.clock.run(30)
    while len(SEEN) < 2:
        await asyncio.sleep(0)
    assert SEEN[0] == SEEN[1] == ((("Library", "a"), ("Reader", "x")), {"lamp": 1}, 5000 - 15)


class Porter(Agent):
    model = script([call("reader", {"prompt": "read"})], "it runs")
    tools = (as_tool(Reader, detached=True),)

    async def on_run_finished(self, run: Run) -> None:
        self.sql("create table if not exists ended(run text)")
        self.sql("insert into ended values (?)", run.id)

    async def ended(self) -> list[str]:
        return [row.run for row in self.sql("select run from ended")]


async def test_a_detached_run_ends_once_wherever_the_process_dies() -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        DOORS["book"] = asyncio.Event()
        DOORS["book"].set()
        await runtime.get(Porter, "a").turns()

    async def act(runtime: MemoryRuntime) -> None:
        porter = runtime.get(Porter, "a")
        await porter.submit("read", id="1")
        await porter.wait("1")
        await porter.wait_run("1:1:0")

    async def check(runtime: MemoryRuntime) -> None:
        porter = runtime.get(Porter, "a")
        await porter.submit("read", id="1")
        assert (await porter.wait("1")).status == "completed"
        assert (await porter.wait_run("1:1:0")).output == "read it"
        assert await porter.ended() == ["1:1:0"]

    assert await die_everywhere(setup, act, check, every=8) > 3
