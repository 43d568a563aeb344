"""A payment that waits until a person approves it, for days if need be and across restarts.

Needs `pip install 'facets-runtime[agents]'`. The model is a function here; a real one is one line:
`model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime
from facets.agents import Agent, tool


def clerk(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Pays what is small and what is large, and then says what came of it."""
    results = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
    if results:
        return ModelResponse([TextPart("; ".join(str(one.content) for one in results))])
    bills = [("ink", 8), ("a printing press", 9_000)]
    return ModelResponse([ToolCallPart("pay", {"what": what, "usd": usd}) for what, usd in bills])


class Clerk(Agent):
    """Pays bills: small ones at once, others when somebody has said yes."""

    model = FunctionModel(clerk)
    migrations = ["create table paid(what text, usd integer)"]

    @tool(approval=lambda bill: bill["usd"] >= 100)
    async def pay(self, what: str, usd: int) -> str:
        """Pay a bill."""
        self.sql("insert into paid values (?, ?)", what, usd)
        return f"{what} is paid"


async def main() -> None:
    """Ask, let the process end, and decide in another one."""
    async with LocalRuntime("state/") as runtime:
        bob = runtime.get(Clerk, "bob")
        await bob.submit("Pay the bills.", id="bills")
        while (await bob.turn("bills")).status != "paused":
            await asyncio.sleep(0.01)

    async with LocalRuntime("state/") as runtime:
        bob = runtime.get(Clerk, "bob")
        for one in await bob.approvals():
            print(f"waits: {one.tool} {one.arguments}")
            await bob.approve(one.id, note="the press is worth it")
        print((await bob.wait("bills")).output)


if __name__ == "__main__":
    asyncio.run(main())
