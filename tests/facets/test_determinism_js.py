"""Deterministic JavaScript: the promises of `test_determinism`, where the language has its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import facets
from facets import LocalRuntime, Recording, replay
from facets.errors import Divergence
from facets.isolates import seeded
from tests.facets.test_determinism import Lead, changed, run

CLOCK = """
export async function main(wait) {
  const before = [Date.now(), new Date().getTime(), new Date().toISOString()];
  await new Promise((done) => setTimeout(done, wait));
  return [before, Date.now(), new Date().getFullYear()];
}
"""
CHANCE = """
export async function main() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [Math.random(), Math.random(), bytes, crypto.randomUUID()];
}
"""
TIMERS = """
export async function main() {
  const seen = [], begun = Date.now();
  const note = (name) => seen.push([name, Date.now() - begun]);
  setTimeout(note, 30, "thirty");
  setTimeout(note, 10, "ten");
  setTimeout(note, 10, "ten again");
  setTimeout(note, 0, "none");
  const never = setTimeout(note, 5, "never");
  clearTimeout(never);
  queueMicrotask(() => note("micro"));
  let times = 0;
  const id = setInterval(() => { note("every"); if (++times === 3) clearInterval(id); }, 8);
  await new Promise((done) => setTimeout(done, 40));
  return seen;
}
"""
ASKING = """
export async function main(ask) {
  const order = [];
  const one = async (name) => { order.push([name, await ask(name), Math.random()]); };
  await Promise.all(["a", "b", "c"].map(one));
  console.log(order.map((each) => each[0]).join(""));
  return order;
}
"""
TOOL = """
import { Actor } from "facets";
export class Tool extends Actor {
  static migrations = ["create table t(n real)"];
  async add(n) {
    this.sql("insert into t values (?)", n + Math.random());
    await new Promise((done) => setTimeout(done, 10));
    this.kv.set("last", this.sql("select sum(n) from t").value());
    return this.kv.get("last");
  }
  async ask(other) { console.log("asking"); return await other(Math.random()); }
  async *count(n) { for (let i = 0; i < n; i++) yield Math.random(); }
  async forever() { await new Promise((done) => setTimeout(done, 3600000)); }
}
"""


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


async def called(lead: Lead, source: str, *args: Any, seed: Any = 7) -> tuple[Any, Recording]:
    isolate = lead.isolates.load(source, language="javascript", deterministic=seed)
    return await isolate.entrypoint()(*args), isolate.recording()


async def test_dates_stand_still_but_for_the_waits_of_the_guest(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        isolate = lead.isolates.load(CLOCK, language="javascript", deterministic=1)
        first = await isolate.entrypoint()(20)
        await asyncio.sleep(0.01)
        return first, await isolate.entrypoint()(5)

    first, second = await run(runtime, story)
    begun = 946684800000

    assert first == [[begun, begun, "2000-01-01T00:00:00.000Z"], begun + 20, 2000]
    assert second == [[begun + 20, begun + 20, "2000-01-01T00:00:00.020Z"], begun + 25, 2000]


async def test_chance_follows_from_the_seed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        return [(await called(lead, CHANCE, seed=seed))[0] for seed in (1, 1, 2)]

    first, second, other = await run(runtime, story)

    assert first == second
    assert all(one != another for one, another in zip(first, other, strict=True))
    assert first[0] != first[1]


async def test_timers_fire_in_the_order_of_their_times_and_then_of_their_making(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> Any:
        return [await called(lead, TIMERS) for _ in range(3)]

    several = await run(runtime, story)
    seen, recording = several[0]

    assert seen == [
        ["micro", 0], ["none", 0], ["every", 8], ["ten", 10], ["ten again", 10], ["every", 16],
        ["every", 24], ["thirty", 30],
    ]  # fmt: skip
    assert all(one == several[0] for one in several)
    assert replay(recording).complete


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
async def test_answers_of_capabilities_are_replayed_in_the_order_in_which_they_came(
    runtime: LocalRuntime, order: str
) -> None:
    async def story(lead: Lead) -> tuple[Any, Recording]:
        gates = {name: asyncio.Event() for name in order}
        gates[order[0]].set()

        @facets.capability
        async def ask(name: str) -> str:
            await gates[name].wait()
            for later in order[order.index(name) + 1 :][:1]:
                asyncio.get_running_loop().call_soon(gates[later].set)
            return name.upper()

        return await called(lead, ASKING, ask)

    found, recording = await run(runtime, story)
    replayed = replay(recording)

    assert "".join(name for name, *_ in found) == order
    assert [answer for _, answer, _ in found] == list(order.upper())
    assert replayed.complete
    assert replayed.printed == order + "\n"


async def at_work(lead: Lead) -> Recording:
    """A facet that stores, calls what it was handed, streams and is cancelled."""

    @facets.capability
    async def double(x: float) -> float:
        await asyncio.sleep(0)
        return 2 * x

    isolate = lead.isolates.load(TOOL, language="javascript", deterministic=b"seed")
    tool = lead.facets.get("tool", isolate.actor("Tool"))
    await tool.add(1)
    await asyncio.gather(tool.add(2), tool.add(3), tool.ask(double))
    assert len([x async for x in tool.count(5)]) == 5
    async for _ in tool.count(5):
        break
    forever = asyncio.ensure_future(tool.forever())
    await tool.add(4)
    forever.cancel()
    await asyncio.wait([forever])
    return isolate.recording("tool")


async def test_a_facet_at_work_replays(runtime: LocalRuntime) -> None:
    replayed = replay(await run(runtime, at_work))

    assert replayed.complete
    assert replayed.printed == "asking\n"
    assert replayed.operations > 8


async def test_another_answer_of_storage_is_a_divergence(runtime: LocalRuntime) -> None:
    recording = await run(runtime, at_work)
    answers = [event[2] for event in recording.content().events if event[0] == seeded.CALLED]
    place = next(i for i, answer in enumerate(answers) if b'"rows":[[' in answer)
    before, found, after = answers[place].partition(b'"rows":[[')
    forged = before + found + b"7" + after[1:]

    with pytest.raises(Divergence):
        replay(changed(recording, seeded.CALLED, 2, forged, skip=place))


async def test_another_answer_of_a_capability_is_a_divergence(runtime: LocalRuntime) -> None:
    @facets.capability
    async def ask(name: str) -> str:
        return name.upper()

    async def story(lead: Lead) -> Recording:
        return (await called(lead, ASKING, ask))[1]

    recording = await run(runtime, story)
    messages = [event[1] for event in recording.content().events if event[0] == seeded.BEGUN]
    place = next(i for i, message in enumerate(messages) if b'"A"' in message)

    assert replay(recording).complete
    forged = changed(
        recording, seeded.BEGUN, 1, messages[place].replace(b'"A"', b'"Z"'), skip=place
    )
    with pytest.raises(Divergence):
        replay(forged)


async def test_another_seed_is_a_divergence(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Recording:
        return (await called(lead, CHANCE))[1]

    content = (await run(runtime, story)).content()
    content.seed = b"another"
    with pytest.raises(Divergence):
        replay(Recording(msgspec.msgpack.encode(content)))
