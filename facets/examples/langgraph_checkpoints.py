"""A LangGraph graph whose threads are durable actors: it waits for a person across a restart.

Needs `pip install 'facets-runtime[langgraph]'`.
"""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from facets import LocalRuntime
from facets.adapters.langgraph import FacetSaver


class State(TypedDict):
    """What the graph knows."""

    log: Annotated[list[str], operator.add]


def plan(state: State) -> dict[str, Any]:
    """Think of something to do."""
    return {"log": ["planned to feed the octopus"]}


def approve(state: State) -> dict[str, Any]:
    """Ask a person; the graph stops here until there is an answer."""
    return {"log": [f"a person said: {interrupt(state['log'][-1])}"]}


def compiled(runtime: LocalRuntime) -> Any:
    """The graph, with its checkpoints in this runtime."""
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("approve", approve)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "approve")
    builder.add_edge("approve", END)
    return builder.compile(checkpointer=FacetSaver(runtime, keep=100))


async def main() -> None:
    """Run until the question, restart, answer, and answer again from the past."""
    thread: Any = {"configurable": {"thread_id": "alice"}}
    async with LocalRuntime("state/") as runtime:
        asked = await compiled(runtime).ainvoke({"log": ["hello"]}, thread)
        print("asks:", asked["__interrupt__"][0].value)

    async with LocalRuntime("state/") as runtime:
        graph = compiled(runtime)
        print((await graph.ainvoke(Command(resume="yes"), thread))["log"])
        past = [one async for one in graph.aget_state_history(thread)]
        print("checkpoints:", [one.metadata["step"] for one in past])
        before = next(one for one in past if one.next == ("plan",))
        await graph.ainvoke(None, before.config)
        print((await graph.ainvoke(Command(resume="rather not"), thread))["log"])


if __name__ == "__main__":
    asyncio.run(main())
