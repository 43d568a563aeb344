"""Requests of isolates and the actors they belong to: what is durable, refused, ended, shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.call import CURRENT
from facets import Actor, Egress, Limits, LocalRuntime
from facets.egress import Attempt, Request, Response
from facets.errors import FacetRunsOtherCode, JournalFailed
from storage.testing import Fault, FaultyDisk
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Seen, Server, reply

TOOL = """
import asyncio, urllib.request
from facets import Actor, fetch

class Tool(Actor):
    migrations = ["create table t(n)"]
    async def read(self): return [row[0] for row in self.sql("select n from t")]
    async def write(self, how, url):
        self.sql("insert into t values (1)")
        text = await getattr(self, "_" + how)(url)
        self.sql("insert into t values (2)")
        return text
    async def get(self, how, url): return await getattr(self, "_" + how)(url)
    async def _fetch(self, url): return (await fetch(url)).text()
    async def _stream(self, url):
        async with fetch.stream(url) as response:
            return b"".join([piece async for piece in response]).decode()
    async def _urllib(self, url):
        with urllib.request.urlopen(url) as response: return response.read().decode()
    async def linger(self, url): self.task = asyncio.create_task(self._fetch(url))
    async def spin(self):
        while True: pass

async def get(url): return (await fetch(url)).text()
"""
HOW = ["fetch", "stream", "urllib"]


class Lead(Actor, kind="EgressLead"):
    async def do(self, *args: Any) -> Any:
        return await STORY[0](self, *args)

    def tool(self, egress: Egress | None, name: str = "tool") -> Any:
        return self.facets.get(name, self.isolates.get(TOOL, egress=egress).actor("Tool"))


STORY: list[Callable[..., Any]] = []


async def run(runtime: LocalRuntime, story: Callable[..., Any]) -> Any:
    STORY[:] = [story]
    return await runtime.get(Lead, "a").do()


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection ends by itself."""
    monkeypatch.setattr("facets.egress.connections.KEEP", 1000.0)


async def ended(server: Server) -> None:
    """Return when a connection has; raises if none does."""
    async with asyncio.timeout(10):
        await server.closed.wait()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://api.test:{server.port}/"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FaultyDisk:
    """The disk of every runtime that is opened."""
    disk = FaultyDisk()
    monkeypatch.setattr("storage.store.Disk", lambda: disk)
    return disk


@pytest.mark.parametrize("how", HOW)
async def test_a_request_arrives_when_what_was_written_before_it_is_durable(
    runtime: LocalRuntime, make: Make, api: Api, server: Server, url: str, how: str
) -> None:
    store = runtime.host.store
    found: list[bool] = []

    def answer(seen: Seen) -> bytes:
        found.append(store.committed == store.durable > 0)
        return reply()

    server.answer = answer

    async def story(lead: Lead) -> Any:
        lead.kv["mine"] = 1  # what the caller wrote is durable as well
        tool = lead.tool(make(api()))
        return await tool.write(how, url), await tool.read()

    assert await run(runtime, story) == ("fine", [1, 2])
    assert found == [True]


@pytest.mark.parametrize("inline", [0.0, 5.0], ids=["thread", "inline"])
@pytest.mark.parametrize("how", HOW)
async def test_nothing_leaves_if_what_it_depends_on_cannot_be_made_durable(
    disk: FaultyDisk,
    state: Path,
    make: Make,
    api: Api,
    server: Server,
    url: str,
    how: str,
    inline: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Inline the request begins on the stack of the call that is ended by the failure.
    monkeypatch.setattr("facets.isolates.runner.SLICE", inline)
    async with LocalRuntime(state) as runtime:

        async def story(lead: Lead) -> None:
            tool = lead.tool(make(api()))
            assert await tool.get(how, url) == "fine"
            disk.add(Fault("write", path="journal/*", times=None))
            await tool.write(how, url)

        with pytest.raises(JournalFailed):
            await run(runtime, story)
        disk.heal()
    assert len(server.seen) == 1


@pytest.mark.parametrize("how", HOW)
async def test_nothing_leaves_inside_a_transaction_of_several_actors(
    runtime: LocalRuntime, make: Make, api: Api, server: Server, url: str, how: str
) -> None:
    async def story(lead: Lead) -> Any:
        tool = lead.tool(make(api()))
        with pytest.raises(Exception, match="has no place in a transaction"):
            async with lead.facets.transaction():
                await tool.write(how, url)
        assert await tool.read() == []
        return await tool.write(how, url)

    assert await run(runtime, story) == "fine"
    assert len(server.seen) == 1


@pytest.mark.parametrize("how", HOW)
async def test_the_end_of_a_facet_closes_the_connection_of_its_request(
    runtime: LocalRuntime,
    make: Make,
    api: Api,
    server: Server,
    url: str,
    how: str,
    attempts: list[Attempt],
) -> None:
    arrived = asyncio.Event()
    server.answer = lambda seen: arrived.set()

    async def story(lead: Lead) -> None:
        tool = lead.tool(make(api()))
        call = asyncio.ensure_future(tool.get(how, url))
        await arrived.wait()
        lead.facets.abort("tool", "no more")
        with pytest.raises(Exception, match="no more"):
            await call

    await run(runtime, story)
    await ended(server)
    assert [one.outcome for one in attempts] == ["cancelled"]


async def test_a_caller_that_gives_up_takes_the_request_along(
    runtime: LocalRuntime, make: Make, api: Api, server: Server, url: str
) -> None:
    arrived = asyncio.Event()

    def answer(seen: Seen) -> bytes | None:
        arrived.set()
        return None if "wait" in seen.target else reply()

    server.answer = answer

    async def story(lead: Lead) -> Any:
        tool = lead.tool(make(api()))
        for how in HOW:
            arrived.clear()
            server.closed.clear()
            call = asyncio.ensure_future(tool.write(how, url + "wait"))
            await arrived.wait()
            call.cancel()
            await asyncio.wait([call])
            await ended(server)
        return await tool.read(), await tool.get("urllib", url)

    assert await run(runtime, story) == ([1, 1, 1], "fine")


async def test_a_request_in_a_killed_isolate_ends_with_it(
    runtime: LocalRuntime, make: Make, api: Api, server: Server, url: str
) -> None:
    arrived = asyncio.Event()
    server.answer = lambda seen: arrived.set()

    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(TOOL, egress=make(api()))
        tool = lead.facets.get("tool", isolate.actor("Tool", limits=Limits(cpu=0.1)))
        await tool.linger(url)
        await arrived.wait()
        with pytest.raises(Exception, match="computed for more"):
            await tool.spin()

    await run(runtime, story)
    await ended(server)


async def test_isolates_of_different_egress_are_different_code(
    runtime: LocalRuntime, make: Make, api: Api
) -> None:
    one, other = make(api()), make(api())

    async def story(lead: Lead) -> None:
        get = lead.isolates.get
        assert get(TOOL, egress=one) is get(TOOL, egress=one)
        assert get(TOOL, egress=one) is not get(TOOL, egress=other)
        assert get(TOOL, egress=one) is not get(TOOL)
        assert await lead.tool(one).read() == []
        with pytest.raises(FacetRunsOtherCode):
            await lead.tool(None).read()

    await run(runtime, story)


async def test_an_entrypoint_leaves_through_the_egress_of_its_isolate(
    runtime: LocalRuntime, make: Make, api: Api, url: str, attempts: list[Attempt]
) -> None:
    async def story(lead: Lead) -> Any:
        lead.kv["n"] = 1
        isolate = lead.isolates.load(TOOL, egress=make(api()))
        found = await isolate.entrypoint("get")(url), await lead.tool(make(api())).get("fetch", url)
        return found, isolate.label

    found, label = await run(runtime, story)
    assert found == ("fine", "fine")
    assert [one.who for one in attempts] == [
        f"EgressLead:a: {label}.get",
        f"EgressLead:a/tool: {label}.Tool",
    ]


async def test_a_handler_is_outside_and_belongs_to_no_call(
    runtime: LocalRuntime, make: Make
) -> None:
    found: list[Any] = []

    async def handler(request: Request) -> Response:
        found.append(CURRENT.get())
        return Response(200, (), b"made")

    async def story(lead: Lead) -> Any:
        tool = lead.tool(make(handler=handler))
        return [await tool.get(how, "https://any.test/") for how in HOW]

    assert await run(runtime, story) == ["made"] * 3
    assert found == [None] * 3


async def test_a_runtime_that_closes_leaves_no_connection_and_its_egress_goes_on(
    state: Path, make: Make, api: Api, server: Server, url: str
) -> None:
    egress = make(api())

    async def story(lead: Lead) -> Any:
        return await lead.tool(egress).get("fetch", url)

    async with LocalRuntime(state) as runtime:
        await run(runtime, story)
        assert not server.closed.is_set()
    await ended(server)

    answer = await egress.fetch(Request("GET", url))
    assert (answer.body, server.connections) == (b"fine", 2)


async def test_a_runtime_that_closes_ends_the_requests_of_its_actors(
    state: Path, make: Make, api: Api, server: Server, url: str
) -> None:
    arrived = asyncio.Event()
    server.answer = lambda seen: arrived.set() if "wait" in seen.target else reply()
    egress = make(api())

    async def story(lead: Lead) -> None:
        await lead.tool(egress).get("fetch", url)
        await lead.tool(egress).linger(url + "wait")
        await arrived.wait()

    async with LocalRuntime(state) as runtime:
        await run(runtime, story)
    await ended(server)
    assert server.connections == 1
