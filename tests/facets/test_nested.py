"""`self.facets` inside an isolate: child actors of the same source, each in its own sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime

SOURCE = """
import facets
from facets import Actor, Start

class Sub(Actor):
    migrations = ["create table t(n)"]
    async def add(self, n):
        self.sql("insert into t values (?)", n)
        return self.sql("select sum(n) from t").value()
    async def who(self): return self.id, self.props
    async def count(self, n):
        for i in range(n): yield i
    async def spin(self):
        while True: pass
    async def down(self, n):
        return self.id if n == 0 else await self.facets.get("sub", Sub).down(n - 1)
    async def ask(self): return await self.env["cap"]()
    async def ask_props(self): return await self.props()

class Other(Actor):
    async def add(self, n): return "other"

class Tool(Actor):
    async def add(self, name, n): return await self.facets.get(name, Sub).add(n)
    async def on(self, name, method, *args):
        return await getattr(self.facets.get(name, Sub), method)(*args)
    async def start(self, name, props):
        return await self.facets.get(name, Start(Sub, props=props)).who()
    async def give(self, cap):
        return await self.facets.get("p", Start(Sub, props=cap)).ask_props()
    async def stub(self, name): return self.facets.get(name, Sub)
    async def items(self, name, n):
        return [i async for i in self.facets.get(name, Sub).count(n)]
    async def do(self, method, *args): return getattr(self.facets, method)(*args)
    async def other(self, name): return await self.facets.get(name, Other).add(1)
    async def replace(self, name): return await self.facets.replace(name, Other).add(1)
    async def clone(self, a, b): await self.facets.clone(a, b)
    async def bad(self, kind):
        class Local(Actor): pass
        return self.facets.get("x", {"local": Local, "text": "Sub", "call": lambda: Sub}[kind])
    async def write_and_delete(self, name):
        self.kv["a"] = 1
        self.facets.delete(name)
        self.kv["b"] = 1
        raise ValueError("no")
    async def keys(self): return list(self.kv)
    async def crowd(self, n):
        for i in range(n): await self.facets.get(f"n{i}", Sub).who()
"""


class Lead(Actor):
    async def do(self, script: str) -> Any:
        return await SCRIPTS[script](self)

    def tool(self, **options: Any) -> Any:
        return self.facets.get("tool", self.isolates.get(SOURCE, **options).actor("Tool"))


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


async def test_a_guest_has_facets_with_data_of_their_own(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()

        assert await tool.add("x", 1) == 1
        assert await tool.add("x", 2) == 3
        assert await tool.add("y", 5) == 5
        assert await tool.items("x", 3) == [0, 1, 2]
        assert await tool.start("z", {"a": 1}) == ("Lead:a/tool/z", {"a": 1})
        assert await tool.do("list") == ["x", "y", "z"]
        assert await tool.do("exists", "x") is True
        assert await tool.do("exists", "q") is False

    await run(runtime, story)


async def test_their_data_survives_them(state: Path) -> None:
    async def story(lead: Lead) -> Any:
        return await lead.tool().add("x", 1)

    for expected in (1, 2):
        async with LocalRuntime(state) as runtime:
            assert await run(runtime, story) == expected


async def test_they_are_aborted_replaced_cloned_renamed_and_deleted(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()
        await tool.add("x", 1)
        with pytest.raises(Exception, match="runs") as caught:
            await tool.other("x")
        assert caught.value.type == "FacetRunsOtherCode"  # type: ignore[attr-defined]
        assert await tool.replace("x") == "other"
        await tool.do("abort", "x")
        assert await tool.add("x", 1) == 2
        await tool.clone("x", "y")
        assert await tool.add("y", 1) == 3
        await tool.do("rename", "y", "z")
        assert await tool.add("z", 1) == 4
        await tool.do("delete", "x")
        assert await tool.do("list") == ["z"]
        assert await tool.add("x", 1) == 1

    await run(runtime, story)


async def test_a_rename_that_cannot_be_is_told_to_the_guest(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()
        await tool.add("x", 1)
        await tool.add("y", 1)
        for name, kind in (("y", "NameTaken"), ("", "BadName")):
            with pytest.raises(Exception, match="name") as caught:
                await tool.do("rename", "x", name)
            assert caught.value.type == kind  # type: ignore[attr-defined]
        assert await tool.add("x", 1) == 2

    await run(runtime, story)


async def test_deleting_ends_the_step_as_it_does_for_trusted_code(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()
        await tool.add("x", 1)
        with pytest.raises(ValueError, match="no"):
            await tool.write_and_delete("x")
        assert await tool.keys() == ["a"]
        assert await tool.do("exists", "x") is False

    await run(runtime, story)


async def test_a_stub_of_one_leaves_the_isolate_as_a_stub(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        stub = await lead.tool().stub("x")
        assert await stub.add(4) == 4
        assert repr(stub) == "<stub of Lead:a/tool/x>"

    await run(runtime, story)


async def test_they_share_env_and_limits_and_take_capabilities(runtime: LocalRuntime) -> None:
    import facets

    async def story(lead: Lead) -> None:
        cap = facets.capability(lambda: "called")
        tool = lead.tool(env={"cap": cap}, limits=Limits(cpu=0.3))

        assert await tool.on("x", "ask") == "called"
        assert await tool.give(cap) == "called"
        with pytest.raises(TimeoutError, match="computed for more than"):
            await tool.on("x", "spin")
        assert await tool.add("x", 1) == 1
        who = {used.who for used in lead.isolates.audit()}
        assert who == {"Lead:a/tool", "Lead:a/tool/x", "Lead:a/tool/p"}

    await run(runtime, story)


async def test_depth_and_number_are_bounded(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facets.isolates.nested.RUNNING", 3)
    monkeypatch.setattr("actors.node.MAX_DEPTH", 5)

    async def story(lead: Lead) -> None:
        tool = lead.tool()
        assert await tool.on("x", "down", 3) == "Lead:a/tool/x/sub/sub/sub"
        with pytest.raises(Exception, match="levels deep"):
            await tool.on("x", "down", 4)
        with pytest.raises(Exception, match="3 facets running"):
            await tool.crowd(3)
        assert await tool.add("x", 1) == 1

    await run(runtime, story)


@pytest.mark.parametrize("kind", ["local", "text", "call"])
async def test_only_classes_of_the_source_can_be_started(runtime: LocalRuntime, kind: str) -> None:
    async def story(lead: Lead) -> None:
        with pytest.raises(TypeError, match=r"main module|not an Actor class"):
            await lead.tool().bad(kind)

    await run(runtime, story)


async def test_an_aborted_tool_takes_its_facets_along(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        stub = await lead.tool().stub("x")
        await stub.add(1)
        lead.facets.abort("tool")
        with pytest.raises(Exception, match=r"aborted|ended"):
            await stub.add(1)
        assert await lead.tool().add("x", 1) == 2

    await run(runtime, story)
