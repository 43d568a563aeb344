"""Agents on a model behind HTTP: what a provider may send, and what becomes of the turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from facets import Backoff
from facets.agents import Agent, Retries, Stage, TextDelta, Turn, tool
from facets.testing import MemoryRuntime
from facets.testing.chat import Answer, ChatServer, Failure, Raw, Reply, Silence

NOTE = Answer(calls=[("note", {"what": "ink"})])
NOTED = Answer("it is noted")


class Clerk(Agent):
    instructions = "You take notes."
    model_settings = {"max_retries": 0, "temperature": 0.0}
    retries = Retries(backoff=Backoff(first=5.0, attempts=3, jitter=0.0), stall=30.0)
    migrations = ["create table notes(what text)"]

    @tool
    async def note(self, what: str) -> str:
        """Note something."""
        self.sql("insert into notes values (?)", what)
        return f"noted {what}"

    async def on_error(self, turn: Turn, error: Exception, stage: Stage) -> None:
        self.kv["errors"] = [*self.kv.get("errors", []), f"{stage} {self.error_kind(error)}"]

    async def notes(self) -> list[str]:
        return [row.what for row in self.sql("select what from notes")]

    async def errors(self) -> list[str]:
        return self.kv.get("errors", [])

    async def due(self) -> float:
        return self.sql("select due from agent_attempts").value(0.0)


class Listening(Clerk):
    """Asks for a stream."""

    async def on_text(self, turn: Turn, text: str) -> None:
        self.kv["text"] = self.kv.get("text", "") + text

    async def text(self) -> str:
        return self.kv.get("text", "")


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


class Provider:
    """A server with what it says, and agents whose model it is."""

    def __init__(self, runtime: MemoryRuntime, server: ChatServer, client: AsyncOpenAI) -> None:
        self.runtime = runtime
        self.server = server
        self.model = OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client))

    async def ask(self, cls: type[Clerk], idle: float = 0.0) -> tuple[Any, Turn]:
        """A turn once it is over. Time passes while it waits for an attempt; `idle` seconds at once
        when a request has arrived."""
        cls.model = self.model
        clerk = self.runtime.get(cls, "a")
        await clerk.submit("note ink", id="1")
        while not (turn := await clerk.turn("1")).over:
            wait = await clerk.due() - self.runtime.clock.now()
            await self.runtime.clock.run(max(wait, idle if self.server.requests else 0.0))
            await asyncio.sleep(0.001)  # for bytes to cross the loopback
        return clerk, turn


@pytest.fixture
def serve(runtime: MemoryRuntime) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def serve(*replies: Reply) -> AsyncIterator[Provider]:
        async with (
            ChatServer(*replies) as server,
            AsyncOpenAI(base_url=server.url, api_key="none") as client,
        ):
            yield Provider(runtime, server, client)

    return serve


@pytest.mark.parametrize("cls", [Clerk, Listening])
async def test_a_turn_with_a_tool_crosses_a_real_client_whole_or_as_a_stream(
    serve: Any, cls: type[Clerk]
) -> None:
    async with serve(NOTE, NOTED) as provider:
        clerk, turn = await provider.ask(cls)
    assert (turn.status, (turn.output or "").strip()) == ("completed", "it is noted")
    assert (turn.steps, turn.tokens) == (2, 30)
    assert await clerk.notes() == ["ink"]
    first, second = provider.server.requests
    assert first["messages"][0] == {"role": "system", "content": "You take notes."}
    assert first["temperature"] == 0.0
    assert [one["function"]["name"] for one in first["tools"]] == ["note"]
    assert [one["role"] for one in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert bool(first.get("stream")) == (cls is Listening)
    if cls is Listening:
        assert (await clerk.text()).split() == ["it", "is", "noted"]


async def test_who_follows_a_turn_hears_the_words_as_they_come(
    serve: Any, runtime: MemoryRuntime
) -> None:
    async with serve(NOTE, NOTED) as provider:
        Clerk.model = provider.model
        events = [one async for one in runtime.get(Clerk, "a").stream("note ink")]
    assert [one.text.strip() for one in events if isinstance(one, TextDelta)][:2] == ["it", "is"]


@pytest.mark.parametrize("cls", [Clerk, Listening])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Failure(429, retry_after=90), "rate_limit"),
        (Failure(500), "transient"),
        (Failure(503), "transient"),
        (Raw(b'{"choices": ['), "transient"),
        (Answer("it is noted here and there", cut=True), "transient"),
    ],
    ids=["429", "500", "503", "no JSON", "cut"],
)
async def test_a_fault_that_passes_is_got_over(
    serve: Any, cls: type[Clerk], reply: Reply, kind: str
) -> None:
    async with serve(NOTE, reply, NOTED) as provider:
        clerk, turn = await provider.ask(cls)
    assert turn.error is None
    assert await clerk.errors() == [f"request {kind}"]
    assert await clerk.notes() == ["ink"]
    assert len(provider.server.requests) == 3


@pytest.mark.parametrize("cls", [Clerk, Listening])
async def test_a_connection_that_hangs_is_given_up_and_the_request_made_again(
    serve: Any, cls: type[Clerk]
) -> None:
    async with serve(Silence(NOTED), NOTED) as provider:
        clerk, turn = await provider.ask(cls, idle=1.0)
    assert turn.error is None
    assert "request transient" in await clerk.errors()
    assert len(provider.server.requests) >= 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Failure(401), "fatal"),
        (Failure(429, code="insufficient_quota"), "fatal"),
        (Failure(400, code="context_length_exceeded"), "context_overflow"),
    ],
    ids=["401", "quota", "context"],
)
async def test_a_fault_that_stays_ends_the_turn_at_once(
    serve: Any, reply: Reply, kind: str
) -> None:
    async with serve(reply) as provider:
        clerk, turn = await provider.ask(Clerk)
    assert turn.status == "error"
    assert await clerk.errors() == [f"request {kind}", f"turn {kind}"]
    assert len(provider.server.requests) == 1


@pytest.mark.parametrize("cls", [Clerk, Listening])
async def test_a_call_with_broken_json_is_told_to_the_model(serve: Any, cls: type[Clerk]) -> None:
    broken = Answer(calls=[("note", '{"what": '), ("shred", {})])
    async with serve(broken, NOTE, NOTED) as provider:
        clerk, turn = await provider.ask(cls)
    assert turn.error is None
    assert await clerk.notes() == ["ink"]
    told = [one["content"] for one in provider.server.requests[1]["messages"][-2:]]
    assert "no JSON object" in told[0]
    assert "there is no tool 'shred'" in told[1]
