"""`self.isolates` from an actor: load, get, run, entrypoints, interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime
from facets.errors import (
    CpuLimit,
    FacetRunsOtherCode,
    IsolateError,
    LoadError,
    NoSuchMethod,
    NotTransferable,
)

SOURCE = """
from dataclasses import dataclass
from facets import Actor
import helper

@dataclass
class Point:
    x: int
    y: int

class Tool(Actor):
    async def point(self, x):
        return Point(x, helper.double(x))

    async def points(self, n):
        for i in range(n):
            yield Point(i, i)

    async def seen(self):
        return dict(self.env), self.props

async def main(a, b=1):
    return helper.double(a) + b

def plain(a):
    return a + 1

calls = 0

class Math:
    async def add(self, a, b):
        global calls
        calls += 1
        return a + b, calls
"""
MODULES = {"main": SOURCE, "helper": "def double(x): return 2 * x"}


@dataclass
class Point:
    x: int
    y: int


class Surface(Actor):
    async def point(self, x: int) -> Point:
        raise NotImplementedError

    async def points(self, n: int) -> AsyncIterator[Point]:
        yield Point(0, 0)


class Wider(Surface):
    async def more(self) -> int:
        raise NotImplementedError


class WrongType(Actor):
    async def point(self, x: int) -> list[int]:
        raise NotImplementedError


class Lead(Actor):
    async def do(self, script: str) -> Any:
        return await SCRIPTS[script](self)


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


async def test_run_calls_one_function_in_a_sandbox_of_its_own(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        assert await lead.isolates.run(MODULES, 3) == 7
        assert await lead.isolates.run(MODULES, 3, b=2) == 8
        assert await lead.isolates.run(MODULES, 3, entry="plain") == 4
        with pytest.raises(LoadError, match="nothing"):
            await lead.isolates.run(MODULES, entry="nothing")
        with pytest.raises(CpuLimit):
            await lead.isolates.run("def main():\n  while True: pass", limits=Limits(cpu=0.2))

    await run(runtime, story)


async def test_entrypoints_of_one_name_share_a_sandbox(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(MODULES)
        assert await isolate.entrypoint()(1) == 3
        first = await isolate.entrypoint("Math").add(1, 2)
        second = await isolate.entrypoint("Math").add(1, 2)
        assert second[1] == first[1] + 1
        other = await lead.isolates.load(MODULES).entrypoint("Math").add(1, 2)
        assert other[1] == 1

    await run(runtime, story)


async def test_get_gives_the_same_isolate_for_the_same_content(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        isolates = lead.isolates
        assert isolates.get(MODULES) is isolates.get(dict(MODULES))
        assert isolates.get(MODULES) is not isolates.load(MODULES)
        assert isolates.get(MODULES, env={"a": 1}) is not isolates.get(MODULES, env={"a": 2})
        assert isolates.get(MODULES, limits=Limits(cpu=1)) is not isolates.get(MODULES)

    await run(runtime, story)


async def test_a_key_asks_its_factory_once_and_again_only_after_a_failure(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        asked = []

        async def factory() -> dict[str, str]:
            asked.append(1)
            if len(asked) == 1:
                raise ConnectionError("no source yet")
            await asyncio.sleep(0)
            return MODULES

        def tool() -> Any:
            return lead.facets.get("tool", lead.isolates.get("key", factory).actor("Tool"))

        with pytest.raises(ConnectionError):
            await tool().seen()
        await tool().seen()
        await asyncio.gather(*[tool().seen() for _ in range(5)])
        assert asked == [1, 1]

    await run(runtime, story)


async def test_env_and_props_are_plain_data_and_reach_the_code(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        env = {"list": [1]}
        isolate = lead.isolates.get(MODULES, env=env)
        env["list"].append(2)
        tool = lead.facets.get("tool", isolate.actor("Tool", props={"p": 1}))
        seen_env, props = await tool.seen()
        assert (seen_env, props) == ({"list": [1]}, {"p": 1})
        with pytest.raises(NotTransferable):
            lead.isolates.get(MODULES, env={"x": object()})

    await run(runtime, story)


async def test_an_interface_types_the_results(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(MODULES)
        tool = lead.facets.get("tool", isolate.actor("Tool", interface=Surface))
        assert await tool.point(2) == Point(2, 4)
        assert [one async for one in tool.points(2)] == [Point(0, 0), Point(1, 1)]

    await run(runtime, story)


async def test_code_that_lacks_its_interface_is_refused(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(MODULES)
        with pytest.raises(NoSuchMethod, match="more"):
            await lead.facets.get("a", isolate.actor("Tool", interface=Wider)).point(1)
        with pytest.raises(NotTransferable, match="something else"):
            await lead.facets.get("b", isolate.actor("Tool", interface=WrongType)).point(1)

    await run(runtime, story)


async def test_each_facet_has_a_sandbox_of_its_own(runtime: LocalRuntime) -> None:
    source = (
        "from facets import Actor\nseen = []\nclass Tool(Actor):\n"
        "    async def add(self, x):\n        seen.append(x)\n        return seen"
    )

    async def story(lead: Lead) -> None:
        actor = lead.isolates.get(source).actor("Tool")
        assert await lead.facets.get("a", actor).add(1) == [1]
        assert await lead.facets.get("b", actor).add(2) == [2]
        assert await lead.facets.get("a", actor).add(3) == [1, 3]

    await run(runtime, story)


async def test_replace_puts_other_source_over_the_same_data(runtime: LocalRuntime) -> None:
    def source(step: int) -> str:
        return (
            "from facets import Actor\nclass Tool(Actor):\n    async def add(self):\n"
            f"        self.kv['n'] = self.kv.get('n', 0) + {step}\n        return self.kv['n']"
        )

    async def story(lead: Lead) -> None:
        def actor(step: int) -> Any:
            return lead.isolates.get(source(step)).actor("Tool")

        assert await lead.facets.get("tool", actor(1)).add() == 1
        with pytest.raises(FacetRunsOtherCode):
            lead.facets.get("tool", actor(10))
        assert await lead.facets.replace("tool", actor(10)).add() == 11
        assert await lead.facets.replace("tool", actor(10)).add() == 21

    await run(runtime, story)


async def test_printed_lines_are_kept_with_the_facet(runtime: LocalRuntime) -> None:
    source = (
        "from facets import Actor\nclass Tool(Actor):\n    async def say(self):\n"
        "        print('one\\ntwo')\n        print('thr', end='')\n        print('ee')"
    )

    async def story(lead: Lead) -> Any:
        await lead.facets.get("tool", lead.isolates.get(source).actor("Tool")).say()
        return lead.facets.stat("tool").output

    assert await run(runtime, story) == ("one", "two", "three")


async def test_what_an_actor_loaded_ends_with_it(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        entry = lead.isolates.get(MODULES).entrypoint("Math")
        await entry.add(1, 2)
        lead.kept = entry  # type: ignore[attr-defined]
        return None

    await run(runtime, story)
    kept = next(iter(runtime._open().awake)).body.actor.kept  # type: ignore[attr-defined]
    await runtime.delete(Lead, "a")
    with pytest.raises(Exception, match="deleted"):
        await kept.add(1, 2)


async def test_an_entrypoint_has_no_storage(runtime: LocalRuntime) -> None:
    source = (
        "from facets import Actor\nclass Tool(Actor):\n    async def use(self):\n"
        "        self.kv['a'] = 1"
    )

    async def story(lead: Lead) -> None:
        with pytest.raises((IsolateError, LoadError)):
            await lead.isolates.get(source).entrypoint("Tool").use()

    await run(runtime, story)
