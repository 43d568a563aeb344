"""Limits of isolates: which one wins, caps on all of them, what comes after."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from facets import Actor, IsolateLimits, Limits, LocalRuntime
from facets.errors import (
    CallLimit,
    CpuLimit,
    HostMemoryLimit,
    IsolateCap,
    LoadError,
    LogLimit,
    WallLimit,
)
from facets.isolates.caps import PROCESS

TOOL = """
import asyncio
from facets import Actor

class Tool(Actor):
    async def add(self, n):
        self.kv["n"] = self.kv.get("n", 0) + n
        return self.kv["n"]
    async def spin(self):
        self.kv["n"] = 1_000_000
        while True: pass

calls = 0
async def main(n):
    global calls
    calls += 1
    if n == "spin":
        while True: pass
    if n == "sleep":
        await asyncio.sleep(60)
    if n == "stubborn":
        while True:
            try: await asyncio.sleep(60)
            except asyncio.CancelledError: pass
    return calls
"""
SPIN = {
    "python": "def main():\n    while True: pass",
    "javascript": "export async function main() { while (true) {} }",
}
GOOD = {
    "python": "def main(): return 7",
    "javascript": "export async function main() { return 7 }",
    "typescript": "export async function main(): Promise<number> { return 7 }",
}
BAD = {
    "python": "def main(: return 7",
    "javascript": "export async function main( { return 7 }",
    "typescript": "export async function main(): Promise<number { return 7 }",
}
WASM = b"\0asm\1\0\0\0"


class Lead(Actor):
    async def do(self, story: str) -> Any:
        return await STORIES[story](self)


STORIES: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any) -> Any:
    STORIES[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


# -- which limit wins ---------------------------------------------------------------------------


def test_the_lower_limit_wins_field_by_field_and_what_is_not_set_lowers_nothing() -> None:
    outer = Limits(memory=256 << 20, cpu=10.0, wall=2.0)
    lowered = outer.lowered(Limits(cpu=5.0, wall=60.0))

    assert (lowered.memory, lowered.cpu, lowered.wall) == (256 << 20, 5.0, 2.0)
    assert outer.lowered(None) == outer.lowered(Limits()) == outer
    assert Limits().lowered(Limits(calls=10**9)) == Limits()
    assert Limits(cpu=5.0) == Limits()
    assert pickle.loads(pickle.dumps(outer)) == outer


async def test_limits_of_an_entrypoint_and_an_actor_lower_those_of_their_isolate(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, limits=Limits(cpu=0.05, memory=128 << 20))
        with pytest.raises(CpuLimit, match=r"0\.05"):
            await isolate.entrypoint("main", limits=Limits(cpu=60.0))("spin")
        assert isolate.actor("Tool", limits=Limits(cpu=60.0)).limits == isolate.limits
        with pytest.raises(WallLimit):
            await isolate.entrypoint("main", limits=Limits(wall=0.05))("sleep")

    await run(runtime, story)


async def test_waits_count_and_who_does_not_stop_is_killed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        stubborn = lead.isolates.get(TOOL, limits=Limits(wall=0.05)).entrypoint()
        with pytest.raises(WallLimit) as caught:
            await stubborn("sleep")
        assert caught.value.survived
        assert await stubborn(1) == 2
        with pytest.raises(WallLimit) as caught:
            await stubborn("stubborn")
        assert not caught.value.survived
        assert await stubborn(1) == 1

    await run(runtime, story)


# -- memory of the host -------------------------------------------------------------------------


async def test_calls_that_wait_for_a_busy_isolate_are_refused_when_they_take_too_much(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        busy = lead.isolates.get(TOOL, limits=Limits(host=1 << 20, cpu=0.2)).entrypoint()
        await busy(1)
        calls = [asyncio.ensure_future(busy("spin"))]
        calls += [asyncio.ensure_future(busy("x" * (256 << 10))) for _ in range(8)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [one for one in outcomes if isinstance(one, HostMemoryLimit)]
        assert len(refused) == 4
        assert all(one.survived and one.size > 1 << 20 for one in refused)
        assert {type(one) for one in outcomes} == {HostMemoryLimit, CpuLimit}
        assert await busy(1) == 1

    await run(runtime, story)


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_result_that_takes_too_much_memory_to_read_kills(
    runtime: LocalRuntime, language: str
) -> None:
    source = {
        "python": "def main(): return [[] for _ in range(100_000)]",
        "javascript": "export async function main() "
        "{ return Array.from({length: 100000}, () => []) }",
    }[language]

    async def story(lead: Lead) -> None:
        with pytest.raises(HostMemoryLimit) as caught:
            await lead.isolates.run(source, language=language, limits=Limits(host=4 << 20))
        assert not caught.value.survived
        assert len(await lead.isolates.run(source, language=language)) == 100_000

    await run(runtime, story)


async def test_answers_that_a_guest_does_not_take_kill_it(runtime: LocalRuntime) -> None:
    from facets import capability

    @capability
    async def give() -> bytes:
        return b"x" * (1 << 20)

    source = """
import asyncio
async def main(give):
    calls = [asyncio.ensure_future(give()) for _ in range(50)]
    await asyncio.gather(*calls)
"""

    async def story(lead: Lead) -> None:
        with pytest.raises(HostMemoryLimit):
            await lead.isolates.run(source, give, limits=Limits(host=8 << 20))

    await run(runtime, story)


async def test_printing_nothing_for_ever_kills(runtime: LocalRuntime) -> None:
    source = """
import sys
from wit_world.imports import host
def main():
    while True: host.log(1, "")
"""

    async def story(lead: Lead) -> None:
        with pytest.raises(CallLimit, match="1000 times"):
            await lead.isolates.run(source, limits=Limits(calls=1000))
        with pytest.raises(LogLimit):
            await lead.isolates.run(
                "def main():\n  while True: print('x' * 99)", limits=Limits(logs=10_000)
            )

    await run(runtime, story)


async def test_output_that_is_kept_for_stat_is_bounded(runtime: LocalRuntime) -> None:
    source = """
from facets import Actor
class Tool(Actor):
    async def say(self):
        print("x" * 500_000, end="")
        return 1
"""

    async def story(lead: Lead) -> int:
        tool = lead.facets.get("tool", lead.isolates.get(source).actor("Tool"))
        for _ in range(4):
            await tool.say()
        body: Any = lead.facets._node("tool").activation.body  # type: ignore[union-attr]
        return sum(len(text) for text in body.output._rest.values())

    assert await run(runtime, story) <= 4096


# -- caps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "limits"),
    [
        ("actor_count", {"actor_count": 2}),
        ("actor_memory", {"actor_memory": 140 << 20}),
        ("process_count", {"process_count": 2}),
        ("process_memory", {"process_memory": 140 << 20}),
    ],
)
async def test_one_isolate_more_than_a_cap_is_refused_by_name_and_a_place_is_free_at_once(
    state: Path, cap: str, limits: dict[str, int]
) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL)
        first = isolate.entrypoint("main", props=1)
        await first(1)
        tool = lead.facets.get("tool", isolate.actor("Tool"))
        await tool.add(1)
        with pytest.raises(IsolateCap, match=cap) as caught:
            await isolate.entrypoint("main", props=2)(1)
        assert (caught.value.cap, caught.value.limit) == (cap, limits[cap])
        first.close()
        await isolate.entrypoint("main", props=2)(1)
        lead.facets.abort("tool")
        await isolate.entrypoint("main", props=3)(1)
        with pytest.raises(IsolateCap):
            await lead.facets.get("tool", isolate.actor("Tool")).add(1)

    assert PROCESS.count == 0
    async with LocalRuntime(state, isolates=IsolateLimits(**limits)) as runtime:
        await run(runtime, story)
    assert (PROCESS.count, PROCESS.memory) == (0, 0)


async def test_actors_have_room_of_their_own(state: Path) -> None:
    async def story(lead: Lead) -> None:
        assert await lead.isolates.get(TOOL).entrypoint()(1) == 1

    STORIES["story"] = story
    async with LocalRuntime(state, isolates=IsolateLimits(actor_count=1)) as runtime:
        for name in "abc":
            await runtime.get(Lead, name).do("story")
        assert PROCESS.count == 3


@pytest.mark.parametrize("language", ["python", "javascript", "wasm"])
async def test_a_load_that_fails_or_is_killed_takes_up_no_room(
    runtime: LocalRuntime, language: str
) -> None:
    async def story(lead: Lead) -> None:
        source: Any = WASM if language == "wasm" else BAD[language]
        for _ in range(3):
            with pytest.raises(LoadError):
                await lead.isolates.run(source, entry="nothing", language=language)
        with pytest.raises(CpuLimit):
            await lead.isolates.run("while True: pass", limits=Limits(cpu=0.05))
        assert lead.isolates.room.count == 0

    await run(runtime, story)


def test_a_cap_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="actor_count"):
        IsolateLimits(actor_count=0)
    assert IsolateLimits(log_count=0).log_count == 0


# -- after a death, after a failure ---------------------------------------------------------------


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_dead_isolate_starts_again_on_the_next_call(
    runtime: LocalRuntime, language: str
) -> None:
    async def story(lead: Lead) -> None:
        spin = lead.isolates.get(SPIN[language], language=language, limits=Limits(cpu=0.05))
        for _ in range(3):
            with pytest.raises(CpuLimit):
                await spin.entrypoint()()
        held = spin.entrypoint()
        with pytest.raises(CpuLimit):
            await held()
        with pytest.raises(CpuLimit):
            await held()
        good = lead.isolates.get(GOOD[language], language=language)
        assert await good.entrypoint()() == 7

    await run(runtime, story)


async def test_after_a_limit_the_owner_answers_and_the_data_is_of_the_last_good_step(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, limits=Limits(cpu=0.05))
        tool = lead.facets.get("tool", isolate.actor("Tool"))
        assert await tool.add(3) == 3
        with pytest.raises(CpuLimit):
            await tool.spin()
        again = lead.facets.get("tool", isolate.actor("Tool"))
        assert await again.add(4) == 7

    await run(runtime, story)


@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "wasm"])
async def test_a_load_that_failed_does_not_poison_its_key(
    runtime: LocalRuntime, language: str
) -> None:
    seven = wat2wasm('(module (func (export "main") (result i32) i32.const 7))')
    sources: list[Any] = (
        [b"\0asm nonsense", WASM, bytes(seven)]
        if language == "wasm"
        else [BAD[language], "1 +" if language == "python" else "1 +;", GOOD[language]]
    )
    asked: list[int] = []

    def factory() -> Any:
        asked.append(1)
        return sources[min(len(asked), 3) - 1]

    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get("key", factory, language=language)
        for _ in range(2):
            with pytest.raises(LoadError):
                await isolate.entrypoint("main")()
        assert await isolate.entrypoint("main")() == 7
        assert await lead.isolates.get("key", factory).entrypoint("main")() == 7

    await run(runtime, story)
    assert len(asked) == 3


async def test_a_source_that_does_not_load_fails_each_time_and_its_neighbours_do_not(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        for _ in range(3):
            with pytest.raises(LoadError):
                await lead.isolates.get(BAD["python"]).entrypoint()()
            assert await lead.isolates.get(GOOD["python"]).entrypoint()() == 7

    await run(runtime, story)
