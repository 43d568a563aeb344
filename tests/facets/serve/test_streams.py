"""Streams over a real server: events, lines, slow readers, readers that go."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

import facets.serve
from actors import LocalRuntime
from facets.serve import ServeLimits
from tests.facets.serve.classes import Tally
from tests.facets.serve.conftest import serving

EVENTS = {"accept": "text/event-stream"}
LINES = {"accept": "application/x-ndjson"}


def app(runtime: LocalRuntime, **options: Any) -> Any:
    return facets.serve.app(runtime, expose=[Tally], **options)


async def test_items_are_events_with_ids_and_an_end(runtime: LocalRuntime) -> None:
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        posted = await client.post("/actors/Tally/a/count", json=[2])
        got = await client.get("/actors/Tally/a/count?to=2", headers=EVENTS)

    assert posted.headers["content-type"] == "text/event-stream"
    assert posted.text == "id: 1\ndata: 0\n\nid: 2\ndata: 1\n\nid: end\nevent: end\ndata: \n\n"
    assert got.text == posted.text


async def test_a_browser_that_asks_again_after_the_end_is_left_in_peace(
    runtime: LocalRuntime,
) -> None:
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        path = "/actors/Tally/a/count?to=2"
        over = await client.get(path, headers={**EVENTS, "last-event-id": "end"})
        cut = await client.get(path, headers={**EVENTS, "last-event-id": "1"})
    assert [over.status_code, over.content, cut.status_code] == [204, b"", 200]


async def test_items_are_lines_when_lines_are_asked_for(runtime: LocalRuntime) -> None:
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/actors/Tally/a/count", json=[2], headers=LINES)
    assert answer.text == '{"item":0}\n{"item":1}\n{"end":true}\n'


async def test_a_failure_at_once_has_a_status_and_a_later_one_is_told(
    runtime: LocalRuntime,
) -> None:
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        first = await client.post("/actors/Tally/a/fail_after", json=[0], headers=LINES)
        later = await client.post("/actors/Tally/a/fail_after", json=[1], headers=LINES)
        event = await client.post("/actors/Tally/a/fail_after", json=[1], headers=EVENTS)

    assert (first.status_code, first.json()["error"]["type"]) == (500, "ValueError")
    item, error = [json.loads(line) for line in later.text.splitlines()]
    assert (later.status_code, item) == (200, {"item": 0})
    assert error["error"]["message"] == "no more"
    assert "event: failed\ndata: {" in event.text
    assert "event: end" not in event.text


async def test_a_deadline_that_passes_in_a_stream_is_told_in_it(runtime: LocalRuntime) -> None:
    clock: Any = runtime.host.clock
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        headers = {**LINES, "facets-deadline": "5"}
        path = "/actors/Tally/a/forever"
        async with client.stream("POST", path, headers=headers) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            await clock.run(6)
            last = [line async for line in lines][-1]
    assert json.loads(last)["error"]["type"] == "DeadlineExceeded"


async def test_a_quiet_stream_says_that_it_is_alive(runtime: LocalRuntime) -> None:
    class Quiet(Tally):
        async def quiet(self) -> Any:
            await asyncio.Event().wait()
            yield 1

    limits = ServeLimits(heartbeat=0.01)
    made = facets.serve.app(runtime, expose=[Quiet], limits=limits)
    async with (
        serving(made) as url,
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", "/actors/Quiet/a/quiet", headers=EVENTS) as answer,
    ):
        beats = answer.aiter_raw()
        said = b""
        while said.count(b":\n\n") < 3:
            said += await anext(beats)
    assert said.replace(b":\n\n", b"") == b""


async def test_a_reader_that_goes_cancels_the_stream_at_once(runtime: LocalRuntime) -> None:
    stub = runtime.get(Tally, "a")
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        async with client.stream("POST", "/actors/Tally/a/forever", headers=LINES) as answer:
            await anext(answer.aiter_lines())
        while not (await stub.given())[1]:
            await asyncio.sleep(0)


async def test_a_slow_reader_slows_the_stream(runtime: LocalRuntime) -> None:
    stub = runtime.get(Tally, "a")
    async with (
        serving(app(runtime)) as url,
        httpx.AsyncClient(base_url=url) as client,
        client.stream("POST", "/actors/Tally/a/forever", headers=LINES) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        before = -1
        while (given := (await stub.given())[0]) != before:  # until the buffers are full
            before = given
            for _ in range(100):
                await asyncio.sleep(0)
        assert given * 13_336 < 16 << 20  # what kernels buffer, and not without end
        for _ in range(given):
            await anext(lines)
        while (await stub.given())[0] == given:
            await anext(lines)


async def test_a_caller_that_goes_cancels_its_call(runtime: LocalRuntime) -> None:
    stub = runtime.get(Tally, "a")
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        asking = asyncio.ensure_future(client.post("/actors/Tally/a/wait"))
        while (await stub.waits())[0] == 0:
            await asyncio.sleep(0)
        asking.cancel()
        while await stub.waits() != [1, 1]:
            await asyncio.sleep(0)


async def test_calls_over_the_limit_are_refused_and_not_begun(runtime: LocalRuntime) -> None:
    stub = runtime.get(Tally, "a")
    made = app(runtime, limits=ServeLimits(calls=1))
    async with serving(made) as url, httpx.AsyncClient(base_url=url) as client:
        asking = asyncio.ensure_future(client.post("/actors/Tally/a/wait"))
        while (await stub.waits())[0] == 0:
            await asyncio.sleep(0)
        refused = await client.post("/actors/Tally/a/add", json=["x"])
        asking.cancel()
        while await stub.waits() != [1, 1]:
            await asyncio.sleep(0)
        while (taken := await client.post("/actors/Tally/a/add", json=["x"])).is_error:
            await asyncio.sleep(0)

    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "TooMany")
    assert refused.headers["retry-after"] == "1"
    assert taken.json() == 1


async def test_a_server_opens_its_runtime_and_closes_it(state: Any) -> None:
    runtime = LocalRuntime(state)
    async with serving(app(runtime)) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/actors/Tally/a/add", json=["x"])).json() == 1
    async with LocalRuntime(state) as after:
        assert await after.get(Tally, "a").add("x") == 2
