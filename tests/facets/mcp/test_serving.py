"""Actors and agents as tools of an MCP server, asked by the client of the `mcp` package."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from pydantic import BaseModel
from pydantic_ai.models.test import TestModel

import facets
import facets.mcp
from facets import Actor, LocalRuntime
from facets.agents import Agent
from facets.codemode import CodeMode, McpConnector
from facets.errors import Busy
from facets.serve.methods import RESULT
from facets.testing import MemoryRuntime
from tests.facets.serve.conftest import serving

ROOT = Path(__file__).parents[3]


class Color(BaseModel):
    name: str


class Pen(BaseModel):
    color: Color


@dataclass
class Item:
    name: str
    price: float = 1.0


class Shop(Actor):
    migrations = ["create table sold(name text, n integer)"]
    waiting: asyncio.Event
    cancelled = 0

    async def on_start(self) -> None:
        self.waiting = asyncio.Event()

    async def sell(self, item: Item, n: int = 1) -> float:
        """Sell some of an item."""
        self.sql("insert into sold values (?, ?)", item.name, n)
        return item.price * n

    async def sold(self) -> list[str]:
        return [row.name for row in self.sql("select name from sold")]

    async def paint(self, pen: Pen) -> Pen:
        return Pen(color=Color(name=pen.color.name.upper()))

    async def count(self, to: int) -> AsyncGenerator[int, None]:
        """Count from 0."""
        for n in range(to):
            yield n

    async def flood(self) -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            self.kv["closed"] = True

    async def closed(self) -> bool:
        return bool(self.kv.get("closed", False))

    async def large(self, size: int) -> str:
        return "x" * size

    async def fail(self, kind: str) -> None:
        self.sql("insert into sold values ('never', 1)")
        if kind == "busy":
            raise Busy("too much to do", actor=self.id, waiting=3, limit=3)
        raise ValueError("that is no value")

    async def wait(self) -> None:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def waited(self) -> int:
        """How many were cancelled, once one waits."""
        await self.waiting.wait()
        return self.cancelled

    async def stub(self) -> object:
        return self.facets.get("a", Shop)

    async def facet(self, name: str) -> Shop:
        return self.facets.get(name, Shop)

    async def _secret(self) -> int:
        return 1

    async def anything(self, *args: int) -> int:
        return len(args)


class Oracle(Agent):
    """An agent with other methods than `run`."""

    model = TestModel(custom_output_text="perhaps")

    async def secret(self) -> str:
        return "no"


ACTORS: dict[str, tuple[type[Actor], str]] = {"shop": (Shop, "one"), "oracle": (Oracle, "delphi")}


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


@asynccontextmanager
async def connected(runtime: MemoryRuntime, transport: str) -> AsyncIterator[Client]:
    server = facets.mcp.server(runtime, ACTORS)
    if transport == "memory":
        async with Client(server) as client:
            yield client
    else:
        async with (
            serving(server.streamable_http_app()) as url,
            Client(f"{url}/mcp", mode="legacy" if transport == "older" else "auto") as client,
        ):
            yield client


@pytest.fixture(params=["memory", "http", "older"])
async def client(request: pytest.FixtureRequest, runtime: MemoryRuntime) -> AsyncIterator[Client]:
    ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def held() -> None:  # a client is left by the task that entered it
        async with connected(runtime, request.param) as client:
            ready.set_result(client)
            await leave.wait()

    task = asyncio.ensure_future(held())
    yield await ready
    leave.set()
    await task


def text(result: Any) -> str:
    (content,) = result.content
    return str(content.text)


async def result(client: Client, name: str, **arguments: Any) -> Any:
    """What a tool that does not fail gives."""
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, text(answer)
    assert answer.structured_content is not None
    return answer.structured_content["result"]


async def test_open_methods_are_tools_and_of_an_agent_run_alone(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {name for name in tools if name.startswith("oracle")} == {"oracle_run"}
    assert {"shop_sell", "shop_count", "shop_wait"} <= tools.keys()
    assert not tools.keys() & {"shop_facet", "shop__secret", "shop_anything", "shop_on_start"}
    sell = tools["shop_sell"]
    assert sell.description == "Sell some of an item."
    assert sell.input_schema["type"] == "object"
    assert sell.input_schema["required"] == ["item"]
    assert sell.input_schema["properties"]["item"] == {"$ref": "#/$defs/Item"}
    assert sell.input_schema["$defs"]["Item"]["required"] == ["name"]
    assert sell.output_schema is not None
    assert sell.output_schema["properties"] == {"result": {"type": "number"}}


async def test_a_tool_calls_the_method_with_what_its_annotations_say(client: Client) -> None:
    assert await result(client, "shop_sell", item={"name": "pen", "price": 2.5}, n=4) == 10.0
    assert await result(client, "shop_sold") == ["pen"]


async def test_pydantic_models_keep_their_nested_definitions(client: Client) -> None:
    await client.list_tools()  # the client checks results against the schema that was listed
    pen = {"color": {"name": "red"}}
    assert await result(client, "shop_paint", pen=pen) == {"color": {"name": "RED"}}


async def test_an_agent_is_asked_by_its_run(client: Client) -> None:
    answer = await client.call_tool("oracle_run", {"prompt": "Will it rain?"})
    assert text(answer) == "perhaps"
    assert answer.structured_content == {"result": "perhaps"}


async def test_a_stream_tells_each_item_as_progress_and_gives_all(client: Client) -> None:
    told: list[tuple[float, str | None]] = []

    async def progress(number: float, total: float | None, message: str | None) -> None:
        assert total is None
        told.append((number, message))

    answer = await client.call_tool("shop_count", {"to": 3}, progress_callback=progress)
    assert answer.structured_content == {"result": [0, 1, 2]}
    assert told == [(1, "0"), (2, "1"), (3, "2")]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("shop_fail", {"kind": "value"}, ["ValueError: that is no value"]),
        ("shop_fail", {"kind": "busy"}, ["Busy: too much to do", "fields: ", '"limit":3']),
        ("shop_sell", {"item": {"name": 5}}, ["BadArguments", "$.item.name", "(item, n)"]),
        ("shop_sell", {"thing": 1}, ["BadArguments", "thing"]),
        ("shop_stub", {}, ["NotEncodable", "hint: "]),
        ("shop_large", {"size": RESULT}, ["TooLarge", "hint: "]),
    ],
)
async def test_a_failure_is_text_that_says_what_to_do(
    client: Client, tool: str, arguments: dict[str, Any], said: list[str]
) -> None:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert [one for one in said if one not in text(answer)] == []
    assert "Traceback" not in text(answer)
    assert await result(client, "shop_sold") == []  # the step that failed is undone


async def test_a_stream_without_an_end_is_closed_at_the_limit(client: Client) -> None:
    answer = await client.call_tool("shop_flood", {})
    assert answer.is_error
    assert "TooLarge" in text(answer)
    assert await result(client, "shop_closed") is True


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(client: Client) -> None:
    for name in ("shop__secret", "shop_facet", "oracle_secret", "nothing"):
        with pytest.raises(MCPError, match="no tool"):
            await client.call_tool(name, {})


async def test_a_client_that_gives_up_cancels_the_method(
    client: Client, runtime: MemoryRuntime
) -> None:
    shop = runtime.get(Shop, "one")
    call = asyncio.ensure_future(client.call_tool("shop_wait", {}))
    assert await shop.waited() == 0
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while await shop.waited() == 0:
        await asyncio.sleep(0)
    assert await shop.waited() == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_end_of_a_session_cancels_its_calls(runtime: MemoryRuntime, mode: Any) -> None:
    shop = runtime.get(Shop, "one")
    server = facets.mcp.server(runtime, ACTORS)
    async with serving(server.streamable_http_app()) as url:
        async with Client(f"{url}/mcp", mode=mode) as client:
            call = asyncio.ensure_future(client.call_tool("shop_wait", {}))
            assert await shop.waited() == 0
        with pytest.raises(MCPError):
            await call
        while await shop.waited() == 0:
            await asyncio.sleep(0)


async def test_a_call_that_takes_longer_than_the_timeout_is_ended(
    runtime: MemoryRuntime,
) -> None:
    async with Client(facets.mcp.server(runtime, ACTORS, timeout=30)) as client:
        call = asyncio.ensure_future(client.call_tool("shop_wait", {}))
        shop = runtime.get(Shop, "one")
        assert await shop.waited() == 0
        await runtime.clock.run(31)
        answer = await call
    assert answer.is_error
    assert "DeadlineExceeded" in text(answer)
    assert await shop.waited() == 1


async def test_a_runtime_that_is_not_open_is_opened_and_closed(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path)
    async with Client(facets.mcp.server(runtime, ACTORS)) as client:
        assert await result(client, "shop_sold") == []
    async with runtime:  # it was let go, and can be taken again
        assert await runtime.get(Shop, "one").sold() == []


@pytest.mark.parametrize(
    "actors",
    [
        {"a b": (Shop, "one")},
        {"x" * 62: (Shop, "one")},
        {"é": (Shop, "one")},
    ],
)
def test_a_name_that_models_cannot_call_is_refused(actors: Any) -> None:
    with pytest.raises(ValueError, match="is no name of a tool"):
        facets.mcp.server(LocalRuntime("never-opened"), actors)


def test_two_tools_of_one_name_are_refused() -> None:
    class One(Actor):
        async def b_c(self) -> None: ...

    class Two(Actor):
        async def c(self) -> None: ...

    with pytest.raises(ValueError, match="two tools"):
        facets.mcp.server(LocalRuntime("never-opened"), {"a": (One, "1"), "a_b": (Two, "2")})


async def test_the_program_in_the_docs_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/mcp.md").read_text(), re.DOTALL)
    main: dict[str, Any] = {"__name__": "main"}
    exec(program, main)
    async with Client(main["server"]) as client:
        assert await result(client, "tally_add", word="octopus", n=4) == 4
        assert await result(client, "tally_words") == [{"word": "octopus", "n": 4}]


# -- over stdio ------------------------------------------------------------------------------------


def process(state: Path) -> StdioServerParameters:
    script = Path(__file__).with_name("stdio_server.py")
    return StdioServerParameters(
        command=sys.executable, args=[str(script), str(state)], env={"PYTHONPATH": str(ROOT)}
    )


async def test_what_was_answered_over_stdio_outlives_a_kill(tmp_path: Path) -> None:
    async with Client(process(tmp_path)) as client:
        assert await result(client, "shelf_add", title="Moby-Dick") == 1
        with pytest.raises(MCPError):
            await client.call_tool("shelf_die", {})
    async with Client(process(tmp_path)) as client:
        assert await result(client, "shelf_add", title="Typee") == 2


async def test_code_mode_calls_actors_through_the_connector(runtime: MemoryRuntime) -> None:
    served = facets.mcp.server(runtime, ACTORS)
    connector = McpConnector("far", lambda: Client(served))

    class User(Actor):
        async def use(self, code: str) -> Any:
            return await CodeMode(self, [connector]).execute(code)

    try:
        done = await runtime.get(User, "a").use(
            "await far.shop_sell({'name': 'pen', 'price': 2.0}, 3)\nawait far.shop_count(to=2)"
        )
        assert (done.error, done.result) == ("", [0, 1])
        failed = await runtime.get(User, "b").use("await far.shop_fail(kind='busy')")
        assert "too much to do" in failed.error
        assert await runtime.get(Shop, "one").sold() == ["pen"]
    finally:
        await connector.close()
