"""Capabilities between actors and isolates: whose code runs, in which step, for which call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import facets
from facets import Actor, LocalRuntime
from facets.errors import (
    ConstraintError,
    ExclusiveReentered,
    FacetAborted,
)

TOOL = """
import asyncio, facets
from facets import Actor

class Tool(Actor):
    async def call(self, cap, *args): return await cap(*args)
    async def on(self, cap, method, *args): return await getattr(cap, method)(*args)
    async def env_call(self, name, *args): return await self.env[name](*args)
    async def env_on(self, name, method, *args):
        return await getattr(self.env[name], method)(*args)
    async def items(self, cap, method, *args):
        return [item async for item in getattr(cap, method)(*args)]
    async def write(self, n):
        self.sql("create table if not exists t(n)")
        self.sql("insert into t values (?)", n)
        return n
    async def write_and_call(self, n, cap, *args):
        await self.write(n)
        return await cap(*args)
    async def read(self): return self.sql("select n from t").all()
    async def give(self):
        @facets.capability
        async def double(x): return 2 * x
        return double
    async def through(self, cap, method, *args):
        return await getattr(await cap(), method)(*args)
    async def half(self):
        self.sql("create table if not exists t(n)")
        self.sql("insert into t values (1)")
        for _ in range(2_000_000): pass
        raise ValueError("no")
    async def slowly(self, cap):
        return [item async for item in cap.slowly(10)]
    async def keep(self, cap): self.kept = cap
    async def again(self, *args): return await self.kept(*args)
    async def linger(self, cap):
        self.task = asyncio.create_task(self._later(cap))
    async def _later(self, cap): self.got = await cap(1)
    async def got_(self): return self.got

async def main(cap, *args): return await cap(*args)
"""


class Other(Actor):
    migrations = ["create table log(what text)"]

    async def note(self, what: str) -> int:
        self.sql("insert into log values (?)", what)
        return int(self.sql("select count(*) from log").value())

    async def notes(self) -> list[str]:
        return [row.what for row in self.sql("select what from log")]

    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def slowly(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            for _ in range(20):
                await asyncio.sleep(0)
            yield i

    async def fail(self) -> None:
        raise LookupError("nothing here")


class Lead(Actor):
    migrations = ["create table log(what text unique)"]

    async def do(self, script: str, *args: Any) -> Any:
        return await SCRIPTS[script](self, *args)

    def tool(self, name: str = "tool", **env: Any) -> Any:
        return self.facets.get(name, self.isolates.get(TOOL, env=env).actor("Tool"))

    @facets.capability
    async def note(self, what: str) -> int:
        """Write into the owner's own database, with a pause between two steps."""
        self.sql("insert into log values (?)", what)
        await asyncio.sleep(0)
        return int(self.sql("select count(*) from log").value())

    @facets.capability
    async def note_and_fail(self, what: str) -> None:
        self.sql("insert into log values (?)", what)
        raise ValueError(what)

    @facets.capability
    async def alone(self) -> str:
        async with self.exclusive():
            return "inside"

    @facets.capability
    def current(self) -> str:
        from actors.call import CURRENT, chain

        call = CURRENT.get()
        assert call is not None
        return chain(call)

    @facets.capability
    async def history(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            self.sql("insert into log values (?)", f"step {i}")
            yield f"step {i}"

    async def log(self) -> list[str]:
        return [row.what for row in self.sql("select what from log")]

    async def alone_with(self, tool: Any) -> Any:
        async with self.exclusive():
            return await tool.env_call("alone")


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any, *args: Any) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__, *args)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


async def test_actors_and_facets_are_capabilities(runtime: LocalRuntime) -> None:
    async def story(lead: Lead, other: Any) -> None:
        tool, child = lead.tool(), lead.facets.get("child", Other)

        assert await tool.on(other, "note", "a") == 1
        assert await tool.on(child, "note", "b") == 1
        assert await tool.items(other, "count", 3) == [0, 1, 2]
        assert await other.notes() == ["a"]
        assert await child.notes() == ["b"]
        with pytest.raises(LookupError, match="nothing here"):
            await tool.on(other, "fail")
        for method, reason in (("_node", "not open|private|_node"), ("nothing", "no method")):
            with pytest.raises(AttributeError, match=reason):
                await tool.on(other, method)
        with pytest.raises(AttributeError, match="async for"):
            await tool.on(other, "count", 3)
        with pytest.raises(AttributeError, match="await"):
            await tool.items(other, "note", "x")

    await run(runtime, story, runtime.get(Other, "o"))


async def test_results_and_arguments_are_stubs_and_capabilities_in_any_depth(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        tool, child = lead.tool(), lead.facets.get("child", Other)

        @facets.capability
        async def wrapped(it: Any) -> Any:
            return {"again": [it]}

        assert await tool.call(wrapped, {"child": child}) == {"again": [{"child": child}]}

    await run(runtime, story)


async def test_code_of_the_owner_runs_in_steps_of_the_owner(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool(note=lead.note, fail=lead.note_and_fail)

        assert await tool.env_call("note", "a") == 1
        with pytest.raises(ValueError, match="b"):
            await tool.env_call("fail", "b")
        with pytest.raises(ConstraintError, match="UNIQUE"):
            await tool.env_call("note", "a")

        assert await lead.log() == ["a"]

    await run(runtime, story)


async def test_streams_of_the_owner_step_by_step(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        source = """
from facets import Actor
class Tool(Actor):
    async def some(self, n):
        taken = []
        async for item in self.env["history"](100):
            taken.append(item)
            if len(taken) == n: return taken
"""
        isolate = lead.isolates.get(source, env={"history": lead.history})
        tool = lead.facets.get("t", isolate.actor("Tool"))

        assert await tool.some(2) == ["step 0", "step 1"]
        assert (await lead.log())[:2] == ["step 0", "step 1"]

    await run(runtime, story)


async def test_a_stream_that_arrives_does_not_end_a_step_that_runs(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool, other = lead.tool(), lead.facets.get("other", Other)
        await tool.write(0)

        items = asyncio.ensure_future(tool.slowly(other))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="no"):
            await tool.half()

        assert await items == list(range(10))
        assert await tool.read() == [(0,)]

    await run(runtime, story)


async def test_a_reply_waits_for_what_the_capability_wrote(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(lead: Lead) -> Any:
        await lead.tool(note=lead.note).write(1)
        return lead.tool(note=lead.note)

    tool = await run(runtime, story)
    lead = tool._node.parent

    await tool.env_call("note", "a")

    assert tool._node.activation.dependency >= lead.database.sequence
    assert lead.host.store.durable >= lead.database.sequence


async def test_a_call_by_a_guest_has_the_chain_of_calls_above_it(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool(current=lead.current, alone=lead.alone)

        said = await tool.env_call("current")

        assert said == "Lead:a.do -> Lead:a/tool.env_call -> Lead:a.Lead.current"
        assert await tool.env_call("alone") == "inside"
        with pytest.raises(ExclusiveReentered):
            await lead.alone_with(tool)

    await run(runtime, story)


async def test_a_facet_can_call_its_parent_and_back(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()

        @facets.capability
        async def back(n: int) -> Any:
            return await tool.call(back, n - 1) if n else "bottom"

        assert await tool.call(back, 5) == "bottom"

    await run(runtime, story)


async def test_in_a_transaction_what_a_guest_calls_takes_part(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool, child = lead.tool(note=lead.note), lead.facets.get("child", Other)

        async def fail() -> None:
            async with lead.facets.transaction():
                await tool.write(1)
                await tool.on(child, "note", "x")
                await tool.env_call("note", "x")
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            await fail()
        assert await lead.log() == []
        assert await child.notes() == []

        async with lead.facets.transaction():
            await tool.write(2)
            await tool.on(child, "note", "y")
            await tool.env_call("note", "y")
        assert await lead.log() == await child.notes() == ["y"]
        assert await tool.read() == [(2,)]

    await run(runtime, story)


async def test_a_transaction_opened_for_a_guest_may_include_the_guest(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()

        @facets.capability
        async def transact(fail: bool) -> None:
            async with lead.facets.transaction():
                await tool.write(1)
                await lead.note("x")
                if fail:
                    raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            await tool.call(transact, True)
        assert await lead.log() == []
        await tool.call(transact, False)
        assert await lead.log() == ["x"]
        assert await tool.read() == [(1,)]

    await run(runtime, story)


async def test_a_marked_object_that_a_capability_returns_is_code_of_the_same_actor(
    runtime: LocalRuntime,
) -> None:
    @facets.capability
    class Log:
        def __init__(self, lead: Lead) -> None:
            self._lead = lead

        async def write(self, what: str) -> str:
            await self._lead.note(what)
            self._lead.sql("insert into log values (?)", what + "!")
            return self._lead.current()

    async def story(lead: Lead) -> None:
        tool, made = lead.tool(), Log(lead)

        @facets.capability
        def open_log() -> Log:
            return made

        assert await tool.call(open_log) is made
        said = await tool.through(open_log, "write", "x")
        assert said == "Lead:a.do -> Lead:a/tool.through -> Lead:a.Log.write"
        assert await lead.log() == ["x", "x!"]

    await run(runtime, story)


async def test_in_a_transaction_code_of_the_outside_is_refused(runtime: LocalRuntime) -> None:
    called: list[int] = []

    async def story(lead: Lead) -> Any:
        return lead.tool()

    async def transact(lead: Lead, tool: Any) -> None:
        async with lead.facets.transaction():
            await tool.again(1)

    tool = await run(runtime, story)
    await tool.keep(facets.capability(called.append))
    with pytest.raises(RuntimeError, match="cannot be undone"):
        await run(runtime, transact, tool)
    assert called == []

    await tool.again(2)
    assert called == [2]


async def test_env_with_the_same_capabilities_is_the_same_isolate(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        def get(**env: Any) -> Any:
            return lead.isolates.get(TOOL, env=env)

        child = lead.facets.get("child", Other)
        again = lead.facets.get("child", Other)

        assert get(a=child) is get(a=again)
        assert get(a=lead.note) is get(a=lead.note)
        assert get(a=lead.note) is not get(a=lead.alone)
        assert get(a=child) is not get(b=child)
        assert get(a=facets.capability(len)) is not get(a=facets.capability(len))
        with pytest.raises(TypeError, match="neither plain data nor a capability"):
            get(a=len)

    await run(runtime, story)


async def test_entrypoints_use_capabilities_too(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        main = lead.isolates.get(TOOL).entrypoint("main")

        assert await main(lead.note, "a") == 1
        assert await lead.isolates.run(TOOL, lead.current) == "Lead:a.do -> Lead:a.Lead.current"
        assert await lead.log() == ["a"]

    await run(runtime, story)


async def test_what_a_guest_gave_goes_with_its_facet(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        double = await lead.tool().give()
        assert await double(4) == 8
        lead.facets.abort("tool")

        with pytest.raises(FacetAborted):
            await double(4)

    await run(runtime, story)


async def test_a_guest_may_end_itself_through_its_owner(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        @facets.capability
        async def end() -> None:
            lead.facets.abort("tool", "asked for it")

        tool = lead.tool()
        with pytest.raises(facets.errors.FacetAborted, match="asked for it"):
            await tool.call(end)
        assert await lead.tool().call(lead.note, "still here") == 1

    await run(runtime, story)


async def test_a_task_that_outlives_its_call_may_still_call(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        release = asyncio.Event()

        @facets.capability
        async def later(x: int) -> int:
            await release.wait()
            return x

        tool = lead.tool()
        await tool.linger(later)
        release.set()
        while True:
            try:
                assert await tool.got_() == 1
            except AttributeError:
                continue
            return

    await run(runtime, story)


async def test_what_outside_code_gives_is_called_once_all_is_durable(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> Any:
        return lead.tool()

    tool = await run(runtime, story)
    store = tool._node.host.store

    @facets.capability
    async def look() -> bool:
        return bool(store.durable >= tool._node.database.sequence)

    assert await tool.write_and_call(1, look) is True
