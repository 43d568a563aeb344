"""Invocations: what tails are told, and what the log keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facets import Actor, Invocation, IsolateLimits, Limits, LocalRuntime, capability
from facets.errors import CpuLimit, GuestError, LoadError, WallLimit

TOOL = """
import asyncio, sys
from facets import Actor

class Tool(Actor):
    async def add(self, a, b):
        print("adding", a)
        print("careful", file=sys.stderr)
        return a + b
    async def quiet(self, n):
        return n
    async def write(self):
        self.kv["a"] = 1
        self.kv["b"] = 2
    async def fail(self, text):
        raise ValueError(text)
    async def spin(self):
        print("the last words")
        while True: pass
    async def compute(self):
        return sum(range(200_000))
    async def hold(self, size):
        self.held = bytes(size)
    async def forever(self):
        await asyncio.sleep(3600)
    async def flood(self, n):
        for i in range(n): print(f"line {i:06d}")
    async def count(self, n):
        for i in range(n): yield i

async def main(n):
    return n + 1
"""


class Lead(Actor):
    async def do(self, story: str) -> Any:
        return await STORIES[story](self)

    async def told(self, invocation: Invocation) -> None:
        self.kv.update({str(len(self.kv)): invocation.method})

    async def heard(self) -> list[str]:
        return list(self.kv.values())

    async def log(self, **wanted: Any) -> list[Invocation]:
        return self.isolates.log.newest(**wanted)


STORIES: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any) -> Any:
    STORIES[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


def tool(lead: Lead, seen: list[Invocation] | None = None, **limits: Any) -> Any:
    tails = () if seen is None else (seen.append,)
    isolate = lead.isolates.get(TOOL, limits=Limits(**limits), tails=tails)
    return lead.facets.get("tool", isolate.actor("Tool"))


async def test_every_invocation_yields_one_event_with_what_it_used(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        assert await tool(lead, seen).add(1, 2) == 3
        await tool(lead, seen).write()
        assert [i async for i in tool(lead, seen).count(3)] == [0, 1, 2]
        await tool(lead, seen).compute()

    await run(runtime, story)
    await until(lambda: len(seen) == 5)
    load, add, write, _, compute = seen

    assert [(one.kind, one.method) for one in seen] == [
        ("load", ""), ("call", "add"), ("call", "write"), ("stream", "count"), ("call", "compute"),
    ]  # fmt: skip
    assert {one.outcome for one in seen} == {"ok"}
    assert {(one.facet, one.target, one.isolate, len(one.code)) for one in seen} == {
        ("tool", "Tool", f"isolate {load.code[:8]}", 64)
    }
    assert add.logs == (("stdout", "adding 1\n"), ("stderr", "careful\n"))
    assert (write.operations, add.operations, write.text) == (2, 0, "")
    assert 0 < compute.cpu <= compute.seconds
    assert load.began <= add.began <= compute.began
    assert all(one.sent > 0 and not one.shared for one in seen)


async def test_the_memory_of_an_isolate_is_told_and_is_its_peak(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> list[Invocation]:
        await tool(lead).hold(20 << 20)
        await tool(lead).hold(0)
        source = "export async function main() { return new Uint8Array(8 << 20).length }"
        await lead.isolates.run(source, language="javascript")
        return lead.isolates.log.newest()

    javascript, script, after, held, load = await run(runtime, story)

    assert 28 << 20 < load.memory < 32 << 20
    assert load.memory + (20 << 20) <= held.memory == after.memory <= 64 << 20
    # A little of the array may lie in what was free of the pages before.
    assert script.memory + (7 << 20) <= javascript.memory < 32 << 20


async def test_calls_of_capabilities_are_counted(runtime: LocalRuntime) -> None:
    @capability
    async def double(n: int) -> int:
        return 2 * n

    async def story(lead: Lead) -> Invocation:
        source = "async def main(double): return [await double(n) for n in range(5)]"
        assert await lead.isolates.run(source, double) == [0, 2, 4, 6, 8]
        return lead.isolates.log.newest(1)[0]

    assert (await run(runtime, story)).calls == 5


async def test_an_error_is_told_with_its_class_and_words_and_no_traceback(
    runtime: LocalRuntime,
) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        with pytest.raises(ValueError, match="wrong"):
            await tool(lead, seen).fail("wrong" * 1000)

    await run(runtime, story)
    await until(lambda: len(seen) == 2)

    assert (seen[1].outcome, seen[1].error) == ("error", "ValueError")
    assert seen[1].message == ("wrong" * 1000)[:1000]


async def test_a_killed_isolate_tells_what_it_printed_last(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        with pytest.raises(CpuLimit):
            await tool(lead, seen, cpu=0.05).spin()

    await run(runtime, story)
    await until(lambda: len(seen) == 2)
    (logged,) = await runtime.get(Lead, "a").log(outcome="killed")

    assert (seen[1].outcome, seen[1].error, seen[1].text) == (
        "killed", "CpuLimit", "the last words\n",
    )  # fmt: skip
    assert logged == seen[1]


async def test_a_call_that_stops_when_told_to_is_cancelled(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        call = asyncio.ensure_future(tool(lead, seen).forever())
        await until(lambda: lead.facets.stat("tool").calls)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async for _ in tool(lead, seen).count(100):
            break
        with pytest.raises(WallLimit):
            await lead.isolates.run(
                "import asyncio\nasync def main(): await asyncio.sleep(60)",
                limits=Limits(wall=0.05),
                tails=[seen.append],
            )

    await run(runtime, story)
    await until(lambda: len(seen) == 5)

    ended = [(one.kind, one.outcome, one.error) for one in seen if one.kind != "load"]
    assert ended[0] == ("call", "cancelled", "CancelledError")
    assert ended[1][:2] == ("stream", "cancelled")
    assert ended[2] == ("call", "cancelled", "WallLimit")


async def test_a_load_that_fails_is_told(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        with pytest.raises(LoadError):
            await lead.isolates.run("print('loading')\n1/0", tails=[seen.append])
        with pytest.raises(CpuLimit):
            await lead.isolates.run(
                "while True: pass", tails=[seen.append], limits=Limits(cpu=0.05)
            )

    await run(runtime, story)
    await until(lambda: len(seen) == 2)

    assert [(one.kind, one.outcome, one.error) for one in seen] == [
        ("load", "error", "LoadError"), ("load", "killed", "CpuLimit"),
    ]  # fmt: skip
    assert seen[0].text == "loading\n"


async def test_calls_that_ran_at_the_same_time_say_so(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        await tool(lead, seen).quiet(0)
        long = asyncio.ensure_future(tool(lead, seen).forever())
        await until(lambda: lead.facets.stat("tool").calls)
        await tool(lead, seen).quiet(1)
        long.cancel()
        await asyncio.wait([long])
        await tool(lead, seen).quiet(2)

    await run(runtime, story)
    await until(lambda: len(seen) == 5)

    assert [(one.method, one.shared) for one in seen[1:]] == [
        ("quiet", False), ("quiet", True), ("forever", True), ("quiet", False),
    ]  # fmt: skip


async def test_of_a_flood_the_newest_part_is_kept_behind_a_mark(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []

    async def story(lead: Lead) -> None:
        await tool(lead, seen).flood(3000)
        await tool(lead, seen).add(1, 2)

    await run(runtime, story)
    await until(lambda: len(seen) == 3)
    (stream, mark), *rest = seen[1].logs

    assert (stream, mark) == (
        "host",
        f"[{3000 * 12 - (16 << 10)} characters before this are not kept]\n",
    )
    assert sum(len(text) for _, text in rest) == 16 << 10
    assert seen[1].text.endswith("line 002999\n")
    assert seen[2].text == "adding 1\ncareful\n"


async def test_a_tail_that_fails_breaks_no_call_and_is_told_to_the_loop(
    runtime: LocalRuntime,
) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    async def broken(invocation: Invocation) -> None:
        raise RuntimeError(f"no {invocation.kind}")

    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, tails=[broken])
        assert await isolate.entrypoint()(1) == 2

    await run(runtime, story)
    await until(lambda: len(failures) == 2)

    assert [str(one["exception"]) for one in failures] == ["no load", "no call"]
    assert failures[1]["invocation"].target == "main"


async def test_a_tail_is_code_of_its_owner_and_its_writes_are_kept(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, tails=[lead.told])
        assert await lead.facets.get("tool", isolate.actor("Tool")).add(1, 2) == 3

    await run(runtime, story)
    lead = runtime.get(Lead, "a")
    while len(await lead.heard()) < 2:
        await asyncio.sleep(0)

    assert await lead.heard() == ["", "add"]


async def test_a_method_of_another_actor_may_be_a_tail(runtime: LocalRuntime) -> None:
    other = runtime.get(Lead, "other")

    async def story(lead: Lead) -> None:
        first = lead.isolates.get(TOOL, tails=[other.told])
        assert first is lead.isolates.get(TOOL, tails=[runtime.get(Lead, "other").told])
        assert await first.entrypoint()(1) == 2

    await run(runtime, story)
    while len(await other.heard()) < 2:
        await asyncio.sleep(0)


async def test_a_slow_tail_loses_the_oldest_and_holds_nobody(runtime: LocalRuntime) -> None:
    seen: list[Invocation] = []
    gate = asyncio.Event()

    async def slow(invocation: Invocation) -> None:
        await gate.wait()
        seen.append(invocation)

    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, tails=[slow])
        quiet = lead.facets.get("tool", isolate.actor("Tool"))
        await quiet.quiet(0)
        await asyncio.sleep(0)
        for n in range(300):
            await quiet.quiet(n)

    await run(runtime, story)
    gate.set()
    await until(lambda: len(seen) == 257)


# -- the log ----------------------------------------------------------------------------------


async def test_the_log_has_every_invocation_newest_first(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> list[Invocation]:
        await tool(lead).add(1, 2)
        with pytest.raises(GuestError):
            await tool(lead).fail("no")
        await lead.isolates.run("def main(): return 1")
        return lead.isolates.log.newest()

    found = await run(runtime, story)
    lead = runtime.get(Lead, "a")

    assert [(one.facet, one.method, one.outcome) for one in found] == [
        (None, "", "ok"), (None, "", "ok"),
        ("tool", "fail", "error"), ("tool", "add", "ok"), ("tool", "", "ok"),
    ]  # fmt: skip
    assert await lead.log(facet="tool", n=2) == found[2:4]
    assert await lead.log(outcome="error") == [found[2]]


async def test_the_log_survives_the_process_that_wrote_it(state: Path) -> None:
    async def story(lead: Lead) -> list[Invocation]:
        for n in range(1500):
            await tool(lead).quiet(n)
        await tool(lead).add(1, 2)
        return lead.isolates.log.newest(2000)

    async with LocalRuntime(state) as runtime:
        before = await run(runtime, story)
    async with LocalRuntime(state) as runtime:
        after = await runtime.get(Lead, "a").log(n=2000)

    assert len(before) == 1502
    assert after == before


async def test_the_log_keeps_no_more_than_its_count(state: Path) -> None:
    async def story(lead: Lead) -> int:
        for n in range(3000):
            await tool(lead).quiet(n)
        return len(lead.isolates.log.newest(10_000))

    async with LocalRuntime(state, isolates=IsolateLimits(log_count=1000)) as runtime:
        assert 1000 <= await run(runtime, story) < 2100


async def test_the_log_forgets_what_is_too_old(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(lead: Lead) -> int:
        await lead.isolates.run("def main(): return 1")
        return len(lead.isolates.log.newest())

    for at, expected in ((1000.0, 2), (1050.0, 4), (1090.0, 6), (1102.0, 8)):
        monkeypatch.setattr("facets.isolates.log.time", SimpleNamespace(time=lambda at=at: at))
        async with LocalRuntime(state, isolates=IsolateLimits(log_age=100)) as runtime:
            assert await run(runtime, story) == expected
    async with LocalRuntime(state) as runtime:
        kept = await runtime.get(Lead, "a").log()

    assert len(kept) == 6  # those of the second 1000 went when those of 1102 were written


async def test_without_a_log_and_tails_nothing_is_counted_or_written(state: Path) -> None:
    async def story(lead: Lead) -> None:
        await tool(lead).quiet(1)
        isolate = lead.isolates.get(TOOL)
        assert isolate._meter(await isolate.code(), "Tool") is None
        assert lead.isolates.log.newest() == []

    async with LocalRuntime(state, isolates=IsolateLimits(log_count=0)) as runtime:
        await run(runtime, story)
        assert runtime.list(Lead) == []


async def test_a_log_is_no_part_of_what_the_owners_step_undoes(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        await tool(lead).quiet(1)
        async with lead.facets.transaction():
            lead.kv["x"] = 1
            await tool(lead).quiet(2)
            raise KeyError("undone")

    with pytest.raises(KeyError):
        await run(runtime, story)

    assert [one.method for one in await runtime.get(Lead, "a").log()] == ["quiet", "quiet", ""]
