"""Events of a turn over HTTP: a browser that lost its connection reads on by itself."""

from __future__ import annotations

import json

import httpx

import facets.serve
from facets.testing import MemoryRuntime
from tests.facets.agents.test_log import Poet
from tests.facets.serve.conftest import serving


async def test_a_browser_that_comes_back_reads_on_behind_the_last_event_that_it_saw() -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Poet, "a").submit("a poem", id="1")
        await runtime.get(Poet, "a").wait("1")
        app = facets.serve.app(runtime, expose=[Poet])
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as client:
            path, accept = "/actors/Poet/a/events?id=1", {"accept": "text/event-stream"}
            whole = (await client.get(path, headers=accept)).text.split("\n\n")
            rest = await client.get(path, headers={**accept, "last-event-id": "2"})
    assert [one.split("\n")[0] for one in whole[:4]] == ["id: 1", "id: 2", "id: 3", "id: end"]
    assert json.loads(whole[2].split("data: ")[1])["text"].startswith("roses")
    assert rest.text.split("\n\n") == whole[2:]
