"""Deterministic isolates: equal seeds and inputs give equal outputs, and a life can be replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import facets
from facets import Actor, Limits, LocalRuntime, Recording, replay
from facets.errors import (
    CpuLimit,
    Divergence,
    IsolateClosed,
    LoadError,
    NotARecording,
    OtherGuest,
    RecordingError,
)
from facets.isolates import image, seeded

SAMPLES = {
    "python": """
import asyncio, datetime, os, random, secrets, time, uuid

async def main():
    before = asyncio.get_running_loop().time(), time.monotonic(), time.time()
    await asyncio.sleep(0.0301)
    time.sleep(0.25)
    after = asyncio.get_running_loop().time(), time.monotonic(), time.time()
    print("printed", uuid.uuid4())
    return {
        "times": (before, after, str(datetime.datetime.now())),
        "random": (random.random(), os.urandom(8), secrets.token_hex(4), str(uuid.uuid4())),
        "sets": [repr({f"w{i}" for i in range(50)}), hash("abc"), id(object()) ],
    }
""",
    "javascript": """
export async function main() {
  const before = Date.now();
  await new Promise((done) => setTimeout(done, 20));
  console.log("printed", Math.random());
  return { times: [before, Date.now()], random: [Math.random(), Math.random()] };
}
""",
}
SPIN = {
    "python": "async def main():\n    print('spinning')\n    n = 0\n    while True: n += 1",
    "javascript": "export async function main() { let n = 0; while (true) n += 1; }",
}
TOOL = """
import asyncio, random
from facets import Actor

class Tool(Actor):
    migrations = ["create table t(n real)"]
    async def add(self, n):
        self.sql("insert into t values (?)", n + random.random())
        await asyncio.sleep(0.01)
        self.kv["last"] = self.sql("select sum(n) from t").value()
        return self.kv["last"]
    async def ask(self, other):
        print("asking")
        return await other(random.random())
    async def count(self, n):
        for i in range(n):
            yield random.random()
    async def forever(self):
        await asyncio.sleep(3600)
    async def spin(self):
        while True: pass
"""


class Lead(Actor):
    async def do(self, story: str) -> Any:
        return await STORIES[story](self)


STORIES: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any, name: str = "a") -> Any:
    STORIES[story.__name__] = story
    return await runtime.get(Lead, name).do(story.__name__)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


# -- equal seeds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_equal_seeds_and_inputs_give_equal_outputs(
    runtime: LocalRuntime, language: str
) -> None:
    async def sample(lead: Lead, seed: Any) -> tuple[Any, bytes]:
        isolate = lead.isolates.load(SAMPLES[language], language=language, deterministic=seed)
        result = await isolate.entrypoint()()
        return result, bytes(isolate.recording())

    async def story(lead: Lead) -> None:
        first, second = await sample(lead, 7), await sample(lead, 7)
        # In between, so that code and instances kept for others would be there to be taken.
        for _ in range(4):
            await lead.isolates.run(SAMPLES[language], language=language)
        third = await sample(lead, 7)
        assert first == second == third
        assert (await sample(lead, 8))[0]["random"] != first[0]["random"]

    await run(runtime, story)


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_without_a_recording_equal_seeds_give_equal_time_and_chance(
    runtime: LocalRuntime, language: str
) -> None:
    async def sample(lead: Lead, recorded: bool) -> Any:
        isolate = lead.isolates.load(
            SAMPLES[language], language=language, deterministic=7, recorded=recorded
        )
        found = await isolate.entrypoint()()
        if not recorded:
            with pytest.raises(RecordingError):
                isolate.recording()
        return found["times"], found["random"]

    async def story(lead: Lead) -> None:
        first = await sample(lead, True)
        for _ in range(4):  # code that was compiled before is among them
            assert await sample(lead, False) == first

    await run(runtime, story)


async def test_without_a_recording_the_limit_on_the_processor_is_time(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.load(
            SPIN["python"], deterministic=7, recorded=False, limits=Limits(cpu=0.05)
        )
        with pytest.raises(CpuLimit):
            await isolate.entrypoint()()

    await run(runtime, story)


async def test_time_stands_still_but_for_the_waits_of_the_guest(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Any:
        isolate = lead.isolates.load(SAMPLES["python"], deterministic="seed")
        await isolate.entrypoint()()
        await asyncio.sleep(0.01)
        return (await isolate.entrypoint()())["times"]

    before, after, now = await run(runtime, story)

    # The call before waited 31 ms, a timer of 30.1 ms rounded up, and 250 ms.
    assert before == pytest.approx((0.281, 0.281, 946684800.281), abs=1e-6)
    assert after == pytest.approx((0.281 + 0.031, 0.562, 946684800.562), abs=1e-6)
    assert now == "2000-01-01 00:00:00.562000"


async def test_an_isolate_that_waits_an_hour_is_told_that_an_hour_passed(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import asyncio, time
async def main():
    await asyncio.sleep(3600)
    return time.time()
"""
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def sooner(delay: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        return later(0.0 if delay == 3600 else delay, *args, **kwargs)

    monkeypatch.setattr(loop, "call_later", sooner)

    async def story(lead: Lead) -> Any:
        return await lead.isolates.run(source, deterministic=1)

    assert await run(runtime, story) == 946684800 + 3600


# -- replay -----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_recording_replays_without_its_owner(runtime: LocalRuntime, language: str) -> None:
    async def story(lead: Lead) -> bytes:
        isolate = lead.isolates.load(SAMPLES[language], language=language, deterministic=7)
        await isolate.entrypoint()()
        return bytes(isolate.recording())

    kept = await run(runtime, story)
    await runtime.close()
    replayed = replay(Recording(kept))

    assert replayed.complete
    assert replayed.pumps >= 3
    assert replayed.printed.startswith("printed ")


async def tool_at_work(lead: Lead) -> Recording:
    """A facet that stores, calls what it was handed, streams and is cancelled."""

    @facets.capability
    async def double(x: float) -> float:
        await asyncio.sleep(0)
        return 2 * x

    isolate = lead.isolates.load(TOOL, deterministic=b"seed")
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
    recording = await run(runtime, tool_at_work)
    replayed = replay(recording)

    assert replayed.complete
    assert replayed.printed == "asking\n"
    assert replayed.operations > 8


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_the_cpu_limit_hits_at_the_same_instruction(
    runtime: LocalRuntime, language: str
) -> None:
    async def spun(lead: Lead) -> Recording:
        isolate = lead.isolates.load(
            SPIN[language], language=language, deterministic=1, limits=Limits(cpu=0.05)
        )
        with pytest.raises(CpuLimit, match=r"0\.05"):
            await isolate.entrypoint()()
        return isolate.recording()

    async def story(lead: Lead) -> list[Recording]:
        return [await spun(lead), await spun(lead)]

    first, second = await run(runtime, story)

    assert first == second
    assert replay(first).complete


async def test_what_its_owner_ended_in_mid_call_replays_up_to_there(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Recording:
        isolate = lead.isolates.load(TOOL, deterministic=1)
        tool = lead.facets.get("tool", isolate.actor("Tool"))
        await tool.add(1)
        spinning = asyncio.ensure_future(tool.spin())
        await asyncio.sleep(0.02)
        lead.facets.abort("tool")
        await asyncio.gather(spinning, return_exceptions=True)
        return isolate.recording("tool")

    replayed = replay(await run(runtime, story))

    assert not replayed.complete
    assert replayed.pumps == 3


async def test_a_recording_too_long_ends_before_what_is_too_much(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facets.isolates.recording.MOST", 100_000)

    async def story(lead: Lead) -> Recording:
        isolate = lead.isolates.load("def main(x): return len(x)", deterministic=1)
        for _ in range(5):
            assert await isolate.entrypoint()("x" * 40_000) == 40_000
        return isolate.recording()

    recording = await run(runtime, story)
    replayed = replay(recording)

    assert len(bytes(recording)) < 100_000
    assert (replayed.complete, replayed.pumps) == (False, 3)


# -- what does not match ------------------------------------------------------------------------


def changed(recording: Recording, kind: int, place: int, value: Any, skip: int = 0) -> Recording:
    """The same with one field of its event number `skip` of this kind replaced."""
    content = recording.content()
    at = [i for i, event in enumerate(content.events) if event[0] == kind][skip]
    event = list(content.events[at])
    event[place] = value
    content.events[at] = tuple(event)
    return Recording(msgspec.msgpack.encode(content))


async def test_a_divergence_says_where(runtime: LocalRuntime) -> None:
    recording = await run(runtime, tool_at_work)
    other = b"\0" * 32

    for forged, pump, what in (
        (changed(recording, seeded.RETURNED, 1, other, skip=2), 3, "its answer"),
        (changed(recording, seeded.CALLED, 1, other), 2, "a storage operation"),
        (changed(recording, seeded.RETURNED, 2, other, skip=1), 2, "what it printed"),
    ):
        with pytest.raises(Divergence) as caught:
            replay(forged)
        assert (caught.value.pump, caught.value.what) == (pump, what)


async def test_another_answer_of_storage_is_seen_in_what_the_guest_says(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> Recording:
        isolate = lead.isolates.load(TOOL, deterministic=1)
        await lead.facets.get("tool", isolate.actor("Tool")).add(1)
        return isolate.recording()

    recording = await run(runtime, story)
    answers = [event[2] for event in recording.content().events if event[0] == seeded.CALLED]
    rows = next(i for i, answer in enumerate(answers) if b'"rows":[[' in answer)
    forged = changed(
        recording, seeded.CALLED, 2, answers[rows].replace(b"[[1.", b"[[7."), skip=rows
    )

    with pytest.raises(Divergence):
        replay(forged)


async def test_another_seed_is_a_divergence(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Recording:
        isolate = lead.isolates.load(SAMPLES["python"], deterministic=1)
        await isolate.entrypoint()()
        return isolate.recording()

    content = (await run(runtime, story)).content()
    content.seed = b"another"

    with pytest.raises(Divergence):
        replay(Recording(msgspec.msgpack.encode(content)))


async def test_a_recording_of_another_build_is_refused(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> Recording:
        isolate = lead.isolates.load("def main(): return 1", deterministic=1)
        await isolate.entrypoint()()
        return isolate.recording()

    content = (await run(runtime, story)).content()
    assert content.image == image.load().identity
    content.image = "f" * 64

    with pytest.raises(OtherGuest):
        replay(Recording(msgspec.msgpack.encode(content)))


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", msgspec.msgpack.encode([1, 2]), msgspec.msgpack.encode(
        [1, "python", "x", b"", 1, 1, 1, True, [[9]]]), msgspec.msgpack.encode(
        [2, "python", "x", b"", 1, 1, 1, True, []]), msgspec.msgpack.encode(
        [1, "python", "x", b"", 1, 1, 1, True, [[0, "text", 1, 1]]])],
)  # fmt: skip
def test_bytes_that_are_no_recording_are_refused(data: bytes) -> None:
    with pytest.raises(NotARecording):
        replay(Recording(data))


async def test_only_deterministic_isolates_are_recorded(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        plain = lead.isolates.get("def main(): return 1")
        await plain.entrypoint()()
        with pytest.raises(RecordingError):
            plain.recording()
        seeded = lead.isolates.get("def main(): return 1", deterministic=1)
        assert seeded is not plain
        assert seeded is lead.isolates.get("def main(): return 1", deterministic=1)
        with pytest.raises(RecordingError):
            seeded.recording()
        entrypoint = seeded.entrypoint()
        await entrypoint()
        entrypoint.close()
        with pytest.raises(IsolateClosed):
            await entrypoint()
        assert replay(seeded.recording("main")).complete
        with pytest.raises(LoadError, match="not recorded"):
            await lead.isolates.run(b"\0asm\1\0\0\0", entry="", deterministic=1)
        with pytest.raises(TypeError):
            lead.isolates.load("def main(): pass", deterministic=1.5)  # type: ignore[arg-type]

    await run(runtime, story)
