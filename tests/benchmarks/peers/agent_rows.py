"""Agents of ours and of Cloudflare's SDKs at the same work, in turns: sub-agents, turns, code mode.

Models are scripted on both sides. As in `rows.py`, ours are asked from outside for each where each
is to be durable before the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from facets import LocalRuntime
from facets.agents import Agent, tool
from facets.codemode import CodeMode, FunctionConnector
from tests.benchmarks.actors import numbers
from tests.benchmarks.harness import PEERS, Skip, Subject, benchmark
from tests.benchmarks.peers import sdk
from tests.benchmarks.peers.rows import ROUNDS, STORES
from tests.benchmarks.peers.workerd import running

CODE = """
first = await bank.pay(amount=1)
second = await bank.pay(amount=first)
await bank.pay(amount=second)
"""
JAVASCRIPT = """async () => {
  const first = await bank.pay({ amount: 1 });
  const second = await bank.pay({ amount: first });
  return await bank.pay({ amount: second });
}"""


async def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    newest = messages[-1]
    assert isinstance(newest, ModelRequest)
    done = any(one.part_kind == "tool-return" for one in newest.parts)
    part = TextPart("done") if done else ToolCallPart("pay", {"amount": 1})
    # With usage, as the other side says it: otherwise all that was said is split into words.
    return ModelResponse(parts=[part], usage=RequestUsage(input_tokens=10, output_tokens=5))


class Child(Agent):
    migrations = ("create table rows(n integer)",)

    async def echo(self, n: int) -> int:
        return n

    async def insert(self, n: int) -> int:
        self.sql("insert into rows values (?)", n)
        return n


class Payer(Agent):
    model = FunctionModel(answer)
    instructions = "You pay."
    migrations = ("create table rows(n integer)",)

    @tool
    async def pay(self, amount: float) -> float:
        """Pay."""
        self.sql("insert into rows values (?)", amount)
        return amount + 1


async def pay(amount: float) -> float:
    """Pay."""
    return amount + 1


class Lead(Agent):
    model = FunctionModel(answer)

    async def on_start(self) -> None:
        self.code = CodeMode(self, [FunctionConnector("bank", [pay])])

    async def call_sub_agent(self, n: int) -> None:
        child = self.agents.get(Child, "live")
        for i in range(n):
            await child.echo(i)

    async def new_sub_agents(self, n: int) -> None:
        for i in range(n):
            await self._child().insert(i)

    async def crowd_of_sub_agents(self, n: int) -> None:
        await asyncio.gather(*(self._child().insert(i) for i in range(n)))

    def _child(self) -> Any:
        return self.agents.get(Child, f"new {next(numbers)}")

    async def execute_some(self, n: int, code: str = CODE, language: Any = "python") -> None:
        for _ in range(n):
            done = await self.code.execute(code, language=language)
            if done.result != 4:
                raise RuntimeError(str(done))

    async def execute_javascript(self, n: int) -> None:
        await self.execute_some(n, JAVASCRIPT, "typescript")

    async def later_turns(self, n: int) -> None:
        for _ in range(n):
            await self.agents.get(Payer, "one").run("Pay 1")

    async def first_turns(self, n: int) -> None:
        for _ in range(n):
            await self.agents.get(Payer, f"new {next(numbers)}").run("Pay 1")


async def together(lead: Any, work: str, n: int) -> None:
    """Asked once for all of it."""
    await getattr(lead, work)(n)


async def one_by_one(lead: Any, work: str, n: int) -> None:
    """Asked for each, so that each is durable before the next."""
    for _ in range(n):
        await getattr(lead, work)(1)


@asynccontextmanager
async def both(store: str) -> AsyncIterator[tuple[Any, Any]]:
    """A lead of ours and a process of theirs over the same kind of store."""
    folder = STORES[store]
    if folder is not None and not folder.is_dir():
        raise Skip(f"there is no {folder}")
    async with running(folder, sdk.built()) as peer:
        with TemporaryDirectory(dir=folder or Path.cwd()) as directory:
            async with LocalRuntime(directory) as runtime:
                yield runtime.get(Lead, "trunk"), peer


@dataclass(frozen=True)
class AgentRow:
    """One comparison: this work, `n` times on each side."""

    title: str
    work: str
    n: int
    ours: Callable[[Any, str, int], Awaitable[object]] = one_by_one
    stores: tuple[str, ...] = tuple(STORES)
    theirs: str = ""

    async def measure(self, store: str) -> AsyncIterator[Subject]:
        """Let both sides take turns."""
        async with both(store) as (lead, peer):
            ours = partial(self.ours, lead, self.work, self.n)
            reference = partial(peer.run, self.theirs or self.work, self.n)
            await ours()
            await reference()
            yield Subject(ours, self.n, reference, self.n, "Agents SDK", ROUNDS)


ROWS = (
    AgentRow("call to a live sub-agent", "call_sub_agent", 500, together, ("tmpfs",)),
    AgentRow("new sub-agent, first durable write", "new_sub_agents", 20),
    AgentRow("100 new sub-agents at once, each", "crowd_of_sub_agents", 100, together),
    AgentRow("turn with a tool call, durable", "later_turns", 10, theirs="turns"),
    AgentRow("first turn of a new sub-agent", "first_turns", 10),
    AgentRow("code mode: 3 calls in order, logged", "execute_some", 10, theirs="execute"),
    AgentRow("the same in JavaScript", "execute_javascript", 10, theirs="execute"),
)
for _row in ROWS:
    for _store in _row.stores:
        benchmark(f"{_row.title} ({_store})", PEERS)(partial(_row.measure, _store))
