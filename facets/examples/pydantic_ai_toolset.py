"""A pydantic-ai agent whose tools are the methods of a durable actor.

Needs `pip install 'facets-runtime[agents]'`. The model is scripted; a real one is its name:
`pydantic_ai.Agent("openai:gpt-5", toolsets=[...])`.
"""

import asyncio
from typing import Any

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Actor, LocalRuntime
from facets.adapters.pydantic_ai import FacetToolset


class Shelf(Actor):
    """Books, in a database of their own."""

    migrations = ["create table books(title text primary key, copies integer not null)"]

    async def put(self, title: str, copies: int = 1) -> int:
        """Put copies of a book on the shelf; how many are there then."""
        self.sql(
            "insert into books values (?, ?)"
            " on conflict do update set copies = copies + excluded.copies",
            title,
            copies,
        )
        found: int = self.sql("select copies from books where title = ?", title).value()
        return found

    async def lend(self, title: str) -> str:
        """Lend a copy of a book."""
        if not self.sql("update books set copies = copies - 1 where title = ?", title).changes:
            raise LookupError(f"there is no book {title!r}")
        return f"{title} is lent"


SCRIPT: list[tuple[str, dict[str, Any]]] = [
    ("shelf_put", {"title": "Moby-Dick", "copies": 2}),
    ("shelf_lend", {"title": "Moby Dick"}),
    ("shelf_lend", {"title": "Moby-Dick"}),
]


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The next call of the script, and what the model has read of the one before."""
    done = sum(isinstance(one, ModelResponse) for one in messages)
    for part in messages[-1].parts if done else ():
        print("the model reads:", getattr(part, "content", ""))
    if done == len(SCRIPT):
        return ModelResponse(parts=[TextPart("One copy is lent, one is left.")])
    name, arguments = SCRIPT[done]
    return ModelResponse(parts=[ToolCallPart(name, arguments)])


async def main() -> None:
    """Ask, and look at what is on the shelf afterwards."""
    async with LocalRuntime("state/") as runtime:
        shelf = runtime.get(Shelf, "alice")
        toolset = FacetToolset(shelf, seconds=10).prefixed("shelf")
        agent = Agent(FunctionModel(scripted), toolsets=[toolset])
        print((await agent.run("Two copies of Moby-Dick came in; lend me one.")).output)
        print("copies left:", await shelf.put("Moby-Dick", copies=0))


if __name__ == "__main__":
    asyncio.run(main())
