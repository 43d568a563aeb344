"""Facets: the tree of child actors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.testing import VirtualClock
from facets import Actor, LocalRuntime, Start
from facets.errors import DepthExceeded, FacetAborted, FacetDeleted, FacetRunsOtherCode


class Tally(Actor):
    migrations = ("create table words(word text primary key, n integer not null)",)

    async def add(self, word: str) -> int:
        self.sql("insert into words values (?, 1) on conflict do update set n = n + 1", word)
        return self.sql("select n from words where word = ?", word).value()

    async def total(self) -> int:
        return self.sql("select coalesce(sum(n), 0) from words").value()

    async def add_and_hang(self, word: str) -> None:
        await self.add(word)
        await asyncio.Event().wait()

    async def about(self) -> tuple[Any, ...]:
        return self.id, self.name, self.props

    async def call_parent(self, word: str) -> Any:
        return await self.parent.hello(word)


class Louder(Tally):
    async def shout(self, word: str) -> str:
        return f"{word.upper()} {await self.add(word)}"


class Nested(Actor):
    async def deeper(self, levels: int, word: str) -> int:
        if levels == 0:
            return await self.facets.get("tally", Tally).add(word)
        return await self.facets.get("nested", Nested).deeper(levels - 1, word)

    async def names(self, levels: int) -> list[str]:
        if levels == 0:
            return self.facets.list()
        return await self.facets.get("nested", Nested).names(levels - 1)


class Lead(Actor):
    """Gives tests its whole surface, step by step."""

    async def count(self, word: str, name: str = "tally") -> int:
        return await self.facets.get(name, Tally).add(word)

    async def hello(self, word: str) -> str:
        return f"{self.name} hears {word}"

    async def do(self, script: Any) -> Any:
        return await SCRIPTS[script](self)

    async def deep(self, levels: int) -> int:
        return await self.facets.get("nested", Nested).deeper(levels, "x")

    async def on_facet_broken(self, name: str, error: BaseException) -> None:
        self.kv["broken"] = f"{name}: {error}"


SCRIPTS: dict[str, Any] = {}


def sleep_all(runtime: LocalRuntime, clock: VirtualClock) -> None:
    """Let everything go to sleep, level by level."""
    while runtime.stats().awake:
        runtime.sweep()
        clock.advance(61)


async def run(runtime: LocalRuntime, function: Any, name: str = "a") -> Any:
    SCRIPTS[function.__name__] = function
    return await runtime.get(Lead, name).do(function.__name__)


async def test_a_facet_keeps_its_own_data(runtime: LocalRuntime) -> None:
    alice, bob = runtime.get(Lead, "alice"), runtime.get(Lead, "bob")
    assert await alice.count("octopus") == 1
    assert await alice.count("octopus") == 2
    assert await bob.count("octopus") == 1
    assert await alice.count("octopus", "other") == 1


async def test_data_survives_a_restart(state: Path) -> None:
    for n in (1, 2):
        async with LocalRuntime(state) as runtime:
            assert await runtime.get(Lead, "a").count("x") == n


async def test_an_aborted_facet_answers_with_the_reason_and_its_data_stays(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        tally = lead.facets.get("tally", Tally)
        await tally.add("x")
        lead.facets.abort("tally", "enough")
        with pytest.raises(FacetAborted, match="enough"):
            await tally.add("x")
        assert await lead.facets.get("tally", Tally).add("x") == 2

    await run(runtime, story)


async def test_abort_interrupts_a_call_in_progress_and_keeps_its_committed_steps(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        tally = lead.facets.get("tally", Tally)
        hanging = asyncio.create_task(tally.add_and_hang("x"))
        while not await tally.total():
            await asyncio.sleep(0)
        lead.facets.abort("tally", KeyError("the very reason"))
        with pytest.raises(KeyError, match="the very reason"):
            await hanging
        assert await lead.facets.get("tally", Tally).total() == 1

    await run(runtime, story)


async def test_abort_reaches_every_descendant_and_leaves_siblings(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        nested = lead.facets.get("nested", Nested)
        assert await nested.deeper(3, "x") == 1
        sibling = lead.facets.get("tally", Tally)
        await sibling.add("x")
        lead.facets.abort("nested")
        with pytest.raises(FacetAborted):
            await nested.deeper(3, "x")
        assert await sibling.add("x") == 2
        assert await lead.facets.get("nested", Nested).deeper(3, "x") == 2

    await run(runtime, story)
    assert runtime.stats().awake == 7


async def test_deleting_wipes_the_whole_subtree(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        nested = lead.facets.get("nested", Nested)
        await nested.deeper(2, "x")
        assert lead.facets.exists("nested")
        lead.facets.delete("nested")
        assert not lead.facets.exists("nested")
        assert lead.facets.list() == []
        with pytest.raises(FacetDeleted):
            await nested.deeper(2, "x")
        assert await lead.facets.get("nested", Nested).deeper(2, "x") == 1

    await run(runtime, story)


async def test_other_code_under_a_running_name_is_refused(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        await lead.facets.get("tally", Tally).add("x")
        with pytest.raises(FacetRunsOtherCode) as caught:
            lead.facets.get("tally", Louder)
        assert caught.value.fields["running"].endswith("Tally")
        assert await lead.facets.get("tally", lambda: Louder).add("x") == 2

    await run(runtime, story)


async def test_replace_puts_new_code_over_the_same_data(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        old = lead.facets.get("tally", Tally)
        await old.add("x")
        assert lead.facets.replace("tally", Tally) == old
        new = lead.facets.replace("tally", Louder)
        assert await new.shout("x") == "X 2"
        with pytest.raises(FacetAborted, match="replaced"):
            await old.add("x")

    await run(runtime, story)


async def test_start_runs_once_for_concurrent_first_calls(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        starts = []

        async def start() -> type[Tally]:
            starts.append(1)
            await asyncio.sleep(0)
            return Tally

        calls = [lead.facets.get("tally", start).add("x") for _ in range(5)]
        assert sorted(await asyncio.gather(*calls)) == [1, 2, 3, 4, 5]
        assert starts == [1]

    await run(runtime, story)


async def test_a_start_that_fails_is_the_callers_error_and_can_be_tried_again(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        def bad() -> type[Tally]:
            raise ConnectionError("no code today")

        with pytest.raises(ConnectionError):
            await lead.facets.get("tally", bad).add("x")
        assert await lead.facets.get("tally", Tally).add("x") == 1
        with pytest.raises(TypeError, match="Actor class"):
            await lead.facets.get("other", lambda: int).add("x")
        with pytest.raises(TypeError, match="Actor class"):
            lead.facets.get("other", 3)

    await run(runtime, story)


async def test_a_start_callable_may_use_the_parents_own_data(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        def start() -> Start:
            lead.kv["started"] = 1
            return Start(Tally, props={"from": lead.name})

        about = await lead.facets.get("tally", start).about()
        assert lead.kv["started"] == 1
        return about

    assert await run(runtime, story) == ("Lead:a/tally", "tally", {"from": "a"})


async def test_props_are_copied_and_an_id_can_be_given(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        props = {"list": [1]}
        tally = lead.facets.get("tally", Start(Tally, id="my own id", props=props))
        props["list"].append(2)
        return await tally.about()

    assert await run(runtime, story) == ("my own id", "tally", {"list": [1]})


async def test_a_facet_can_call_its_parent(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        return await lead.facets.get("tally", Tally).call_parent("x")

    assert await run(runtime, story) == "a hears x"


async def test_facets_nest_thirty_two_deep_and_no_deeper(runtime: LocalRuntime) -> None:
    lead = runtime.get(Lead, "a")
    assert await lead.deep(30) == 1
    with pytest.raises(DepthExceeded):
        await lead.deep(31)


async def test_a_facet_that_never_wrote_leaves_nothing(runtime: LocalRuntime) -> None:
    class Idle(Actor):
        async def look(self) -> list[Any]:
            return self.kv.list()

    async def story(lead: Lead) -> Any:
        await lead.facets.get("idle", Idle).look()
        running = lead.facets.list()
        lead.facets.abort("idle")
        return running, lead.facets.list(), lead.facets.exists("idle")

    assert await run(runtime, story) == (["idle"], [], False)


async def test_stat_tells_without_waking(runtime: LocalRuntime, clock: VirtualClock) -> None:
    async def story(lead: Lead) -> Any:
        return lead.facets.stat("tally")

    await runtime.get(Lead, "a").count("x")
    stat = await run(runtime, story)
    assert (stat.running, stat.code, stat.calls) == (True, f"{Tally.__module__}.Tally", 0)
    sleep_all(runtime, clock)
    stat = await run(runtime, story)
    assert (stat.running, stat.code) == (False, None)
    assert stat.size > 0


async def test_a_parent_sleeps_after_its_facets_and_both_wake(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    lead = runtime.get(Lead, "a")
    await lead.count("x")
    sleep_all(runtime, clock)
    assert runtime.stats().awake == 0
    assert await lead.count("x") == 2


async def test_a_stub_outlives_the_sleep_of_its_facet(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    class Holder(Actor):
        async def take(self) -> Any:
            return self.facets.get("tally", Tally)

    tally = await runtime.get(Holder, "a").take()
    assert await tally.add("x") == 1
    sleep_all(runtime, clock)
    assert await tally.add("x") == 2


async def test_a_stray_abort_of_the_running_chain_ends_the_facet_when_control_is_back(
    runtime: LocalRuntime,
) -> None:
    class Child(Actor):
        async def suicide(self) -> str:
            self.kv["before"] = 1
            await self.parent.abort_child()
            self.kv["after"] = 1
            return "never"

        async def keys(self) -> list[str]:
            return list(self.kv)

    class Parent(Actor):
        async def go(self) -> list[str]:
            with pytest.raises(FacetAborted, match="by its own call"):
                await self.facets.get("child", Child).suicide()
            return await self.facets.get("child", Child).keys()

        async def abort_child(self) -> None:
            self.facets.abort("child", "by its own call")
            await asyncio.sleep(0)

    assert await runtime.get(Parent, "p").go() == ["before"]


async def test_a_write_of_an_aborted_facet_cannot_reach_its_successor(
    runtime: LocalRuntime,
) -> None:
    class Zombie(Actor):
        async def haunt(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.kv["haunted"] = True

        async def keys(self) -> list[str]:
            return list(self.kv)

    async def story(lead: Lead) -> Any:
        zombie = lead.facets.get("z", Zombie)
        call = asyncio.create_task(zombie.haunt())
        await zombie.keys()
        lead.facets.abort("z")
        with pytest.raises(FacetAborted):
            await call
        return await lead.facets.get("z", Zombie).keys()

    assert await run(runtime, story) == []
